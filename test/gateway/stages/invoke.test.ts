import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type Transport } from "@connectrpc/connect";
import { expect } from "chai";
import { resultOfError } from "../../../gateway/alipayplus/result.js";
import { createSpread, type Spread } from "../../../gateway/spread.js";
import { invoke, pausesMs } from "../../../gateway/stages/invoke.js";
import type { Call } from "../../../gateway/stages/messages.js";
import { ErrorInfoSchema } from "../../../proto/gen/google/rpc/error_details_pb.js";
import {
  RecordActivationRequestSchema,
  type RecordActivationResponse,
  RecordActivationResponseSchema,
  TokenLifecycleService,
} from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { endpoint } from "../../support/requests.js";

const call: Call = {
  endpoint,
  request: create(RecordActivationRequestSchema, { activation: { tokenReferenceId: "T-1" } }),
  ignoredMembers: 0,
};

const decided = (code: Code, reason: string): ConnectError =>
  new ConnectError("decided", code, undefined, [
    { desc: ErrorInfoSchema, value: create(ErrorInfoSchema, { domain: "token.mpp", reason }) },
  ]);

/** One instance for each transport, named by its place; all of them say that they serve. */
function spreadOver(...transports: Transport[]): Spread {
  const addresses = transports.map((_, index) => String(index));
  const spread = createSpread(
    addresses,
    (address) => transports[Number(address)] as Transport,
    () => {},
  );
  for (const address of addresses) spread.probed(address, true);
  return spread;
}

type Turn = () => RecordActivationResponse;
const fails =
  (error: unknown): Turn =>
  () => {
    throw error;
  };
const answers =
  (version: bigint): Turn =>
  () =>
    create(RecordActivationResponseSchema, { version });

/** A token service that takes its turns one after the other, and a count of the calls that reached it. */
function serviceOf(...turns: Turn[]) {
  const asked: string[] = [];
  const transport = createRouterTransport(({ service }) =>
    service(TokenLifecycleService, {
      recordActivation({ activation }) {
        const turn = turns[asked.length];
        asked.push(activation?.tokenReferenceId ?? "");
        if (turn === undefined) throw new Error("called more often than it has turns");
        return turn();
      },
    }),
  );
  return { asked, transport, spread: spreadOver(transport) };
}

/** A token service that takes calls and never answers. */
function silent() {
  let calls = 0;
  const transport = createRouterTransport(({ service }) =>
    service(TokenLifecycleService, {
      recordActivation: (_request, { signal }) => {
        calls += 1;
        return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      },
    }),
  );
  return { transport, calls: () => calls };
}

const failureOf = async (promise: Promise<unknown>): Promise<ConnectError> => {
  const failure = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).to.be.instanceOf(ConnectError);
  return failure as ConnectError;
};

