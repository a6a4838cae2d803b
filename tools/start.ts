// Everything on one machine: a private Redis, the token service and the gateway, each a process of its own.
// `start.js service` or `start.js gateway` runs one part alone.
import { mkdirSync } from "node:fs";
import { get } from "node:http";
import { join, resolve, sep } from "node:path";
import * as gateway from "../gateway/config.js";
import { SettingsError } from "../lib/env.js";
import { type Running, runProgram, StartError } from "../lib/program.js";
import * as service from "../services/token-lifecycle/config.js";
import { devClientId, makeDevKeyring, makeDevKeys } from "./dev-keys.js";
import { type Part, parts, startPart } from "./parts.js";
import { redisFolder, redisServerProgram, startRedisChild } from "./redis-child.js";
import { type Child, type Supervised, supervise } from "./supervise.js";

/** Time for all parts to stop, in milliseconds; each may drain before that. */
const stopLimitMs = 4_800;
const drainMsOf: Readonly<Record<Part, (env: NodeJS.ProcessEnv) => number>> = {
  gateway: (env) => gateway.readConfig(env).drainMs,
  service: (env) => service.readConfig({ ...env, REDIS_URL: env.REDIS_URL || "redis://127.0.0.1" }).drainMs,
};

const tell = (line: string): void => void process.stderr.write(`${line}\n`);

async function start(): Promise<Running> {
  const wanted = partsOf(process.argv.slice(2));
  checkSettings(wanted, process.env);
  const dataDir = process.env.DATA_DIR || ".data";
  try {
    return await startParts(wanted, dataDir);
  } catch (error) {
    throw startErrorOf(error, dataDir);
  }
}

