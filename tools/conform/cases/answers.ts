// Cases for the answers: what holds for every answer that a strict case got.
import type { Json } from "../../../gateway/alipayplus/json.js";
import { type ResultCode, resultCodes } from "../../../gateway/alipayplus/result.js";
import { parseSignatureHeader } from "../../../gateway/alipayplus/signature.js";
import { instantOf } from "../../../gateway/alipayplus/time.js";
import type { AnswerCase, Seen } from "../case.js";
import type { RuleName } from "../rules.js";

type Members = { readonly [name: string]: Json };
type Row = readonly [
  name: string,
  rule: RuleName,
  what: string,
  check: (seen: Seen) => string | undefined,
  among?: (seen: Seen) => boolean,
];

const membersOf = (value: unknown): Members | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Members) : undefined;
const resultOf = ({ result }: Seen): Members => membersOf(membersOf(result)?.result) ?? {};
const isAuthentic = (seen: Seen): boolean => seen.isAuthentic;
const isSigned = ({ answer }: Seen): boolean => answer.headers.signature !== undefined;
const isRefusedStranger = (seen: Seen): boolean => !seen.isAuthentic;
/** With these the signature is checked against something; without them that is told elsewhere. */
const hasAll = (seen: Seen): boolean =>
  isSigned(seen) &&
  seen.answer.headers["client-id"] !== undefined &&
  seen.answer.headers["response-time"] !== undefined;

const missing =
  (name: string) =>
  ({ answer }: Seen): string | undefined =>
    answer.headers[name] ? undefined : `no ${name}`;

const rows: readonly Row[] = [
  [
    "http-200",
    "http-200",
    "the HTTP status",
    ({ answer }) => (answer.status === 200 ? undefined : `HTTP ${answer.status}`),
  ],
  [
    "result",
    "result",
    "result with resultCode and resultStatus",
    (seen) => {
      const { resultCode, resultStatus } = resultOf(seen);
      return typeof resultCode === "string" && typeof resultStatus === "string" ? undefined : "no result";
    },
  ],
  [
    "result-code-length",
    "result-length",
    "the length of resultCode",
    (seen) => longer("resultCode", resultOf(seen).resultCode, 64),
  ],
  [
    "result-status",
    "result-status",
    "resultStatus",
    (seen) => {
      const { resultCode, resultStatus } = resultOf(seen);
      if (resultStatus === undefined) return undefined;
      const [expected] = resultCodes[resultCode as ResultCode] ?? [];
      if (expected === undefined)
        return /^[SFU]$/.test(String(resultStatus)) ? undefined : `resultStatus ${quoted(resultStatus)}`;
      return resultStatus === expected ? undefined : `${resultCode} with resultStatus ${quoted(resultStatus)}`;
    },
  ],
  [
    "result-message",
    "result-message",
    "resultMessage",
    (seen) => {
      const { resultMessage } = resultOf(seen);
      return typeof resultMessage === "string" ? longer("resultMessage", resultMessage, 256) : "no resultMessage";
    },
  ],
  [
    "result-code-listed",
    "listed-codes",
    "resultCode",
    (seen) => {
      const { resultCode } = resultOf(seen);
      return resultCode === undefined || String(resultCode) in resultCodes
        ? undefined
        : `resultCode ${quoted(resultCode)}`;
    },
  ],
  ["strings", "answer-strings", "every scalar", ({ result }) => strayScalar(result)],
  ["content-type", "answer-type", "Content-Type", ({ answer }) => strayType(answer.headers["content-type"])],
  ["client-id", "answer-headers", "Client-Id", missing("client-id"), isAuthentic],
  [
    "same-client-id",
    "answer-client-id",
    "Client-Id",
    ({ answer, clientId }) => {
      const given = answer.headers["client-id"];
      return given === undefined || given === clientId ? undefined : `Client-Id ${quoted(given)}`;
    },
    isAuthentic,
  ],
  ["response-time", "answer-headers", "Response-Time", missing("response-time"), isAuthentic],
  [
    "response-time-form",
    "answer-time",
    "the form of Response-Time",
    ({ answer }) => {
      const time = answer.headers["response-time"];
      return time === undefined || instantOf(time) !== undefined ? undefined : `Response-Time ${quoted(time)}`;
    },
  ],
  [
    "response-time-now",
    "answer-clock",
    "Response-Time",
    ({ answer, sentMs }) => {
      const time = answer.headers["response-time"];
      const instant = time === undefined ? undefined : instantOf(time);
      return instant === undefined || Math.abs(Number(instant.seconds) * 1000 - sentMs) < 60_000
        ? undefined
        : `Response-Time ${quoted(time)} is more than a minute off`;
    },
  ],
  ["signature", "answer-headers", "Signature", missing("signature"), isAuthentic],
  [
    "signature-form",
    "answer-signature-form",
    "the form of Signature",
    ({ answer }) => strayForm(answer.headers.signature ?? ""),
    isSigned,
  ],
  [
    "signature-holds",
    "answer-signed",
    "the signature",
    (seen) =>
      // What "POST" in the signed text means for another method is not said.
      seen.holdsFor(seen.method) || seen.holdsFor("POST") ? undefined : "the signature does not hold",
    (seen) => hasAll(seen) && seen.isAuthentic,
  ],
  [
    "refusal-signature-holds",
    "answer-signed",
    "the signature, where the request was not proved to be signed",
    (seen) => (seen.holdsFor(seen.method) || seen.holdsFor("POST") ? undefined : "the signature does not hold"),
    (seen) => hasAll(seen) && !seen.isAuthentic,
  ],
  [
    "refusal-signature",
    "refusal-signed",
    "Signature, where the request was not proved to be signed",
    missing("signature"),
    isRefusedStranger,
  ],
  [
    "in-time",
    "answer-in-time",
    "the time to the answer",
    ({ answer }) => (answer.ms < 5_000 ? undefined : `${(answer.ms / 1000).toFixed(1)} s`),
  ],
  [
    "no-token-data",
    "no-secrets",
    "the answer's body",
    ({ answer, secrets }) =>
      secrets.some((secret) => answer.body.includes(secret)) ? "token data that was sent" : undefined,
  ],
];

