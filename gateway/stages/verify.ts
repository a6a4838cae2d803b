// RawRequest -> VerifiedRequest: whose request is it, really? Nothing is parsed or remembered before this holds.
import { createPublicKey, KeyObject, randomBytes } from "node:crypto";
import { Refusal } from "../alipayplus/result.js";
import { contentToSign, isSignedBy, parseSignatureHeader } from "../alipayplus/signature.js";
import { requestTimeMs } from "../alipayplus/time.js";
import type { RawRequest, VerifiedRequest } from "./messages.js";

export type Checks = {
  /** How far Request-Time may be from our clock, in milliseconds. A repeat may carry its first Request-Time. */
  readonly maxAgeMs: number;
  readonly maxAheadMs: number;
  /** Take also a signature over the path with its query. Published notifications sign the path alone. */
  readonly withQuery: boolean;
};

/** A key, or that it lies there and cannot be read. */
export type VerifyingKey = KeyObject | "unreadable";

/** Who may sign requests. */
export type Peer = {
  /** True for a client that may not call us, whatever it signs. */
  readonly denied: boolean;
  /** Alipay+'s key of a version as the header writes it; without one, of the highest version. */
  readonly verifyingKey: (keyVersion: string | undefined) => VerifyingKey | undefined;
};

/** Verified against where there is no key, so that it takes as long. Of the usual length; nobody has its other half. */
const standIn = createPublicKey({
  key: { kty: "RSA", n: Buffer.from(randomBytes(256).map(oddAndLong)).toString("base64url"), e: "AQAB" },
  format: "jwk",
});

export function verify(
  request: RawRequest,
  peerOf: (clientId: string) => Peer | undefined,
  checks: Checks,
  nowMs: number,
  isSigned: typeof isSignedBy = isSignedBy,
): VerifiedRequest {
  const { headers } = request;
  const clientId = headerOf(headers["client-id"]);
  if (clientId === undefined) throw new Refusal("INVALID_CLIENT");
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(clientId)) throw new Refusal("PARAM_ILLEGAL", "Client-Id has an illegal form");
  const time = headerOf(headers["request-time"]) ?? "";
  const timeMs = requestTimeMs(time);
  if (timeMs === undefined) throw new Refusal("PARAM_ILLEGAL", "Request-Time has an illegal form");
  const signature = parseSignatureHeader(headerOf(headers.signature) ?? "");
  if (signature === undefined) throw new Refusal("INVALID_SIGNATURE");

  const peer = peerOf(clientId);
  const key = peer?.verifyingKey(signature.keyVersion);
  const { method, path, query, body } = request;
  const paths = checks.withQuery && query !== undefined ? [path, `${path}?${query}`] : [path];
  // Before it matters, so that the time of a refusal does not tell which clients and keys there are.
  const holds = paths.some((signed) =>
    isSigned(
      contentToSign({ method, path: signed, clientId, time, body }),
      signature,
      key instanceof KeyObject ? key : standIn,
    ),
  );
  if (peer === undefined) throw new Refusal("INVALID_CLIENT");
  if (peer.denied) throw new Refusal("ACCESS_DENIED");
  if (key === undefined) throw new Refusal("KEY_NOT_FOUND");
  if (key === "unreadable") throw new Refusal("UNKNOWN_EXCEPTION");
  if (!holds) throw new Refusal("INVALID_SIGNATURE");

  if (timeMs < nowMs - checks.maxAgeMs)
    throw new Refusal("ACCESS_DENIED", undefined, { field: "Request-Time", rule: "TOO_OLD", clientId });
  // Time cures it, or our own clock is wrong: no reason to give up.
  if (timeMs > nowMs + checks.maxAheadMs) throw new Refusal("UNKNOWN_EXCEPTION");
  return { clientId, ...request } as VerifiedRequest;
}

const headerOf = (value: string | string[] | undefined): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;

/** Makes bytes a modulus: the first bit and the last are ones. */
function oddAndLong(byte: number, index: number): number {
  return index === 0 ? byte | 0x80 : index === 255 ? byte | 1 : byte;
}
