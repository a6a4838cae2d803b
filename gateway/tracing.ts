// The trace of a delivery: the sender's, where a genuine request names one, or else one of the delivery's own ID.
import { randomBytes } from "node:crypto";
import type { Span } from "../lib/otlp.js";
import { traceContextOf, traceIdsOf, traceparentOf } from "../lib/trace.js";
import type { Journey } from "./pipeline.js";
import type { Trace } from "./stages/messages.js";

/** `isSampled` decides for traces that begin here. */
export const traceOfDelivery =
  (isSampled: (traceId: string) => boolean) =>
  (deliveryId: string, incoming: string | string[] | undefined): Trace => {
    const { traceId, spanId } = traceIdsOf(deliveryId);
    const above = typeof incoming === "string" ? traceContextOf(incoming) : undefined;
    const context = above
      ? { traceId: above.traceId, spanId, isSampled: above.isSampled, parentSpanId: above.spanId }
      : { traceId, spanId, isSampled: isSampled(traceId) };
    return Object.assign(context, { traceparent: traceparentOf(context) });
  };

/** The delivery as a span, and each of its stages as a part of it. */
export function spansOf(journey: Journey, { traceId, spanId, parentSpanId }: Trace): Span[] {
  const { deliveryId, api, clientId, tokenReferenceId, result, stages, endedAt } = journey;
  const wallOf = (at: number): number => journey.startedMs + (at - journey.beganAt);
  const chance = randomBytes(8 * stages.length);
  return [
    {
      ...{ traceId, spanId, parentSpanId, name: api ?? "request", kind: "server" },
      ...{ beganMs: journey.startedMs, endedMs: wallOf(endedAt), isError: result?.resultStatus === "U" },
      attributes: {
        "delivery.id": deliveryId,
        ...(clientId !== undefined && { "client.id": clientId }),
        ...(tokenReferenceId !== undefined && { "token.reference_id": tokenReferenceId }),
        ...(result && { "result.code": result.resultCode }),
      },
    },
    ...stages.map(
      ({ name, at }, index): Span => ({
        ...{ traceId, spanId: chance.toString("hex", 8 * index, 8 * index + 8), parentSpanId: spanId, name },
        ...{ kind: "internal", beganMs: wallOf(at), endedMs: wallOf(stages[index + 1]?.at ?? endedAt) },
      }),
    ),
  ];
}