const quoted = (value: unknown): string => JSON.stringify(value)?.slice(0, 80) ?? "undefined";

const longer = (name: string, value: Json | undefined, limit: number): string | undefined =>
  typeof value === "string" && [...value].length > limit ? `${name} of ${[...value].length} characters` : undefined;

/** The first scalar that is no string, or an empty one. */
function strayScalar(value: unknown, at = "the body"): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "object")
    return Object.entries(value)
      .map(([name, member]) => strayScalar(member, name))
      .find((stray) => stray !== undefined);
  if (typeof value !== "string") return `${at} is no string`;
  return value === "" ? `${at} is empty` : undefined;
}

function strayType(type: string | undefined): string | undefined {
  if (type === undefined) return undefined;
  return /^application\/json(?:\s*;\s*charset\s*=\s*"?utf-8"?)?$/i.test(type)
    ? undefined
    : `Content-Type ${quoted(type)}`;
}

function strayForm(header: string): string | undefined {
  const parsed = parseSignatureHeader(header);
  if (parsed === undefined) return "Signature is not algorithm=RSA256, keyVersion and signature";
  if (parsed.keyVersion === undefined || !/algorithm=RSA256/i.test(header))
    return "Signature lacks algorithm or keyVersion";
  return /^(?:[A-Za-z0-9]|%2[BbFf]|%3[Dd])+$/.test(parsed.signature)
    ? undefined
    : "the value is no percent-encoded base64";
}

export const answerCases: readonly AnswerCase[] = rows.map(([name, rule, what, check, among = () => true]) => ({
  name: `answer/${name}`,
  rule,
  what: `every answer: ${what}`,
  check,
  among,
}));
