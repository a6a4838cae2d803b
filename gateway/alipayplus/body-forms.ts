// The forms that a body may have had when it was signed, each with the cause that it tells of.
import { attempt } from "./attempt.js";
import type { Cause } from "./causes.js";
import type { Json } from "./json.js";

/** A body, and the cause if it is what was signed. */
type BodyForm = { readonly cause: Cause; readonly parts: { readonly body: Uint8Array } };

const bom = Buffer.from("\u{feff}");

const bodyForm =
  (cause: Cause) =>
  (signed: string | Buffer): BodyForm => ({ cause, parts: { body: Buffer.from(signed as string) } });

/** What may help to guess: JSON members as the sender may have ordered them, and the body before its line ends were taken. */
type KnownOfBodies = { readonly memberOrder: readonly string[]; readonly bodies: readonly Uint8Array[] };

/** One after the other, the likely ones first. */
export function* bodyForms(body: Uint8Array, { memberOrder, bodies }: KnownOfBodies): Generator<BodyForm> {
  const bytes = Buffer.from(body);
  const hasBom = bytes.subarray(0, 3).equals(bom);
  const text = (hasBom ? bytes.subarray(3) : bytes).toString("utf8");
  yield hasBom ? bodyForm("bom-added")(text) : bodyForm("bom-removed")(Buffer.concat([bom, bytes]));
  yield bodyForm("body-left-out")("");
  yield* [...ends.map((end) => text.trim() + end), ` ${text}`].map(bodyForm("end-of-body"));
  yield* bodies.map((each) => bodyForm("line-ends")(Buffer.from(each)));
  yield* lineEnds(text).map(bodyForm("line-ends"));
  const value = attempt(() => JSON.parse(text) as Json);
  if (value !== undefined) {
    for (const spaced of spacings) yield bodyForm("whitespace")(spaced(tokensOf(text)));
    for (const written of spellings(value, memberOrder)) yield bodyForm("body-reserialised")(written);
  }
  yield* charsets(bytes, text).map(bodyForm("charset"));
  yield* urlDecoded(text).map(bodyForm("body-encoded"));
  yield* urlEncoded(text).map(bodyForm("body-decoded"));
}

const ends = ["", "\n", "\r\n", "\n\n", " ", "\0"];

function lineEnds(text: string): string[] {
  const lf = text.replaceAll("\r\n", "\n");
  const crLf = lf.replaceAll("\n", "\r\n");
  const gone = text.includes("\n") ? [] : brokenAgain(text);
  return [lf, crLf, lf.replaceAll("\n", "\r"), text.replaceAll("\r", "\n"), lf.replaceAll("\n", ""), ...gone];
}

/** Indented JSON whose line ends were taken away, as curl -d does with a file: what is left of the indents tells where. */
function brokenAgain(text: string): string[] {
  const strings = /"(?:[^"\\]|\\.)*"|[ \t]{2,}|\t/g;
  const lines = text.replaceAll(strings, (part) => (part.startsWith('"') ? part : `\n${part}`));
  const closed = lines.replace(/[}\]]$/, (brace) => `\n${brace}`);
  return [closed, `${closed}\n`].flatMap((each) => [each, each.replaceAll("\n", "\r\n")]);
}

/** Text that was signed in one charset and sent in another; plain ASCII has the same bytes in all but UTF-16. */
function charsets(bytes: Buffer, text: string): Buffer[] {
  const utf16 = Buffer.from(text, "utf16le");
  const wide = [utf16, Buffer.from(utf16).swap16(), Buffer.from(bytes.toString("utf16le"))];
  if (bytes.every((byte) => byte < 0x80)) return wide;
  const read = ["gbk", "windows-1252", "shift_jis", "big5"].flatMap(
    (name) => attempt(() => new TextDecoder(name, { ignoreBOM: true }).decode(bytes)) ?? [],
  );
  return [
    Buffer.from(text, "latin1"),
    Buffer.from(bytes.toString("latin1")),
    ...read.map((each) => Buffer.from(each)),
    gbkBytes(text),
    // What Java's US-ASCII and Latin-1 make of a character that they do not have.
    Buffer.from(text.replaceAll(/\P{ASCII}/gu, "?")),
    Buffer.from(
      text.replaceAll(/\P{ASCII}/gu, (char) => (char > "\u{ff}" ? "?" : char)),
      "latin1",
    ),
    Buffer.from(bytes.toString("utf8")),
    ...wide,
  ];
}

/** GBK, once the default of Windows in China: Node reads it but does not write it. */
function gbkBytes(text: string): Buffer {
  const codes = gbkCodes();
  const codeOf = (char: string): Buffer => (char < "\x80" ? Buffer.from(char) : (codes.get(char) ?? Buffer.from("?")));
  return Buffer.concat([...text].map(codeOf));
}

