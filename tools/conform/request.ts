// From an exchange to the bytes of a request: the sample with its changes, signed, under the headers that Alipay+ sends.
import { constants, createPublicKey, type KeyObject, sign as signWith } from "node:crypto";
import type { Json } from "../../gateway/alipayplus/json.js";
import { contentToSign, isSignedBy, parseSignatureHeader, rsaSign } from "../../gateway/alipayplus/signature.js";
import { wholeSecond } from "../../gateway/alipayplus/time.js";
import type { Members } from "../samples.js";
import type { Sender } from "../sender.js";
import type { Change, Exchange, Signing } from "./case.js";

/** Who sends, and where. */
export type Desk = {
  readonly sender: Sender;
  /** A key that the receiver does not know. */
  readonly stranger: KeyObject;
  /** Where the API answers. */
  readonly url: URL;
};

export type PreparedRequest = {
  readonly method: string;
  readonly target: string;
  /** The target without its query. */
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  readonly clientId: string;
  readonly isAuthentic: boolean;
};

const withBody = new Set(["POST", "PUT", "PATCH"]);

/** Makes the request anew for each sending, since the clock goes on. */
export async function requestOf(
  exchange: Exchange,
  sample: Members,
  { sender, stranger, url }: Desk,
  nowMs: number,
): Promise<PreparedRequest> {
  const { method = "POST", target: targetOf = same, write = JSON.stringify, sign = {} } = exchange;
  const target = targetOf(url.pathname);
  const [path = ""] = target.split("?");
  const written = write((exchange.changes ?? []).reduce(withChange, sample));
  const body = withBody.has(method) ? Buffer.from(written as string) : Buffer.alloc(0);
  const clientId = (exchange.clientId ?? same)(sender.clientId);
  const keyVersion = exchange.keyVersion ?? sender.keyVersion;
  const time = (exchange.time ?? wholeSecond)(nowMs);
  const key = sign.by === "stranger" ? stranger : sender.privateKey;
  const base64 = await signatureOf({ method, path, clientId, time, body }, sign, key);
  const spelled = (exchange.spell ?? usualSpelling)(keyVersion, base64);
  const usual: Record<string, string | undefined> = {
    "Content-Type": "application/json; charset=UTF-8",
    "Client-Id": clientId,
    "Request-Time": time,
    Signature: spelled,
    ...Object.fromEntries(exchange.headers ?? []),
  };
  const named = Object.entries(usual).flatMap(([name, value]) =>
    value === undefined ? [] : [[(exchange.nameHeaders ?? same)(name), value] as const],
  );
  const framing = exchange.isChunked ? ["Transfer-Encoding", "chunked"] : ["Content-Length", String(body.length)];
  const headers = [["Host", url.host], ...named, framing] as [string, string][];
  const isAuthentic =
    isVerified(
      { method, path, clientId: usual["Client-Id"] ?? "", time: usual["Request-Time"] ?? "", body },
      usual.Signature,
      key,
      sender,
    ) && keyVersion === sender.keyVersion;
  return { method, target, path, headers, body, clientId, isAuthentic };
}

const same = (text: string): string => text;

const usualSpelling = (keyVersion: number, base64: string): string =>
  `algorithm=RSA256, keyVersion=${keyVersion}, signature=${encodeURIComponent(base64)}`;

type Content = Parameters<typeof contentToSign>[0];

async function signatureOf(sent: Content, change: Signing, key: KeyObject): Promise<string> {
  const content = contentToSign({
    method: change.method ?? sent.method,
    path: (change.path ?? same)(sent.path),
    clientId: change.clientId ?? sent.clientId,
    time: change.time ?? sent.time,
    body: change.body?.(Buffer.from(sent.body)) ?? sent.body,
  });
  const bytes = change.content?.(content) ?? content;
  switch (change.scheme) {
    case "PKCS#1 v1.5 with SHA-1":
      return signWith("sha1", bytes, key).toString("base64");
    case "PSS with SHA-256":
      return signWith("sha256", bytes, { key, padding: constants.RSA_PKCS1_PSS_PADDING }).toString("base64");
    default:
      return (await rsaSign(bytes, key)).toString("base64");
  }
}

/** Whether a receiver that knows the sender's key has proof of who sent this. */
function isVerified(content: Content, header: string | undefined, key: KeyObject, sender: Sender): boolean {
  const signature = parseSignatureHeader(header ?? "");
  return (
    key === sender.privateKey &&
    content.clientId === sender.clientId &&
    signature !== undefined &&
    isSignedBy(contentToSign(content), signature, createPublicKey(key))
  );
}

function withChange(members: Members, [path, value]: Change): Members {
  const [name = "", ...rest] = path;
  if (rest.length > 0) return { ...members, [name]: changedInside(members[name] ?? null, [rest, value]) };
  const { [name]: _, ...others } = members;
  return value === undefined ? others : { ...members, [name]: value };
}

/** A change inside an object, or inside the first item of an array. */
function changedInside(value: Json, change: Change): Json {
  if (Array.isArray(value)) return [changedInside(value[0] ?? null, change), ...value.slice(1)];
  return typeof value === "object" && value !== null ? withChange(value, change) : value;
}
