// Real processes for tests: our own redis-server, token service and gateway, on free ports and unix sockets.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectRedis, type RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { type RunningPart, startPart } from "../../tools/parts.js";
import { type RedisChildOptions, redisFolder, redisServerProgram, startRedisChild } from "../../tools/redis-child.js";
import { type Child, stopChild } from "../../tools/supervise.js";
import { writeClient, writeKeyring } from "./keys.js";

/** A folder of its own for a test; `remove` deletes it. */
export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "tg-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export type TestRedis = {
  readonly url: string;
  readonly socket: string;
  readonly pid: () => number;
  /** SIGKILL, and wait until it is gone. */
  readonly kill: () => Promise<void>;
  readonly stop: () => Promise<void>;
  /** Starts again on the same data. */
  readonly start: () => Promise<void>;
  /** A connection of the test's own; closed by `stop`. */
  readonly connect: () => Promise<RedisClient>;
};

export async function startTestRedis(
  dataDir: string,
  appendfsync: "always" | "everysec" | "no" = "always",
  more: Pick<RedisChildOptions, "env" | "more"> = {},
): Promise<TestRedis> {
  const folder = redisFolder(dataDir);
  mkdirSync(folder.dataDir, { recursive: true });
  const program = redisServerProgram(() => {});
  const launch = () => startRedisChild({ program, folder, logFile: join(dataDir, "redis.log"), appendfsync, ...more });
  let child: Child = await launch();
  const connections: RedisClient[] = [];
  return {
    url: folder.url,
    socket: folder.socket,
    pid: () => child.process.pid ?? 0,
    async kill() {
      child.process.kill("SIGKILL");
      await child.ended;
    },
    async stop() {
      for (const connection of connections) connection.disconnect();
      await stopChild(child.process, 2_000);
    },
    async start() {
      child = await launch();
    },
    async connect() {
      const redis = connectRedis({ kind: "single", options: { path: folder.socket } }, 5_000);
      redis.on("error", () => {});
      connections.push(redis);
      await new Promise((resolve) => redis.once("ready", resolve));
      return redis;
    },
  };
}

export type TestPart = {
  /** Where it answers; the same after a restart. */
  readonly url: string;
  readonly adminUrl: string;
  readonly pid: () => number;
  readonly kill: (signal?: NodeJS.Signals) => Promise<void>;
  readonly stop: () => Promise<void>;
  /** From here on it is the given build of the product, if one is given. */
  readonly start: (product?: string) => Promise<void>;
  /** Everything it logged so far. */
  readonly log: () => string;
};

/**
 * Starts a compiled part, of this version or of the given build. Settings not named here are their defaults: nothing of the
 * caller's environment reaches it.
 */
export async function startTestPart(
  part: "service" | "gateway",
  settings: Record<string, string>,
  logFile: string,
  product?: string,
): Promise<TestPart> {
  const portName = part === "service" ? "TOKEN_SERVICE_PORT" : "GATEWAY_PORT";
  const base = {
    PATH: process.env.PATH ?? "",
    ...{ ADMIN_PORT: "0", TOKEN_SERVICE_ADMIN_PORT: "0", [portName]: "0" },
    // After the first one at start, no probe should be among the connections that a test counts.
    TOKEN_SERVICE_PROBE_MS: "60000",
  };
  let build = product;
  let running: RunningPart = await startPart(part, { ...base, ...settings }, logFile, build);
  const address = running.ready[part] ?? "";
  const port = address.slice(address.lastIndexOf(":") + 1);
  return {
    url: `http://${address}`,
    get adminUrl() {
      return `http://${running.ready.admin}`;
    },
    pid: () => running.process.pid ?? 0,
    async kill(signal = "SIGKILL") {
      running.process.kill(signal);
      await running.ended;
    },
    stop: () => stopChild(running.process, 5_000),
    async start(product = build) {
      build = product;
      running = await startPart(part, { ...base, ...settings, [portName]: port }, logFile, build);
    },
    log: () => readFileSync(logFile, "utf8"),
  };
}

export type StackOptions = {
  readonly service?: Record<string, string>;
  readonly gateway?: Record<string, string>;
  readonly appendfsync?: "always" | "everysec" | "no";
};

export type TestBackEnd = {
  readonly folder: string;
  readonly redis: TestRedis;
  readonly service: TestPart;
  readonly stop: () => Promise<void>;
};

export type TestStack = TestBackEnd & { readonly keysDir: string; readonly gateway: TestPart };

/** What the parts of a stack share: they notice changes fast, and log all they can. */
const settingsOf = (folder: string) => ({
  DATA_DIR: folder,
  LOG_LEVEL: "debug",
  KEYS_RELOAD_MS: "50",
  DURABILITY_CHECK_MS: "100",
});

/** Starts one thing after the other; when one does not start, those before it are stopped. */
async function startAll<T>(start: (stopLater: (stop: () => unknown) => void) => Promise<T>) {
  const stops: (() => unknown)[] = [];
  const stop = async (): Promise<void> => {
    for (const each of stops.splice(0).reverse()) await each();
  };
  try {
    return { ...(await start((each) => void stops.push(each))), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Redis and the token service, serving. */
export const startTestBackEnd = (options: StackOptions = {}): Promise<TestBackEnd> =>
  startAll(async (stopLater) => {
    const { path: folder, remove } = temporaryFolder();
    stopLater(remove);
    writeKeyring(join(folder, "keyring"));
    const redis = await startTestRedis(join(folder, "redis"), options.appendfsync);
    stopLater(redis.stop);
    const service = await startTestPart(
      "service",
      { ...settingsOf(folder), REDIS_URL: redis.url, ...options.service },
      join(folder, "service.log"),
    );
    stopLater(service.stop);
    await untilServing(service);
    return { folder, redis, service };
  });

/** Redis, token service and gateway with the client TEST_CLIENT, serving. */
export const startTestStack = (options: StackOptions = {}): Promise<TestStack> =>
  startAll(async (stopLater) => {
    const backEnd = await startTestBackEnd(options);
    stopLater(backEnd.stop);
    const keysDir = join(backEnd.folder, "keys");
    writeClient(keysDir);
    const gateway = await startTestPart(
      "gateway",
      { ...settingsOf(backEnd.folder), TOKEN_SERVICE_URL: backEnd.service.url, ...options.gateway },
      join(backEnd.folder, "gateway.log"),
    );
    stopLater(gateway.stop);
    return { ...backEnd, keysDir, gateway };
  });

/** Calls until the condition holds; throws after `limitMs`. */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  limitMs = 10_000,
): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited ${limitMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export const untilServing = (service: TestPart): Promise<void> =>
  until("the token service serves", async () => (await fetch(`${service.adminUrl}/readyz`)).ok);
