// The server's side of a stream of calls, for a caller of which the test says what it does.
import { once } from "node:events";
import http2 from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import { expect } from "chai";
import { decoderOf } from "../../../lib/protobuf/decoder.js";
import { answering } from "../../../lib/rpc/answering.js";
import { limitingTime } from "../../../lib/rpc/deadline.js";
import { envelope, readEnvelopes } from "../../../lib/rpc/envelopes.js";
import { directStream } from "../../../lib/rpc/streamed-calls.js";
import {
  type BatchRecordActivationsRequest,
  StreamRecordActivationsRequestSchema,
  StreamRecordActivationsResponseSchema,
  TokenLifecycleService,
} from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { streamOfBatches } from "../../../services/token-lifecycle/rpcs/stream-record-activations.js";
import { type DirectServer, noting, startDirectServer } from "../../support/direct-server.js";
import { until } from "../../support/processes.js";

const { batchRecordActivations, streamRecordActivations } = TokenLifecycleService.method;
const limitBytes = 1_000;
const usual = {
  ":method": "POST",
  ":path": `/${streamRecordActivations.parent.typeName}/${streamRecordActivations.name}`,
  "content-type": "application/connect+proto",
  "connect-protocol-version": "1",
};
const message = (sequence: number, more: { items?: number; timeoutMs?: number } = {}) => {
  const batch = { items: Array.from({ length: more.items ?? 1 }, () => ({})) };
  const request = create(StreamRecordActivationsRequestSchema, { sequence, timeoutMs: more.timeoutMs ?? 0, batch });
  return envelope(0, toBinary(StreamRecordActivationsRequestSchema, request));
};

