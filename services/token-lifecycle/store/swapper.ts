// Swaps tokens' values, and what it is told when somebody was faster.
import { loadScript } from "../../../lib/script.js";
import { gatheredScript } from "./gathered-script.js";
import { eventsKey, partitionOf, tokenKey } from "./keys.js";
import type { RedisClient } from "./redis.js";

const swapScript = loadScript(
  new URL("swap.lua", import.meta.url),
  ["token", "events"],
  ["expected", "replacement", "event", "events_max_len"],
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

/** Rejects when Redis does not answer; the swap may have happened all the same. */
export function swapperOf(
  redis: RedisClient,
  eventsMaxLen: number,
  onCall?: () => void,
): (swap: Swap) => Promise<Swapped> {
  // The events' key names the partition, and a partition is one slot of a Cluster.
  const run = gatheredScript(redis, "swapTokens", swapScript, ({ keys }) => keys[1] ?? "", onCall);
  return async ({ tokenReferenceId, expected, replacement, event }) =>
    swappedOf(
      await run({
        keys: [tokenKey(tokenReferenceId), eventsKey(partitionOf(tokenReferenceId))],
        args: [expected, replacement, event, eventsMaxLen],
      }),
    );
}

function swappedOf(reply: unknown): Swapped {
  if (Array.isArray(reply) && Buffer.isBuffer(reply[0]) && Buffer.isBuffer(reply[1])) {
    const word = reply[0].toString();
    if (word === "swapped") return { done: true };
    if (word === "current") return { done: false, current: reply[1] };
  }
  throw new Error("swap.lua answered something else");
}
