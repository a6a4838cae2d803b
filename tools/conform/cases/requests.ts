// Cases for the request line and the headers.
import { localTime } from "../../samples.js";
import { type Exchange, type ExchangeCase, type Expectation, isRefusedAs, single, succeeds } from "../case.js";
import type { RuleName } from "../rules.js";

type Row = readonly [
  name: string,
  rule: RuleName,
  what: string,
  exchange: Omit<Exchange, "expect">,
  expect: Expectation,
];

const hour = 3_600_000;
const iso = (ms: number): string => new Date(ms).toISOString();
const header = (name: string, value: string | undefined): Omit<Exchange, "expect"> => ({ headers: [[name, value]] });
const named = (nameHeaders: (name: string) => string): Omit<Exchange, "expect"> => ({ nameHeaders });
const timed = (time: (nowMs: number) => string): Omit<Exchange, "expect"> => ({ time });

const hasNoApi = isRefusedAs("NO_INTERFACE_DEF");
const isNoMethod = isRefusedAs("METHOD_NOT_SUPPORTED");
const isNoMedia = isRefusedAs("MEDIA_TYPE_NOT_ACCEPTABLE");
/** What is missing may be told by name or as what it breaks. */
const isNoClient = isRefusedAs("INVALID_CLIENT", "PARAM_ILLEGAL");
const isNoTime = isRefusedAs("PARAM_ILLEGAL", "INVALID_SIGNATURE");

