// Whether each master of a Cluster keeps what DURABILITY promises. One that does not holds up its own tokens and no others.
import type { Cluster, Redis } from "ioredis";
import { addressOf, ownerOf } from "./cluster.js";
import {
  type Durability,
  type DurabilityWatch,
  type MemoryWatch,
  memoryOf,
  type OnDurabilityChange,
  type RedisMemory,
  readFacts,
  weaknesses,
} from "./durability.js";

/** Checks each master when it comes, and all every `everyMs`. */
export function watchClusterDurability(
  cluster: Cluster,
  durability: Durability,
  everyMs: number,
  onChange: OnDurabilityChange,
): DurabilityWatch & MemoryWatch {
  /** What is wrong with each master that has answered on its present connection. */
  const known = new Map<string, readonly string[]>();
  const memories = new Map<string, RedisMemory>();
  let told: string | undefined;

  const reasonsAt = (address: string | undefined): readonly string[] =>
    cluster.status !== "ready" || address === undefined
      ? ["Redis is not connected"]
      : (known.get(address) ?? [`${address}: Redis has not told its settings yet`]);

  function inPart(): string[] {
    return cluster.nodes("master").flatMap((node) => reasonsAt(addressOf(node)));
  }
  function reasons(): readonly string[] {
    if (cluster.status !== "ready") return ["Redis is not connected"];
    // While one master is good, some tokens can be served: that must not be said to be none.
    const masters = cluster.nodes("master").map((node) => reasonsAt(addressOf(node)));
    return masters.some((each) => each.length === 0) ? [] : masters.flat();
  }
  function tell(): void {
    const [all, part] = [reasons(), inPart()];
    const words = [...all, "", ...part].join("\n");
    if (words === told) return;
    told = words;
    onChange(all, part);
  }

  async function checkOne(node: Redis): Promise<void> {
    const address = addressOf(node);
    const found = await readFacts(node).then(
      (facts) => {
        memories.set(address, memoryOf(facts));
        return weaknesses(facts, durability).map((weakness) => `${address}: ${weakness}`);
      },
      (error: Error) => [`${address}: Redis does not tell its settings: ${error.message}`],
    );
    // An answer of an earlier connection says nothing about this one.
    if (cluster.nodes("master").includes(node)) known.set(address, found);
  }
  async function check(): Promise<void> {
    if (cluster.status !== "ready") return;
    await Promise.all(cluster.nodes("master").map(checkOne));
    tell();
  }

  const onNews = (): void => void check();
  const onGone = (node: Redis): void => {
    known.delete(addressOf(node));
    memories.delete(addressOf(node));
    tell();
  };
  const onClose = (): void => {
    known.clear();
    tell();
  };
  cluster.on("ready", onNews).on("+node", onNews).on("-node", onGone).on("close", onClose);
  const timer = setInterval(onNews, everyMs);
  void check();
  return {
    reasons: (key) => (key === undefined ? reasons() : reasonsAt(ownerOf(cluster, key))),
    reasonsAt,
    memory: () =>
      [...memories.values()].sort((a, b) => fullness(b) - fullness(a))[0] ?? { usedBytes: 0, limitBytes: 0 },
    stop() {
      clearInterval(timer);
      cluster.off("ready", onNews).off("+node", onNews).off("-node", onGone).off("close", onClose);
    },
  };
}

/** Without a limit the one that uses most counts, behind those that have one. */
const fullness = ({ usedBytes, limitBytes }: RedisMemory): number =>
  limitBytes > 0 ? 1 + usedBytes / limitBytes : usedBytes / 2 ** 60;
