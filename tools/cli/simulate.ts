// token-gateway simulate: sends an MPP what Alipay+ sends, as a scenario says, and reports which promises it keeps.
import { randomBytes, randomInt } from "node:crypto";
import { setMaxListeners } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, InvalidArgumentError } from "commander";
import { type Api, knownApis } from "../apis.js";
import { type CaptureFile, captureFormat } from "../captures.js";
import { devClientId, senderFolder } from "../dev-keys.js";
import { KeyFileError, readPrivateKey, readPublicKey } from "../key-files.js";
import type { Sender, SignedRequest } from "../sender.js";
import type { Delivery } from "../simulate/judge.js";
import { isClean, linesOf, reportOf } from "../simulate/report.js";
import { run, storyCount } from "../simulate/run.js";
import { readScenario, type Scenario, ScenarioError } from "../simulate/scenario.js";
import { columns } from "./columns.js";
import { CommandError, colour, end, ended, jsonOption, printEither, progress } from "./output.js";

const { env } = process;
const devKeys = senderFolder(env.DATA_DIR || ".data");
const defaultUrl = `http://${env.GATEWAY_HOST || "127.0.0.1"}:${env.GATEWAY_PORT || "8080"}${env.ALIPAYPLUS_PATH_PREFIX ?? "/aps/api/v1"}`;

type Options = {
  readonly scenario: string;
  readonly client: string;
  readonly senderKey: string;
  readonly keyVersion: number;
  readonly nextKey?: string;
  readonly nextKeyVersion?: number;
  readonly receiverKey: string;
  readonly api?: string;
  readonly exact: boolean;
  readonly timeScale?: number;
  readonly seed?: number;
  readonly captures?: string;
  readonly list: boolean;
  readonly json: boolean;
};

export function register(program: Command): void {
  program
    .command("simulate")
    .description("send an endpoint what Alipay+ sends, as a scenario says, and report which promises it keeps")
    .argument("[url]", "address below which the APIs answer", httpUrl, defaultUrl)
    .option("--scenario <name>", "a scenario of ours, or a YAML file", "everyday")
    .option("--list", "list our scenarios and send nothing", false)
    .option("--client <id>", "Client-Id to send as", devClientId)
    .option("--sender-key <file>", "private key of the sender", join(devKeys, "alipayplus.1.private.pem"))
    .option("--key-version <number>", "keyVersion in the Signature header", wholeNumber(0, 999_999_999), 1)
    .option("--next-key <file>", "private key that signs in phases with key: next")
    .option("--next-key-version <number>", "its keyVersion (default: one more)", wholeNumber(0, 999_999_999))
    .option("--receiver-key <file>", "public key of the endpoint", join(devKeys, "own.1.public.pem"))
    .option("--api <name>", "send this API alone")
    .option("--exact", "the URL is that of the API itself, so its name is not put behind it; needs one API", false)
    .option("--time-scale <number>", "how many times faster than published repeats come", wholeNumber(1, 1_000_000_000))
    .option("--seed <number>", "what bodies and order are made from", wholeNumber(0, 2 ** 32 - 1))
    .option("--captures <folder>", "write requests whose signature was refused there, for token-gateway doctor")
    .addOption(jsonOption())
    .action(simulate);
}

const httpUrl = (value: string): string => {
  if (!URL.canParse(value) || !/^https?:$/.test(new URL(value).protocol))
    throw new InvalidArgumentError("must be an http:// or https:// address");
  return value;
};

const wholeNumber =
  (from: number, to: number) =>
  (value: string): number => {
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= from && number <= to))
      throw new InvalidArgumentError(`must be a whole number from ${from} to ${to}`);
    return number;
  };

const scenarios = fileURLToPath(new URL("../simulate/scenarios/", import.meta.url));

