import { create, type DescMessage, type DescMethod, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import {
  type CallOptions,
  type ChannelOptions,
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { expect } from "chai";
import { BadRequestSchema, ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../proto/gen/google/rpc/status_pb.js";
import {
  GetTokenRequestSchema,
  RecordActivationRequestSchema,
  SuspendTokenRequestSchema,
  TokenLifecycleService,
  WatchTokenEventsRequestSchema,
  type WatchTokenEventsResponse,
} from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { Suspender, TokenState } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { until } from "../support/processes.js";
import { activationRequest, newReference, type ServiceStack, startServiceStack } from "../support/token-client.js";

const rpcs = TokenLifecycleService.method;
const pathOf = (method: DescMethod): string => `/${TokenLifecycleService.typeName}/${method.name}`;
const toBuffer =
  <D extends DescMessage>(desc: D) =>
  (message: MessageShape<D>): Buffer =>
    Buffer.from(toBinary(desc, message));
const toMessage =
  <D extends DescMessage>(desc: D) =>
  (bytes: Buffer): MessageShape<D> =>
    fromBinary(desc, bytes);

describe("@grpc/grpc-js as a client", () => {
  let stack: ServiceStack;
  let client: Client;
  const clients: Client[] = [];
  const streams: Stream[] = [];
  const connect = (options: ChannelOptions = {}): Client => {
    const made = new Client(new URL(stack.service.url).host, credentials.createInsecure(), options);
    clients.push(made);
    return made;
  };
  // The heartbeat is the default of 15 s: what comes sooner is no heartbeat.
  before(async () => {
    stack = await startServiceStack({ REDIS_TIMEOUT_MS: "5000" });
    client = connect();
  });
  after(async () => {
    for (const each of clients) each.close();
    await stack.stop();
  });

  afterEach(() => {
    for (const { call } of streams.splice(0)) call.cancel();
  });

  function unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    request: MessageShape<I>,
    options: CallOptions = { deadline: Date.now() + 5_000 },
  ): Promise<MessageShape<O>> {
    const { input, output } = method;
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        pathOf(method),
        toBuffer(input),
        toMessage(output),
        request,
        new Metadata(),
        options,
        (error, answer) => (answer === undefined ? reject(error) : resolve(answer)),
      );
    });
  }
  const errorOf = (call: Promise<unknown>): Promise<ServiceError> =>
    call.then(
      () => Promise.reject(new Error("this was not refused")),
      (error: ServiceError) => error,
    );

  async function activeToken(): Promise<string> {
    const tokenReferenceId = newReference();
    const request = activationRequest({ tokenReferenceId });
    await unary(rpcs.recordActivation, create(RecordActivationRequestSchema, request));
    return tokenReferenceId;
  }
  const suspension = (tokenReferenceId: string, requestId = "r-1") =>
    create(SuspendTokenRequestSchema, {
      ...{ tokenReferenceId, suspender: Suspender.CARDHOLDER, requestId },
      ...{ reason: "lost", actor: "agent 7" },
    });

  type Stream = {
    call: ClientReadableStream<WatchTokenEventsResponse>;
    messages: WatchTokenEventsResponse[];
    ended: Promise<ServiceError>;
  };
  function watching(by = client, options: CallOptions = {}): Stream {
    const { output, input } = rpcs.watchTokenEvents;
    const request = create(WatchTokenEventsRequestSchema, {});
    const call = by.makeServerStreamRequest(
      pathOf(rpcs.watchTokenEvents),
      toBuffer(input),
      toMessage(output),
      request,
      new Metadata(),
      options,
    );
    const messages: WatchTokenEventsResponse[] = [];
    call.on("data", (message: WatchTokenEventsResponse) => messages.push(message));
    const ended = new Promise<ServiceError>((resolve) => call.on("error", resolve));
    const stream = { call, messages, ended };
    streams.push(stream);
    return stream;
  }
  const begun = (stream: Stream) => until("the watch begins", () => stream.messages.length > 0, 5_000);
  const noWatchers = () =>
    until("no watcher is left", async () =>
      /^token_service_watchers 0$/m.test(await (await fetch(`${stack.service.adminUrl}/metrics`)).text()),
    );

  it("moves a token", async () => {
    const reference = await activeToken();
    const answer = await unary(rpcs.suspendToken, suspension(reference));
    expect(answer).to.deep.include({ state: TokenState.SUSPENDED, version: 2n, repeated: false });
    expect((await unary(rpcs.suspendToken, suspension(reference))).repeated).to.equal(true);
  });

  it("finds code, ErrorInfo and BadRequest in grpc-status-details-bin", async () => {
    const error = await errorOf(unary(rpcs.suspendToken, suspension("", "not a request id")));
    expect(error.code).to.equal(status.INVALID_ARGUMENT);
    const [bytes] = error.metadata.get("grpc-status-details-bin");
    const { code, details } = fromBinary(StatusSchema, bytes as Buffer);
    expect(code).to.equal(status.INVALID_ARGUMENT);
    const info = details.map((any) => anyUnpack(any, ErrorInfoSchema)).find((each) => each !== undefined);
    expect(info).to.deep.include({ reason: "FIELD_VIOLATION", domain: "token.mpp" });
    const bad = details.map((any) => anyUnpack(any, BadRequestSchema)).find((each) => each !== undefined);
    expect(bad?.fieldViolations.map(({ field }) => field)).to.deep.equal(["token_reference_id", "request_id"]);
  });

  const refused: { what: string; code: status; reason: string; call: () => Promise<unknown> }[] = [
    {
      what: "an unknown token",
      code: status.NOT_FOUND,
      reason: "TOKEN_NOT_FOUND",
      call: () => unary(rpcs.getToken, create(GetTokenRequestSchema, { tokenReferenceId: "T-none" })),
    },
    {
      what: "a second suspension by the same party",
      code: status.FAILED_PRECONDITION,
      reason: "ALREADY_SUSPENDED",
      call: async () => {
        const reference = await activeToken();
        await unary(rpcs.suspendToken, suspension(reference));
        await unary(rpcs.suspendToken, suspension(reference, "r-2"));
      },
    },
  ];
  for (const { what, code, reason, call } of refused)
    it(`is told ${reason} for ${what}`, async () => {
      const error = await errorOf(call());
      expect(error.code).to.equal(code);
      const [bytes] = error.metadata.get("grpc-status-details-bin");
      const [any] = fromBinary(StatusSchema, bytes as Buffer).details;
      expect(any && anyUnpack(any, ErrorInfoSchema)?.reason).to.equal(reason);
    });

  it("watches events from a first sign of life on, cancels, and leaves nothing behind", async () => {
    const stream = watching();
    await begun(stream);
    expect(stream.messages[0]?.event).to.equal(undefined);
    const references = [await activeToken(), await activeToken()];
    await until("they come", () => stream.messages.length === 3);
    expect(stream.messages.slice(1).map(({ event }) => event?.tokenReferenceId)).to.have.members(references);
    stream.call.cancel();
    expect((await stream.ended).code).to.equal(status.CANCELLED);
    await noWatchers();
  });

  it("ends a watch at the deadline that it set", async () => {
    const stream = watching(client, { deadline: Date.now() + 1_500 });
    await begun(stream);
    expect((await stream.ended).code).to.equal(status.DEADLINE_EXCEEDED);
    await noWatchers();
  });

  it("ends a unary call at its deadline while Redis hangs", async () => {
    process.kill(stack.redis.pid(), "SIGSTOP");
    const started = performance.now();
    const request = create(GetTokenRequestSchema, { tokenReferenceId: "T-none" });
    const error = await errorOf(unary(rpcs.getToken, request, { deadline: Date.now() + 300 }));
    process.kill(stack.redis.pid(), "SIGCONT");
    expect(error.code).to.equal(status.DEADLINE_EXCEEDED);
    expect(performance.now() - started).to.be.below(1_000);
  });

  it("keeps a silent watch alive with pings, and notices by them when the service hangs", async () => {
    const pinging = connect({ "grpc.keepalive_time_ms": 100, "grpc.keepalive_timeout_ms": 300 });
    const stream = watching(pinging);
    let end: ServiceError | undefined;
    void stream.ended.then((error) => {
      end = error;
    });
    await begun(stream);
    const started = performance.now();
    await until("ten pings were due", () => performance.now() - started > 1_000);
    expect(end, "no ping went unanswered, and none was too many").to.equal(undefined);
    await activeToken();
    await until("an event comes", () => stream.messages.length === 2);
    process.kill(stack.service.pid(), "SIGSTOP");
    try {
      await until("the stream ends", () => end !== undefined, 5_000);
    } finally {
      process.kill(stack.service.pid(), "SIGCONT");
    }
    expect(end?.code).to.equal(status.UNAVAILABLE);
    await noWatchers();
  });
});
