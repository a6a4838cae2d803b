// Swaps tokens' values: what is asked for in one round of the event loop goes to Redis as one script call, so that a batch of
// notifications costs one command and one fsync.
import { Cluster } from "ioredis";
import { loadScript, repeated } from "../../../lib/script.js";
import { eventsKey, partitionOf, tokenKey } from "./keys.js";
import type { RedisClient } from "./redis.js";

const swapScript = repeated(
  loadScript(
    new URL("swap.lua", import.meta.url),
    ["token", "events"],
    ["expected", "replacement", "event", "events_max_len"],
  ),
);

export type Swap = {
  readonly tokenReferenceId: string;
  /** The value that it must still have; empty for a token that must not be there. */
  readonly expected: Buffer;
  readonly replacement: Buffer;
  readonly event: Buffer;
};

/** Done, or the value that is there instead. */
export type Swapped = { readonly done: true } | { readonly done: false; readonly current: Buffer };

/** Swaps of one call, so that no call keeps Redis from others for more than some milliseconds. */
const mostAtOnce = 128;

type Waiting = {
  readonly swap: Swap;
  readonly resolve: (swapped: Swapped) => void;
  readonly reject: (error: unknown) => void;
};
type SwapTokens = (numberOfKeys: number, ...keysAndArguments: (string | number | Buffer)[]) => Promise<unknown>;

/** Rejects when Redis does not answer; the swap may have happened all the same. */
export function swapperOf(redis: RedisClient, eventsMaxLen: number): (swap: Swap) => Promise<Swapped> {
  redis.defineCommand("swapTokens", swapScript);
  const swapTokens = Reflect.get(redis, "swapTokensBuffer").bind(redis) as SwapTokens;
  // A script may touch only one of Cluster's slots, and a partition is one.
  const groupOf = redis instanceof Cluster ? partitionOf : () => 0;
  const groups = new Map<number, Waiting[]>();

  function send(all: readonly Waiting[]): void {
    const keys = all.flatMap(({ swap: { tokenReferenceId } }) => [
      tokenKey(tokenReferenceId),
      eventsKey(partitionOf(tokenReferenceId)),
    ]);
    const args = all.flatMap(({ swap: { expected, replacement, event } }) => [
      expected,
      replacement,
      event,
      eventsMaxLen,
    ]);
    swapTokens(keys.length, ...keys, ...args)
      .then((replies) => {
        if (!Array.isArray(replies) || replies.length !== all.length)
          throw new Error("swap.lua answered something else");
        for (const [index, { resolve }] of all.entries()) resolve(swappedOf(replies[index]));
      })
      .catch((error: unknown) => {
        for (const { reject } of all) reject(error);
      });
  }

  function flush(): void {
    for (const waiting of groups.values())
      for (let from = 0; from < waiting.length; from += mostAtOnce) send(waiting.slice(from, from + mostAtOnce));
    groups.clear();
  }

  return (swap) =>
    new Promise((resolve, reject) => {
      if (groups.size === 0) setImmediate(flush);
      const group = groupOf(swap.tokenReferenceId);
      const waiting = groups.get(group);
      if (waiting) waiting.push({ swap, resolve, reject });
      else groups.set(group, [{ swap, resolve, reject }]);
    });
}

function swappedOf(reply: unknown): Swapped {
  if (Array.isArray(reply) && Buffer.isBuffer(reply[0]) && Buffer.isBuffer(reply[1])) {
    const word = reply[0].toString();
    if (word === "swapped") return { done: true };
    if (word === "current") return { done: false, current: reply[1] };
  }
  throw new Error("swap.lua answered something else");
}
