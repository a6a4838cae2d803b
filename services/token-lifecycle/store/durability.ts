// Whether Redis really keeps what DURABILITY promises: its settings are read, not believed.
import type { Redis } from "ioredis";

/** What SUCCESS promises; `replicas` counts the replicas that must have a write besides the master. */
export type Durability = { readonly level: "memory" | "everysec" | "fsync"; readonly replicas: number };

/** Reads DURABILITY: memory, everysec, fsync or replicated:<n>. */
export function durabilityOf(word: string): Durability {
  if (word === "memory" || word === "everysec" || word === "fsync") return { level: word, replicas: 0 };
  const replicas = Number(/^replicated:([1-9]\d?)$/.exec(word)?.[1] ?? 0);
  if (replicas === 0) throw new Error("must be memory, everysec, fsync or replicated:<number of replicas>");
  return { level: "fsync", replicas };
}

export const durabilityWord = ({ level, replicas }: Durability): string =>
  replicas > 0 ? `replicated:${replicas}` : level;

/** Settings and facts of a Redis, by the names that CONFIG GET and INFO use. */
export type RedisFacts = Readonly<Record<string, string>>;

type Rule = { fact: string; wants: readonly string[] };
const always: readonly Rule[] = [
  { fact: "role", wants: ["master"] },
  { fact: "maxmemory-policy", wants: ["noeviction"] },
];
const rules: Readonly<Record<Durability["level"], readonly Rule[]>> = {
  memory: always,
  everysec: [
    ...always,
    { fact: "appendonly", wants: ["yes"] },
    { fact: "appendfsync", wants: ["everysec", "always"] },
    { fact: "aof_last_write_status", wants: ["ok"] },
  ],
  fsync: [
    ...always,
    { fact: "appendonly", wants: ["yes"] },
    { fact: "appendfsync", wants: ["always"] },
    { fact: "no-appendfsync-on-rewrite", wants: ["no"] },
    { fact: "aof_last_write_status", wants: ["ok"] },
  ],
};

/** Why these facts are weaker than the promise; empty when they are not. */
export function weaknesses(facts: RedisFacts, durability: Durability): string[] {
  const broken = rules[durability.level]
    .filter(({ fact, wants }) => !wants.includes(facts[fact] ?? ""))
    .map(({ fact, wants }) => `Redis has ${fact} ${facts[fact] ?? "unknown"}, must be ${wants.join(" or ")}`);
  const replicas = Number(facts.connected_slaves ?? 0);
  if (replicas < durability.replicas)
    broken.push(`Redis has ${replicas} replicas connected, must be ${durability.replicas} or more`);
  return broken;
}

const settings = ["appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy"] as const;

export const memoryOf = (facts: RedisFacts): RedisMemory => ({
  usedBytes: Number(facts.used_memory ?? 0),
  limitBytes: Number(facts.maxmemory ?? 0),
});

export async function readFacts(redis: Redis): Promise<RedisFacts> {
  // One by one: Redis 6 takes a single name.
  const [persistence, replication, memory, ...pairs] = await Promise.all([
    redis.info("persistence"),
    redis.info("replication"),
    redis.info("memory"),
    ...settings.map((name) => redis.config("GET", name) as Promise<unknown>),
  ]);
  const facts: Record<string, string> = {};
  for (const line of `${persistence}\n${replication}\n${memory}`.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon > 0) facts[line.slice(0, colon)] = line.slice(colon + 1);
  }
  for (const pair of pairs) if (Array.isArray(pair) && pair.length === 2) facts[String(pair[0])] = String(pair[1]);
  return facts;
}

/** As Redis said last; a limit of 0 is none. */
export type RedisMemory = { readonly usedBytes: number; readonly limitBytes: number };
/** Of several nodes, that of the one nearest to its limit. */
export type MemoryWatch = { readonly memory: () => RedisMemory };

export type DurabilityWatch = {
  /** Why nothing may be written now, or not to this key; empty when it may. */
  readonly reasons: (key?: string) => readonly string[];
  /** The same for all that lies on one node, named by "host:port". */
  readonly reasonsAt: (address: string) => readonly string[];
  readonly stop: () => void;
};

/** Told why nothing may be written, and what is wrong where that is only a part. */
export type OnDurabilityChange = (reasons: readonly string[], inPart: readonly string[]) => void;

/** Checks on every connection and every `everyMs`; between a lost connection and the next good check nothing is durable. */
export function watchDurability(
  redis: Redis,
  durability: Durability,
  everyMs: number,
  onChange: OnDurabilityChange,
): DurabilityWatch & MemoryWatch {
  let reasons: readonly string[] = ["Redis is not connected"];
  let memory: RedisMemory = { usedBytes: 0, limitBytes: 0 };
  let connection = 0;
  const set = (next: readonly string[]): void => {
    const changed = next.join() !== reasons.join();
    reasons = next;
    if (changed) onChange(next, next);
  };
  const check = async (): Promise<void> => {
    const checked = connection;
    const found = await readFacts(redis).then(
      (facts) => {
        memory = memoryOf(facts);
        return weaknesses(facts, durability);
      },
      (error: Error) => [`Redis does not tell its settings: ${error.message}`],
    );
    // An answer of an earlier connection says nothing about this one.
    if (checked === connection && redis.status === "ready") set(found);
  };
  const onReady = (): void => void check();
  const onClose = (): void => {
    connection += 1;
    set(["Redis is not connected"]);
  };
  redis.on("ready", onReady);
  redis.on("close", onClose);
  if (redis.status === "ready") void check();
  const timer = setInterval(() => {
    if (redis.status === "ready") void check();
  }, everyMs);
  return {
    reasons: () => reasons,
    memory: () => memory,
    reasonsAt: () => reasons,
    stop() {
      clearInterval(timer);
      redis.off("ready", onReady);
      redis.off("close", onClose);
    },
  };
}