let codesByChar: ReadonlyMap<string, Buffer> | undefined;

function gbkCodes(): ReadonlyMap<string, Buffer> {
  if (codesByChar) return codesByChar;
  const decoder = new TextDecoder("gbk");
  const pairs = range(0x81, 0xff).flatMap((lead) => range(0x40, 0xff).map((trail) => Buffer.from([lead, trail])));
  // The first code of a character is its usual one.
  codesByChar = new Map(pairs.reverse().map((code) => [decoder.decode(code), code]));
  return codesByChar;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

function urlDecoded(text: string): string[] {
  const value = text.replace(/^[^{=]*=/, "");
  const encoded = [text, text.replaceAll("+", " "), value, value.replaceAll("+", " ")];
  return encoded.flatMap((each) => attempt(() => decodeURIComponent(each)) ?? []);
}

const urlEncoded = (text: string): string[] => [
  ...[encodeURIComponent, encodeURI].flatMap((encode) => attempt(() => encode(text)) ?? []),
  text.replaceAll(" ", "+"),
];

/** The same JSON as other programs write it. */
function* spellings(value: Json, memberOrder: readonly string[]): Generator<string> {
  const byName = (a: string, b: string): number => (a < b ? -1 : 1);
  const byPlace = (a: string, b: string): number => memberOrder.indexOf(a) - memberOrder.indexOf(b);
  for (const same of [value, inOrder(value, byName), inOrder(value, byPlace), withoutNulls(value)]) {
    const text = JSON.stringify(same);
    const written = escapings.map((escaped) => text.replaceAll(/"(?:[^"\\]|\\.)*"/g, escaped));
    for (const each of new Set(written)) for (const spaced of spacings) yield spaced(tokensOf(each));
  }
}

/** A JSON text without its white space. */
const tokensOf = (text: string): string[] => text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];

const unicodeEscape = (text: string): string =>
  text
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");
const ascii = (text: string): string => text.replaceAll(/\P{ASCII}/gu, unicodeEscape);
const upperAscii = (text: string): string =>
  text.replaceAll(/\P{ASCII}/gu, (char) => unicodeEscape(char).replaceAll(/[a-f]/g, (digit) => digit.toUpperCase()));
const slashes = (text: string): string => text.replaceAll("/", "\\/");
const escaping =
  (signs: RegExp) =>
  (text: string): string =>
    text.replaceAll(signs, unicodeEscape);

/** How writers of JSON escape strings: JavaScript and Jackson, Python, others, PHP with and without Unicode, Go, Gson. */
const escapings: readonly ((string: string) => string)[] = [
  (text) => text,
  ascii,
  upperAscii,
  (text) => ascii(slashes(text)),
  slashes,
  escaping(/[<>&]/g),
  escaping(/[<>&=']/g),
];

/** How writers of JSON set white space: none, Python, indented, Jackson indented. */
const spacings: readonly ((tokens: readonly string[]) => string)[] = [
  (tokens) => tokens.join(""),
  (tokens) => tokens.map((token) => (token === "," || token === ":" ? `${token} ` : token)).join(""),
  ...["  ", "    ", "\t"].map((indent) => (tokens: readonly string[]) => indented(tokens, indent, ": ")),
  (tokens) => indented(tokens, "  ", " : "),
];

function indented(tokens: readonly string[], indent: string, colon: string): string {
  let depth = 0;
  const line = (): string => `\n${indent.repeat(depth)}`;
  return tokens
    .map((token, index) => {
      if (token === "{" || token === "[") {
        if (/^[}\]]$/.test(tokens[index + 1] ?? "")) return token;
        depth++;
        return token + line();
      }
      if (token === "}" || token === "]") {
        if (/^[{[]$/.test(tokens[index - 1] ?? "")) return token;
        depth--;
        return line() + token;
      }
      return token === "," ? token + line() : token === ":" ? colon : token;
    })
    .join("");
}

const inOrder = (value: Json, compare: (a: string, b: string) => number): Json =>
  withMembers(value, (members) => members.sort(([a], [b]) => compare(a, b)));

const withoutNulls = (value: Json): Json =>
  withMembers(value, (members) => members.filter(([, member]) => member !== null));

type Members = [name: string, member: Json][];

function withMembers(value: Json, change: (members: Members) => Members): Json {
  if (Array.isArray(value)) return value.map((item) => withMembers(item, change));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(change(Object.entries(value)).map(([name, member]) => [name, withMembers(member, change)]));
}
