// Delivers a notification as Alipay+ does: until it is told S or F, or its repeats are used up.
import { setTimeout as wait } from "node:timers/promises";
import { type ResultCode, resultCodes } from "../../gateway/alipayplus/result.js";
import { type ReceivedAnswer, type Sender, type SignedRequest, signRequest } from "../sender.js";
import type { Delivery } from "./judge.js";
import type { Manner } from "./kinds.js";
import { silenceOf, type Wire } from "./wire.js";

/** Pauses before each of the eight repeats, as Antom publishes them; Alipay+ publishes none for these APIs. */
export const pausesMs: readonly number[] = [
  0,
  2 * 60_000,
  10 * 60_000,
  10 * 60_000,
  3_600_000,
  2 * 3_600_000,
  6 * 3_600_000,
  15 * 3_600_000,
];

export type DeliverDeps = {
  readonly wire: Wire;
  /** Who signs now: the key may have been rolled since the first delivery. */
  readonly sender: () => Sender;
  readonly clockSkewMs: number;
  readonly slowBodyMs: number;
  readonly timeoutMs: number;
  readonly timeScale: number;
  readonly signal: AbortSignal;
  readonly onDelivery: (request: SignedRequest, delivery: Delivery) => void;
};

/** What came of each delivery, in order. Ends early when the run is interrupted. */
export async function deliver(url: URL, body: Buffer, manner: Manner, deps: DeliverDeps): Promise<Delivery[]> {
  const deliveries: Delivery[] = [];
  for (let repeat = 0; ; repeat++) {
    const sender = deps.sender();
    // Signed anew each time: whether a repeat carries its first Request-Time is not published.
    const request = await signRequest(sender, url, body, Date.now() + deps.clockSkewMs);
    const delivery = await deliverOnce(request, sender, repeat === 0 ? manner : "plain", deps);
    deliveries.push(delivery);
    deps.onDelivery(request, delivery);
    const pauseMs = pausesMs[repeat];
    if (isFinal(delivery) || pauseMs === undefined) return deliveries;
    try {
      await wait(pauseMs / deps.timeScale, undefined, { signal: deps.signal });
    } catch {
      return deliveries;
    }
  }
}

/** Alipay+ believes a final answer only when it is signed. */
export const isFinal = (delivery: Delivery): boolean =>
  delivery.isSigned && (delivery.status === "S" || delivery.status === "F");

async function deliverOnce(
  request: SignedRequest,
  sender: Sender,
  manner: Manner,
  { wire, timeoutMs, slowBodyMs }: DeliverDeps,
): Promise<Delivery> {
  try {
    const answer = await wire.send(request, sender, { manner, timeoutMs, slowBodyMs });
    return { ...resultIn(answer), isSigned: answer.isSigned, ms: answer.ms, manner };
  } catch (error) {
    return { status: "none", code: silenceOf(error), isSigned: false, ms: 0, manner };
  }
}

/** The result in an answer. Any HTTP status but 200 is no answer to Alipay+, whatever the body says. */
function resultIn({ status, body }: ReceivedAnswer): Pick<Delivery, "status" | "code" | "isWrong"> {
  if (status !== 200) return { status: "none", code: `HTTP ${status}` };
  try {
    const { resultStatus, resultCode } = (JSON.parse(body.toString()) as { result: Record<string, unknown> }).result;
    if (typeof resultCode === "string" && (resultStatus === "S" || resultStatus === "F" || resultStatus === "U")) {
      // A receiver may have codes of its own; those that are published have one status.
      const published = resultCodes[resultCode as ResultCode]?.[0];
      return { status: resultStatus, code: resultCode, isWrong: (published ?? resultStatus) !== resultStatus };
    }
  } catch {
    // Told below.
  }
  return { status: "none", code: "HTTP 200 without a result", isWrong: true };
}