describe("invoke", () => {
  it("makes the rpc of the call and hands its response on", async () => {
    const service = serviceOf(answers(7n));
    const reply = await invoke(call, service.spread, 2_000);
    expect(reply.endpoint).to.equal(endpoint);
    expect(reply.response).to.include({ version: 7n });
    expect(service.asked).to.deep.equal(["T-1"]);
  });

  const undecided: { name: string; error: unknown }[] = [
    { name: "an instance that is going away", error: new ConnectError("going away", Code.Unavailable) },
    { name: "an instance without Redis", error: decided(Code.Unavailable, "STORE_UNAVAILABLE") },
    { name: "an instance that is not sure of its Redis yet", error: decided(Code.Unavailable, "DURABILITY_NOT_MET") },
    { name: "a bare INTERNAL", error: new ConnectError("oops", Code.Internal) },
    { name: "a proxy that says PERMISSION_DENIED", error: new ConnectError("no", Code.PermissionDenied) },
    { name: "a bare INVALID_ARGUMENT, which may be a cut reply", error: new ConnectError("?", Code.InvalidArgument) },
    { name: "an error that is none of the protocol's", error: new Error("socket hang up") },
  ];
  for (const { name, error } of undecided) {
    it(`tries once more after ${name}`, async () => {
      const service = serviceOf(fails(error), answers(8n));
      expect((await invoke(call, service.spread, 2_000)).response).to.include({ version: 8n });
      expect(service.asked).to.deep.equal(["T-1", "T-1"]);
    });

    it(`gives up after ${name} every time`, async () => {
      const service = serviceOf(...Array.from({ length: pausesMs.length + 1 }, () => fails(error)), answers(9n));
      const failure = await failureOf(invoke(call, service.spread, 2_000));
      expect(resultOfError(failure, () => undefined).resultStatus).to.equal("U");
      expect(service.asked).to.have.length(pausesMs.length + 1);
    });
  }

  const decisions = [
    decided(Code.InvalidArgument, "FIELD_VIOLATION"),
    decided(Code.AlreadyExists, "ACTIVATION_CONFLICT"),
    decided(Code.AlreadyExists, "CLIENT_CONFLICT"),
    decided(Code.Aborted, "CONTENTION"),
  ];
  for (const error of decisions)
    it(`does not ask again when the service said ${Code[error.code]} with a reason of its own`, async () => {
      const service = serviceOf(fails(error), answers(1n));
      const failure = await failureOf(invoke(call, service.spread, 2_000));
      expect(failure.code).to.equal(error.code);
      expect(service.asked).to.have.length(1);
    });

  it("waits for a service that comes back", async () => {
    const gone = fails(new ConnectError("connection refused", Code.Unavailable));
    const service = serviceOf(gone, gone, gone, answers(3n));
    expect((await invoke(call, service.spread, 2_000)).response).to.include({ version: 3n });
  });

  it("hands on the last failure, which may be a decision", async () => {
    const conflict = decided(Code.AlreadyExists, "ACTIVATION_CONFLICT");
    const service = serviceOf(fails(new ConnectError("gone", Code.Unavailable)), fails(conflict));
    const failure = await failureOf(invoke(call, service.spread, 2_000));
    expect(resultOfError(failure, () => undefined).resultCode).to.equal("PROCESS_FAIL");
  });

  it("takes the next instance for the second try", async () => {
    const broken = serviceOf(fails(new ConnectError("gone", Code.Unavailable)));
    const sound = serviceOf(answers(2n));
    const reply = await invoke(call, spreadOver(broken.transport, sound.transport), 2_000);
    expect(reply.response).to.include({ version: 2n });
    expect([broken.asked.length, sound.asked.length]).to.deep.equal([1, 1]);
  });

  it("leaves an instance that hangs half of the time, when another is sound", async () => {
    const sound = serviceOf(answers(2n));
    const spread = spreadOver(silent().transport, sound.transport);
    const started = performance.now();
    expect((await invoke(call, spread, 400)).response).to.include({ version: 2n });
    expect(performance.now() - started).to.be.within(190, 399);
  });

  const ends: { name: string; turn: Turn; answered: number; failed: number }[] = [
    { name: "a response", turn: answers(1n), answered: 1, failed: 0 },
    { name: "a refusal", turn: fails(decisions[0]), answered: 1, failed: 0 },
    { name: "an instance that cannot", turn: fails(decided(Code.Unavailable, "STOPPING")), answered: 0, failed: 1 },
    { name: "a deadline", turn: fails(new ConnectError("late", Code.DeadlineExceeded)), answered: 0, failed: 1 },
  ];
  for (const { name, turn, answered, failed } of ends)
    it(`counts ${name} for its instance, and leaves nothing in flight`, async () => {
      const { spread } = serviceOf(turn);
      await invoke(call, spread, 99).catch(() => {});
      expect(spread.instances[0]).to.include({ answered, failed, inFlight: 0 });
    });

  it("does not try again when too little time is left to make sense", async () => {
    const service = serviceOf(fails(new ConnectError("gone", Code.Unavailable)), answers(1n));
    const failure = await failureOf(invoke(call, service.spread, 99));
    expect(failure.code).to.equal(Code.Unavailable);
    expect(service.asked).to.have.length(1);
  });

  it("gives each try no more time than is left of the whole", async () => {
    const timeouts: number[] = [];
    const transport: Transport = {
      async unary(_method, _signal, timeoutMs) {
        timeouts.push(timeoutMs ?? Number.NaN);
        throw new ConnectError("gone", Code.Unavailable);
      },
      async stream() {
        throw new Error("no streams here");
      },
    };
    await failureOf(invoke(call, spreadOver(transport), 1_000));
    const [first, second] = timeouts;
    expect(timeouts).to.have.length.within(3, pausesMs.length + 1);
    expect(first).to.equal(1_000);
    expect(second).to.be.within(100, 1_000);
    expect(timeouts).to.deep.equal([...timeouts].sort((a, b) => b - a));
    expect(timeouts.every((timeout) => Number.isInteger(timeout) && timeout >= 100)).to.equal(true);
  });

  it("ends with DEADLINE_EXCEEDED when the service does not answer in time", async () => {
    const service = silent();
    const started = performance.now();
    const failure = await failureOf(invoke(call, spreadOver(service.transport), 150));
    expect(failure.code).to.equal(Code.DeadlineExceeded);
    expect(service.calls()).to.equal(1);
    expect(performance.now() - started).to.be.within(140, 2_000);
  });
});
