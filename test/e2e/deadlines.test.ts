import { setMaxListeners } from "node:events";
import { join } from "node:path";
import { type CallOptions, Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { expect } from "chai";
import { Health } from "../../proto/gen/grpc/health/v1/health_pb.js";
import { Suspender } from "../../proto/gen/mpp/token/v1/token_pb.js";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { startTestPart, until, untilServing } from "../support/processes.js";
import {
  activationRequest,
  connectTo,
  eventsInRedis,
  newReference,
  recordActivation,
  refusalOf,
  type ServiceStack,
  startServiceStack,
  type TokenClient,
} from "../support/token-client.js";

const defaultDeadlineMs = 400;
/** No deadline of the client's own, so that what ends the call is the service. */
const patient: CallOptions = { timeoutMs: 0 };

describe("deadlines", () => {
  let stack: ServiceStack;
  let client: TokenClient;
  let redis: RedisClient;
  before(async () => {
    stack = await startServiceStack({ DEFAULT_DEADLINE_MS: `${defaultDeadlineMs}`, REDIS_TIMEOUT_MS: "5000" });
    client = stack.connect();
    redis = await stack.redis.connect();
  });
  after(() => stack.stop());
  afterEach(async () => {
    process.kill(stack.redis.pid(), "SIGCONT");
    await redis.ping();
  });
  const stopRedis = (): void => {
    process.kill(stack.redis.pid(), "SIGSTOP");
  };

  const tokenReferenceId = "T-deadline";
  const move = { tokenReferenceId, suspender: Suspender.ISSUER, reason: "lost", actor: "agent 7", requestId: "r-1" };
  const calls: Record<string, (options: CallOptions) => Promise<unknown>> = {
    RecordActivation: (options) => recordActivation(client, { tokenReferenceId }, options),
    GetToken: (options) => client.getToken({ tokenReferenceId }, options),
    BatchGetTokens: (options) => client.batchGetTokens({ tokenReferenceIds: [tokenReferenceId] }, options),
    ListTokens: (options) => client.listTokens({ customerId: "c" }, options),
    GetTokenHistory: (options) => client.getTokenHistory({ tokenReferenceId }, options),
    SuspendToken: (options) => client.suspendToken(move, options),
  };
  /** The code that a call ended with, and after how long. */
  async function endOf(call: Promise<unknown>): Promise<{ code: string; ms: number }> {
    const started = performance.now();
    const { code } = await refusalOf(call);
    return { code, ms: performance.now() - started };
  }

  for (const [rpc, call] of Object.entries(calls)) {
    it(`${rpc} ends at the caller's deadline, by the service, while Redis hangs`, async () => {
      stopRedis();
      const { code, ms } = await endOf(call({ ...patient, headers: { "grpc-timeout": "150m" } }));
      expect(code).to.equal("DeadlineExceeded");
      expect(ms).to.be.within(140, defaultDeadlineMs);
    });

    it(`${rpc} ends at the service's own deadline for a caller without one`, async () => {
      stopRedis();
      const { code, ms } = await endOf(call(patient));
      expect(code).to.equal("DeadlineExceeded");
      expect(ms).to.be.within(defaultDeadlineMs - 10, defaultDeadlineMs + 500);
    });
  }

  it("gives a caller with a longer deadline the time it asks for", async () => {
    stopRedis();
    const answer = client.listTokens({ customerId: "c" }, { timeoutMs: 5_000 });
    const started = performance.now();
    await until("the default deadline has passed", () => performance.now() - started > 2 * defaultDeadlineMs);
    process.kill(stack.redis.pid(), "SIGCONT");
    expect((await answer).tokens).to.deep.equal([]);
  });

  it("does not end a watch at the default deadline", async () => {
    const abort = new AbortController();
    const messages = client.watchTokenEvents({}, { ...patient, signal: abort.signal })[Symbol.asyncIterator]();
    await messages.next();
    const next = messages.next();
    const started = performance.now();
    await until("the default deadline has passed", () => performance.now() - started > 2 * defaultDeadlineMs);
    const reference = newReference();
    await recordActivation(client, { tokenReferenceId: reference });
    expect((await next).value?.event?.tokenReferenceId).to.equal(reference);
    abort.abort();
    await messages.return?.();
  });

  it("is UNAVAILABLE when Redis does not answer before the deadline", async () => {
    const settings = { DATA_DIR: stack.folder, REDIS_URL: stack.redis.url, REDIS_TIMEOUT_MS: "150" };
    const other = await startTestPart("service", settings, join(stack.folder, "other.log"));
    await untilServing(other);
    const own = connectTo(other.url);
    stopRedis();
    const started = performance.now();
    const refusal = await refusalOf(own.getToken({ tokenReferenceId }));
    expect(refusal).to.deep.include({ code: "Unavailable", reason: "STORE_UNAVAILABLE", domain: "token.mpp" });
    expect(performance.now() - started).to.be.below(1_000);
    process.kill(stack.redis.pid(), "SIGCONT");
    own.close();
    await other.stop();
  });

  it("leaves the outcome open, and a repeat learns it without a second event", async () => {
    const request = activationRequest();
    const reference = request.activation?.tokenReferenceId ?? "";
    stopRedis();
    expect((await endOf(client.recordActivation(request, patient))).code).to.equal("DeadlineExceeded");
    process.kill(stack.redis.pid(), "SIGCONT");
    expect((await client.recordActivation(request)).version).to.equal(1n);
    expect(await eventsInRedis(redis, reference)).to.have.length(1);
  });

  it("refuses a deadline that is none", async () => {
    const call = client.getToken({ tokenReferenceId }, { ...patient, headers: { "grpc-timeout": "soon" } });
    expect((await refusalOf(call)).code).to.equal("InvalidArgument");
  });

  describe("a cancelled call", () => {
    const timers = async (): Promise<number> => {
      const text = await (await fetch(`${stack.service.adminUrl}/metrics`)).text();
      return Number(/^nodejs_active_resources\{type="Timeout"\} (.*)$/m.exec(text)?.[1] ?? 0);
    };

    it("holds nothing once Redis answers again, and the service goes on answering meanwhile", async () => {
      const before = await timers();
      stopRedis();
      const abort = new AbortController();
      setMaxListeners(0, abort.signal);
      const cancelled = Array.from({ length: 300 }, (_, i) =>
        refusalOf(
          client.getToken({ tokenReferenceId: `T-cancelled-${i}` }, { timeoutMs: 20_000, signal: abort.signal }),
        ),
      );
      await until("the calls have arrived", async () => (await timers()) >= before + 300);
      abort.abort();
      for (const { code } of await Promise.all(cancelled)) expect(code).to.equal(Code[Code.Canceled]);

      const sessionManager = new Http2SessionManager(stack.service.url);
      const transport = createGrpcTransport({ baseUrl: stack.service.url, sessionManager });
      await createClient(Health, transport).check({}, { timeoutMs: 1_000 });
      sessionManager.abort();

      process.kill(stack.redis.pid(), "SIGCONT");
      await until("their timers are gone", async () => (await timers()) <= before + 5);
    });

    it("that changes a token is done or not, never twice", async () => {
      const request = activationRequest();
      stopRedis();
      const abort = new AbortController();
      const before = await timers();
      const cancelled = refusalOf(client.recordActivation(request, { timeoutMs: 20_000, signal: abort.signal }));
      await until("the call has arrived", async () => (await timers()) > before);
      abort.abort();
      expect((await cancelled).code).to.equal("Canceled");
      process.kill(stack.redis.pid(), "SIGCONT");
      await client.recordActivation(request);
      expect(await eventsInRedis(redis, request.activation?.tokenReferenceId ?? "")).to.have.length(1);
    });
  });
});
