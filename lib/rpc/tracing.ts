// A span for each unary call that belongs to a sampled trace, and spans of its own for what the call waits for.
import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import type { Interceptor } from "@connectrpc/connect";
import type { Span, SpanExporter } from "../otlp.js";
import { type TraceContext, traceContextOf } from "../trace.js";

/** Work that is a span of a trace, where the trace is sampled. */
export type Traced = <T>(
  traceparent: string | null,
  name: string,
  attributes: NonNullable<Span["attributes"]>,
  work: () => Promise<T>,
) => Promise<T>;

export type CallTracing = {
  /** For calls that carry their trace in the header. */
  readonly interceptor: Interceptor;
  /** For work that carries it elsewhere: one call may hold many. */
  readonly traced: Traced;
  /** Something that the work at hand waited for has ended now. */
  readonly waited: (name: string, seconds: number) => void;
};

export function createCallTracing(exporter: SpanExporter): CallTracing {
  const present = new AsyncLocalStorage<TraceContext>();
  const newSpanId = (): string => randomBytes(8).toString("hex");
  const traced: Traced = (traceparent, name, attributes, work) => {
    const above = traceContextOf(traceparent);
    if (!above?.isSampled) return work();
    const { traceId } = above;
    const spanId = newSpanId();
    const beganMs = Date.now();
    const beganAt = performance.now();
    const end = (isError: boolean): void =>
      exporter.add({
        ...{ traceId, spanId, parentSpanId: above.spanId, name, kind: "server" },
        ...{ beganMs, endedMs: beganMs + performance.now() - beganAt, attributes, isError },
      });
    return present.run({ traceId, spanId, isSampled: true }, async () => {
      try {
        const result = await work();
        end(false);
        return result;
      } catch (error) {
        end(true);
        throw error;
      }
    });
  };
  return {
    interceptor: (next) => (request) =>
      request.stream
        ? next(request)
        : traced(request.header.get("traceparent"), request.method.name, {}, () => next(request)),
    traced,
    waited(name, seconds) {
      const above = present.getStore();
      if (above === undefined) return;
      const endedMs = Date.now();
      exporter.add({
        ...{ traceId: above.traceId, spanId: newSpanId(), parentSpanId: above.spanId, name, kind: "internal" },
        ...{ beganMs: endedMs - seconds * 1_000, endedMs },
      });
    },
  };
}
