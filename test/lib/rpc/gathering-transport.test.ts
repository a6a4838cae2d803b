import { create, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { expect } from "chai";
import { batchOf } from "../../../lib/rpc/batch.js";
import type { ConnectChannel } from "../../../lib/rpc/connect-channel.js";
import { type GatheringLimits, gatheringTransport } from "../../../lib/rpc/gathering-transport.js";
import { ErrorInfoSchema } from "../../../proto/gen/google/rpc/error_details_pb.js";
import { ErrorReason } from "../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import {
  BatchRecordActivationsRequestSchema,
  BatchRecordActivationsResponseSchema,
  type RecordActivationRequest,
  RecordActivationRequestSchema,
  type RecordActivationResponse,
  RecordActivationResponseSchema,
  TokenLifecycleService,
} from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { refusal, statusOf } from "../../../services/token-lifecycle/errors.js";
import { until } from "../../support/processes.js";
import { activationRequest } from "../../support/rpc.js";

const { recordActivation, getToken } = TokenLifecycleService.method;
const batch = batchOf(recordActivation, "BatchRecordActivations");

/** A call that reached the peer, and waits for its answer. */
type Call = {
  readonly rpc: string;
  /** References of the tokens in it. */
  readonly references: string[];
  readonly timeoutMs: number | undefined;
  readonly itemTimeoutsMs: number[];
  readonly bytes: number;
  /** Records everything in it, but for the items with an error here. */
  readonly answer: (errors?: ReadonlyMap<string, ConnectError>) => void;
  readonly answerWith: (bytes: Buffer) => void;
  readonly fail: (error: ConnectError) => void;
};

/** A channel of which the test gives the answers; `automatic` gives those that nobody waits for. */
function channelOf(automatic: (call: Call) => void = () => {}) {
  const calls: Call[] = [];
  const channel: ConnectChannel = {
    call: (path, bytes, timeoutMs) =>
      new Promise((resolve, reject) => {
        const rpc = path.slice(path.lastIndexOf("/") + 1);
        const isBatch = rpc === "BatchRecordActivations";
        const items = isBatch
          ? fromBinary(BatchRecordActivationsRequestSchema, bytes).items
          : [{ request: fromBinary(RecordActivationRequestSchema, bytes), timeoutMs: timeoutMs ?? 0 }];
        const references = items.map(({ request }) => request?.activation?.tokenReferenceId ?? "");
        // Each has its length in its answer, so that a test sees which is whose.
        const value = (reference: string) =>
          create(RecordActivationResponseSchema, { version: BigInt(reference.length) });
        const call: Call = {
          ...{ rpc, references, timeoutMs, bytes: bytes.length },
          itemTimeoutsMs: items.map((item) => item.timeoutMs),
          answer(errors = new Map()) {
            const [first = ""] = references;
            const error = errors.get(first);
            if (!isBatch && error) return reject(error);
            if (!isBatch) return resolve(Buffer.from(toBinary(RecordActivationResponseSchema, value(first))));
            const results = references.map((reference) => {
              const refused = errors.get(reference);
              return refused
                ? { result: { case: "error" as const, value: statusOf(refused) } }
                : { result: { case: "response" as const, value: value(reference) } };
            });
            const response = create(BatchRecordActivationsResponseSchema, { results });
            resolve(Buffer.from(toBinary(BatchRecordActivationsResponseSchema, response)));
          },
          answerWith: resolve,
          fail: reject,
        };
        calls.push(call);
        automatic(call);
      }),
    open() {
      throw new Error("nobody asked for a stream");
    },
    close() {},
  };
  return { calls, channel };
}

const limits: GatheringLimits = { inFlight: 2, patienceMs: 10_000, items: 8, bytes: 100_000, readMaxBytes: 100_000 };

