// Cases for the body as a text: how the same parameters may be written, and what is no body at all.
import type { Members } from "../../samples.js";
import { type Exchange, type ExchangeCase, type Expectation, isIllegal, isTaken, single, succeeds } from "../case.js";
import type { RuleName } from "../rules.js";

type Write = NonNullable<Exchange["write"]>;

const json = (members: Members): string => JSON.stringify(members);

/** Every character of every string as an escape. */
const escaped = (text: string): string =>
  text.replaceAll(/"[^"]*"/g, (string) => `"${[...string.slice(1, -1)].map(escapeOf).join("")}"`);
const escapeOf = (char: string): string =>
  Array.from({ length: char.length }, (_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, "0")}`).join("");

/** The first letter of the first name as an escape. */
export const oneEscape = (text: string): string => text.replace(/(?<=")[a-z]/, escapeOf);

const reversed = (members: Members): Members => Object.fromEntries(Object.entries(members).reverse());

/** The same parameters, written in ways that leave their values as they are. */
export const writings: readonly (readonly [name: string, what: string, write: Write])[] = [
  ["compact", "without white space", json],
  ["indented", "indented by two spaces", (members) => JSON.stringify(members, undefined, 2)],
  ["tabs", "indented by tabs", (members) => JSON.stringify(members, undefined, "\t")],
  ["crlf", "with CRLF line ends", (members) => JSON.stringify(members, undefined, 2).replaceAll("\n", "\r\n")],
  ["spaces-around", "with white space before and behind it", (members) => ` \t\r\n${json(members)}\n \t`],
  ["trailing-newline", "with a line feed behind it", (members) => `${json(members)}\n`],
  ["trailing-crlf", "with CRLF behind it", (members) => `${json(members)}\r\n`],
  [
    "spaced-colons",
    "with spaces around colons and commas",
    (members) => json(members).replaceAll(/"([:,])"/g, '" $1 "'),
  ],
  ["reversed", "with its members in reverse order", (members) => json(reversed(members))],
  ["escaped", "with every character as an escape", (members) => escaped(json(members))],
  [
    "escaped-upper-case",
    "with escapes in upper case",
    (members) => escaped(json(members)).replaceAll(/(?<=\\u)..../g, (hex) => hex.toUpperCase()),
  ],
  ["one-escape", "with one letter as an escape", (members) => oneEscape(json(members))],
];

const cut = (members: Members): string => json(members).slice(0, -1);

type Row = readonly [name: string, rule: RuleName, what: string, write: Write, expect: Expectation];

const rows: readonly Row[] = [
  ["empty", "json", "an empty body", () => "", isIllegal],
  ["white-space", "json", "white space alone", () => " \n", isIllegal],
  ["form", "json", "a form", () => "tokenReferenceId=T-1", isIllegal],
  ["xml", "json", "XML", () => "<request/>", isIllegal],
  ["cut", "json", "JSON that ends early", cut, isIllegal],
  ["two-values", "json", "JSON with another behind it", (members) => `${json(members)}{}`, isIllegal],
  ["trailing-comma", "json", "JSON with a trailing comma", (members) => `${cut(members)},}`, isIllegal],
  ["comment", "json", "JSON with a comment", (members) => `${json(members)}/* */`, isIllegal],
  ["single-quotes", "json", "JSON with single quotes", (members) => json(members).replaceAll('"', "'"), isIllegal],
  ["array", "json", "an array around the object", (members) => `[${json(members)}]`, isIllegal],
  ["string", "json", "the object as a string", (members) => JSON.stringify(json(members)), isIllegal],
  ["null", "json", "null", () => "null", isIllegal],
  ["number", "json", "a number", () => "1", isIllegal],
  ["utf-16", "utf8", "UTF-16", (members) => Buffer.from(json(members), "utf16le"), isIllegal],
  [
    "latin-1",
    "utf8",
    "bytes that are no UTF-8, in a member",
    (members) => Buffer.from(`${cut(members)},"laterMember":"J\u00fcrgen"}`, "latin1"),
    isIllegal,
  ],
  ["byte-order-mark", "strict-json", "a byte order mark before it", (members) => `\ufeff${json(members)}`, isIllegal],
  [
    "half-a-surrogate-pair",
    "strict-json",
    "an escape that is half a surrogate pair",
    (members) => `${cut(members)},"laterMember":"\\ud83d"}`,
    isIllegal,
  ],
  [
    "member-twice",
    "strict-json",
    "a member twice",
    (members) => `${cut(members)},${json({ ...firstOf(members) }).slice(1)}`,
    isIllegal,
  ],
  [
    "depth",
    "strict-json",
    "a member nested 100 levels deep",
    (members) => `${cut(members)},"laterMember":${'{"a":'.repeat(100)}"b"${"}".repeat(100)}}`,
    isIllegal,
  ],
  [
    "unknown-member",
    "unknown-members",
    "a member that the API does not declare",
    (members) => json({ ...members, laterMember: "12345678" }),
    isTaken,
  ],
  [
    "unknown-object",
    "unknown-members",
    "an object that the API does not declare",
    (members) => json({ ...members, laterMember: { inner: ["12345678"] } }),
    isTaken,
  ],
  ["64-kib", "body-size", "64 KiB, filled up with spaces", (members) => json(members).padEnd(64 * 1024, " "), isTaken],
];

const firstOf = (members: Members): Members => Object.fromEntries(Object.entries(members).slice(0, 1));

/** Each writing is signed as it is sent, so each is accepted. */
export const writingCases: readonly ExchangeCase[] = writings.map(([name, what, write]) =>
  single(`bytes/${name}`, "exact-bytes", `a body ${what}`, { write }, succeeds),
);

export const bodyCases: readonly ExchangeCase[] = rows.map(([name, rule, what, write, expect]) =>
  single(`body/${name}`, rule, what, { write }, expect),
);
