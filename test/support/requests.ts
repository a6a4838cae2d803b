// Requests for tests of single stages, without a wire.
import type { IncomingHttpHeaders } from "node:http";
import { type Endpoint, endpointsOf } from "../../gateway/alipayplus/endpoints.js";
import { Refusal } from "../../gateway/alipayplus/result.js";
import { contentToSign, formatSignatureHeader, rsaSign } from "../../gateway/alipayplus/signature.js";
import type { RawRequest, VerifiedRequest } from "../../gateway/stages/messages.js";
import { TokenLifecycleService } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { privateKey, testClientId, type VectorKey } from "./keys.js";
import { apiPath } from "./notification.js";

export const endpoints = endpointsOf([TokenLifecycleService], { prefix: "/aps/api/v1", byApi: new Map() });
export const endpoint = endpoints.get(apiPath) as Endpoint;

export type SignedParts = { key?: VectorKey; keyVersion?: number; time?: string; clientId?: string; body?: string };

/** A request as the body reader leaves it, signed. */
export async function signedRequest(parts: SignedParts = {}): Promise<RawRequest> {
  const { key = "aplus", keyVersion = 1, time = "2026-01-02T03:04:05Z", clientId = testClientId, body = "{}" } = parts;
  const bytes = Buffer.from(body);
  const content = contentToSign({ method: "POST", path: apiPath, clientId, time, body: bytes });
  const signature = formatSignatureHeader(keyVersion, await rsaSign(content, privateKey(key)));
  const headers: IncomingHttpHeaders = { "client-id": clientId, "request-time": time, signature };
  return { method: "POST", path: apiPath, headers, endpoint, body: bytes };
}

/** A request that nobody verified, for the stages after verify. */
export const asVerified = (body: string | Buffer): VerifiedRequest =>
  ({ method: "POST", path: apiPath, headers: {}, endpoint, body: Buffer.from(body), clientId: testClientId }) as never;

/** The result code and message that a stage refuses with; undefined when it does not. */
export function refusalIn(act: () => unknown): { resultCode: string; resultMessage: string } | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof Refusal) return error.result;
    throw error;
  }
  return undefined;
}

export const refusalOf = (act: () => unknown): string => refusalIn(act)?.resultCode ?? "none";