describe("a transport that gathers calls", () => {
  const over = (channel: ConnectChannel, more: Partial<GatheringLimits> = {}): Transport =>
    gatheringTransport(channel, (method) => (method === recordActivation ? batch : undefined), { ...limits, ...more });

  let count = 0;
  beforeEach(() => {
    count = 0;
  });
  /** The next has a reference of one more letter, and its answer that number. */
  const request = (): RecordActivationRequest => activationRequest({ tokenReferenceId: "T".repeat(++count) });
  const send = async (transport: Transport, timeoutMs: number | undefined = 5_000, message: Message = request()) => {
    const { message: answer } = await transport.unary(
      recordActivation,
      undefined,
      timeoutMs,
      undefined,
      message as never,
    );
    return Number((answer as RecordActivationResponse).version);
  };
  const failure = (reply: Promise<unknown>): Promise<ConnectError> =>
    reply.then(
      () => Promise.reject(new Error("the call succeeded")),
      (error: unknown) => {
        expect(error).to.be.instanceOf(ConnectError);
        return error as ConnectError;
      },
    );
  const arrived = (calls: readonly Call[], number: number) =>
    until(`${number} calls arrived`, () => calls.length >= number);
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const sizes = (calls: readonly Call[]) => calls.map(({ references }) => references.length);

  /** As many calls under way as go out at once; `release` answers them. */
  async function backlog(transport: Transport, calls: readonly Call[], inFlight = limits.inFlight) {
    const first: Promise<number>[] = [];
    for (let i = 0; i < inFlight; i++) {
      first.push(send(transport));
      await arrived(calls, i + 1);
    }
    return {
      async release() {
        for (const call of calls.slice(0, inFlight)) call.answer();
        await Promise.all(first);
      },
    };
  }

  it("sends a call alone and at once while few are under way", async () => {
    const { calls, channel } = channelOf();
    const { release } = await backlog(over(channel), calls);
    expect(calls.map(({ rpc }) => rpc)).to.deep.equal(["RecordActivation", "RecordActivation"]);
    expect(calls.map(({ timeoutMs }) => timeoutMs)).to.satisfy((all: number[]) =>
      all.every((timeoutMs) => timeoutMs > 4_900 && timeoutMs <= 5_000),
    );
    await release();
  });

  it("gathers those that come while others are under way, and each gets its own answer", async () => {
    const { calls, channel } = channelOf();
    const transport = over(channel);
    const { release } = await backlog(transport, calls);
    const gathered = [1_000, 2_000, 3_000].map((timeoutMs) => send(transport, timeoutMs));
    await new Promise(setImmediate);
    expect(calls).to.have.length(2);
    await release();
    await arrived(calls, 3);
    expect(calls[2]).to.include({ rpc: "BatchRecordActivations" });
    expect(calls[2]?.references).to.deep.equal(["TTT", "TTTT", "TTTTT"]);
    calls[2]?.answer();
    expect(await Promise.all(gathered)).to.deep.equal([3, 4, 5]);
    expect(calls).to.have.length(3);
  });

  it("gives each item its own deadline, and the batch the longest", async () => {
    const { calls, channel } = channelOf((call) => call.answer());
    const transport = over(channel);
    await Promise.all([1_000, 3_000, 2_000].map((timeoutMs) => send(transport, timeoutMs)));
    const [{ itemTimeoutsMs, timeoutMs } = { itemTimeoutsMs: [], timeoutMs: 0 }] = calls;
    for (const [index, asked] of [1_000, 3_000, 2_000].entries())
      expect(itemTimeoutsMs[index]).to.be.within(asked - 100, asked);
    expect(timeoutMs).to.equal(itemTimeoutsMs[1]);
  });

  it("bounds a batch in items", async () => {
    const { calls, channel } = channelOf((call) => call.answer());
    const transport = over(channel);
    const answers = await Promise.all(Array.from({ length: 20 }, () => send(transport)));
    expect(answers).to.deep.equal(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(sizes(calls)).to.deep.equal([8, 8, 4]);
  });

  it("bounds a batch in bytes by halving it, down to a single call", async () => {
    const { calls, channel } = channelOf((call) => call.answer());
    const transport = over(channel, { bytes: 1_500 });
    const large = [100, 100, 1_400, 100, 2_000].map((length) =>
      activationRequest({ tokenReferenceId: "T".repeat(length) }),
    );
    const answers = await Promise.all(large.map((message) => send(transport, 5_000, message)));
    expect(answers).to.deep.equal([100, 100, 1_400, 100, 2_000]);
    const batches = calls.filter(({ rpc }) => rpc === "BatchRecordActivations");
    expect(batches).to.not.have.length(0);
    expect(Math.max(...batches.map(({ bytes }) => bytes))).to.be.at.most(1_500);
    expect(sizes(calls).reduce((sum, size) => sum + size, 0)).to.equal(5);
  });

  it("lets one item's failure be that item's alone, with the details that the peer gave it", async () => {
    const conflict = refusal(ErrorReason.ACTIVATION_CONFLICT, "other content");
    const { channel } = channelOf((call) => call.answer(new Map([["TT", conflict]])));
    const transport = over(channel);
    const [first, second, third] = [send(transport), failure(send(transport)), send(transport)];
    expect([await first, await third]).to.deep.equal([1, 3]);
    const error = await second;
    expect(error.code).to.equal(Code.AlreadyExists);
    expect(error.findDetails(ErrorInfoSchema)[0]).to.include({ reason: "ACTIVATION_CONFLICT", domain: "token.mpp" });
  });

  for (const code of [Code.Unavailable, Code.DeadlineExceeded, Code.PermissionDenied, Code.AlreadyExists, Code.Unknown])
    it(`gives every item of a batch that fails as ${Code[code]} this code, and no details`, async () => {
      const { calls, channel } = channelOf((call) =>
        call.fail(
          new ConnectError("no", code, undefined, [
            { desc: ErrorInfoSchema, value: { reason: "ACTIVATION_CONFLICT", domain: "token.mpp" } },
          ]),
        ),
      );
      const transport = over(channel);
      const errors = await Promise.all([1, 2, 3].map(() => failure(send(transport))));
      expect(errors.map((error) => error.code)).to.deep.equal([code, code, code]);
      expect(errors.flatMap((error) => error.findDetails(ErrorInfoSchema))).to.deep.equal([]);
      expect(new Set(errors).size, "an error of its own for each").to.equal(3);
      expect(calls).to.have.length(1);
    });

  for (const code of [Code.InvalidArgument, Code.ResourceExhausted, Code.Internal])
    it(`finds the item that makes a batch fail as ${Code[code]}, and answers the others`, async () => {
      const { channel } = channelOf((call) =>
        call.references.includes("TTTTT") ? call.fail(new ConnectError("no", code)) : call.answer(),
      );
      const transport = over(channel);
      const all = await Promise.allSettled(Array.from({ length: 8 }, () => send(transport)));
      expect(all.map((each) => (each.status === "fulfilled" ? each.value : each.reason.code))).to.deep.equal([
        ...[1, 2, 3, 4],
        code,
        ...[6, 7, 8],
      ]);
    });

  for (const [name, bytes] of Object.entries({
    "is no message": Buffer.from([0xff]),
    "has a result too few": Buffer.from(
      toBinary(
        BatchRecordActivationsResponseSchema,
        create(BatchRecordActivationsResponseSchema, {
          results: [{ result: { case: "response", value: create(RecordActivationResponseSchema) } }],
        }),
      ),
    ),
    "is empty": Buffer.alloc(0),
  }))
    it(`believes nothing of a batch's response that ${name}, and asks for each item`, async () => {
      const { channel } = channelOf((call) =>
        call.rpc === "RecordActivation" ? call.answer() : call.answerWith(bytes),
      );
      const transport = over(channel);
      expect(await Promise.all([1, 2, 3].map(() => send(transport)))).to.deep.equal([1, 2, 3]);
    });

  it("takes an item without a result for undecided", async () => {
    const { channel } = channelOf((call) => {
      const results = [{}, { result: { case: "response" as const, value: create(RecordActivationResponseSchema) } }];
      const response = create(BatchRecordActivationsResponseSchema, { results });
      call.answerWith(Buffer.from(toBinary(BatchRecordActivationsResponseSchema, response)));
    });
    const transport = over(channel);
    const [first, second] = [failure(send(transport)), send(transport)];
    expect((await first).code).to.equal(Code.Internal);
    expect(await second).to.equal(0);
  });

  it("calls singly when the peer has no batch rpc, at once and from then on, however many are under way", async () => {
    const held: Call[] = [];
    const { calls, channel } = channelOf((call) => {
      if (call.rpc === "BatchRecordActivations") call.fail(new ConnectError("HTTP 404", Code.Unimplemented));
      else held.push(call);
    });
    const transport = over(channel);
    const first = Array.from({ length: 5 }, () => send(transport));
    await until("each is there", () => held.length === 5);
    const second = Array.from({ length: 5 }, () => send(transport));
    await until("nobody waits for the others", () => held.length === 10);
    for (const call of held) call.answer();
    expect(await Promise.all([...first, ...second])).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(calls.filter(({ rpc }) => rpc === "BatchRecordActivations")).to.have.length(1);
  });

  it("sends what waited its patience, so that calls that hang do not hold up others", async () => {
    const { calls, channel } = channelOf((call) => {
      if (call.references.every((reference) => reference.length > 2)) call.answer();
    });
    const transport = over(channel, { patienceMs: 30 });
    const hung = [1, 2].map(() => failure(send(transport, 400)));
    await arrived(calls, 1);
    const hungToo = failure(send(transport, 400, activationRequest({ tokenReferenceId: "T" })));
    await arrived(calls, 2);
    count = 2;
    const started = performance.now();
    expect(await Promise.all([send(transport), send(transport)])).to.deep.equal([3, 4]);
    expect(performance.now() - started).to.be.within(20, 300);
    for (const error of await Promise.all([...hung, hungToo])) expect(error.code).to.equal(Code.DeadlineExceeded);
  });

  it("tells a call that it is late while its batch is still under way, and leaves no timer behind", async () => {
    // Mocha sets its own when the test has begun.
    await new Promise(setImmediate);
    const before = timers();
    const { calls, channel } = channelOf();
    const transport = over(channel);
    const [late, patient] = [failure(send(transport, 60)), send(transport, 5_000)];
    expect((await late).code).to.equal(Code.DeadlineExceeded);
    calls[0]?.answer();
    expect(await patient).to.equal(2);
    expect(timers()).to.equal(before);
  });

  it("does not ask for a call again that is late when its batch fails", async () => {
    const { calls, channel } = channelOf();
    const transport = over(channel);
    const [late, other] = [failure(send(transport, 400)), send(transport, 5_000)];
    await late;
    calls[0]?.fail(new ConnectError("too large", Code.ResourceExhausted));
    await arrived(calls, 2);
    calls[1]?.answer();
    expect(await other).to.equal(2);
    expect(calls.map(({ references }) => references)).to.deep.equal([["T", "TT"], ["TT"]]);
  });

  it("leaves a request that cannot be encoded to its caller, and sends the others", async () => {
    const { channel } = channelOf((call) => call.answer());
    const transport = over(channel);
    const broken = {
      ...request(),
      get activation(): never {
        throw new Error("broken");
      },
    };
    const [first, second, third] = [failure(send(transport, 5_000, broken)), send(transport), send(transport)];
    expect((await first).code).to.not.equal(Code.InvalidArgument);
    expect([await second, await third]).to.deep.equal([2, 3]);
  });

  it("sends alone what has no batch rpc or no deadline", async () => {
    const { calls, channel } = channelOf((call) => call.answer());
    const transport = over(channel);
    const without = () => transport.unary(recordActivation, undefined, undefined, undefined, request() as never);
    await Promise.all([
      without(),
      without(),
      ...[1, 2].map(() => transport.unary(getToken, undefined, 1_000, undefined, {})),
    ]);
    expect(calls.map(({ rpc }) => rpc)).to.have.members([
      "RecordActivation",
      "RecordActivation",
      "GetToken",
      "GetToken",
    ]);
    expect(calls.map(({ timeoutMs }) => timeoutMs)).to.have.members([undefined, undefined, 1_000, 1_000]);
  });

  it("calls a response that is no message INTERNAL", async () => {
    const { channel } = channelOf((call) => call.answerWith(Buffer.from([0xff])));
    expect((await failure(send(over(channel)))).code).to.equal(Code.Internal);
  });

  it("has no streams", () => {
    const { channel } = channelOf();
    const { watchTokenEvents } = TokenLifecycleService.method;
    const open = () =>
      over(channel).stream(watchTokenEvents, undefined, undefined, undefined, (async function* () {})());
    expect(open).to.throw(ConnectError).with.property("code", Code.Unimplemented);
  });
});
