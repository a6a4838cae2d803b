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
  if (env.NODE_ENV !== "production") await makeKeys(wanted, dataDir);

  const running: { stop: (graceMs: number) => Promise<void> }[] = [];
  const stop = async (): Promise<void> => {
    // In order: first nothing new comes in, then what is under way ends, Redis last.
    for (const each of running.reverse()) await each.stop(3_000);
  };
  try {
    const addresses: Record<string, string> = {};
    const childEnv: NodeJS.ProcessEnv = { ...env };
    if (wanted.includes("service") && !env.REDIS_URL) {
      const folder = redisFolder(join(dataDir, "redis"));
      const program = redisServerProgram(tell);
      const logFile = join(logDir, "redis.log");
      running.push(await superviseAs("redis-server", () => startRedisChild({ program, folder, logFile })));
      childEnv.REDIS_URL = folder.url;
      addresses.redis = folder.url;
    }
    // One after the other, each with the address of the one before.
    for (const part of wanted) {
      let ready: Readonly<Record<string, string>> = {};
      running.push(
        await superviseAs(parts[part].name, async () => {
          const child = await startPart(part, childEnv, join(logDir, `${part}.log`));
          ready = child.ready;
          return child;
        }),
      );
      addresses[part] = `http://${ready[part]}`;
      if (part === "service") {
        // A restart must come up where the others look for it.
        childEnv.TOKEN_SERVICE_PORT = portOf(ready.service);
        if (!env.TOKEN_SERVICE_URL) childEnv.TOKEN_SERVICE_URL = addresses.service;
        await untilServing(ready.admin ?? "");
      }
      if (part === "gateway") childEnv.GATEWAY_PORT = portOf(ready.gateway);
    }
    greet(addresses, logDir, env);
    return { addresses, stop };
  } catch (error) {
    await stop();
    throw error;
  }
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
  if (wanted.includes("service") && makeDevKeyring(env.KEYRING_DIR || join(dataDir, "keyring")))
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

function greet(addresses: Record<string, string>, logDir: string, env: NodeJS.ProcessEnv): void {
  const where = Object.entries(addresses).map(([part, address]) => `${part} ${address}`);
  const lines = [`ready  ${where.join("  ")}  logs ${logDir}`];
  const { gateway, service } = addresses;
  const getToken = "mpp.token.v1.TokenLifecycleService/GetToken";
  const body = `'{"tokenReferenceId":"DEMO-1"}'`;
  if (gateway && service) {
    const url = env.GATEWAY_PORT || env.GATEWAY_HOST ? ` --url ${gateway}` : "";
    lines.push(
      "",
      "Try next, in another terminal:",
      `  npm run notify --${url} --token-reference-id DEMO-1`,
      `  curl -sS -H 'content-type: application/json' -d ${body} ${service}/${getToken}`,
      `  npx buf curl --protocol grpc --http2-prior-knowledge -d ${body} ${service}/${getToken}`,
      `  grpcurl -plaintext -d ${body} ${service.slice("http://".length)} ${getToken}`,
    );
  }
  process.stdout.write(`${lines.join("\n")}\n`);
}

await runProgram("npm start", start, 4_800);
