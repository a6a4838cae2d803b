// Requests that somebody captured: raw HTTP, HAR, a curl command line, or a capture of our own.
import type { ReceivedRequest } from "../gateway/alipayplus/signed-forms.js";
import { readCurlCommand } from "./curl-command.js";

/** A request, and its body before a tool took its line ends away. */
export type Capture = {
  readonly name: string;
  readonly request: ReceivedRequest;
  readonly asFiled: readonly Uint8Array[];
};

/** What our own captures say they are. */
export const captureFormat = "token-gateway-capture/1";

/** A capture of our own: one JSON object. The body is in base64, since a signature covers its very bytes. */
export type CaptureFile = {
  readonly format: typeof captureFormat;
  readonly method: string;
  /** As it was sent, with the query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBase64: string;
};

export class CaptureError extends Error {}

/** Throws CaptureError when it is nothing of that, or broken. */
export function readCaptures(bytes: Buffer, name: string): Capture[] {
  const text = bytes
    .toString("utf8")
    .replace(/^\ufeff/, "")
    .trimStart();
  try {
    if (/^(?:\$\s*)?curl\s/.test(text)) return [curlCapture(text.replace(/^\$\s*/, ""), name)];
    if (text.startsWith("{")) return jsonCaptures(text, name);
    return [httpCapture(bytes, name)];
  } catch (error) {
    if (error instanceof CaptureError) throw error;
    throw new CaptureError(`${name} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function curlCapture(command: string, name: string): Capture {
  const { method, url, headers, body, asFiled } = readCurlCommand(command);
  return { name, asFiled, request: { method, ...placeOf(url), headers: headersOf(headers, url), body } };
}

/** The target as it stands in an address, not resolved: what is signed is what is written. */
function placeOf(url: string): { target: string } {
  const [, target = ""] = /^(?:[a-z]+:\/\/)?[^/?#]*([^#]*)/i.exec(url) ?? [];
  return { target: target.startsWith("/") ? target : `/${target}` };
}

function headersOf(pairs: readonly (readonly [string, string])[], url = ""): Record<string, string> {
  const host = /^(?:[a-z]+:\/\/)?([^/?#]*)/i.exec(url)?.[1] ?? "";
  const headers: Record<string, string> = host === "" ? {} : { host };
  for (const [name, value] of pairs) {
    const lower = name.toLowerCase();
    headers[lower] = headers[lower] === undefined || lower === "host" ? value : `${headers[lower]}, ${value}`;
  }
  return headers;
}

type HarEntry = {
  request?: {
    method?: string;
    url?: string;
    headers?: { name: string; value: string }[];
    postData?: { text?: string; encoding?: string };
  };
};

function jsonCaptures(text: string, name: string): Capture[] {
  const json = jsonIn(text, name) as Partial<CaptureFile> & { log?: { entries?: HarEntry[] } };
  if (json.log?.entries) return harCaptures(json.log.entries, name);
  const { format, method, target, headers, bodyBase64 } = json;
  if (format !== captureFormat) throw new CaptureError(`${name} is JSON, but no HAR and no ${captureFormat}`);
  if (![method, target, bodyBase64].every((each) => typeof each === "string") || typeof headers !== "object")
    throw new CaptureError(`${name} lacks method, target, headers or bodyBase64`);
  const request = {
    method: String(method),
    target: String(target),
    headers: headersOf(Object.entries(headers).map(([key, value]) => [key, String(value)])),
    body: Buffer.from(String(bodyBase64), "base64"),
  };
  return [{ name, request, asFiled: [] }];
}

function jsonIn(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own words quote what is in there.
    throw new CaptureError(`${name} starts like JSON, but is none`);
  }
}

/** The signed requests of a HAR, or all of its POSTs when none is signed. */
function harCaptures(entries: readonly HarEntry[], name: string): Capture[] {
  const all = entries.map(({ request = {} }, index): Capture => {
    const { method = "", url = "", headers = [], postData = {} } = request;
    const pairs = headers.map(({ name: header, value }) => [header, value] as const);
    const body = Buffer.from(postData.text ?? "", postData.encoding === "base64" ? "base64" : "utf8");
    return {
      name: `${name}, entry ${index + 1}`,
      asFiled: [],
      request: { method, ...placeOf(url), headers: headersOf(pairs, url), body },
    };
  });
  const signed = all.filter(({ request }) => request.headers.signature);
  const found = signed.length > 0 ? signed : all.filter(({ request }) => request.method === "POST");
  if (found.length === 0) throw new CaptureError(`${name} holds no POST`);
  return found;
}

/** A request as it goes over the wire; also as curl -v prints it, with "> " before each line of its head. */
function httpCapture(bytes: Buffer, name: string): Capture {
  const text = bytes.toString("latin1");
  const end = /\r?\n(?:> ?)?\r?\n/.exec(text);
  const [first = "", ...lines] = text
    .slice(0, end?.index ?? text.length)
    .split(/\r?\n/)
    .map((line) => line.replace(/^> ?/, ""));
  const [, method, target] = /^([A-Za-z]+) (\S+) HTTP\/\d/.exec(first) ?? [];
  if (method === undefined || target === undefined)
    throw new CaptureError(`${name} is no HTTP request, no HAR, no curl command line and no ${captureFormat}`);
  const pairs = lines.map((line) => line.split(/:(.*)/s)).map(([key = "", value = ""]) => [key, value.trim()] as const);
  const headers = headersOf(pairs);
  const rest = end ? bytes.subarray(end.index + end[0].length) : Buffer.alloc(0);
  const body = /chunked/i.test(headers["transfer-encoding"] ?? "")
    ? chunksIn(rest)
    : bodyIn(rest, headers["content-length"]);
  return { name, asFiled: [], request: { method, target, headers, body } };
}

/** Without what an editor put behind the body. */
function bodyIn(rest: Buffer, contentLength: string | undefined): Buffer {
  const length = Number(contentLength ?? Number.NaN);
  return /^[\r\n]+$/.test(rest.subarray(length).toString("latin1")) && length <= rest.length
    ? rest.subarray(0, length)
    : rest;
}

function chunksIn(rest: Buffer): Buffer {
  const chunks: Buffer[] = [];
  for (let at = 0; at < rest.length; ) {
    const lineEnd = rest.indexOf("\n", at);
    const size = Number.parseInt(rest.subarray(at, lineEnd === -1 ? rest.length : lineEnd).toString("latin1"), 16);
    if (!(size > 0) || lineEnd === -1) break;
    chunks.push(rest.subarray(lineEnd + 1, lineEnd + 1 + size));
    at = rest.indexOf("\n", lineEnd + 1 + size) + 1 || rest.length;
  }
  return Buffer.concat(chunks);
}
