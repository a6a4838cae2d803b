// Runs a script for many callers: what is asked for in one round of the event loop goes to Redis as one call, so that a batch of
// notifications costs a command or two, one write to the connection, and one fsync.
import { Cluster } from "ioredis";
import { repeated, type Script } from "../../../lib/script.js";
import type { RedisClient } from "./redis.js";

/** One run: its keys and arguments, in the order of the script's header. */
export type Run = { readonly keys: readonly string[]; readonly args: readonly (string | number | Buffer)[] };

/** Names the runs that may share a call in Redis Cluster, where a script may touch one slot only. */
export type GroupOf = (run: Run) => string;

/** Runs of one call, so that no call keeps Redis from others for more than some milliseconds. */
const mostAtOnce = 128;

type Waiting = {
  readonly run: Run;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: unknown) => void;
};
type Command = (numberOfKeys: number, ...keysAndArguments: (string | number | Buffer)[]) => Promise<unknown>;

/** Rejects when Redis does not answer; the run may have happened all the same. `onCall` hears of each call. */
export function gatheredScript(
  redis: RedisClient,
  name: string,
  script: Script,
  clusterGroupOf: GroupOf,
  onCall: () => void = () => {},
): (run: Run) => Promise<unknown> {
  redis.defineCommand(name, repeated(script));
  const command = Reflect.get(redis, `${name}Buffer`).bind(redis) as Command;
  const groupOf = redis instanceof Cluster ? clusterGroupOf : () => "";
  let groups = new Map<string, Waiting[]>();

  function send(runs: readonly Waiting[]): void {
    onCall();
    const sent: (string | number | Buffer)[] = [];
    for (const { run } of runs) for (const key of run.keys) sent.push(key);
    const numberOfKeys = sent.length;
    for (const { run } of runs) for (const arg of run.args) sent.push(arg);
    command(numberOfKeys, ...sent)
      .then((replies) => {
        if (!Array.isArray(replies) || replies.length !== runs.length)
          throw new Error(`${name} answered something else`);
        runs.forEach(({ resolve, reject }, index) => {
          const reply: unknown = replies[index];
          if (reply instanceof Error) reject(reply);
          else resolve(reply);
        });
      })
      .catch((error: unknown) => {
        for (const { reject } of runs) reject(error);
      });
  }

  function flush(): void {
    const taken = groups;
    // A new one: a map that is cleared keeps what it held within reach of V8's old generation, up to the next full collection.
    groups = new Map();
    for (const runs of taken.values())
      for (let from = 0; from < runs.length; from += mostAtOnce) send(runs.slice(from, from + mostAtOnce));
  }

  return (run) =>
    new Promise((resolve, reject) => {
      if (groups.size === 0) atEndOfRound(redis, flush);
      const group = groupOf(run);
      const waiting = { run, resolve, reject };
      const others = groups.get(group);
      if (others) others.push(waiting);
      else groups.set(group, [waiting]);
    });
}

type Flush = () => void;
const rounds = new WeakMap<RedisClient, Flush[]>();

/**
 * What the scripts of a round send leaves together: Redis reads it with one look at the connection, and syncs its log once before it
 * answers, where two writes cost two. In Cluster each node has a connection of its own.
 */
function atEndOfRound(redis: RedisClient, flush: Flush): void {
  const waiting = rounds.get(redis);
  if (waiting) {
    waiting.push(flush);
    return;
  }
  const flushes = [flush];
  rounds.set(redis, flushes);
  setImmediate(() => {
    rounds.delete(redis);
    const stream = redis instanceof Cluster ? undefined : redis.stream;
    stream?.cork();
    try {
      for (const each of flushes) each();
    } finally {
      stream?.uncork();
    }
  });
}
