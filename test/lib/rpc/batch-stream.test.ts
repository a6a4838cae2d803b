// The caller's side of a stream of batches, against a peer of which the test says what it does.
import { once } from "node:events";
import http2, { type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type net from "node:net";
import { create, type Message, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { decoderOf } from "../../../lib/protobuf/decoder.js";
import { batchOf, batchStreamOf } from "../../../lib/rpc/batch.js";
import { batchStream, type SendBatch } from "../../../lib/rpc/batch-stream.js";
import { connectChannel } from "../../../lib/rpc/connect-channel.js";
import { envelope, readEnvelopes } from "../../../lib/rpc/envelopes.js";
import { gatheringTransport } from "../../../lib/rpc/gathering-transport.js";
import { ErrorInfoSchema } from "../../../proto/gen/google/rpc/error_details_pb.js";
import { ErrorReason } from "../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import {
  type BatchRecordActivationsResponse,
  type RecordActivationResponse,
  RecordActivationResponseSchema,
  type StreamRecordActivationsRequest,
  StreamRecordActivationsRequestSchema,
  type StreamRecordActivationsResponse,
  StreamRecordActivationsResponseSchema,
  TokenLifecycleService,
} from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { refusal, statusOf } from "../../../services/token-lifecycle/errors.js";
import { until } from "../../support/processes.js";
import { activationRequest } from "../../support/rpc.js";

const { recordActivation } = TokenLifecycleService.method;
const batch = batchOf(recordActivation, "BatchRecordActivations");
const rpc = batchStreamOf(batch, "StreamRecordActivations");
const streamType = "application/connect+proto";
const limitBytes = 20_000;

/** A stream that reached the peer. */
type Got = {
  readonly stream: ServerHttp2Stream;
  readonly headers: http2.IncomingHttpHeaders;
  readonly requests: StreamRecordActivationsRequest[];
  readonly answer: (sequence: number, result?: StreamRecordActivationsResponse["result"]) => void;
  readonly end: (json?: object) => void;
};

const responseOf = (sequence: number, result: StreamRecordActivationsResponse["result"]) =>
  toBinary(
    StreamRecordActivationsResponseSchema,
    create(StreamRecordActivationsResponseSchema, { sequence, result } as never),
  );
/** A batch's response with one result, whose version tells which one it is. */
const recorded = (version: number) =>
  ({
    case: "response",
    value: { results: [{ result: { case: "response", value: { version: BigInt(version) } } }] },
  }) as never;
const versionIn = (response: Message): number => {
  const [first] = (response as BatchRecordActivationsResponse).results;
  return Number(first?.result.case === "response" ? first.result.value.version : -1);
};

describe("batches over a call that lasts", () => {
  let server: http2.Http2Server;
  let sessions: ServerHttp2Session[];
  let streams: Got[];
  /** What the peer does when a stream begins, and with each batch. */
  let onStream: (got: Got) => void;
  let onRequest: (request: StreamRecordActivationsRequest, got: Got) => void;
  let url: string;
  const ends: (() => void)[] = [];

  beforeEach(async () => {
    sessions = [];
    streams = [];
    onStream = ({ stream }) => stream.respond({ ":status": 200, "content-type": streamType });
    onRequest = ({ sequence }, { answer }) => answer(sequence);
    server = http2.createServer();
    server.on("session", (session) => {
      sessions.push(session);
      session.on("error", () => {});
    });
    server.on("stream", (stream, headers) => {
      const got: Got = {
        ...{ stream, headers, requests: [] },
        answer: (sequence, result = recorded(sequence)) => stream.write(envelope(0, responseOf(sequence, result))),
        end: (json = {}) => stream.end(envelope(2, Buffer.from(JSON.stringify(json)))),
      };
      stream.on("error", () => {});
      const read = readEnvelopes(limitBytes, (_flags, bytes) => {
        const request = decoderOf(StreamRecordActivationsRequestSchema)(bytes);
        got.requests.push(request);
        onRequest(request, got);
      });
      stream.on("data", read);
      streams.push(got);
      onStream(got);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    url = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
  });
  afterEach(async () => {
    for (const end of ends.splice(0)) end();
    for (const session of sessions) session.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  function channel() {
    const made = connectChannel(url, { tls: undefined, readMaxBytes: limitBytes });
    ends.push(made.close);
    return made;
  }
  const sender = (): SendBatch =>
    batchStream(channel(), rpc, { writeMaxBytes: limitBytes, readMaxBytes: limitBytes }).send;
  const one = (more = {}) => batch.requestOf([{ request: activationRequest(more), timeoutMs: 5_000 }]);
  const send = async (by: SendBatch, timeoutMs = 5_000): Promise<number> => versionIn(await by(one(), timeoutMs));
  const failure = (reply: Promise<unknown>): Promise<ConnectError> =>
    reply.then(
      () => Promise.reject(new Error("the batch was answered")),
      (error: unknown) => {
        expect(error).to.be.instanceOf(ConnectError);
        return error as ConnectError;
      },
    );
  const requestsCame = (count: number) =>
    until(`${count} batches came`, () => streams.flatMap(({ requests }) => requests).length >= count);

  it("says what it is, and goes out before the peer has said anything", async () => {
    onStream = () => {};
    onRequest = () => {};
    const answer = send(sender());
    await requestsCame(1);
    const [{ headers, stream, answer: reply } = undefined as never] = streams;
    expect(headers).to.include({
      ":method": "POST",
      ":path": "/mpp.token.v1.TokenLifecycleService/StreamRecordActivations",
      "content-type": streamType,
      "connect-protocol-version": "1",
    });
    expect(headers).to.not.have.any.keys("connect-timeout-ms", "content-encoding");
    stream.respond({ ":status": 200, "content-type": streamType });
    reply(1);
    expect(await answer).to.equal(1);
  });

  it("takes one stream for all, and gives each batch the answer with its number, whatever the order", async () => {
    onRequest = () => {};
    const by = sender();
    const answers = [1_000, 2_000, 3_000].map((timeoutMs) => send(by, timeoutMs));
    await requestsCame(3);
    const [{ requests, answer } = undefined as never] = streams;
    expect(requests.map(({ timeoutMs }) => timeoutMs)).to.deep.equal([1_000, 2_000, 3_000]);
    const numbers = requests.map(({ sequence }) => sequence);
    for (const number of [...numbers].reverse()) answer(number);
    expect(await Promise.all(answers)).to.deep.equal(numbers);
    onRequest = ({ sequence }) => answer(sequence);
    await send(by);
    expect(streams).to.have.length(1);
  });

  it("leaves no timer and no pending answer behind", async () => {
    const by = sender();
    await send(by);
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const before = timers();
    await Promise.all(Array.from({ length: 50 }, () => send(by)));
    expect(timers()).to.equal(before);
  });

  it("gives a batch the error that the peer chose for it, and no other", async () => {
    const conflict = statusOf(refusal(ErrorReason.CONTENTION, "busy"));
    onRequest = ({ sequence }, { answer }) =>
      sequence === 1 ? answer(sequence, { case: "error", value: conflict }) : answer(sequence);
    const by = sender();
    const [first, second] = [failure(send(by)), send(by)];
    const error = await first;
    expect([error.code, error.rawMessage]).to.deep.equal([Code.Aborted, "busy"]);
    expect(error.findDetails(ErrorInfoSchema)[0]).to.include({ reason: "CONTENTION" });
    expect(await second).to.equal(2);
  });

  it("does not send a batch that is too large or cannot be encoded, and goes on", async () => {
    const by = sender();
    const large = await failure(by(one({ customerId: "x".repeat(limitBytes) }), 1_000));
    expect(large.code).to.equal(Code.ResourceExhausted);
    const broken = batch.requestOf([{ request: activationRequest(), timeoutMs: "soon" as never }]);
    Object.defineProperty(broken, "items", {
      get: () => {
        throw new Error("broken");
      },
    });
    expect((await failure(by(broken, 1_000))).code).to.equal(Code.Internal);
    expect(await send(by)).to.equal(3);
    expect(streams.flatMap(({ requests }) => requests)).to.have.length(1);
  });

  const endings: { name: string; end: (got: Got) => void; code: Code }[] = [
    { name: "ends it", end: ({ end }) => end(), code: Code.Unavailable },
    {
      name: "ends it with an error",
      end: ({ end }) => end({ error: { code: "resource_exhausted", message: "too much" } }),
      code: Code.ResourceExhausted,
    },
    { name: "cuts it", end: ({ stream }) => stream.end(), code: Code.Unavailable },
    {
      name: "resets it",
      end: ({ stream }) => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR),
      code: Code.Unavailable,
    },
    { name: "loses the connection", end: ({ stream }) => stream.session?.destroy(), code: Code.Unavailable },
    {
      name: "says what is no message",
      end: ({ stream }) => stream.write(envelope(0, Buffer.from([0xff]))),
      code: Code.Unavailable,
    },
    {
      name: "says it in another form",
      end: ({ stream }) => stream.write(envelope(1, responseOf(1, recorded(1)))),
      code: Code.Unavailable,
    },
    {
      name: "says too much at once",
      end: ({ stream }) => stream.write(envelope(0, Buffer.alloc(limitBytes + 1))),
      code: Code.Unavailable,
    },
    {
      name: "ends it in words that are none",
      end: ({ stream }) => stream.end(envelope(2, Buffer.from("{"))),
      code: Code.Unavailable,
    },
  ];
  for (const { name, end, code } of endings)
    it(`tells ${Code[code]} to all that have no answer when the peer ${name}, and the next one begins anew`, async () => {
      onRequest = (_request, got) => got.requests.length === 2 && end(got);
      const by = sender();
      const errors = await Promise.all([failure(send(by)), failure(send(by))]);
      expect(errors.map((error) => error.code)).to.deep.equal([code, code]);
      onRequest = ({ sequence }, { answer }) => answer(sequence);
      expect(await send(by)).to.equal(3);
      expect(streams).to.have.length(2);
    });

  const refusals: { name: string; headers: http2.OutgoingHttpHeaders; code: Code }[] = [
    { name: "has no such rpc", headers: { ":status": 404 }, code: Code.Unimplemented },
    { name: "is too busy", headers: { ":status": 503 }, code: Code.Unavailable },
    { name: "answers with a page", headers: { ":status": 200, "content-type": "text/html" }, code: Code.Unavailable },
    {
      name: "compresses",
      headers: { ":status": 200, "content-type": streamType, "connect-content-encoding": "gzip" },
      code: Code.Unavailable,
    },
  ];
  for (const { name, headers, code } of refusals)
    it(`tells ${Code[code]} when the peer ${name}`, async () => {
      onStream = ({ stream }) => {
        stream.respond(headers);
        stream.end("some words");
      };
      onRequest = () => {};
      expect((await failure(send(sender()))).code).to.equal(code);
    });

  it("tells DEADLINE_EXCEEDED in time, drops the answer that comes later, and keeps a connection that speaks", async () => {
    onRequest = ({ sequence, timeoutMs }, { answer }) => timeoutMs !== 60 && answer(sequence);
    const by = sender();
    const late = failure(send(by, 60));
    expect(await send(by)).to.equal(2);
    expect((await late).code).to.equal(Code.DeadlineExceeded);
    streams[0]?.answer(1);
    expect(await send(by)).to.equal(3);
    expect([streams.length, sessions.length]).to.deep.equal([1, 1]);
  });

  it("tries another connection after a deadline in whose time the peer said nothing", async () => {
    const by = sender();
    await send(by);
    onRequest = () => {};
    expect((await failure(send(by, 60))).code).to.equal(Code.DeadlineExceeded);
    onRequest = ({ sequence }, { answer }) => answer(sequence);
    expect(await send(by)).to.equal(3);
    expect(sessions).to.have.length(2);
  });

  it("ends its side when the peer wants no more calls, takes the answers that are due, and goes on elsewhere", async () => {
    onRequest = () => {};
    const by = sender();
    const due = send(by);
    await requestsCame(1);
    sessions[0]?.close();
    await until("its side is ended", () => streams[0]?.stream.readableEnded === true);
    onRequest = ({ sequence }, { answer }) => answer(sequence);
    expect(await send(by)).to.equal(2);
    expect(sessions).to.have.length(2);
    streams[0]?.answer(1);
    streams[0]?.end();
    expect(await due).to.equal(1);
    await until("the old connection is gone", () => sessions[0]?.destroyed === true);
  });

  it("ends with its channel", async () => {
    onRequest = () => {};
    const made = channel();
    const by = batchStream(made, rpc, { writeMaxBytes: limitBytes, readMaxBytes: limitBytes }).send;
    const due = failure(send(by));
    await requestsCame(1);
    made.close();
    expect((await due).code).to.equal(Code.Unavailable);
    expect((await failure(send(by))).code).to.equal(Code.Unavailable);
  });

  describe("under a transport that gathers calls", () => {
    const limits = { inFlight: 2, patienceMs: 10_000, items: 8, bytes: limitBytes, readMaxBytes: limitBytes };
    const transport = () => gatheringTransport(channel(), () => ({ ...batch, stream: rpc }), limits);
    const record = async (by: ReturnType<typeof transport>, customerId = "c", timeoutMs = 5_000): Promise<number> => {
      const request = activationRequest({ customerId });
      const { message } = await by.unary(recordActivation, undefined, timeoutMs, undefined, request as never);
      return Number((message as unknown as RecordActivationResponse).version);
    };
    const itemsOf = ({ batch: given }: StreamRecordActivationsRequest) => given?.items ?? [];
    /** Answers each item with the length of its customer's id. */
    const answerEach = (request: StreamRecordActivationsRequest, { answer }: Got) => {
      const results = itemsOf(request).map((item) => {
        const version = BigInt(item.request?.activation?.customerId?.length ?? 0);
        return { result: { case: "response" as const, value: { version } } };
      });
      answer(request.sequence, { case: "response", value: { results } } as never);
    };
    const sizes = () => streams.flatMap(({ requests }) => requests.map((request) => itemsOf(request).length));

    it("is the way of one call as of many", async () => {
      onRequest = answerEach;
      const by = transport();
      expect(await record(by, "abc")).to.equal(3);
      expect(await Promise.all(["a", "ab", "abc"].map((id) => record(by, id)))).to.deep.equal([1, 2, 3]);
      expect(sizes()).to.deep.equal([1, 3]);
    });

    it("halves a batch that fails as such, and sends the item that makes it fail by itself", async () => {
      onRequest = (request, got) => {
        if (itemsOf(request).some((item) => item.request?.activation?.customerId === "bad"))
          got.answer(request.sequence, { case: "error", value: statusOf(new ConnectError("no", Code.Internal)) });
        else answerEach(request, got);
      };
      onStream = ({ stream, headers }) => {
        const isStream = headers["content-type"] === streamType;
        stream.respond({ ":status": 200, "content-type": isStream ? streamType : "application/proto" });
        if (isStream) return;
        alone.push(String(headers[":path"]));
        stream.removeAllListeners("data").resume();
        stream.end(toBinary(RecordActivationResponseSchema, create(RecordActivationResponseSchema, { version: 77n })));
      };
      const alone: string[] = [];
      const by = transport();
      expect(await Promise.all(["a", "bad", "abc", "abcd"].map((id) => record(by, id)))).to.deep.equal([1, 77, 3, 4]);
      expect(alone).to.deep.equal(["/mpp.token.v1.TokenLifecycleService/RecordActivation"]);
    });

    it("gives way to single calls where something between holds back a stream until its end", async () => {
      onRequest = () => {};
      onStream = ({ stream, headers }) => {
        if (headers["content-type"] === streamType) return;
        stream.removeAllListeners("data").resume();
        stream.respond({ ":status": 200, "content-type": "application/proto" });
        stream.end();
      };
      const by = transport();
      expect((await failure(record(by, "c", 100))).code).to.equal(Code.DeadlineExceeded);
      expect(await record(by)).to.equal(0);
      expect(streams.filter(({ headers }) => headers["content-type"] === streamType)).to.have.length(1);
    });

    it("keeps to a stream that answers, however late one of its batches is", async () => {
      onRequest = answerEach;
      const by = transport();
      await record(by);
      onRequest = () => {};
      expect((await failure(record(by, "c", 60))).code).to.equal(Code.DeadlineExceeded);
      onRequest = answerEach;
      expect(await record(by)).to.equal(1);
      expect(streams.every(({ headers }) => headers["content-type"] === streamType)).to.equal(true);
    });

    it("gives way to single calls and batches for an older peer, which is not asked again and again", async () => {
      const paths: string[] = [];
      onStream = ({ stream, headers }) => {
        const path = String(headers[":path"]).replace(/^.*\//, "");
        paths.push(path);
        stream.removeAllListeners("data").resume();
        stream.respond(
          path === "RecordActivation" ? { ":status": 200, "content-type": "application/proto" } : { ":status": 404 },
        );
        stream.end();
      };
      const by = transport();
      expect(await record(by)).to.equal(0);
      expect(await Promise.all([1, 2, 3].map(() => record(by)))).to.deep.equal([0, 0, 0]);
      expect(paths).to.deep.equal([
        "StreamRecordActivations",
        "RecordActivation",
        "BatchRecordActivations",
        ...["RecordActivation", "RecordActivation", "RecordActivation"],
      ]);
    });
  });
});
