// A redis-server of our own: on a unix socket, with its data in a folder of ours, every write fsynced.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { StartError } from "../lib/program.js";
import { type Child, endOf } from "./supervise.js";

/** Longest path that a unix socket may have on Linux, in bytes. */
const socketPathLimit = 107;

const onPath = (program: string): string | undefined =>
  (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find(existsSync);

/** The redis-server to run; installs Debian's when it is missing and this user may. Throws StartError otherwise. */
export function redisServerProgram(tell: (what: string) => void): string {
  const found = onPath("redis-server");
  if (found) return found;
  const command = "apt-get install -y --no-install-recommends redis-server";
  if (onPath("apt-get") && process.getuid?.() === 0) {
    tell(`redis-server is missing; installing it once with ${command}`);
    const options = { stdio: "ignore", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } } as const;
    spawnSync("apt-get", ["update"], options);
    spawnSync("apt-get", command.split(" ").slice(1), options);
    const installed = onPath("redis-server");
    if (installed) return installed;
  }
  throw new StartError(`redis-server is missing: install it (sudo ${command}), or set REDIS_URL to a Redis of yours.`);
}

export type RedisFolder = { readonly dataDir: string; readonly socket: string; readonly url: string };

/** Where a private Redis with its data in this folder listens. */
export function redisFolder(dataDir: string): RedisFolder {
  const folder = resolve(dataDir);
  const usual = join(folder, "redis.sock");
  const short = join(tmpdir(), `redis-${createHash("sha256").update(folder).digest("hex").slice(0, 16)}.sock`);
  const socket = Buffer.byteLength(usual) <= socketPathLimit ? usual : short;
  return { dataDir: folder, socket, url: `unix://${socket}` };
}

export type RedisChildOptions = {
  readonly program: string;
  readonly folder: RedisFolder;
  /** File that takes what Redis prints. */
  readonly logFile: string;
  readonly appendfsync?: "always" | "everysec" | "no";
  /** Environment and further arguments, for tests that make it fail. */
  readonly env?: NodeJS.ProcessEnv;
  readonly more?: readonly string[];
};

/** Starts it and waits until it answers. Throws StartError when it does not, or when another run uses the folder. */
export async function startRedisChild(options: RedisChildOptions): Promise<Child> {
  const { program, folder, logFile, appendfsync = "always" } = options;
  mkdirSync(folder.dataDir, { recursive: true, mode: 0o700 });
  // One that loses its parent needs a moment to go.
  for (let tries = 40; await answers(folder.socket); tries--) {
    if (tries === 0)
      throw new StartError(`another run uses ${folder.dataDir}: stop it, or set DATA_DIR to another folder.`);
    await pause(50);
  }
  const args = [
    ...["--port", "0", "--unixsocket", folder.socket, "--unixsocketperm", "700"],
    ...["--dir", folder.dataDir, "--daemonize", "no", "--save", "", "--logfile", ""],
    ...["--appendonly", "yes", "--appendfsync", appendfsync, "--maxmemory-policy", "noeviction"],
    ...(options.more ?? []),
  ];
  // With setpriv the kernel ends it when we die without a word. Its own process group keeps Ctrl-C away from it: it stops last.
  const setpriv = onPath("setpriv");
  const [file, argv] = setpriv ? [setpriv, ["--pdeathsig", "TERM", program, ...args]] : [program, args];
  const log = openSync(logFile, "a");
  const child = spawn(file, argv, {
    detached: true,
    stdio: ["ignore", log, log],
    env: { ...process.env, ...options.env },
  });
  closeSync(log);
  const ended = endOf(child);
  let why: string | undefined;
  void ended.then((words) => {
    why = words;
  });
  while (!(await answers(folder.socket))) {
    if (why !== undefined) throw new StartError(`redis-server did not start (${why}): see ${logFile}.`);
    await pause(10);
  }
  return { process: child, ended };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** True when something on the socket answers PING, data loaded. */
function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    const done = (answer: boolean): void => {
      connection.destroy();
      resolve(answer);
    };
    connection.once("error", () => done(false));
    connection.setTimeout(1_000, () => done(false));
    connection.once("connect", () => connection.write("PING\r\n"));
    connection.once("data", (reply) => done(reply.toString().startsWith("+PONG")));
  });
}
