// token-gateway conform: an acceptance suite for any MPP endpoint that Alipay+ calls.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { knownApis } from "../apis.js";
import type { Case } from "../conform/case.js";
import { counted, type Format, formats, type Report, written } from "../conform/report.js";
import { isStrict, rules } from "../conform/rules.js";
import { type CaseResult, run, Unreachable } from "../conform/run.js";
import { casesOf } from "../conform/suite.js";
import { devClientId, senderFolder } from "../dev-keys.js";
import { KeyFileError, readPrivateKey, readPublicKey } from "../key-files.js";
import type { Members } from "../samples.js";
import { CommandError, colour, end, ended, jsonOption, printEither, progress } from "./output.js";

const { env } = process;
const devKeys = senderFolder(env.DATA_DIR || ".data");
const defaultUrl = `http://${env.GATEWAY_HOST || "127.0.0.1"}:${env.GATEWAY_PORT || "8080"}${env.ALIPAYPLUS_PATH_PREFIX ?? "/aps/api/v1"}`;

type Options = {
  readonly client: string;
  readonly senderKey: string;
  readonly receiverKey: string;
  readonly keyVersion: number;
  readonly api?: string;
  readonly exact: boolean;
  readonly members?: string;
  readonly only: readonly string[];
  readonly concurrency: number;
  readonly timeout: number;
  readonly format: Format;
  readonly json: boolean;
  readonly out?: string;
  readonly list: boolean;
};

export function register(program: Command): void {
  program
    .command("conform")
    .description(
      "send an endpoint what Alipay+ may send and what it must refuse, and report which rules it keeps; " +
        "not for production, since every accepted case is an activation",
    )
    .argument("[url]", "address below which the APIs answer", httpUrl, defaultUrl)
    .option("--client <id>", "Client-Id to send as", devClientId)
    .option("--sender-key <file>", "private key of the sender", join(devKeys, "alipayplus.1.private.pem"))
    .option("--receiver-key <file>", "public key of the endpoint", join(devKeys, "own.1.public.pem"))
    .option("--key-version <number>", "keyVersion in the Signature header", wholeNumber(0, 999_999_999), 1)
    .addOption(new Option("--api <name>", "check this API alone").choices(knownApis.map(({ name }) => name)))
    .option("--exact", "the URL is that of the API itself, whatever its last part is; needs one API", false)
    .option("--members <file>", "JSON object with members that the endpoint needs in place of the made-up ones")
    .option("--only <beginning...>", "run the cases whose names begin so", [])
    .option("--concurrency <number>", "cases under way at once", wholeNumber(1, 64), 8)
    .option("--timeout <ms>", "how long to wait for an answer", wholeNumber(100, 600_000), 10_000)
    .addOption(new Option("--format <format>", "form of the report").choices(formats).default("text"))
    .option("--out <file>", "write the report there, and a summary to standard output")
    .option("--list", "list the cases and send nothing", false)
    .addOption(jsonOption())
    .action(conform);
}

async function conform(url: string, options: Options): Promise<void> {
  const apis = knownApis.filter(({ name }) => options.api === undefined || name === options.api);
  const wants = (name: string): boolean =>
    options.only.length === 0 || options.only.some((word) => name.startsWith(word));
  const cases = apis.flatMap((api) =>
    casesOf(api, "")
      .filter(({ name }) => wants(name))
      .map((each) => ({ api: api.name, each })),
  );
  if (cases.length === 0) throw new CommandError(`no case begins with ${options.only.join(" or ")}: see --list`);
  if (options.list) return list(cases, options.json);
  if (options.exact && apis.length > 1) throw new CommandError("--exact needs one API: name it with --api");

  const sender = {
    clientId: options.client,
    keyVersion: options.keyVersion,
    privateKey: keyIn(options.senderKey, readPrivateKey),
    receiverKey: keyIn(options.receiverKey, readPublicKey),
  };
  const { privateKey: stranger } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const members = options.members === undefined ? {} : membersIn(options.members);
  const bar = progress(cases.filter(({ each }) => "exchanges" in each).length, "cases");
  const startedAt = new Date().toISOString();
  const started = performance.now();
  const reports: { api: string; results: CaseResult[] }[] = [];
  try {
    for (const api of apis) {
      const at = new URL(options.exact || url.endsWith(`/${api.name}`) ? url : `${url.replace(/\/$/, "")}/${api.name}`);
      const { concurrency, timeout: timeoutMs } = options;
      const results = await run({
        sender,
        stranger,
        url: at,
        api,
        members,
        concurrency,
        timeoutMs,
        wants,
        onCase: bar.step,
      });
      reports.push({ api: api.name, results });
    }
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    throw new CommandError(`${error.message}: is it the right address, and does something run there?`, ended.unable);
  } finally {
    bar.stop();
  }
  const seconds = Math.round(performance.now() - started) / 1000;
  tell({ url, clientId: sender.clientId, startedAt, seconds, apis: reports }, options);
}

function tell(report: Report, { format, json, out }: Options): void {
  const text = written[json ? "json" : format](report, colour);
  if (out === undefined) process.stdout.write(text);
  else {
    try {
      writeFileSync(out, text);
    } catch (error) {
      throw new CommandError(`${out} cannot be written (${(error as NodeJS.ErrnoException).code})`);
    }
    process.stdout.write(written.text(report, colour));
  }
  if (counted(report).fail > 0) end(ended.withFindings);
}

function list(cases: readonly { api: string; each: Case }[], json: boolean): void {
  const rows = cases.map(({ api, each: { name, what, rule } }) => ({ api, name, what, rule: rules[rule].says }));
  printEither(json, rows, () =>
    cases.map(({ each: { name, what, rule } }) => `${name}: ${what}${isStrict(rule) ? "" : " (to know)"}`),
  );
}

function keyIn<T>(file: string, parse: (file: string) => T): T {
  try {
    return parse(file);
  } catch (error) {
    if (!(error instanceof KeyFileError)) throw error;
    throw new CommandError(`${error.message}. Run npm start once for keys of this machine, or name a file.`);
  }
}

function membersIn(file: string): Members {
  let members: unknown;
  try {
    members = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CommandError(code ? `${file} cannot be read (${code})` : `${file} is not JSON`);
  }
  if (typeof members !== "object" || members === null || Array.isArray(members))
    throw new CommandError(`${file} must hold a JSON object`);
  return members as Members;
}

function httpUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw new InvalidArgumentError("must be an http:// or https:// address");
  return text;
}

const wholeNumber =
  (from: number, to: number) =>
  (text: string): number => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (!(number >= from && number <= to))
      throw new InvalidArgumentError(`must be a whole number from ${from} to ${to}`);
    return number;
  };
