// Alipay+'s side of the wire: signs a request, sends it, verifies the signed answer.
import type { KeyObject } from "node:crypto";
import { type Agent, request as httpRequest, type IncomingMessage } from "node:http";
import {
  contentToSign,
  formatSignatureHeader,
  isSignedBy,
  parseSignatureHeader,
  rsaSign,
} from "../gateway/alipayplus/signature.js";
import { wholeSecond } from "../gateway/alipayplus/time.js";

export type Sender = {
  readonly clientId: string;
  readonly keyVersion: number;
  /** Alipay+'s private key. */
  readonly privateKey: KeyObject;
  /** The receiver's public key, to verify answers with. */
  readonly receiverKey: KeyObject;
};

export type SignedRequest = { readonly url: URL; readonly headers: Record<string, string>; readonly body: Buffer };

/** Signs a POST of the body to the URL's path. */
export async function signRequest(sender: Sender, url: URL, body: Buffer, nowMs = Date.now()): Promise<SignedRequest> {
  const { clientId } = sender;
  const time = wholeSecond(nowMs);
  const content = contentToSign({ method: "POST", path: url.pathname, clientId, time, body });
  const headers = {
    "Content-Type": "application/json; charset=UTF-8",
    "Client-Id": clientId,
    "Request-Time": time,
    Signature: formatSignatureHeader(sender.keyVersion, await rsaSign(content, sender.privateKey)),
  };
  return { url, headers, body };
}

export type ReceivedAnswer = {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
  /** True when the answer's signature holds for the request's method and path. */
  readonly isSigned: boolean;
  readonly ms: number;
};

export function send(
  sender: Sender,
  { url, headers, body }: SignedRequest,
  agent: Agent,
  timeoutMs = 5_000,
): Promise<ReceivedAnswer> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { method: "POST", headers, agent, timeout: timeoutMs }, (response) =>
      receive(response, sender, "POST", url.pathname, started).then(resolve, reject),
    );
    request.on("timeout", () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    request.on("error", reject);
    request.end(body);
  });
}

/** Reads an answer to its end and verifies it. `started` is when its request went out, by performance.now(). */
export async function receive(
  response: IncomingMessage,
  sender: Sender,
  method: string,
  path: string,
  started: number,
): Promise<ReceivedAnswer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const headers = Object.fromEntries(Object.entries(response.headers).map(([name, value]) => [name, String(value)]));
  return {
    status: response.statusCode ?? 0,
    headers,
    body,
    isSigned: isAnswerSigned(sender, method, path, headers, body),
    ms: performance.now() - started,
  };
}

/** Whether the receiver signed this answer to this request. Header names are in lower case. */
export function isAnswerSigned(
  sender: Sender,
  method: string,
  path: string,
  headers: Record<string, string>,
  body: Buffer,
): boolean {
  const signature = parseSignatureHeader(headers.signature ?? "");
  if (signature === undefined || headers["client-id"] !== sender.clientId) return false;
  const time = headers["response-time"] ?? "";
  return isSignedBy(
    contentToSign({ method, path, clientId: sender.clientId, time, body }),
    signature,
    sender.receiverKey,
  );
}
