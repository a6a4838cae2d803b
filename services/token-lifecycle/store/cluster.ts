// Redis Cluster beyond what its client does by itself: who has a key, and commands that must all go to that one node.
import { type Cluster, Command, Redis } from "ioredis";

/** The slot of a key, by its hash tag where it has one. */
export const slotOf = (key: string): number => new Command("get", [key]).getSlot();

/** "host:port" of the master that has the key, as far as this client knows. */
export const ownerOf = (cluster: Cluster, key: string): string | undefined => cluster.slots[slotOf(key)]?.[0];

export const addressOf = ({ options }: Redis): string => `${options.host}:${options.port}`;

export type Lane = {
  /**
   * Asks the node that has the key over a connection of this lane, and asks again where a node points to another. The first
   * command of a question must be the one that a node may refuse; `asking` says that it must follow an ASKING.
   */
  readonly ask: <T>(key: string, question: (node: Redis, address: string, asking: boolean) => Promise<T>) => Promise<T>;
};

/** Times that a question follows a pointer to another node. */
const redirections = 4;

/** Connections of its own, made when they are needed. One that is `single` has one at a time, for commands that block it. */
export function laneOf(cluster: Cluster, { single }: { readonly single: boolean }): Lane {
  const connections = new Map<string, Redis>();

  function connectionTo(address: string): Redis {
    const present = connections.get(address);
    if (present) return present;
    if (single) closeAll();
    const { replyMapping: _, ...options } = cluster.options.redisOptions ?? {};
    const [host, port] = [address.slice(0, address.lastIndexOf(":")), Number(address.split(":").at(-1))];
    // Who has the key is asked anew instead of trying the same node again.
    const node = new Redis({ ...options, host, port, retryStrategy: () => null });
    node.on("error", () => {});
    node.once("end", () => {
      if (connections.get(address) === node) connections.delete(address);
    });
    connections.set(address, node);
    return node;
  }

  function closeAll(): void {
    for (const node of connections.values()) node.disconnect();
    connections.clear();
  }
  // Events have a lane for each partition.
  cluster.setMaxListeners(cluster.getMaxListeners() + 1).once("end", closeAll);

  return {
    async ask(key, question) {
      let [address, asking] = [ownerOf(cluster, key), false];
      for (let left = redirections; ; left--) {
        if (cluster.status !== "ready" || address === undefined) throw new Error("Redis is not connected");
        try {
          return await question(connectionTo(address), address, asking);
        } catch (error) {
          const pointer = pointerIn(error);
          // Nobody may have the slot any more as we knew it: neither after MOVED nor when the node is gone.
          if (!pointer?.asking) cluster.refreshSlotsCache();
          if (pointer === undefined || left === 0) throw error;
          ({ address, asking } = pointer);
        }
      }
    },
  };
}

/** Where a node points to: for good, or for this once while a slot is on its way. */
function pointerIn(error: unknown): { address: string; asking: boolean } | undefined {
  const [, word, address] = /^(MOVED|ASK) \d+ (\S+:\d+)$/.exec(error instanceof Error ? error.message : "") ?? [];
  return address === undefined ? undefined : { address, asking: word === "ASK" };
}
