// Sends signed tokenActivationNotifications, verifies the signed answers, and prints results and times.
import { createPrivateKey, createPublicKey, type KeyObject, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { SingleBar } from "cli-progress";
import { Command, InvalidArgumentError } from "commander";
import { wholeSecond } from "../gateway/alipayplus/time.js";
import { devClientId, senderFolder } from "./dev-keys.js";
import { type ReceivedAnswer, type Sender, send, signRequest } from "./sender.js";

const { env } = process;
const devKeys = senderFolder(env.DATA_DIR || ".data");
const api = "tokenActivationNotification";
const prefix = env.ALIPAYPLUS_PATH_PREFIX ?? "/aps/api/v1";
const gateway = `http://${env.GATEWAY_HOST || "127.0.0.1"}:${env.GATEWAY_PORT || "8080"}`;

const count = (value: string): number => {
  if (!/^[1-9]\d{0,6}$/.test(value)) throw new InvalidArgumentError("must be a whole number from 1");
  return Number(value);
};

const httpUrl = (value: string): string => {
  if (!URL.canParse(value) || new URL(value).protocol !== "http:")
    throw new InvalidArgumentError("must be an http:// address");
  return value;
};

const now = wholeSecond(Date.now());
const options = new Command()
  .name("npm run notify --")
  .description(`Sends signed ${api}s to a gateway, verifies the signed answers, prints results and times.`)
  .option("--url <url>", "address of the gateway", httpUrl, gateway)
  .option("--path <path>", "path of the API", `${prefix}/${api}`)
  .option("--client-id <id>", "Client-Id to send as", devClientId)
  .option("--key <file>", "private key of the sender, PEM", join(devKeys, "alipayplus.1.private.pem"))
  .option("--key-version <number>", "keyVersion in the Signature header", "1")
  .option("--receiver-key <file>", "public key of the receiver, PEM", join(devKeys, "own.1.public.pem"))
  .option("--token-reference-id <text>", "with --count above 1, a number is put behind it (default: a new one)")
  .option("--customer-id <text>", "", "customer-1")
  .option("--wallet-id <text>", "", "103")
  .option("--token-requestor-id <text>", "", "50110030273")
  .option("--secure-element-id <text>", "", "04AABBCCDDEEFF")
  .option("--account-source <word>", "", "ACCOUNT_ON_FILE")
  .option("--service-request-time <time>", "RFC 3339", now)
  .option("--token-activated-time <time>", "RFC 3339", now)
  .option("--token <digits>", "token number; the default is Mastercard's documented example", "5345678901234521")
  .option("--expiry-month <digits>", "", "10")
  .option("--expiry-year <digits>", "", "28")
  .option("--sequence-number <digits>", "", "01")
  .option("--omit <name...>", "JSON members to leave out")
  .option("--body <json>", "send this body instead of the fields")
  .option("--count <number>", "how many to send", count, 1)
  .option("--concurrency <number>", "how many at once", count, 16)
  .option("--wrong-signature", "sign another text than is sent", false)
  .parse()
  .opts();

const url = new URL(options.path, options.url);
const sender: Sender = {
  clientId: options.clientId,
  keyVersion: Number(options.keyVersion),
  privateKey: readKey(options.key, createPrivateKey),
  receiverKey: readKey(options.receiverKey, createPublicKey),
};
const agent = new Agent({ keepAlive: true, maxSockets: options.concurrency });
const results = new Map<string, number>();
const times: number[] = [];
let failed = 0;

if (options.count === 1) {
  const answer = await sendOne(0).catch(giveUp);
  const { resultStatus, resultCode, resultMessage } = answer.result;
  process.stdout.write(
    `${resultStatus} ${resultCode}: ${resultMessage}\n` +
      `HTTP ${answer.status}, ${answer.isSigned ? "signature of the answer is good" : "ANSWER NOT SIGNED BY THE RECEIVER"}, ` +
      `${answer.ms.toFixed(1)} ms\n${answer.body}\n`,
  );
  if (!answer.isSigned) failed = 1;
} else {
  await sendMany();
}
agent.destroy();
process.exitCode = failed > 0 ? 1 : 0;

async function sendMany(): Promise<void> {
  // Without a terminal the bar would be noise in a log.
  const bar = new SingleBar({ format: "{bar} {value}/{total}  {eta_formatted} left", noTTYOutput: false });
  bar.start(options.count, 0);
  let next = 0;
  const started = performance.now();
  const worker = async (): Promise<void> => {
    for (let i = next++; i < options.count; i = next++) {
      const word = await sendOne(i).then(wordOf, (error: Error) => {
        failed += 1;
        return `no answer: ${error.message}`;
      });
      results.set(word, (results.get(word) ?? 0) + 1);
      bar.increment();
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, worker));
  bar.stop();
  const seconds = (performance.now() - started) / 1000;
  for (const [word, times] of results) process.stdout.write(`${times} x ${word}\n`);
  times.sort((a, b) => a - b);
  const at = (share: number): string => (times[Math.floor((times.length - 1) * share)] ?? Number.NaN).toFixed(1);
  process.stdout.write(
    `${options.count} in ${seconds.toFixed(2)} s, ${(options.count / seconds).toFixed(0)}/s; p50 ${at(0.5)} ms, p99 ${at(0.99)} ms\n`,
  );
}

type Result = { resultStatus: string; resultCode: string; resultMessage: string };

/** Throws when what came back is no answer of a gateway. */
async function sendOne(index: number): Promise<ReceivedAnswer & { result: Result }> {
  const reference = options.tokenReferenceId ?? `DEV-${randomUUID()}`;
  const body = Buffer.from(options.body ?? bodyOf(options.count === 1 ? reference : `${reference}-${index}`));
  const request = await signRequest(
    sender,
    url,
    options.wrongSignature ? Buffer.concat([body, Buffer.from(" ")]) : body,
  );
  const answer = await send(sender, { ...request, body }, agent);
  const result = resultIn(answer);
  times.push(answer.ms);
  if (!answer.isSigned) failed += 1;
  return { ...answer, result };
}

function resultIn({ status, body }: ReceivedAnswer): Result {
  try {
    const { result } = JSON.parse(body.toString());
    if (typeof result?.resultCode === "string") return result;
  } catch {
    // Told below.
  }
  throw new Error(`HTTP ${status} without a result`);
}

function bodyOf(tokenReferenceId: string): string {
  const omitted = new Set<string>(options.omit ?? []);
  const members = {
    tokenReferenceId,
    customerId: options.customerId,
    walletId: options.walletId,
    tokenRequestorId: options.tokenRequestorId,
    secureElementId: options.secureElementId,
    accountSource: options.accountSource,
    serviceRequestTime: options.serviceRequestTime,
    tokenActivatedTime: options.tokenActivatedTime,
    tokenData: {
      token: options.token,
      expiryMonth: options.expiryMonth,
      expiryYear: options.expiryYear,
      sequenceNumber: options.sequenceNumber,
    },
  };
  return JSON.stringify(members, (name, value) => (omitted.has(name) ? undefined : value));
}

function wordOf({ result, isSigned }: { result: Result; isSigned: boolean }): string {
  return `${result.resultStatus} ${result.resultCode}${isSigned ? "" : " (answer not signed)"}`;
}

function readKey(file: string, parse: (pem: string) => KeyObject): KeyObject {
  try {
    return parse(readFileSync(file, "utf8"));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return giveUp(new Error(`no key in ${file}${code ? ` (${code})` : ""}: run npm start once, or name another file`));
  }
}

function giveUp(error: Error & { code?: string }): never {
  const hint =
    error.code === "ECONNREFUSED" ? `nothing listens on ${url.host}: run npm start, or set --url` : error.message;
  process.stderr.write(`notify: ${hint}\n`);
  process.exit(1);
}
