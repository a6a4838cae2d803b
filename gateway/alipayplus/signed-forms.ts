// The forms that the parts of a request may have had when they were signed: a finite set, each with the cause that it tells of.
import { createHash } from "node:crypto";
import { attempt } from "./attempt.js";
import { bodyForms } from "./body-forms.js";
import type { Cause } from "./causes.js";
import { contentToSign } from "./signature.js";
import { requestTimeMs, wholeSecond } from "./time.js";

/** A request as it arrived. Header names are in lower case. */
export type ReceivedRequest = {
  readonly method: string;
  /** As it arrived, with the query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Uint8Array;
};

/** What may help to guess. */
export type Known = {
  readonly clientIds: readonly string[];
  /** Paths, or addresses, that may have been signed. */
  readonly paths: readonly string[];
  /** The body before a tool took its line ends away. */
  readonly bodies: readonly Uint8Array[];
  /** Requests of the same time. */
  readonly others: readonly ReceivedRequest[];
  /** JSON members in the order in which the sender may have written them. */
  readonly memberOrder: readonly string[];
};

/** Everything that a signature covers, and how it is put together. */
export type Parts = {
  readonly method: string;
  readonly path: string;
  readonly clientId: string;
  readonly time: string;
  readonly body: Uint8Array;
  readonly layout: (parts: Parts) => Buffer;
};

/** Other parts than those that arrived, and the cause if they are what was signed. */
export type Form = { readonly cause: Cause; readonly parts: Partial<Parts>; readonly detail?: string };

/** The parts that the gateway verifies. */
export function partsOf({ method, target, headers, body }: ReceivedRequest): Parts {
  const [path = ""] = target.split("?", 1);
  const [clientId = "", time = ""] = [headers["client-id"], headers["request-time"]];
  return { method, path, clientId, time, body, layout: contentToSign };
}

/** Forms by what they change, made when they are asked for; of two forms from different rows both may have been signed. */
export function formsOf(request: ReceivedRequest, known: Known): readonly (() => Iterable<Form>)[] {
  const parts = partsOf(request);
  const rows: readonly (() => Iterable<Form>)[] = [
    () => pathForms(request, parts.path, known.paths),
    () => timeForms(parts.time),
    () => clientForms(parts.clientId, known.clientIds),
    () => (parts.method === "POST" ? ["post", ""] : ["POST", "post", ""]).map(methodForm),
    () => layoutForms,
    () => known.others.flatMap((other, index) => formsOfOther(partsOf(other), `request ${index + 2}`)),
    () => bodyForms(parts.body, known),
  ];
  return rows.map(
    (row) =>
      function* () {
        for (const form of row()) if (!isWhatArrived(form, parts)) yield form;
      },
  );
}

/** Further forms of Request-Time, too many to pair with others: milliseconds around it, or those that were cut off. */
export function finerTimeForms(time: string): readonly Form[] {
  const ms = requestTimeMs(time);
  if (ms === undefined) return [];
  const same = writingOf(time, ms);
  const fractions = Array.from({ length: 1000 }, (_, fraction) => fraction);
  if (same && same(ms + 1) !== time) return fractions.map((each) => timeForm("clock")(same(ms - 500 + each)));
  const second = Math.floor(ms / 1000) * 1000;
  const fine = [String, (each: number) => local(each, 0), (each: number) => local(each, 480).replace("Z", "+08:00")];
  return fine.flatMap((write) => fractions.map((each) => timeForm("time-reformatted")(write(second + each))));
}

function isWhatArrived({ parts: changed }: Form, parts: Parts): boolean {
  return (Object.keys(changed) as (keyof Parts)[]).every((name) => {
    const [ours, theirs] = [parts[name], changed[name]];
    return (
      ours === theirs ||
      (ours instanceof Uint8Array && theirs !== undefined && Buffer.from(ours).equals(theirs as Uint8Array))
    );
  });
}

/** Prefixes that are often configured; the sender may have signed one that a proxy took off. */
const usualPrefixes = ["/aps/api/v1", "/aps/api", "/aps", "/api/v1", "/api", "/v1", "/gateway", "/alipayplus"];
const originalPathHeaders = [
  "x-original-uri",
  "x-original-url",
  "x-forwarded-uri",
  "x-rewrite-url",
  "x-envoy-original-path",
];

function pathForms({ target, headers }: ReceivedRequest, path: string, known: readonly string[]): Form[] {
  const form =
    (cause: Cause) =>
    // A query is not shown: who knows what it holds.
    (signed: string): Form => ({ cause, parts: { path: signed }, detail: shown(signed.replace(/\?.*/s, "?...")) });
  const host = headers["x-forwarded-host"] ?? headers.host ?? "";
  const steps = path.split("/").slice(1);
  const told = originalPathHeaders.flatMap((name) => headers[name] ?? []);
  const others = [...known, ...told].flatMap((each) => [
    each,
    each.split("?", 1)[0] ?? "",
    attempt(() => new URL(each).pathname) ?? "",
  ]);
  const guesses = [
    ...others,
    ...[headers["x-forwarded-prefix"] ?? "", ...usualPrefixes].map((prefix) => prefix + path),
    ...steps.map((_, index) => `/${steps.slice(index + 1).join("/")}`).slice(0, -1),
    ...usualPrefixes.map((prefix) => `${prefix}/${steps.at(-1)}`),
    ...[
      path.endsWith("/") ? path.slice(0, -1) : `${path}/`,
      path.slice(1),
      path.replaceAll(/\/{2,}/g, "/"),
      path.toLowerCase(),
      "",
    ],
  ];
  const decoded = attempt(() => decodeURIComponent(path)) ?? path;
  return [
    ...(target === path ? [] : [{ cause: "query-included" as const, parts: { path: target } }]),
    ...[`https://${host}`, `http://${host}`, host]
      .filter(() => host !== "")
      .flatMap((origin) => [path, target].map((rest) => form("full-url")(origin + rest))),
    ...[attempt(() => new URL(target).pathname) ?? path].map(form("full-url")),
    ...[decoded, attempt(() => decodeURI(path)) ?? path, path.replaceAll("+", " ")].map(form("path-encoded")),
    ...[
      encodeURI(path),
      path.split("/").map(encodeURIComponent).join("/"),
      encodeURIComponent(path),
      lowerEscapes(encodeURI(path)),
    ].map(form("path-decoded")),
    ...guesses.map((signed) => form(pathCause(path, signed))(signed)),
  ];
}

const lowerEscapes = (text: string): string => text.replaceAll(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());

function pathCause(arrived: string, signed: string): Cause {
  if (signed.length > arrived.length + 1 && signed.endsWith(arrived)) return "proxy-prefix-removed";
  return signed.length > 1 && arrived.length > signed.length + 1 && arrived.endsWith(signed)
    ? "proxy-prefix-added"
    : "wrong-path";
}

/** Text from outside, short and in one line. */
export const shown = (text: string): string => JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text);

