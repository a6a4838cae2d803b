// The systems that are measured side by side: the product and its rivals, each with a Redis of its own.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { redisFolder, redisServerProgram, startRedisChild } from "../tools/redis-child.js";
import { stopChild } from "../tools/supervise.js";
import { commandOf, familyOf, type Parts } from "./processes.js";
import { type Program, portIn, startProgram } from "./program.js";

/** What SUCCESS promises: on disk, or in the memory of Redis. */
export type Durability = "fsync" | "memory";

export type System = {
  readonly name: string;
  readonly durability: Durability;
  readonly port: number;
  /** Its processes by part; read anew before each measure. */
  readonly parts: () => Parts;
  /** Forgets everything that was recorded, and leaves Redis with a short log. */
  readonly empty: () => Promise<void>;
  readonly stop: () => Promise<void>;
};

/** Where a system runs and what it is given. */
export type Place = {
  /** A folder of its own. */
  readonly folder: string;
  /** The keys that all systems share. */
  readonly keysDir: string;
  readonly durability: Durability;
};

export type SystemKind = {
  readonly name: string;
  /** Why it cannot run here; undefined when it can. */
  readonly missing?: () => string | undefined;
  readonly start: (place: Place) => Promise<System>;
};

const root = fileURLToPath(new URL("../", import.meta.url));

export const systemKinds: readonly SystemKind[] = [
  product("product", {}),
  product("product-no-memo", { SIGNATURE_MEMO_SIZE: "0" }),
  nodeRival("koa", "koa.ts", false),
  nodeRival("koa-memo", "koa.ts", true),
  nodeRival("fastify", "fastify.ts", false),
  nodeRival("fastify-memo", "fastify.ts", true),
  goRival("go", false),
  goRival("go-memo", true),
];

function product(name: string, settings: Readonly<Record<string, string>>): SystemKind {
  return { name, start: (place) => startProduct(place, settings, name) };
}

/** The product, with the doors behind the public one. */
export type Product = System & { readonly serviceUrl: string; readonly redisSocket: string };

/** Exactly what `npm start` runs, settings included, but for free ports, a folder of its own and shared keys. */
export async function startProduct(
  { folder, keysDir, durability }: Place,
  settings: Readonly<Record<string, string>> = {},
  name = "product",
): Promise<Product> {
  // The launcher's own Redis keeps everything on disk; for another class it is given one.
  const redis = durability === "fsync" ? undefined : await startRedis(folder, durability);
  const launcher = await startProgram(
    process.execPath,
    ["--enable-source-maps", join(root, "dist/tools/start.js")],
    {
      DATA_DIR: folder,
      KEYS_DIR: keysDir,
      DURABILITY: durability,
      ...(redis && { REDIS_URL: redis.url }),
      ...{ GATEWAY_PORT: "0", TOKEN_SERVICE_PORT: "0", ADMIN_PORT: "0", TOKEN_SERVICE_ADMIN_PORT: "0" },
      ...settings,
    },
    join(folder, "launcher.log"),
  ).catch(async (error: unknown) => {
    await redis?.stop();
    throw error;
  });
  const redisSocket = redis?.socket ?? redisFolder(join(folder, "redis")).socket;
  return {
    name,
    durability,
    port: portIn(launcher.ready),
    serviceUrl: /service (http:\S+)/.exec(launcher.ready)?.[1] ?? "",
    redisSocket,
    parts: () => ({ ...productParts(launcher.pid), ...(redis && { redis: [redis.pid] }) }),
    empty: () => emptyRedis(redisSocket),
    async stop() {
      await launcher.stop();
      await redis?.stop();
    },
  };
}

/** The launcher's processes by what they run. */
function productParts(launcher: number): Parts {
  const parts: Record<string, number[]> = { launcher: [], gateway: [], service: [], redis: [] };
  for (const pid of familyOf(launcher)) {
    const command = commandOf(pid);
    const name = command.includes("gateway/main.js")
      ? "gateway"
      : command.includes("token-lifecycle/main.js")
        ? "service"
        : command.includes("redis")
          ? "redis"
          : "launcher";
    parts[name]?.push(pid);
  }
  return Object.fromEntries(Object.entries(parts).filter(([, pids]) => pids.length > 0));
}

function nodeRival(name: string, file: string, memo: boolean): SystemKind {
  return rival(name, memo, (env, errorFile) =>
    startProgram(process.execPath, ["--import", "tsx", join(root, "bench/rivals", file)], env, errorFile),
  );
}

function goRival(name: string, memo: boolean): SystemKind {
  const folder = join(root, "bench/rivals/go");
  return {
    ...rival(name, memo, (env, errorFile) => {
      const program = join(dirname(errorFile), "monolith");
      execFileSync("go", ["build", "-o", program, "."], { cwd: folder });
      return startProgram(program, [], { ...env, RECORD_LUA: join(root, "bench/rivals/record.lua") }, errorFile);
    }),
    missing: () => (runs("go", "version") ? undefined : "go is not on the PATH"),
  };
}

type StartRival = (env: Readonly<Record<string, string>>, errorFile: string) => Promise<Program>;

function rival(name: string, memo: boolean, start: StartRival): SystemKind {
  return {
    name,
    async start({ folder, keysDir, durability }) {
      const redis = await startRedis(folder, durability);
      const env = { KEYS_DIR: keysDir, REDIS_SOCKET: redis.socket, MEMO: String(memo), NODE_ENV: "production" };
      const server = await start(env, join(folder, "rival.log")).catch(async (error: unknown) => {
        await redis.stop();
        throw error;
      });
      return {
        name,
        durability,
        port: portIn(server.ready),
        parts: () => ({ server: familyOf(server.pid), redis: [redis.pid] }),
        empty: () => emptyRedis(redis.socket),
        async stop() {
          await server.stop();
          await redis.stop();
        },
      };
    },
  };
}

export type OwnRedis = {
  readonly url: string;
  readonly socket: string;
  readonly pid: number;
  readonly stop: () => Promise<void>;
};

/** A Redis with the settings of the launcher's, or without a log for class `memory`. */
export async function startRedis(folder: string, durability: Durability): Promise<OwnRedis> {
  mkdirSync(folder, { recursive: true });
  const place = redisFolder(join(folder, "redis"));
  const child = await startRedisChild({
    program: redisServerProgram(() => {}),
    folder: place,
    logFile: join(folder, "redis.log"),
    more: durability === "memory" ? ["--appendonly", "no"] : [],
  });
  return {
    url: place.url,
    socket: place.socket,
    pid: child.process.pid ?? 0,
    stop: () => stopChild(child.process, 3_000),
  };
}

/** Empties it and waits until its log is rewritten, so that no rewrite falls into a measure. */
export async function emptyRedis(socket: string): Promise<void> {
  const redis = new Redis({ path: socket, retryStrategy: () => null });
  try {
    await redis.flushall("SYNC");
    if (/aof_enabled:0/.test(await redis.info("persistence"))) return;
    await redis.bgrewriteaof();
    for (let tries = 0; tries < 500; tries++) {
      if (/aof_rewrite_in_progress:0\r?\naof_rewrite_scheduled:0/.test(await redis.info("persistence"))) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error("Redis does not end the rewrite of its log");
  } finally {
    redis.disconnect();
  }
}

/** Whether a program is on the PATH and runs. */
export function runs(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