async function startParts(wanted: readonly Part[], dataDir: string): Promise<Running> {
  const { env } = process;
  const logDir = join(dataDir, "log");
  mkdirSync(logDir, { recursive: true, mode: 0o700 });
  const up: Partial<Record<Part | "redis", Supervised>> = {};
  const drainMs = Math.max(0, ...wanted.map((part) => drainMsOf[part](env)));
  const stop = async (): Promise<void> => {
    // In order: first nothing new comes in, then what is under way ends, Redis last.
    for (const name of ["gateway", "service", "redis"] as const) await up[name]?.stop(3_000 + drainMs);
  };
  const addresses: Partial<Record<Part | "redis", string>> = {};
  const childEnv: NodeJS.ProcessEnv = { ...env };

  async function startRedis(): Promise<void> {
    const folder = redisFolder(join(dataDir, "redis"));
    const program = redisServerProgram(tell);
    const logFile = join(logDir, "redis.log");
    up.redis = await superviseAs("redis-server", () => startRedisChild({ program, folder, logFile }));
    childEnv.REDIS_URL = folder.url;
    addresses.redis = folder.url;
  }

  let consoleUrl = "";
  async function startOne(part: Part): Promise<void> {
    let ready: Readonly<Record<string, string>> = {};
    up[part] = await superviseAs(parts[part].name, async () => {
      const child = await startPart(part, childEnv, join(logDir, `${part}.log`));
      ready = child.ready;
      return child;
    });
    const withTls = part === "service" ? env.TOKEN_SERVICE_TLS_DIR : env.GATEWAY_TLS_DIR;
    addresses[part] = `${withTls ? "https" : "http"}://${ready[part]}`;
    // A restart must come up where the others look for it.
    childEnv[part === "service" ? "TOKEN_SERVICE_PORT" : "GATEWAY_PORT"] = portOf(ready[part]);
    if (part === "service") {
      consoleUrl = `http://${ready.admin}/console/`;
      await untilServing(ready.admin ?? "");
    }
  }

  const needsRedis = wanted.includes("service") && !env.REDIS_URL;
  try {
    await allOf([
      needsRedis ? startRedis() : undefined,
      env.NODE_ENV === "production" ? undefined : makeKeys(wanted, dataDir),
    ]);
    const both = wanted.length === 2;
    if (both && !env.TOKEN_SERVICE_URL && env.TOKEN_SERVICE_PORT !== "0") {
      const { host, port, tlsDir } = service.readConfig(childEnv);
      childEnv.TOKEN_SERVICE_URL = `${tlsDir ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
    }
    const { adminHost, adminPort } = gateway.readConfig({ ...childEnv });
    if (both && !env.CONSOLE_PARTS && adminPort !== 0)
      childEnv.CONSOLE_PARTS = `http://${adminHost.includes(":") ? `[${adminHost}]` : adminHost}:${adminPort}`;
    if (both && !childEnv.TOKEN_SERVICE_URL) {
      // The service takes a port of its own choice, which the gateway has to be told.
      await startOne("service");
      childEnv.TOKEN_SERVICE_URL = addresses.service;
      await startOne("gateway");
    } else await allOf(wanted.map(startOne));
    greet(addresses, logDir, consoleUrl, env);
    return { addresses: addresses as Record<string, string>, stop, stopLimitMs: stopLimitMs + wanted.length * drainMs };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Waits for all, also when one fails, so that what did start can be stopped. */
async function allOf(work: readonly (Promise<void> | undefined)[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find((each) => each.status === "rejected");
  if (failed) throw failed.reason;
}

function partsOf(args: string[]): Part[] {
  const known = Object.keys(parts) as Part[];
  const unknown = args.find((arg) => !known.some((part) => part === arg));
  if (unknown !== undefined) throw new StartError(`there is no part ${unknown}; there is ${known.join(" and ")}.`);
  return args.length === 0 ? known : known.filter((part) => args.includes(part));
}

/** Reads the settings of every part before one starts, so that all mistakes are reported together. */
function checkSettings(wanted: readonly Part[], env: NodeJS.ProcessEnv): void {
  const read = { service: service.readConfig, gateway: gateway.readConfig };
  const mistakes = wanted.flatMap((part) => {
    try {
      // Without REDIS_URL the service gets a Redis of its own.
      read[part]({ ...env, REDIS_URL: env.REDIS_URL || "redis://127.0.0.1" });
      return [];
    } catch (error) {
      if (error instanceof SettingsError) return error.mistakes;
      throw error;
    }
  });
  if (mistakes.length > 0) throw new SettingsError([...new Set(mistakes)]);
}

/** A file below DATA_DIR that cannot be made or written is for whoever set DATA_DIR; anything else stays what it is. */
function startErrorOf(error: unknown, dataDir: string): unknown {
  const { code, path } = error as NodeJS.ErrnoException;
  if (path === undefined || !`${resolve(path)}${sep}`.startsWith(`${resolve(dataDir)}${sep}`)) return error;
  return new StartError(`cannot write to ${path} (${code}): set DATA_DIR to a folder that this user may write to.`);
}

async function makeKeys(wanted: readonly Part[], dataDir: string): Promise<void> {
  const { env } = process;
  if (wanted.includes("service") && !env.KEYRING_SOURCE && makeDevKeyring(env.KEYRING_DIR || join(dataDir, "keyring")))
    tell("made a development key for token data at rest");
  if (wanted.includes("gateway") && (await makeDevKeys(dataDir, env.KEYS_DIR || join(dataDir, "keys"))))
    tell(`made development keys for the client ${devClientId}`);
}

const superviseAs = (name: string, start: () => Promise<Child>): Promise<Supervised> =>
  supervise(start, (what) => tell(`${name} ${what}`));

const portOf = (address: string | undefined): string => address?.slice(address.lastIndexOf(":") + 1) ?? "";

/** Waits until the service serves; after a while it tells why it does not, and goes on: the service goes on trying too. */
async function untilServing(adminAddress: string): Promise<void> {
  let reasons = "";
  for (const end = Date.now() + 3_000; Date.now() < end; ) {
    const { status, text } = await fetchText(`http://${adminAddress}/readyz`);
    if (status === 200) return;
    reasons = text.trim().replaceAll("\n", "; ");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  tell(`the token service does not serve yet: ${reasons}. Every answer is U until that is mended.`);
}

function fetchText(url: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.on("error", (error) => resolve({ status: 0, text: error.message }));
  });
}

function greet(
  addresses: Partial<Record<Part | "redis", string>>,
  logDir: string,
  consoleUrl: string,
  env: NodeJS.ProcessEnv,
): void {
  const where = (["redis", "service", "gateway"] as const).flatMap((part) =>
    addresses[part] === undefined ? [] : [`${part} ${addresses[part]}`],
  );
  const lines = [`ready  ${where.join("  ")}  logs ${logDir}`];
  const { gateway, service } = addresses;
  const getToken = "mpp.token.v1.TokenLifecycleService/GetToken";
  const body = `'{"tokenReferenceId":"DEMO-1"}'`;
  if (gateway && service) {
    const url = env.GATEWAY_PORT || env.GATEWAY_HOST ? ` --url ${gateway}` : "";
    // The sender finds its keys below DATA_DIR.
    const folder = env.DATA_DIR ? `DATA_DIR=${env.DATA_DIR} ` : "";
    const apis = url || env.ALIPAYPLUS_PATH_PREFIX ? ` ${gateway}${env.ALIPAYPLUS_PATH_PREFIX ?? "/aps/api/v1"}` : "";
    lines.push(
      "",
      "Try next, in another terminal:",
      `  ${folder}npm run notify --${url} --token-reference-id DEMO-1`,
      `  ${folder}npx token-gateway conform${apis}`,
      `  curl -sS -H 'content-type: application/json' -d ${body} ${service}/${getToken}`,
      `  npx buf curl --protocol grpc --http2-prior-knowledge -d ${body} ${service}/${getToken}`,
      `  grpcurl -plaintext -d ${body} ${service.slice("http://".length)} ${getToken}`,
      `  ${consoleUrl} in a browser`,
    );
  }
  process.stdout.write(`${lines.join("\n")}\n`);
}

await runProgram("npm start", start, stopLimitMs);