const timeForm =
  (cause: Cause) =>
  (time: string): Form => ({ cause, parts: { time }, detail: shown(time) });

const offsetsMinutes = Array.from({ length: 27 * 4 }, (_, quarter) => (quarter - 48) * 15);

function timeForms(time: string): Form[] {
  const texts = [
    encodeURIComponent(time),
    attempt(() => decodeURIComponent(time)) ?? time,
    time.replaceAll("+", " "),
    time.replaceAll(" ", "+"),
    time.trim(),
    time.toLowerCase(),
    "",
  ];
  const ms = requestTimeMs(time);
  if (ms === undefined) return texts.map(timeForm("time-reformatted"));
  const moved = Array.from({ length: 60 }, (_, index) => ms + (index < 30 ? index - 30 : index - 29) * 1000);
  const same = writingOf(time, ms);
  return [
    ...[...texts, ...writings.map((write) => write(ms))].map(timeForm("time-reformatted")),
    ...(same ? moved.map(same).map(timeForm("clock")) : []),
  ];
}

/** How a time was written, to write the times around it. */
const writingOf = (time: string, ms: number) => writings.find((write) => write(ms) === time);

const local = (ms: number, minutes: number): string => new Date(ms + minutes * 60_000).toISOString();
const offsetText = (minutes: number, colon: string): string => {
  const [hour, minute] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60].map((part) =>
    String(part).padStart(2, "0"),
  );
  return `${minutes < 0 ? "-" : "+"}${hour}${colon}${minute}`;
};