describe("calls that come as messages of one stream", () => {
  /** Number of items of each batch that reached the rpc, and the signal of its call. */
  let reached: { items: number; signal: AbortSignal; isDone: boolean }[];
  let outcomes: string[];
  let implementation: (request: BatchRecordActivationsRequest) => Promise<unknown>;
  let shutdown: AbortController;
  let server: DirectServer;
  let client: http2.ClientHttp2Session;
  let streams: http2.ServerHttp2Stream[];

  beforeEach(async () => {
    [reached, outcomes] = [[], []];
    implementation = async () => ({});
    shutdown = new AbortController();
    const rpc = {
      method: batchRecordActivations,
      implementation: (async (request: BatchRecordActivationsRequest, { signal }: { signal: AbortSignal }) => {
        const entry = { items: request.items.length, signal, isDone: false };
        reached.push(entry);
        const result = await implementation(request);
        entry.isDone = true;
        return result;
      }) as never,
    };
    const answer = answering(rpc, [noting((outcome) => outcomes.push(outcome)), limitingTime(250, 10_000)]);
    const direct = directStream(
      { ...streamOfBatches, rpc, answer },
      { contextValues: () => createContextValues(), readMaxBytes: limitBytes, shutdown: shutdown.signal },
    );
    server = await startDirectServer(direct);
    ({ client, streams } = server);
  });
  afterEach(() => server.stop());

  /** A stream, and what came back on it. */
  function begin(headers: http2.OutgoingHttpHeaders = {}) {
    const stream = client.request({ ...usual, ...headers });
    stream.on("error", () => {});
    const answers: { sequence: number; outcome: string }[] = [];
    const ended: { error?: { code: string; message: string } }[] = [];
    const read = readEnvelopes(1_000_000, (flags, bytes) => {
      if (flags === 2) ended.push(JSON.parse(bytes.toString()));
      else {
        const { sequence, result } = decoderOf(StreamRecordActivationsResponseSchema)(bytes);
        const outcome = result.case === "error" ? (Code[result.value.code] ?? "") : (result.case ?? "");
        answers.push({ sequence, outcome });
      }
    });
    stream.on("data", read);
    return {
      stream,
      answers,
      ended,
      answered: (count: number) => until(`${count} answers`, () => answers.length >= count),
      closed: () => until("it is over", () => stream.closed),
    };
  }

  it("are answered each by its number, as they are ready", async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    implementation = async ({ items }) => {
      if (items.length === 2) await held;
      return {};
    };
    const { stream, answers, answered, ended, closed } = begin();
    stream.write(Buffer.concat([message(7, { items: 2 }), message(8), message(9)]));
    await answered(2);
    expect(answers.map(({ sequence }) => sequence)).to.have.members([8, 9]);
    release();
    await answered(3);
    expect(answers[2]).to.deep.equal({ sequence: 7, outcome: "response" });
    stream.end();
    await closed();
    expect(ended).to.deep.equal([{}]);
    expect(outcomes).to.deep.equal(["done", "done", "done"]);
  });

  it("are answered after the caller has ended its side, and then the stream ends", async () => {
    let release = () => {};
    implementation = () =>
      new Promise((resolve) => {
        release = () => resolve({});
      });
    const { stream, answers, ended, closed } = begin();
    stream.end(message(1));
    await until("it is under way", () => reached.length === 1);
    await until("its side is ended", () => streams[0]?.readableEnded === true);
    expect(ended).to.deep.equal([]);
    release();
    await closed();
    expect([answers, ended]).to.deep.equal([[{ sequence: 1, outcome: "response" }], [{}]]);
  });

  it("fail each alone: by a refusal, by a bug, by the deadline of the batch, and by the server's own", async () => {
    implementation = async ({ items }) => {
      if (items.length === 1) throw new ConnectError("no", Code.AlreadyExists);
      if (items.length === 2) throw new Error("secret");
      if (items.length === 3) await new Promise(() => {});
      return {};
    };
    const { stream, answers, answered } = begin();
    const started = performance.now();
    stream.write(message(1, { items: 1 }));
    stream.write(message(2, { items: 2 }));
    stream.write(message(3, { items: 3, timeoutMs: 50 }));
    stream.write(message(4, { items: 3 }));
    stream.write(message(5, { items: 4 }));
    await answered(5);
    expect(performance.now() - started).to.be.within(240, 2_000);
    expect(Object.fromEntries(answers.map(({ sequence, outcome }) => [sequence, outcome]))).to.deep.equal({
      ...{ 1: "AlreadyExists", 2: "Internal", 3: "DeadlineExceeded", 4: "DeadlineExceeded", 5: "response" },
    });
  });

  it("without a batch are calls with an empty one", async () => {
    const { stream, answers, answered } = begin();
    stream.write(envelope(0, Buffer.alloc(0)));
    await answered(1);
    expect(answers).to.deep.equal([{ sequence: 0, outcome: "response" }]);
    expect(reached.map(({ items }) => items)).to.deep.equal([0]);
  });

  const faults: { name: string; bytes: Buffer; code: string }[] = [
    { name: "is too large", bytes: envelope(0, Buffer.alloc(limitBytes + 1)), code: "resource_exhausted" },
    { name: "is none", bytes: envelope(0, Buffer.from("\x1a\x7fsecret")), code: "internal" },
    { name: "is compressed", bytes: envelope(1, Buffer.alloc(1)), code: "invalid_argument" },
  ];
  for (const { name, bytes, code } of faults)
    it(`end with ${code} when a message ${name}, and nothing behind it is done`, async () => {
      const { stream, ended, closed } = begin();
      stream.write(Buffer.concat([message(1), bytes, message(2)]));
      await until("the stream is ended", () => ended.length === 1);
      expect(ended[0]?.error?.code).to.equal(code);
      expect(JSON.stringify(ended)).to.not.include("secret");
      expect(reached).to.have.length(1);
      expect(reached[0]?.signal.aborted, "its call hears of it").to.equal(true);
      stream.end();
      await closed();
    });

  it("are read no faster than they are worked on", async () => {
    const releases: (() => void)[] = [];
    implementation = () => new Promise((resolve) => releases.push(() => resolve({})));
    const { stream, answered } = begin();
    for (let sequence = 1; sequence <= 200; sequence++) stream.write(message(sequence, { items: 400 }));
    await until("64 are under way", () => reached.length >= 64);
    await new Promise(setImmediate);
    // What one chunk brought is worked on as a whole.
    const first = reached.length;
    expect(first).to.be.below(200);
    expect(streams[0]?.isPaused()).to.equal(true);
    for (let done = 0; done < 200; ) {
      await until("there is something to release", () => releases.length > 0);
      for (const release of releases.splice(0)) {
        release();
        done += 1;
      }
    }
    await answered(200);
  });

  it("hear that their caller went away", async () => {
    implementation = () => new Promise(() => {});
    const { stream } = begin();
    stream.write(message(1));
    await until("it is under way", () => reached.length === 1);
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await until("it has heard", () => outcomes.length === 1);
    expect(outcomes).to.deep.equal(["Canceled"]);
  });

  it("are answered with the reason when the server stops, and so is the stream", async () => {
    implementation = () => new Promise(() => {});
    const { stream, answers, ended, closed } = begin();
    stream.write(message(1));
    await until("it is under way", () => reached.length === 1);
    shutdown.abort(new ConnectError("the service is stopping", Code.Unavailable));
    await until("the stream is ended", () => ended.length === 1);
    expect(answers).to.deep.equal([{ sequence: 1, outcome: "Unavailable" }]);
    expect(ended[0]?.error).to.deep.equal({ code: "unavailable", message: "the service is stopping" });
    stream.end();
    await closed();
    const late = begin();
    late.stream.end(message(2));
    await late.closed();
    expect(late.answers).to.deep.equal([{ sequence: 2, outcome: "Unavailable" }]);
    expect(reached).to.have.length(1);
  });

  const others: { name: string; headers: http2.OutgoingHttpHeaders }[] = [
    { name: "another rpc", headers: { ":path": "/mpp.token.v1.TokenLifecycleService/Other" } },
    { name: "another method", headers: { ":method": "PUT" } },
    { name: "gRPC", headers: { "content-type": "application/grpc+proto" } },
    { name: "JSON", headers: { "content-type": "application/connect+json" } },
    { name: "a compressed stream", headers: { "connect-content-encoding": "gzip" } },
    { name: "a stream with a deadline", headers: { "connect-timeout-ms": "1000" } },
    { name: "another version of the protocol", headers: { "connect-protocol-version": "2" } },
  ];
  for (const { name, headers } of others)
    it(`leave ${name} to the general way`, async () => {
      const { stream } = begin(headers);
      stream.end();
      const [received] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
      expect(received[":status"]).to.equal(299);
    });
});
