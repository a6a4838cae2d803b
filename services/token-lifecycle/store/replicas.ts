// Whether replicas have what an answer rests on.
import { Cluster, type Redis } from "ioredis";
import { StoreError } from "../core/ports.js";
import { laneOf } from "./cluster.js";
import type { DurabilityWatch } from "./durability.js";
import type { RedisClient } from "./redis.js";

/** Something that was written or read, and where it shows. */
export type Trace = {
  readonly key: string;
  /** Asks the node that has the key, with one command: does it still have what the answer rests on? */
  readonly isThere: (node: Redis) => Promise<boolean>;
};

export type Replicas = {
  /** Resolves when as many replicas as the class demands have these traces; else throws StoreError. */
  readonly have: (...traces: Trace[]) => Promise<void>;
};

export type ReplicasOptions = { readonly replicas: number; readonly timeoutMs: number };

export function replicasOf(redis: RedisClient, watch: DurabilityWatch, options: ReplicasOptions): Replicas {
  if (options.replicas === 0) return { have: async () => {} };
  if (redis instanceof Cluster) return replicasInCluster(redis, watch, options);
  return {
    // WAIT counts replicas that have everything this connection wrote or read, so a repeat needs it as much as a change.
    have: async () => mustReach(await answered(redis.wait(options.replicas, options.timeoutMs)), options),
  };
}

function mustReach(reached: number, { replicas }: ReplicasOptions): void {
  if (reached < replicas) throw new StoreError("unavailable", `${reached} of ${replicas} replicas have the write`);
}

type Waiting = {
  readonly trace: Trace;
  readonly asking: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
};

/**
 * The client does not say which node took a write, and the slot may have moved since. So the node that has the key now is
 * asked for the write itself and then for its replicas, on one connection. What comes while it is asked shares the next WAIT.
 */
function replicasInCluster(cluster: Cluster, watch: DurabilityWatch, options: ReplicasOptions): Replicas {
  // Apart from the connections that write, which a WAIT would hold up.
  const lane = laneOf(cluster, { single: false });
  const queues = new Map<Redis, Waiting[]>();

  async function serve(node: Redis, address: string): Promise<void> {
    for (;;) {
      const batch = queues.get(node)?.splice(0) ?? [];
      if (batch.length === 0) break;
      const reads = batch.map(({ trace, asking }) => {
        if (asking) node.asking().catch(() => {});
        return trace.isThere(node);
      });
      const [found, [reached]] = await Promise.all([
        Promise.allSettled(reads),
        Promise.allSettled([node.wait(options.replicas, options.timeoutMs)]),
      ]);
      const [weakness] = watch.reasonsAt(address);
      for (const [index, { resolve, reject }] of batch.entries()) {
        const there = found[index];
        try {
          if (there?.status !== "fulfilled") throw there?.reason;
          if (!there.value) throw new StoreError("unavailable", `${address} does not have the write any more`);
          if (weakness !== undefined) throw new StoreError("not-durable", weakness);
          if (reached.status !== "fulfilled") throw reached.reason;
          mustReach(reached.value, options);
          resolve();
        } catch (error) {
          reject(error);
        }
      }
    }
    queues.delete(node);
  }

  const has = (trace: Trace): Promise<void> =>
    lane.ask(
      trace.key,
      (node, address, asking) =>
        new Promise((resolve, reject) => {
          const waiting = { trace, asking, resolve, reject };
          const queue = queues.get(node);
          if (queue) queue.push(waiting);
          else {
            queues.set(node, [waiting]);
            void serve(node, address);
          }
        }),
    );
  return {
    async have(...traces) {
      await answered(Promise.all(traces.map(has)));
    },
  };
}

/** Whatever goes wrong on the way to Redis and back leaves the outcome unknown. `onEnd` hears of either end. */
export function answered<T>(reply: Promise<T>, onEnd?: () => void): Promise<T> {
  return reply.then(
    (value) => {
      onEnd?.();
      return value;
    },
    (error: unknown) => {
      onEnd?.();
      if (error instanceof StoreError) throw error;
      throw new StoreError("unavailable", "Redis did not answer", { cause: error });
    },
  );
}
