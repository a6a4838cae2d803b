// A delivery's ID and its trace: told to the sender, and found again in log, history, event and, where there is one, collector.
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import { TokenLifecycleService } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import type { TokenEvent } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { expectResult } from "../support/expectations.js";
import { notification } from "../support/notification.js";
import { startTestStack, type TestStack, until } from "../support/processes.js";
import { freePort } from "../support/programs.js";
import { type Change, sendChanged } from "../support/sending.js";

type Attributes = { key: string; value: { stringValue?: string } }[];
type ToldSpan = {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attributes;
};
type Export = { resourceSpans: { resource: { attributes: Attributes }; scopeSpans: { spans: ToldSpan[] }[] }[] };
type Span = ToldSpan & { service: string | undefined };

/** Stands in for an OpenTelemetry collector. */
async function startCollector() {
  const spans: Span[] = [];
  const requests: { path: string; headers: IncomingHttpHeaders }[] = [];
  const server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    requests.push({ path: request.url ?? "", headers: request.headers });
    const { resourceSpans } = JSON.parse(Buffer.concat(chunks).toString()) as Export;
    for (const { resource, scopeSpans } of resourceSpans) {
      const service = resource.attributes.find(({ key }) => key === "service.name")?.value.stringValue;
      for (const span of scopeSpans.flatMap((each) => each.spans)) spans.push({ ...span, service });
    }
    response.setHeader("content-type", "application/json").end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    requests,
    stop: () => new Promise((resolve) => server.close(resolve)),
  };
}

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const traceparent = (flags: string): Change => ({
  headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-${flags}` },
});
const deliveryIdOf = (answer: { headers: Record<string, string> }): string => answer.headers["x-delivery-id"] ?? "";
const ownTraceId = (deliveryId: string): string => deliveryId.replaceAll("-", "");

describe("a delivery", () => {
  let stack: TestStack;
  let collector: Awaited<ReturnType<typeof startCollector>>;
  before(async () => {
    collector = await startCollector();
    const otlp = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_HEADERS: "x-key=a%20b" };
    stack = await startTestStack({ gateway: otlp, service: otlp });
  });
  after(async () => {
    await stack?.stop();
    await collector?.stop();
  });

  const client = () =>
    createClient(TokenLifecycleService, createConnectTransport({ baseUrl: stack.service.url, httpVersion: "1.1" }));
  const eventsOf = async (tokenReferenceId: string, count: number): Promise<TokenEvent[]> => {
    const events: TokenEvent[] = [];
    const end = new AbortController();
    const start = { case: "fromBeginning", value: true } as const;
    try {
      for await (const { event } of client().watchTokenEvents({ start }, { signal: end.signal })) {
        if (event?.tokenReferenceId === tokenReferenceId) events.push(event);
        if (events.length === count) return events;
      }
      throw new Error("the watch ended");
    } finally {
      // Leaving the loop does not tell the service.
      end.abort();
    }
  };
  const spansOf = async (id: string, count: number): Promise<Span[]> => {
    const found = () => collector.spans.filter((span) => span.traceId === id);
    await until(`${count} spans are exported`, () => found().length >= count);
    return found();
  };
  const send = (tokenReferenceId: string, change: Change = {}) =>
    sendChanged(stack.gateway.url, JSON.stringify(notification({ tokenReferenceId })), change);

  it("has an ID that the sender is told, and that log, history and event know", async () => {
    const answer = await send("T-told");
    expectResult(answer, "SUCCESS");
    const deliveryId = deliveryIdOf(answer);
    expect(deliveryId).to.match(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    const { events } = await client().getTokenHistory({ tokenReferenceId: "T-told" });
    expect(events.map((event) => event.deliveryId)).to.deep.equal([deliveryId]);
    expect(events[0]?.traceparent).to.equal("");
    const [event] = await eventsOf("T-told", 1);
    expect(event?.deliveryId).to.equal(deliveryId);
    expect(event?.traceparent).to.match(new RegExp(`^00-${ownTraceId(deliveryId)}-[0-9a-f]{16}-01$`));
    await until("it is logged", () => stack.gateway.log().includes(`"traceId":"${ownTraceId(deliveryId)}"`));
    expect(stack.gateway.log()).to.include(`"deliveryId":"${deliveryId}"`);
  });

  it("is told its ID whatever it is answered", async () => {
    for (const change of [
      { method: "GET" },
      { path: "/nothing" },
      { headers: { Signature: undefined } },
      { headers: { Accept: "text/html" } },
    ])
      expect(deliveryIdOf(await send("T-any", change))).to.match(/^[0-9a-f-]{36}$/);
  });

  it("is a trace of the gateway, its stages, the call and what that waits for", async () => {
    const deliveryId = deliveryIdOf(await send("T-trace"));
    const spans = await spansOf(ownTraceId(deliveryId), 8);
    const named = (name: string): Span => {
      const [span, ...others] = spans.filter((each) => each.name === name);
      if (span === undefined || others.length > 0) return expect.fail(`${others.length} spans ${name} and others`);
      return span;
    };
    const root = named("tokenActivationNotification");
    expect(root).to.include({ service: "token-gateway" }).and.to.not.have.property("parentSpanId");
    const attributes = Object.fromEntries(root.attributes.map(({ key, value }) => [key, value.stringValue]));
    expect(attributes).to.include({
      "delivery.id": deliveryId,
      "token.reference_id": "T-trace",
      "result.code": "SUCCESS",
    });
    for (const stage of ["read", "verify", "decode", "rpc", "sign"])
      expect(named(stage), stage).to.include({ parentSpanId: root.spanId, service: "token-gateway" });
    const call = named("RecordActivation");
    expect(call).to.include({ parentSpanId: root.spanId, service: "token-service" });
    expect(named("redis swap")).to.include({ parentSpanId: call.spanId, service: "token-service" });
    for (const { startTimeUnixNano, endTimeUnixNano, name } of spans)
      expect(BigInt(endTimeUnixNano) >= BigInt(startTimeUnixNano), name).to.equal(true);
    expect(collector.requests[0]?.path).to.equal("/v1/traces");
    expect(collector.requests[0]?.headers).to.include({ "x-key": "a b", "content-type": "application/json" });
  });

  it("goes on with the trace of a genuine sender", async () => {
    const answer = await send("T-theirs", traceparent("01"));
    expectResult(answer, "SUCCESS");
    const spans = await spansOf(traceId, 8);
    const root = spans.find(({ name }) => name === "tokenActivationNotification");
    expect(root?.parentSpanId).to.equal("00f067aa0ba902b7");
    const [event] = await eventsOf("T-theirs", 1);
    expect(event?.traceparent).to.equal(`00-${traceId}-${root?.spanId}-01`);
  });

  it("exports nothing of a trace that its sender does not sample, and passes it on all the same", async () => {
    const before = collector.spans.filter((span) => span.traceId === traceId).length;
    expectResult(await send("T-not-sampled", traceparent("00")), "SUCCESS");
    const [event] = await eventsOf("T-not-sampled", 1);
    expect(event?.traceparent).to.match(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
    // What is sent later is here, so what was sent before would be.
    await spansOf(ownTraceId(deliveryIdOf(await send("T-after"))), 8);
    expect(collector.spans.filter((span) => span.traceId === traceId)).to.have.length(before);
  });

  it("believes no traceparent of a request that was not proved to be signed", async () => {
    const answer = await send("T-strange", { headers: { ...traceparent("01").headers, Signature: undefined } });
    expectResult(answer, "INVALID_SIGNATURE");
    const [span] = await spansOf(ownTraceId(deliveryIdOf(answer)), 1);
    expect(span).to.not.have.property("parentSpanId");
  });

  it("was watched by readers who have gone, and each of their streams is counted with its end", async () => {
    const counted = async (): Promise<number> => {
      const text = await (await fetch(`${stack.service.adminUrl}/metrics`)).text();
      const [, count = 0] =
        /^token_service_calls_total\{method="WatchTokenEvents",code="canceled"\} (\d+)$/m.exec(text) ?? [];
      return Number(count);
    };
    const before = await counted();
    await send("T-watched");
    await eventsOf("T-watched", 1);
    await until("the stream is counted", async () => (await counted()) > before);
  });

  it("of the MPP's own services carries their trace into the event", async () => {
    expectResult(await send("T-move"), "SUCCESS");
    const headers = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01` };
    const move = { tokenReferenceId: "T-move", suspender: 1, reason: "r", actor: "a", requestId: "r-1" };
    await client().suspendToken(move, { headers });
    const [, event] = await eventsOf("T-move", 2);
    expect(event?.traceparent).to.equal(headers.traceparent);
    await spansOf("a".repeat(32), 1);
  });
});

describe("a collector that is not there", () => {
  it("holds up neither an answer nor the stop, and is told once in the log", async () => {
    const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}` };
    const stack = await startTestStack({ gateway: endpoint });
    try {
      const send = () => sendChanged(stack.gateway.url, JSON.stringify(notification()));
      expectResult(await send(), "SUCCESS");
      await until("it is logged", () => stack.gateway.log().includes("spans were not exported"));
      expectResult(await send(), "SUCCESS");
      await stack.gateway.stop();
      expect(stack.gateway.log().split("spans were not exported")).to.have.length(2);
      expect(stack.gateway.log()).to.include('"msg":"stopped"');
    } finally {
      await stack.stop();
    }
  });
});
