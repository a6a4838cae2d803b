// Three Redis and three Sentinels on loopback, of which one Redis at a time may die.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { connectRedis, type RedisClient, redisAddressOf } from "../../services/token-lifecycle/store/redis.js";
import { redisServerProgram } from "../../tools/redis-child.js";
import { endOf, stopChild } from "../../tools/supervise.js";
import { until } from "../support/processes.js";
import { freePort } from "../support/programs.js";

export type SentinelSet = {
  readonly url: string;
  /** A connection to the present master. */
  readonly admin: () => Promise<RedisClient>;
  /** Kills the master, waits until another is promoted, and brings the dead one back as a replica in step. */
  readonly failOver: (downMs: number) => Promise<string>;
  readonly stop: () => Promise<void>;
};

const masterName = "tokens";

type Node = { readonly port: number; readonly dir: string; process: ChildProcess };

export async function startSentinelSet(folder: string): Promise<SentinelSet> {
  const program = redisServerProgram(() => {});
  const launch = (port: number, dir: string, more: string[]): ChildProcess => {
    mkdirSync(dir, { recursive: true });
    const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "yes"];
    const durable = ["--appendfsync", "always", "--maxmemory-policy", "noeviction"];
    const quick = [
      "--repl-diskless-sync",
      "yes",
      "--repl-diskless-sync-delay",
      "0",
      "--logfile",
      join(dir, "redis.log"),
    ];
    return spawn(program, [...args, ...durable, ...quick, ...more], { stdio: "ignore" });
  };
  const nodes: Node[] = [];
  for (let i = 0; i < 3; i++) {
    const [port, dir] = [await freePort(), join(folder, `redis-${i}`)];
    const first = nodes[0];
    nodes.push({
      port,
      dir,
      process: launch(port, dir, first ? ["--replicaof", "127.0.0.1", String(first.port)] : []),
    });
  }
  const ask = async <T>(port: number, question: (redis: Redis) => Promise<T>): Promise<T | undefined> => {
    const redis = new Redis({
      port,
      host: "127.0.0.1",
      retryStrategy: () => null,
      maxRetriesPerRequest: 0,
      commandTimeout: 2_000,
    });
    redis.on("error", () => {});
    return question(redis)
      .catch(() => undefined)
      .finally(() => redis.disconnect());
  };
  const roleOf = (port: number) => ask(port, (redis) => redis.info("replication"));
  const isInStep = async (master: number): Promise<boolean> => {
    const info = (await roleOf(master)) ?? "";
    const offset = /master_repl_offset:(\d+)/.exec(info)?.[1];
    return (
      [...info.matchAll(/slave\d+:.*state=online,offset=(\d+)/g)].length === nodes.length - 1 && offset !== undefined
    );
  };
  await until("the replicas are in step", () => isInStep(nodes[0]?.port ?? 0), 20_000);

  const sentinels: { port: number; process: ChildProcess }[] = [];
  for (let i = 0; i < 3; i++) {
    const [port, dir] = [await freePort(), join(folder, `sentinel-${i}`)];
    mkdirSync(dir, { recursive: true });
    const file = join(dir, "sentinel.conf");
    const settings = [
      `port ${port}`,
      "bind 127.0.0.1",
      `dir ${dir}`,
      `logfile ${join(dir, "sentinel.log")}`,
      `sentinel monitor ${masterName} 127.0.0.1 ${nodes[0]?.port} 2`,
      // Long enough for a busy machine: a live node that is taken for dead would be a second fault.
      `sentinel down-after-milliseconds ${masterName} 1500`,
      `sentinel failover-timeout ${masterName} 2000`,
      `sentinel parallel-syncs ${masterName} 2`,
    ];
    writeFileSync(file, `${settings.join("\n")}\n`);
    sentinels.push({ port, process: spawn(program, [file, "--sentinel"], { stdio: "ignore" }) });
  }
  /** The master that all Sentinels agree on; 0 while they do not. */
  const masterPort = async (): Promise<number> => {
    const ports = await Promise.all(
      sentinels.map(async ({ port }) => {
        const address = await ask(port, (redis) => redis.call("SENTINEL", "get-master-addr-by-name", masterName));
        return Array.isArray(address) ? Number(address[1]) : 0;
      }),
    );
    return new Set(ports).size === 1 ? (ports[0] ?? 0) : 0;
  };
  // A quorum needs Sentinels that know each other, and replicas to choose from.
  await until(
    "the Sentinels know all nodes",
    async () => {
      const replies = await Promise.all(
        sentinels.map(({ port }) => ask(port, (redis) => redis.call("SENTINEL", "master", masterName))),
      );
      return replies.every((reply) => {
        const facts = Array.isArray(reply) ? reply.map(String) : [];
        const fact = (name: string) => facts[facts.indexOf(name) + 1];
        return fact("num-slaves") === "2" && fact("num-other-sentinels") === "2";
      });
    },
    20_000,
  );

  /** No Sentinel is still busy with the last failover: a node lost now would be a second fault at once. */
  const hasSettled = async (): Promise<boolean> => {
    const states = await Promise.all(
      sentinels.map(({ port }) =>
        ask(port, async (redis) => {
          const flags = (reply: unknown): string => {
            const facts = (reply as unknown[]).map(String);
            return facts[facts.indexOf("flags") + 1] ?? "";
          };
          const master = flags(await redis.call("SENTINEL", "master", masterName));
          const replicas = (await redis.call("SENTINEL", "replicas", masterName)) as unknown[];
          return master === "master" && replicas.length === 2 && replicas.every((each) => flags(each) === "slave");
        }),
      ),
    );
    return states.every((settled) => settled === true);
  };

  const url = `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(",")}/${masterName}`;
  let connection: RedisClient | undefined;
  return {
    url,
    async admin() {
      if (connection?.status === "ready") return connection;
      connection?.disconnect();
      const fresh = connectRedis(redisAddressOf(url), 5_000);
      fresh.on("error", () => {});
      connection = fresh;
      await until("the admin connection is ready", () => fresh.status === "ready", 20_000);
      return fresh;
    },
    async failOver(downMs) {
      const old = await masterPort();
      const dead = nodes.find(({ port }) => port === old);
      if (dead === undefined) throw new Error("no master to kill");
      connection?.disconnect();
      const ended = endOf(dead.process);
      dead.process.kill("SIGKILL");
      await ended;
      const started = Date.now();
      await until("another master is promoted", async () => ![0, old].includes(await masterPort()), 60_000);
      const promoted = await masterPort();
      await until("the new master knows it", async () => /role:master/.test((await roleOf(promoted)) ?? ""), 10_000);
      const tookMs = Date.now() - started;
      await new Promise((resolve) => setTimeout(resolve, downMs));
      dead.process = launch(dead.port, dead.dir, ["--replicaof", "127.0.0.1", String(promoted)]);
      await until("all replicas are in step again", async () => isInStep(await masterPort()), 60_000);
      await until("the Sentinels have settled", hasSettled, 60_000);
      return `failed over in ${tookMs} ms`;
    },
    async stop() {
      connection?.disconnect();
      await Promise.all([...sentinels, ...nodes].map(({ process }) => stopChild(process, 2_000)));
    },
  };
}
