// Sends finished spans to an OpenTelemetry collector: OTLP over HTTP in JSON, in batches, behind the work they tell of.
import { errorFields, type Log } from "./log.js";

export type Span = {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string | undefined;
  readonly name: string;
  readonly kind: "internal" | "server";
  readonly beganMs: number;
  readonly endedMs: number;
  readonly attributes?: Readonly<Record<string, string | number | boolean>>;
  readonly isError?: boolean;
};

export type OtlpOptions = {
  /** Base address; /v1/traces is added. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
};

export type SpanExporter = {
  readonly add: (span: Span) => void;
  /** Sends what is left, within a second. */
  readonly stop: () => Promise<void>;
};

/** Spans that wait; further ones are dropped. */
const queueLimit = 4_096;
const batchLimit = 512;
const everyMs = 1_000;
const timeoutMs = 5_000;
/** Trouble is logged once in this time. */
const quietMs = 60_000;

export function createSpanExporter(options: OtlpOptions, log: Log): SpanExporter {
  const url = `${options.endpoint.replace(/\/+$/, "")}/v1/traces`;
  let queue: Span[] = [];
  let dropped = 0;
  let quietUntil = 0;
  let sending: Promise<void> | undefined;

  const send = async (batch: readonly Span[], limitMs: number): Promise<void> => {
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { ...options.headers, "content-type": "application/json" },
        body: JSON.stringify(requestOf(options.serviceName, batch)),
        signal: AbortSignal.timeout(limitMs),
      });
      await response.arrayBuffer();
      if (!response.ok) throw Object.assign(new Error("the collector refused"), { code: response.status });
    } catch (error) {
      dropped += batch.length;
      if (Date.now() < quietUntil) return;
      quietUntil = Date.now() + quietMs;
      log.warn({ dropped, ...errorFields(error) }, "spans were not exported");
    }
  };
  const flush = async (limitMs: number): Promise<void> => {
    while (queue.length > 0) {
      const batch = queue.slice(0, batchLimit);
      queue = queue.slice(batchLimit);
      await send(batch, limitMs);
    }
  };
  const start = (): void => {
    sending ??= flush(timeoutMs).finally(() => {
      sending = undefined;
    });
  };
  const timer = setInterval(start, everyMs);
  timer.unref();
  return {
    add(span) {
      if (queue.length >= queueLimit) {
        dropped += 1;
        return;
      }
      queue.push(span);
      if (queue.length >= batchLimit) start();
    },
    async stop() {
      clearInterval(timer);
      const end = new Promise<void>((resolve) => setTimeout(resolve, 1_000).unref());
      await Promise.race([end, Promise.resolve(sending).then(() => flush(1_000))]);
    },
  };
}

const kinds = { internal: 1, server: 2 } as const;
/** Nanoseconds since 1970, as the JSON of a 64-bit number. */
const nanos = (ms: number): string => (BigInt(Math.round(ms * 1_000)) * 1_000n).toString();

/** opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest in its JSON form. */
function requestOf(serviceName: string, spans: readonly Span[]) {
  return {
    resourceSpans: [
      {
        resource: { attributes: attributesOf({ "service.name": serviceName, "process.pid": process.pid }) },
        scopeSpans: [{ scope: { name: "token-gateway" }, spans: spans.map(jsonOf) }],
      },
    ],
  };
}

const jsonOf = ({ traceId, spanId, parentSpanId, name, kind, beganMs, endedMs, attributes = {}, isError }: Span) => ({
  ...{ traceId, spanId, ...(parentSpanId && { parentSpanId }), name, kind: kinds[kind] },
  ...{ startTimeUnixNano: nanos(beganMs), endTimeUnixNano: nanos(endedMs) },
  attributes: attributesOf(attributes),
  status: isError ? { code: 2 } : {},
});

const attributesOf = (attributes: Readonly<Record<string, string | number | boolean>>) =>
  Object.entries(attributes).map(([key, value]) => ({
    key,
    value:
      typeof value === "string"
        ? { stringValue: value }
        : typeof value === "boolean"
          ? { boolValue: value }
          : Number.isSafeInteger(value)
            ? { intValue: String(value) }
            : { doubleValue: value },
  }));
