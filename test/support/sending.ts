// Signed requests with one thing changed after, or before, they were signed.
import { signRequest } from "../../tools/sender.js";
import { testSender } from "./keys.js";
import { apiPath, sendRaw, type TestAnswer } from "./notification.js";

export type Change = {
  readonly method?: string;
  readonly path?: string;
  /** Headers in place of the usual ones; undefined leaves one out. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** What is signed in place of what is sent. */
  readonly signed?: Buffer | string;
  /** Request-Time, in milliseconds. */
  readonly nowMs?: number;
  readonly clientId?: string;
  readonly keyVersion?: number;
};

/** Sends exactly these bytes, signed unless the change says otherwise. */
export async function sendChanged(
  gatewayUrl: string,
  body: Buffer | string,
  { method = "POST", path = apiPath, headers = {}, signed = body, nowMs, ...from }: Change = {},
): Promise<TestAnswer> {
  const url = new URL(gatewayUrl + path);
  const request = await signRequest({ ...testSender, ...from }, url, Buffer.from(signed as string), nowMs);
  const all = Object.entries({ ...request.headers, ...headers });
  const sent = Object.fromEntries(all.filter((each): each is [string, string] => each[1] !== undefined));
  // Node gives a body no length under the other methods, so its bytes would be taken for the next request.
  const hasBody = ["POST", "PUT", "PATCH"].includes(method);
  return sendRaw(url.href, { method, headers: sent, ...(hasBody && { body }) });
}
