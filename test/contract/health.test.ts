// grpc.health.v1 and the probes: traffic comes only while Redis keeps what is promised.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { expect } from "chai";
import { ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../proto/gen/grpc/health/v1/health_pb.js";
import { TokenLifecycleService } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { expectResult } from "../support/expectations.js";
import { notification, notify } from "../support/notification.js";
import { startTestStack, type TestStack, until, untilServing } from "../support/processes.js";
import { activationRequest } from "../support/rpc.js";

const names = ["", TokenLifecycleService.typeName];

describe("health", () => {
  let stack: TestStack;
  let sessionManager: Http2SessionManager;
  before(async () => {
    stack = await startTestStack({ service: { REDIS_TIMEOUT_MS: "300" } });
    sessionManager = new Http2SessionManager(stack.service.url);
  });
  after(async () => {
    sessionManager?.abort();
    await stack?.stop();
  });

  const transport = () => createGrpcTransport({ baseUrl: stack.service.url, sessionManager });
  const health = () => createClient(Health, transport());
  const statusOf = async (service: string) => (await health().check({ service })).status;
  const readyz = async () => {
    const answer = await fetch(`${stack.service.adminUrl}/readyz`);
    return { status: answer.status, text: await answer.text() };
  };
  const failure = (reply: Promise<unknown>): Promise<ConnectError> =>
    reply.then(
      () => Promise.reject(new Error("the call succeeded")),
      (error: unknown) => ConnectError.from(error),
    );
  const refusal = () => failure(createClient(TokenLifecycleService, transport()).recordActivation(activationRequest()));

  /** The statuses that Watch tells while something goes wrong and right again. */
  async function watched(service: string, meanwhile: (next: () => Promise<Status>) => Promise<void>): Promise<void> {
    const end = new AbortController();
    const statuses = health().watch({ service }, { signal: end.signal })[Symbol.asyncIterator]();
    try {
      await meanwhile(async () => {
        const { value, done } = await statuses.next();
        if (done) throw new Error("Watch ended");
        return value.status;
      });
    } finally {
      end.abort();
      await statuses.next().catch(() => {});
    }
  }

  it("is SERVING for the server and for its service while all is well", async () => {
    for (const service of names) expect(await statusOf(service)).to.equal(Status.SERVING);
    const { statuses } = await health().list({});
    expect(Object.entries(statuses).map(([name, { status }]) => [name, status])).to.have.deep.members(
      names.map((name) => [name, Status.SERVING]),
    );
    expect(await readyz()).to.deep.equal({ status: 200, text: "ok\n" });
  });

  it("of a service that is not there is NOT_FOUND to Check and SERVICE_UNKNOWN to Watch", async () => {
    expect((await failure(statusOf("mpp.token.v1.Nothing"))).code).to.equal(Code.NotFound);
    await watched("mpp.token.v1.Nothing", async (next) => {
      expect(await next()).to.equal(Status.SERVICE_UNKNOWN);
    });
  });

  const troubles: { name: string; begin: () => unknown; end: () => unknown; reason: RegExp }[] = [
    {
      name: "Redis stands still",
      begin: () => process.kill(stack.redis.pid(), "SIGSTOP"),
      end: () => process.kill(stack.redis.pid(), "SIGCONT"),
      reason: /^Redis does not tell its settings: .+\n$/,
    },
    {
      name: "Redis is killed",
      begin: () => stack.redis.kill(),
      end: () => stack.redis.start(),
      reason: /^Redis is not connected\n$/,
    },
    {
      name: "Redis no longer syncs each write",
      begin: async () => (await stack.redis.connect()).config("SET", "appendfsync", "everysec"),
      end: async () => (await stack.redis.connect()).config("SET", "appendfsync", "always"),
      reason: /^Redis has appendfsync everysec, must be always\n$/,
    },
    {
      name: "Redis may evict",
      begin: async () => (await stack.redis.connect()).config("SET", "maxmemory-policy", "allkeys-lru"),
      end: async () => (await stack.redis.connect()).config("SET", "maxmemory-policy", "noeviction"),
      reason: /^Redis has maxmemory-policy allkeys-lru, must be noeviction\n$/,
    },
  ];

  for (const { name, begin, end, reason } of troubles)
    it(`is NOT_SERVING with the reason while ${name}, activations are U, and it comes back`, async () => {
      await watched("", async (next) => {
        expect(await next()).to.equal(Status.SERVING);
        await begin();
        try {
          expect(await next()).to.equal(Status.NOT_SERVING);
          for (const service of names) expect(await statusOf(service)).to.equal(Status.NOT_SERVING);
          const { status, text } = await readyz();
          expect(status).to.equal(503);
          expect(text).to.match(reason);
          const error = await refusal();
          expect(error.code).to.equal(Code.Unavailable);
          expect(error.findDetails(ErrorInfoSchema)[0]).to.include({
            reason: "DURABILITY_NOT_MET",
            domain: "token.mpp",
          });
          expectResult(await notify(stack.gateway.url, notification()), "UNKNOWN_EXCEPTION");
        } finally {
          await end();
        }
        expect(await next()).to.equal(Status.SERVING);
      });
      await untilServing(stack.service);
      expectResult(await notify(stack.gateway.url, notification()), "SUCCESS");
    });

  it("is told by Watch to every watcher at once", async () => {
    await watched("", (first) =>
      watched(TokenLifecycleService.typeName, async (second) => {
        expect([await first(), await second()]).to.deep.equal([Status.SERVING, Status.SERVING]);
        await stack.redis.kill();
        expect([await first(), await second()]).to.deep.equal([Status.NOT_SERVING, Status.NOT_SERVING]);
        await stack.redis.start();
        expect([await first(), await second()]).to.deep.equal([Status.SERVING, Status.SERVING]);
      }),
    );
  });

  it("lets the process live while it does not serve", async () => {
    await stack.redis.kill();
    try {
      await until("not ready", async () => (await readyz()).status === 503);
      expect((await fetch(`${stack.service.adminUrl}/livez`)).status).to.equal(200);
    } finally {
      await stack.redis.start();
    }
    await untilServing(stack.service);
  });
});