async function simulate(url: string, options: Options): Promise<void> {
  if (options.list) return list(options.json);
  const { name, scenario } = scenarioOf(options);
  const apis = apisOf(scenario, options).map((api) => ({
    api,
    url: new URL(options.exact ? url : `${url.replace(/\/$/, "")}/${api.name}`),
  }));
  if (options.exact && apis.length > 1) throw new CommandError("--exact needs one API: name it with --api");
  const sender: Sender = {
    clientId: options.client,
    keyVersion: options.keyVersion,
    privateKey: keyIn(options.senderKey, readPrivateKey),
    receiverKey: keyIn(options.receiverKey, readPublicKey),
  };
  const next = nextSender(sender, scenario, options);
  await checkReachable(new URL(url));

  const seed = options.seed ?? scenario.seed ?? randomInt(2 ** 32);
  const runId = randomBytes(5).toString("hex");
  const interrupted = new AbortController();
  setMaxListeners(0, interrupted.signal);
  const interrupt = (): void => interrupted.abort();
  process.once("SIGINT", interrupt);
  const bar = progress(storyCount(scenario), "stories");
  const started = performance.now();
  const { signal } = interrupted;
  const onDelivery = options.captures === undefined ? () => {} : captureTo(options.captures);
  try {
    const told = await run({ scenario, apis, seed, runId, sender, next, signal, onStory: bar.step, onDelivery });
    bar.stop();
    const seconds = Math.round(performance.now() - started) / 1000;
    const report = reportOf(told, { scenario: name, seed, runId, seconds, isInterrupted: signal.aborted });
    if (!isClean(report)) end(ended.withFindings);
    printEither(options.json, report, () => linesOf(report, colour));
  } catch (error) {
    throw error instanceof ScenarioError ? new CommandError(error.message) : error;
  } finally {
    bar.stop();
    process.off("SIGINT", interrupt);
  }
}

function list(json: boolean): void {
  const found = readdirSync(scenarios).map((file) => {
    const { about } = readScenario(readFileSync(join(scenarios, file), "utf8"), file);
    return { name: file.replace(/\.yaml$/, ""), about };
  });
  printEither(json, found, () => columns(found.map(({ name, about }) => [name, about])));
}

function scenarioOf({ scenario: named, timeScale }: Options): { name: string; scenario: Scenario } {
  const isOurs = /^[a-z-]+$/.test(named);
  const file = isOurs ? join(scenarios, `${named}.yaml`) : named;
  try {
    const scenario = readScenario(readFileSync(file, "utf8"), named);
    return { name: named, scenario: timeScale === undefined ? scenario : { ...scenario, timeScale } };
  } catch (error) {
    if (error instanceof ScenarioError) throw new CommandError(error.message);
    const { code } = error as NodeJS.ErrnoException;
    throw new CommandError(isOurs ? `there is no scenario ${named}: see --list` : `${file} cannot be read (${code})`);
  }
}

function apisOf({ apis }: Scenario, { api }: Options): Api[] {
  const wanted = api === undefined ? apis : [api];
  const unknown = wanted.find((name) => !knownApis.some((each) => each.name === name));
  if (unknown !== undefined)
    throw new CommandError(`there is no API ${unknown}; there is ${knownApis.map((each) => each.name).join(", ")}`);
  return knownApis.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
}

function nextSender(sender: Sender, { phases }: Scenario, { nextKey, nextKeyVersion }: Options): Sender {
  if (nextKey !== undefined)
    return {
      ...sender,
      privateKey: keyIn(nextKey, readPrivateKey),
      keyVersion: nextKeyVersion ?? sender.keyVersion + 1,
    };
  if (phases.some(({ key }) => key === "next"))
    throw new CommandError("the scenario rolls the key: name the one that comes next with --next-key");
  return sender;
}

function keyIn<T>(file: string, read: (file: string) => T): T {
  try {
    return read(file);
  } catch (error) {
    if (!(error instanceof KeyFileError)) throw error;
    throw new CommandError(`${error.message}: run npm start once, or name another file`);
  }
}

/** Before anything is planned: a wrong address would look like a receiver that is down for a day. */
function checkReachable({ hostname, port, protocol, host }: URL): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port) || (protocol === "https:" ? 443 : 80),
    });
    const fail = (why: string): void => {
      socket.destroy();
      reject(new CommandError(`nothing answers at ${host} (${why}): run npm start, or name the address`, ended.unable));
    };
    socket.setTimeout(5_000, () => fail("no connection within 5 s"));
    socket.once("error", (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
  });
}

/** Files that are written at most: the first few tell what is wrong. */
const captureLimit = 20;

function captureTo(folder: string): (request: SignedRequest, delivery: Delivery) => void {
  let written = 0;
  mkdirSync(folder, { recursive: true });
  return ({ url, headers, body }, { code }) => {
    if (!/^(?:INVALID_SIGNATURE|KEY_NOT_FOUND|INVALID_CLIENT)$/.test(code) || written >= captureLimit) return;
    const capture: CaptureFile = {
      format: captureFormat,
      method: "POST",
      target: url.pathname + url.search,
      headers: { Host: url.host, ...headers },
      bodyBase64: body.toString("base64"),
    };
    writeFileSync(join(folder, `${++written}.json`), `${JSON.stringify(capture, undefined, 2)}\n`);
  };
}
