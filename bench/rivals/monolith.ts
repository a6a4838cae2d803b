// What a competitor's monolith does with a notification, in one process and as cheaply as it is done by hand: verify, decode,
// record in one script, answer signed. Shared by the frameworks that stand around it.
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import { join } from "node:path";
import { Redis } from "ioredis";
import { loadScript } from "../../lib/script.js";

const clientId = "SANDBOX_DEVELOPMENT";
const path = "/aps/api/v1/tokenActivationNotification";
const maxAgeMs = 26 * 3_600_000;
const maxAheadMs = 300_000;

export type Reply = { readonly body: string; readonly headers: Readonly<Record<string, string>> };
export type Monolith = (method: string, url: string, headers: IncomingHttpHeaders, body: Buffer) => Promise<Reply>;

const result = (resultCode: string, resultStatus: string, resultMessage: string): string =>
  JSON.stringify({ result: { resultCode, resultStatus, resultMessage } });

const results = {
  success: result("SUCCESS", "S", "Success"),
  noInterface: result("NO_INTERFACE_DEF", "F", "API is not defined."),
  client: result("INVALID_CLIENT", "F", "The client is invalid."),
  signature: result("INVALID_SIGNATURE", "F", "The signature is invalid."),
  time: result("ACCESS_DENIED", "F", "Access is denied."),
  parameter: result("PARAM_ILLEGAL", "F", "Illegal parameters exist."),
  conflict: result("PROCESS_FAIL", "F", "A general business failure occurred. Don't retry."),
  unknown: result("UNKNOWN_EXCEPTION", "U", "An API calling is failed, which is caused by unknown reasons."),
} as const;

const script = loadScript(
  new URL("record.lua", import.meta.url),
  ["token", "events"],
  ["fingerprint", "state", "event", "events_max_len"],
);
type Record_ = (
  token: string,
  events: string,
  fingerprint: string,
  state: string,
  event: string,
  eventsMaxLen: number,
) => Promise<string>;

/** Wires it from the environment: KEYS_DIR, REDIS_SOCKET, and MEMO=true to sign equal answers once. */
export function createMonolith(env: NodeJS.ProcessEnv): Monolith {
  const folder = join(env.KEYS_DIR ?? "", clientId);
  const theirKey = createPublicKey(readFileSync(join(folder, "alipayplus.1.public.pem")));
  const ourKey = createPrivateKey(readFileSync(join(folder, "own.1.private.pem")));
  const redis = new Redis({ path: env.REDIS_SOCKET ?? "", maxRetriesPerRequest: 0, enableOfflineQueue: false });
  redis.on("error", () => {});
  redis.defineCommand("record", script);
  const record = Reflect.get(redis, "record").bind(redis) as Record_;
  const signed = env.MEMO === "true" ? memoized(ourKey) : (text: string) => signText(text, ourKey);

  async function resultOf(url: string, headers: IncomingHttpHeaders, body: Buffer): Promise<string> {
    if (url !== path) return results.noInterface;
    if (headers["client-id"] !== clientId) return results.client;
    const time = headers["request-time"];
    if (typeof time !== "string" || !isSigned(headers.signature, time, body, theirKey)) return results.signature;
    const timeMs = Date.parse(time);
    const now = Date.now();
    if (!(timeMs >= now - maxAgeMs && timeMs <= now + maxAheadMs)) return results.time;
    const activation = activationIn(body);
    if (activation === undefined) return results.parameter;
    const { tokenReferenceId } = activation;
    const content = JSON.stringify(activation);
    const fingerprint = createHash("sha256").update(content).digest("base64");
    const tag = `{${partitionOf(tokenReferenceId)}}`;
    const event = `{"type":"ACTIVATED","tokenReferenceId":"${tokenReferenceId}","fingerprint":"${fingerprint}"}`;
    const outcome = await record(
      `token:${tag}:${tokenReferenceId}`,
      `events:${tag}`,
      fingerprint,
      content,
      event,
      100_000,
    );
    return outcome === "conflict" ? results.conflict : results.success;
  }

  return async (method, url, headers, body) => {
    const text = await resultOf(url, headers, body).catch(() => results.unknown);
    const time = `${new Date().toISOString().slice(0, 19)}Z`;
    const signature = await signed(`${method} ${url}\n${clientId}.${time}.${text}`);
    return {
      body: text,
      headers: {
        "Content-Type": "application/json; charset=UTF-8",
        "Response-Time": time,
        "Client-Id": clientId,
        Signature: signature,
      },
    };
  };
}

