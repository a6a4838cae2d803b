// Notifications for tests, and the door they go through.
import { randomUUID } from "node:crypto";
import { Agent, request as httpRequest, type OutgoingHttpHeaders } from "node:http";
import { type ReceivedAnswer, receive, type Sender, send, signRequest } from "../../tools/sender.js";
import { testSender } from "./keys.js";

export const apiPath = "/aps/api/v1/tokenActivationNotification";

/** A full notification of a new token; members given replace the usual ones, and undefined leaves one out. */
export function notification(members: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    tokenReferenceId: `T-${randomUUID()}`,
    customerId: "customer-1",
    walletId: "103",
    tokenRequestorId: "50110030273",
    secureElementId: "04AABBCCDDEEFF",
    accountSource: "ACCOUNT_ON_FILE",
    serviceRequestTime: "2026-01-02T11:04:05+08:00",
    tokenActivatedTime: "2026-01-02T11:05:06.789+08:00",
    tokenData: { token: "5345678901234521", expiryMonth: "10", expiryYear: "28", sequenceNumber: "01" },
    ...members,
  };
}

export type Result = { resultCode: string; resultStatus: string; resultMessage: string };
export type TestAnswer = ReceivedAnswer & { result: Result };

const resultIn = (body: Buffer): Result => {
  try {
    return JSON.parse(body.toString()).result;
  } catch {
    return { resultCode: `no JSON: ${body.toString()}`, resultStatus: "", resultMessage: "" };
  }
};

/** Sends a signed notification over its own or the given agent. */
export async function notify(
  gatewayUrl: string,
  members: Record<string, unknown> | Buffer | string,
  { sender = testSender, path = apiPath, agent }: { sender?: Sender; path?: string; agent?: Agent } = {},
): Promise<TestAnswer> {
  const body =
    Buffer.isBuffer(members) || typeof members === "string"
      ? Buffer.from(members as string)
      : Buffer.from(JSON.stringify(members));
  const own = agent ?? new Agent();
  const request = await signRequest(sender, new URL(gatewayUrl + path), body);
  const answer = await send(sender, request, own);
  if (!agent) own.destroy();
  return { ...answer, result: resultIn(answer.body) };
}

/** Sends exactly these bytes and headers, signed by nobody but the caller. */
export function sendRaw(
  url: string,
  {
    method = "POST",
    headers = {},
    body,
    sender = testSender,
  }: { method?: string; headers?: OutgoingHttpHeaders; body?: Buffer | string; sender?: Sender },
): Promise<TestAnswer> {
  const started = performance.now();
  const { pathname } = new URL(url);
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { method, headers, agent: false }, (response) =>
      receive(response, sender, method, pathname, started).then(
        (answer) => resolve({ ...answer, result: resultIn(answer.body) }),
        reject,
      ),
    );
    request.on("error", reject);
    request.end(body);
  });
}
