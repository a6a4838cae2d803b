import { once } from "node:events";
import http2 from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import { expect } from "chai";
import { directUnary } from "../../../lib/rpc/direct-unary.js";
import {
  type GetTokenRequest,
  GetTokenRequestSchema,
  GetTokenResponseSchema,
  TokenLifecycleService,
} from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { type DirectServer, noting, startDirectServer } from "../../support/direct-server.js";
import { until } from "../../support/processes.js";

const { getToken } = TokenLifecycleService.method;
const path = `/${getToken.parent.typeName}/${getToken.name}`;
const limitBytes = 1_000;

describe("the direct way to an rpc", () => {
  /** References that reached the rpc. */
  let reached: string[];
  let outcomes: string[];
  let implementation: (request: GetTokenRequest, signal: AbortSignal) => Promise<object>;
  let shutdown: AbortController;
  let server: DirectServer;
  let client: http2.ClientHttp2Session;
  let streams: http2.ServerHttp2Stream[];

  beforeEach(async () => {
    reached = [];
    outcomes = [];
    implementation = async () => ({});
    shutdown = new AbortController();
    const direct = directUnary(
      [
        {
          method: getToken,
          implementation: ((request: GetTokenRequest, { signal }: { signal: AbortSignal }) => {
            reached.push(request.tokenReferenceId);
            return implementation(request, signal);
          }) as never,
        },
      ],
      {
        interceptors: [noting((outcome) => outcomes.push(outcome))],
        contextValues: () => createContextValues(),
        readMaxBytes: limitBytes,
        maxDeadlineMs: 300,
        shutdown: shutdown.signal,
      },
    );
    server = await startDirectServer(direct);
    ({ client, streams } = server);
  });
  afterEach(() => server.stop());

  const usual = {
    ":method": "POST",
    ":path": path,
    "content-type": "application/proto",
    "connect-protocol-version": "1",
  };
  const message = (tokenReferenceId = "T-1") =>
    Buffer.from(toBinary(GetTokenRequestSchema, create(GetTokenRequestSchema, { tokenReferenceId })));
  const begin = (headers: http2.OutgoingHttpHeaders = {}): http2.ClientHttp2Stream => {
    const stream = client.request({ ...usual, ...headers });
    stream.on("error", () => {});
    return stream;
  };
  async function answerOf(stream: http2.ClientHttp2Stream) {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    const [[headers]] = (await Promise.all([once(stream, "response"), once(stream, "end")])) as [
      [http2.IncomingHttpHeaders],
      unknown,
    ];
    const body = Buffer.concat(chunks);
    const code = headers["content-type"] === "application/json" ? JSON.parse(body.toString()).code : undefined;
    return { status: headers[":status"], headers, body, code };
  }
  const call = (headers?: http2.OutgoingHttpHeaders, body: Buffer = message()) => {
    const stream = begin(headers);
    stream.end(body);
    return answerOf(stream);
  };

  it("answers with the bytes of the response and their length", async () => {
    implementation = async () => ({ token: { tokenReferenceId: "T-1" } });
    const { status, headers, body } = await call();
    expect([status, headers["content-type"]]).to.deep.equal([200, "application/proto"]);
    const expected = toBinary(
      GetTokenResponseSchema,
      create(GetTokenResponseSchema, await implementation({} as never, {} as never)),
    );
    expect(body).to.deep.equal(Buffer.from(expected));
    expect(headers["content-length"]).to.equal(String(expected.length));
    expect(reached).to.deep.equal(["T-1"]);
  });

  const others: { name: string; headers: http2.OutgoingHttpHeaders }[] = [
    { name: "another path", headers: { ":path": `${path}s` } },
    { name: "a query", headers: { ":path": `${path}?connect=v1` } },
    { name: "GET", headers: { ":method": "GET" } },
    { name: "JSON", headers: { "content-type": "application/json" } },
    { name: "gRPC", headers: { "content-type": "application/grpc+proto" } },
    { name: "no version of the protocol", headers: { "connect-protocol-version": "" } },
    { name: "another version of the protocol", headers: { "connect-protocol-version": "2" } },
    { name: "compression", headers: { "content-encoding": "gzip" } },
    { name: "a deadline of none", headers: { "connect-timeout-ms": "0" } },
    { name: "a deadline that is no number", headers: { "connect-timeout-ms": "soon" } },
    { name: "a deadline of ten digits", headers: { "connect-timeout-ms": "1000000000" } },
  ];
  for (const { name, headers } of others)
    it(`leaves a call with ${name} alone`, async () => {
      const stream = begin(headers);
      stream.end();
      expect((await answerOf(stream)).status).to.equal(299);
      expect(reached).to.deep.equal([]);
    });

  it("says what an rpc chose to say, and of other errors nothing", async () => {
    implementation = () => Promise.reject(new ConnectError("no such thing", Code.NotFound));
    const chosen = await call();
    expect([chosen.status, chosen.code]).to.deep.equal([404, "not_found"]);
    implementation = () => Promise.reject(new Error("secret"));
    const other = await call();
    expect([other.status, other.code]).to.deep.equal([500, "internal"]);
    expect(other.body.toString()).to.not.include("secret");
    implementation = () => {
      throw new TypeError("secret");
    };
    expect((await call()).code).to.equal("internal");
  });

  it("survives a response that cannot be encoded", async () => {
    implementation = async () => ({ token: { tokenReferenceId: "T-1", version: "none" } });
    expect((await call()).code).to.equal("internal");
    implementation = async () => ({});
    expect((await call()).status).to.equal(200);
  });

  it("quotes nothing of a message that is none", async () => {
    const { code, body } = await call({}, Buffer.from("\x0a\xffsecret"));
    expect(code).to.equal("internal");
    expect(body.toString()).to.not.include("secret");
    expect(reached).to.deep.equal([]);
  });

  it("refuses a message that is too large, while it is still coming", async () => {
    const stream = begin();
    stream.write(Buffer.alloc(limitBytes + 1));
    expect(await answerOf(stream)).to.include({ status: 429, code: "resource_exhausted" });
    stream.end();
    await until("the stream is over", () => streams[0]?.destroyed ?? false);
  });

  it("ends a stream on which the rest of such a message goes on and on", async () => {
    const stream = begin();
    const chunk = Buffer.alloc(64 * 1024);
    const write = (): void => {
      if (!stream.destroyed && !stream.closed) stream.write(chunk, () => setImmediate(write));
    };
    write();
    stream.resume();
    await until("it has ended", () => stream.closed);
    expect(stream.rstCode).to.equal(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
  });

  it("does not take what came of a broken-off message for the message", async () => {
    const stream = begin();
    stream.write(message("T-broken"));
    await until("it is there", () => streams.length > 0);
    // Frames of a connection keep their order.
    await call();
    stream.destroy(new Error("broken off"));
    await until("the peer knows", () => streams[0]?.destroyed ?? false);
    expect((await call()).status).to.equal(200);
    expect(reached).to.deep.equal(["T-1", "T-1"]);
  });

  it("survives streams that are reset at once, many of them", async () => {
    for (let i = 0; i < 200; i++) {
      const stream = begin();
      stream.end(message());
      stream.close(http2.constants.NGHTTP2_CANCEL);
    }
    expect((await call()).status).to.equal(200);
  });

  it("ends the signal of a call whose caller went away", async () => {
    let signal: AbortSignal | undefined;
    implementation = (_, given) =>
      new Promise((_resolve, reject) => {
        signal = given;
        given.addEventListener("abort", () => reject(given.reason));
      });
    const stream = begin();
    stream.end(message());
    await until("it is under way", () => signal !== undefined);
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await until("it has ended", () => outcomes.length > 0);
    expect(outcomes).to.deep.equal(["Canceled"]);
  });

  const hanging = (_: unknown, signal: AbortSignal) =>
    new Promise<never>((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

  it("ends a call at its caller's deadline", async () => {
    implementation = hanging;
    expect(await call({ "connect-timeout-ms": "20" })).to.include({ status: 504, code: "deadline_exceeded" });
  });

  for (const headers of [{}, { "connect-timeout-ms": "999999999" }])
    it(`ends a call whose message never comes, with ${JSON.stringify(headers)}`, async () => {
      const stream = begin(headers);
      stream.write(message().subarray(0, 2));
      expect((await answerOf(stream)).code).to.equal("deadline_exceeded");
      stream.end();
    });

  it("ends calls under way when the server stops, whether their message has come or not, and those that begin then", async () => {
    implementation = hanging;
    const [whole, half] = [begin(), begin()];
    whole.end(message());
    half.write(message().subarray(0, 2));
    await until("both are there", () => streams.length === 2 && reached.length === 1);
    shutdown.abort(new ConnectError("stopping", Code.Unavailable));
    for (const answer of await Promise.all([whole, half].map(answerOf)))
      expect(answer).to.include({ status: 503, code: "unavailable" });
    half.end();
    expect((await call()).code).to.equal("unavailable");
  });

  it("leaves nothing behind on the server's signal, and no timer", async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on("warning", onWarning);
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    await call();
    const before = timers();
    await Promise.all(Array.from({ length: 100 }, () => call()));
    await new Promise(setImmediate);
    process.off("warning", onWarning);
    expect(warnings).to.deep.equal([]);
    expect(timers()).to.equal(before);
  });
});
