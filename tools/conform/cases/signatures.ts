// Cases for the signature of the request: everything that it covers, changed once, and every way its header may be written.
import type { ExchangeCase, Expectation, SignatureSpelling, Signing } from "../case.js";
import { isRefusedAs, single, succeeds } from "../case.js";
import type { RuleName } from "../rules.js";
import { oneEscape } from "./bodies.js";

const isForged: Expectation = isRefusedAs("INVALID_SIGNATURE");

const text =
  (change: (text: string) => string) =>
  (bytes: Buffer): Buffer =>
    Buffer.from(change(bytes.toString("utf8")), "utf8");

/** What was signed is not what is sent. */
const forged: readonly (readonly [name: string, what: string, sign: Signing])[] = [
  ["other-key", "the signature of another key", { by: "stranger" }],
  ["other-body", "a signature over another body", { body: () => Buffer.from("{}") }],
  ["no-body", "a signature over no body", { body: () => Buffer.alloc(0) }],
  [
    "one-letter",
    "a signature over a body with one letter changed",
    { body: text((body) => body.replace(/[a-z]/, "X")) },
  ],
  ["space-added", "a signature over a body with one space more", { body: text((body) => body.replace(":", ": ")) }],
  ["newline-added", "a signature over the body and a line feed", { body: text((body) => `${body}\n`) }],
  ["trimmed", "a signature over the body without its last character", { body: text((body) => body.slice(0, -1)) }],
  [
    "reordered",
    "a signature over the members in another order",
    { body: text((body) => JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(body)).reverse()))) },
  ],
  [
    "indented",
    "a signature over the indented body",
    { body: text((body) => JSON.stringify(JSON.parse(body), undefined, 2)) },
  ],
  ["escaped", "a signature over the body with an escape for a letter", { body: text(oneEscape) }],
  ["byte-order-mark", "a signature over the body with a byte order mark", { body: text((body) => `\ufeff${body}`) }],
  ["other-time", "a signature over another Request-Time", { time: "2019-11-27T12:01:01+08:00" }],
  ["other-client-id", "a signature over another Client-Id", { clientId: "SOMEBODY_ELSE" }],
  ["other-path", "a signature over another path", { path: (path) => `${path}2` }],
  ["no-path", "a signature over the path /", { path: () => "/" }],
  ["path-in-upper-case", "a signature over the path in upper case", { path: (path) => path.toUpperCase() }],
  ["other-method", "a signature over GET", { method: "GET" }],
  ["method-in-lower-case", "a signature over post", { method: "post" }],
  [
    "no-line-feed",
    "a signature over a text with a space for the line feed",
    { content: text((all) => all.replace("\n", " ")) },
  ],
  [
    "crlf",
    "a signature over a text with CRLF for the line feed",
    { content: text((all) => all.replace("\n", "\r\n")) },
  ],
  ["body-alone", "a signature over the body alone", { content: text((all) => all.slice(all.indexOf("{"))) }],
  ["sha-1", "a signature with SHA-1", { scheme: "PKCS#1 v1.5 with SHA-1" }],
  ["pss", "a signature with PSS padding", { scheme: "PSS with SHA-256" }],
];

const value = (base64: string): string => encodeURIComponent(base64);
const header = (keyVersion: number, signature: string): string =>
  `algorithm=RSA256, keyVersion=${keyVersion}, signature=${signature}`;

type Spelled = readonly [name: string, rule: RuleName, what: string, spell: SignatureSpelling, expect: Expectation];

const spelled: readonly Spelled[] = [
  [
    "spaces",
    "signature-form",
    "a space behind each comma",
    (version, base64) => header(version, value(base64)),
    succeeds,
  ],
  [
    "no-spaces",
    "signature-form",
    "no spaces, as official SDKs write it",
    (version, base64) => header(version, value(base64)).replaceAll(" ", ""),
    succeeds,
  ],
  [
    "lower-case-hex",
    "percent-encoding",
    "percent-encoding in lower case",
    (version, base64) =>
      header(
        version,
        value(base64).replaceAll(/%../g, (code) => code.toLowerCase()),
      ),
    succeeds,
  ],
  [
    "other-order",
    "signature-order",
    "the signature first",
    (version, base64) => `signature=${value(base64)}, keyVersion=${version}, algorithm=RSA256`,
    succeeds,
  ],
  [
    "algorithm-in-lower-case",
    "signature-defaults",
    "algorithm=rsa256",
    (version, base64) => header(version, value(base64)).replace("RSA256", "rsa256"),
    succeeds,
  ],
  [
    "no-algorithm",
    "signature-defaults",
    "no algorithm",
    (version, base64) => `keyVersion=${version}, signature=${value(base64)}`,
    succeeds,
  ],
  [
    "no-key-version",
    "signature-defaults",
    "no keyVersion",
    (_, base64) => `algorithm=RSA256, signature=${value(base64)}`,
    succeeds,
  ],
  [
    "plain-base64",
    "signature-spellings",
    "base64 that is not percent-encoded",
    (version, base64) => header(version, base64),
    succeeds,
  ],
  [
    "url-alphabet",
    "signature-spellings",
    "base64 in the URL alphabet without padding",
    (version, base64) => header(version, base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")),
    succeeds,
  ],
  ["absent", "header-required", "no Signature", () => undefined, isForged],
  ["empty", "signature-readable", "an empty Signature", () => "", isForged],
  [
    "no-value",
    "signature-readable",
    "a Signature without signature=",
    (version) => `algorithm=RSA256, keyVersion=${version}`,
    isForged,
  ],
  [
    "empty-value",
    "signature-readable",
    "signature= with nothing behind it",
    (version) => header(version, ""),
    isForged,
  ],
  [
    "no-base64",
    "signature-readable",
    "a signature that is no base64",
    (version) => header(version, "%21%21%21"),
    isForged,
  ],
  [
    "cut",
    "signature-readable",
    "a signature with its first half alone",
    (version, base64) => header(version, value(base64.slice(0, base64.length / 2))),
    isForged,
  ],
  [
    "one-bit",
    "signed",
    "a signature with one bit changed",
    (version, base64) => {
      const bytes = Buffer.from(base64, "base64");
      bytes[0] = (bytes[0] ?? 0) ^ 1;
      return header(version, value(bytes.toString("base64")));
    },
    isForged,
  ],
  [
    "other-algorithm",
    "other-algorithm",
    "algorithm=HS256",
    (version, base64) => header(version, value(base64)).replace("RSA256", "HS256"),
    isForged,
  ],
];

export const signatureCases: readonly ExchangeCase[] = [
  ...forged.map(([name, what, sign]) => single(`signature/${name}`, ruleOf(sign), what, { sign }, isForged)),
  ...spelled.map(([name, rule, what, spell, expect]) =>
    single(`signature-header/${name}`, rule, what, { spell }, expect),
  ),
  single(
    "signature-header/unknown-key-version",
    "key-version",
    "a key version that nobody has",
    { keyVersion: 987_654_321 },
    isRefusedAs("KEY_NOT_FOUND"),
  ),
];

/** A body that was changed breaks the rule of exact bytes; anything else the rule that signatures are verified. */
function ruleOf(sign: Signing): RuleName {
  return sign.body === undefined ? "signed" : "exact-bytes";
}