function isSigned(header: string | string[] | undefined, time: string, body: Buffer, key: KeyObject): boolean {
  const value = typeof header === "string" ? /signature=([^,\s]+)/.exec(header)?.[1] : undefined;
  if (value === undefined) return false;
  const content = Buffer.concat([Buffer.from(`POST ${path}\n${clientId}.${time}.`), body]);
  return verify("sha256", content, key, Buffer.from(decodeURIComponent(value), "base64"));
}

/** In the thread pool, beside the event loop. */
function signText(text: string, key: KeyObject): Promise<string> {
  return new Promise((resolve, reject) => {
    sign("sha256", Buffer.from(text), key, (error, signature) => {
      if (error) reject(error);
      else resolve(`algorithm=RSA256,keyVersion=1,signature=${encodeURIComponent(signature.toString("base64"))}`);
    });
  });
}

/** Equal texts are signed once: all answers of a second that say the same. */
function memoized(key: KeyObject): (text: string) => Promise<string> {
  const memo = new Map<string, Promise<string>>();
  return (text) => {
    const known = memo.get(text);
    if (known !== undefined) return known;
    const signing = signText(text, key);
    memo.set(text, signing);
    signing.catch(() => memo.delete(text));
    const oldest = memo.size > 1_024 ? memo.keys().next().value : undefined;
    if (oldest !== undefined) memo.delete(oldest);
    return signing;
  };
}

type Fields = Record<string, string | undefined>;
type Activation = Fields & { tokenReferenceId: string; tokenData: Record<string, unknown> };

const instant = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;
const accountSources = new Set([
  "ACCOUNT_ON_FILE",
  "ACCOUNT_ADDED_MANUALLY",
  "ACCOUNT_ADDED_VIA_APPLICATION",
  "EXISTING_TOKEN_CREDENTIAL",
  "ACCOUNT_ADDED_VIA_BROWSER",
  "ACCOUNT_ADDED_VIA_CHIP_DATA",
]);
const upTo = (limit: number) => (value: string) => value.length <= limit;
const isInstant = (value: string): boolean => instant.test(value) && !Number.isNaN(Date.parse(value));
const rules: readonly { name: string; required?: true; holds: (value: string) => boolean }[] = [
  { name: "tokenReferenceId", required: true, holds: upTo(64) },
  { name: "customerId", holds: upTo(64) },
  { name: "walletId", holds: upTo(16) },
  { name: "tokenRequestorId", holds: upTo(16) },
  { name: "secureElementId", holds: upTo(128) },
  { name: "accountSource", holds: (value) => accountSources.has(value) },
  { name: "serviceRequestTime", required: true, holds: isInstant },
  { name: "tokenActivatedTime", required: true, holds: isInstant },
];

/** The known fields in a fixed order, so that equal content has one text; undefined when a rule does not hold. */
function activationIn(body: Buffer): Activation | undefined {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof json !== "object" || json === null) return undefined;
  const activation: Record<string, unknown> = {};
  for (const { name, required, holds } of rules) {
    const value = json[name] ?? undefined;
    if (value === undefined) {
      if (required) return undefined;
    } else if (typeof value !== "string" || value === "" || !holds(value)) return undefined;
    else activation[name] = value;
  }
  const { tokenData } = json;
  if (typeof tokenData !== "object" || tokenData === null || Object.keys(tokenData).length === 0) return undefined;
  activation.tokenData = tokenData;
  return activation as Activation;
}

function partitionOf(tokenReferenceId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < tokenReferenceId.length; i++) hash = Math.imul(hash ^ tokenReferenceId.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % 16;
}