const rows: readonly Row[] = [
  ["request/plain", "accepted", "a request as the pages show it", {}, succeeds],

  [
    "header/lower-case",
    "header-names",
    "names of headers in lower case",
    named((name) => name.toLowerCase()),
    succeeds,
  ],
  [
    "header/upper-case",
    "header-names",
    "names of headers in upper case",
    named((name) => name.toUpperCase()),
    succeeds,
  ],
  ["header/agent-token", "header-others", "an Agent-Token", header("Agent-Token", "agent-1"), succeeds],
  ["header/tracer-id", "header-others", "a tracerId", header("tracerId", "0a1b2c3d"), succeeds],
  ["header/no-client-id", "header-required", "no Client-Id", header("Client-Id", undefined), isNoClient],
  ["header/empty-client-id", "header-required", "an empty Client-Id", header("Client-Id", ""), isNoClient],
  [
    "header/unknown-client-id",
    "client-id",
    "a Client-Id that nobody has",
    { clientId: () => "WHO_IS_THAT" },
    isRefusedAs("INVALID_CLIENT"),
  ],
  [
    "header/client-id-in-other-case",
    "client-id-case",
    "the Client-Id in the other case",
    { clientId: inOtherCase },
    isRefusedAs("INVALID_CLIENT"),
  ],
  ["header/no-request-time", "header-required", "no Request-Time", header("Request-Time", undefined), isNoTime],

  ["request-time/offset", "request-time", "Request-Time with +08:00", timed(localTime), succeeds],
  ["request-time/utc", "request-time", "Request-Time in UTC", timed((now) => `${iso(now).slice(0, 19)}Z`), succeeds],
  [
    "request-time/two-digits",
    "request-time",
    "Request-Time with two digits of a second",
    timed((now) => `${iso(now).slice(0, 22)}Z`),
    succeeds,
  ],
  ["request-time/milliseconds", "request-time", "Request-Time with milliseconds", timed(iso), succeeds],
  [
    "request-time/half-hour-offset",
    "request-time",
    "Request-Time with +05:30",
    timed((now) => iso(now + 5.5 * hour).replace(/\..*/, "+05:30")),
    succeeds,
  ],
  [
    "request-time/epoch-milliseconds",
    "request-time-forms",
    "Request-Time in milliseconds since 1970",
    timed(String),
    succeeds,
  ],
  [
    "request-time/offset-without-colon",
    "request-time-forms",
    "Request-Time with +0800",
    timed((now) => localTime(now).replace(/:(?=00$)/, "")),
    succeeds,
  ],
  ["request-time/words", "request-time-illegal", "Request-Time yesterday", timed(() => "yesterday"), isNoTime],
  [
    "request-time/no-such-day",
    "request-time-illegal",
    "Request-Time on 30 February",
    timed(() => "2026-02-30T10:00:00Z"),
    isNoTime,
  ],
  [
    "request-time/ten-minutes-old",
    "clock",
    "Request-Time ten minutes ago, as a repeat may have it",
    timed((now) => iso(now - hour / 6)),
    succeeds,
  ],
  [
    "request-time/day-old",
    "clock",
    "Request-Time a day ago, as the last repeat may have it",
    timed((now) => iso(now - 24 * hour)),
    succeeds,
  ],
  [
    "request-time/month-old",
    "clock",
    "Request-Time 30 days ago",
    timed((now) => iso(now - 720 * hour)),
    isRefusedAs("ACCESS_DENIED"),
  ],
  [
    "request-time/day-ahead",
    "clock",
    "Request-Time tomorrow",
    timed((now) => iso(now + 24 * hour)),
    isRefusedAs("ACCESS_DENIED", "UNKNOWN_EXCEPTION"),
  ],

  ["media-type/none", "content-type", "no Content-Type", header("Content-Type", undefined), succeeds],
  [
    "media-type/no-charset",
    "content-type",
    "Content-Type: application/json",
    header("Content-Type", "application/json"),
    succeeds,
  ],
  [
    "media-type/lower-case",
    "charset-case",
    "Content-Type: application/json;charset=utf-8",
    header("Content-Type", "application/json;charset=utf-8"),
    succeeds,
  ],
  ["media-type/text", "media-type", "Content-Type: text/plain", header("Content-Type", "text/plain"), isNoMedia],
  [
    "media-type/xml",
    "media-type",
    "Content-Type: application/xml",
    header("Content-Type", "application/xml"),
    isNoMedia,
  ],
  [
    "media-type/form",
    "media-type",
    "Content-Type: application/x-www-form-urlencoded",
    header("Content-Type", "application/x-www-form-urlencoded"),
    isNoMedia,
  ],
  [
    "media-type/other-charset",
    "charset",
    "Content-Type with charset=ISO-8859-1",
    header("Content-Type", "application/json; charset=ISO-8859-1"),
    isNoMedia,
  ],
  [
    "media-type/compressed",
    "content-encoding",
    "Content-Encoding: gzip",
    header("Content-Encoding", "gzip"),
    isNoMedia,
  ],
  ["accept/anything", "accept", "Accept: */*", header("Accept", "*/*"), succeeds],
  ["accept/json", "accept", "Accept: application/json", header("Accept", "application/json"), succeeds],
  ["accept/browser", "accept", "Accept: text/html, */*;q=0.1", header("Accept", "text/html, */*;q=0.1"), succeeds],
  ["accept/xml", "media-type", "Accept: application/xml", header("Accept", "application/xml"), isNoMedia],
  ["transfer/chunked", "chunked", "a body in chunks", { isChunked: true }, succeeds],

  ...["GET", "PUT", "DELETE", "PATCH"].map(
    (method): Row => [`method/${method}`, "method", method, { method }, isNoMethod],
  ),
  ["method/OPTIONS", "other-methods", "OPTIONS", { method: "OPTIONS" }, isNoMethod],

  [
    "path/unknown-api",
    "path",
    "the path of an API that there is not",
    { target: (path) => `${path}Undefined` },
    hasNoApi,
  ],
  [
    "path/other-version",
    "path",
    "the path with another version, or another first part",
    { target: otherVersion },
    hasNoApi,
  ],
  ["path/lower-case", "path-spelling", "the path in lower case", { target: (path) => path.toLowerCase() }, hasNoApi],
  ["path/trailing-slash", "path-spelling", "the path and a slash", { target: (path) => `${path}/` }, hasNoApi],
  [
    "path/double-slash",
    "path-spelling",
    "the path with its first slash twice",
    { target: (path) => `/${path}` },
    hasNoApi,
  ],
  [
    "path/percent-encoded",
    "path-spelling",
    "the path with its last letter percent-encoded",
    { target: percentEncoded },
    hasNoApi,
  ],
  ["path/query", "query", "a query that is not signed", { target: (path) => `${path}?a=b` }, succeeds],
  [
    "path/signed-query",
    "query",
    "a query that is signed",
    { target: (path) => `${path}?a=b`, sign: { path: (path) => `${path}?a=b` } },
    isRefusedAs("INVALID_SIGNATURE"),
  ],
];

function otherVersion(path: string): string {
  return /\/v1\//.test(path) ? path.replace("/v1/", "/v987/") : `/v987${path}`;
}

function inOtherCase(clientId: string): string {
  const lower = clientId.toLowerCase();
  return lower === clientId ? clientId.toUpperCase() : lower;
}

function percentEncoded(path: string): string {
  return `${path.slice(0, -1)}%${path.charCodeAt(path.length - 1).toString(16)}`;
}

export const requestCases: readonly ExchangeCase[] = rows.map(([name, rule, what, exchange, expect]) =>
  single(name, rule, what, exchange, expect),
);