/** How people write an instant. */
const writings: readonly ((ms: number) => string)[] = [
  wholeSecond,
  (ms) => local(ms, 0),
  String,
  (ms) => String(Math.floor(ms / 1000)),
  (ms) => local(ms, 0).replace(/\d(?=Z$)/, ""),
  (ms) => local(ms, 0).replace("Z", ""),
  ...[0, 480].flatMap((minutes) => [
    (ms: number) => local(ms, minutes).slice(0, 19),
    (ms: number) => local(ms, minutes).slice(0, 19).replace("T", " "),
    (ms: number) => local(ms, minutes).slice(0, 19).replaceAll(/\D/g, ""),
  ]),
  ...offsetsMinutes.flatMap((minutes) =>
    [":", ""].flatMap((colon) => [
      (ms: number) => local(ms, minutes).slice(0, 19) + offsetText(minutes, colon),
      (ms: number) => local(ms, minutes).slice(0, 23) + offsetText(minutes, colon),
    ]),
  ),
];

const clientForms = (clientId: string, known: readonly string[]): Form[] =>
  [...known, clientId.trim(), clientId.toLowerCase(), clientId.toUpperCase(), ""].map((signed) => ({
    cause: clientId === "" ? "header-missing" : "client-id",
    parts: { clientId: signed },
    detail: shown(signed),
  }));

const methodForm = (method: string): Form => ({ cause: "method", parts: { method }, detail: shown(method) });

const layouts: Readonly<Record<string, Parts["layout"]>> = {
  "with CR LF behind the path": (parts) => headed(parts, "\r\n"),
  "with a backslash and an n behind the path": (parts) => headed(parts, "\\n"),
  "with a blank behind the path": (parts) => headed(parts, " "),
  "with nothing behind the path": (parts) => headed(parts, ""),
  "without method and path": ({ clientId, time, body }) => joined([clientId, ".", time, ".", body]),
  "the body alone": ({ body }) => Buffer.from(body),
  "without the points": ({ method, path, clientId, time, body }) =>
    joined([method, " ", path, "\n", clientId, time, body]),
  "with line feeds in place of the points": ({ method, path, clientId, time, body }) =>
    joined([method, " ", path, "\n", clientId, "\n", time, "\n", body]),
  "with the time before the Client-Id": ({ method, path, clientId, time, body }) =>
    joined([method, " ", path, "\n", time, ".", clientId, ".", body]),
  "without the time": ({ method, path, clientId, body }) => joined([method, " ", path, "\n", clientId, ".", body]),
  "with a hash in place of the body": (parts) =>
    contentToSign({ ...parts, body: Buffer.from(createHash("sha256").update(parts.body).digest("hex")) }),
  "hashed twice": (parts) => createHash("sha256").update(contentToSign(parts)).digest(),
  "hashed twice, through hex digits": (parts) =>
    Buffer.from(createHash("sha256").update(contentToSign(parts)).digest("hex")),
  "in UTF-16": (parts) => Buffer.from(contentToSign(parts).toString("utf8"), "utf16le"),
  "in base64": (parts) => Buffer.from(contentToSign(parts).toString("base64")),
};

const joined = (pieces: readonly (string | Uint8Array)[]): Buffer =>
  Buffer.concat(pieces.map((piece) => Buffer.from(piece as string)));

const headed = ({ method, path, clientId, time, body }: Parts, end: string): Buffer =>
  joined([method, " ", path, end, clientId, ".", time, ".", body]);

const layoutForms: readonly Form[] = Object.entries(layouts).map(([detail, layout]) => ({
  cause: "layout",
  parts: { layout },
  detail,
}));

function formsOfOther({ method, path, clientId, time, body }: Parts, name: string): Form[] {
  const header = "header-of-another-request";
  return [
    { cause: header, parts: { time }, detail: `the Request-Time that was signed came with ${name}` },
    { cause: header, parts: { clientId }, detail: `the Client-Id that was signed came with ${name}` },
    {
      cause: header,
      parts: { clientId, time },
      detail: `Client-Id and Request-Time that were signed came with ${name}`,
    },
    { cause: header, parts: { method, path, clientId, time, body }, detail: `Signature is that of ${name}` },
    { cause: "body-of-another-request", parts: { body }, detail: `the body that was signed came with ${name}` },
    {
      cause: "body-of-another-request",
      parts: { clientId, time, body },
      detail: `Signature is that of ${name}, on another path`,
    },
  ];
}
