// The service stops for a new version every day: nobody waits for idle connections, and calls in flight get an answer.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { expect } from "chai";
import { Health } from "../../proto/gen/grpc/health/v1/health_pb.js";
import { TokenLifecycleService } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { startTestBackEnd, type TestBackEnd, untilServing } from "../support/processes.js";
import { activationRequest } from "../support/rpc.js";
import { getToken } from "../support/store.js";

describe("the token service on SIGTERM", () => {
  let backEnd: TestBackEnd;
  let sessionManager: Http2SessionManager;
  before(async () => {
    backEnd = await startTestBackEnd({ service: { STOP_GRACE_MS: "1500", REDIS_TIMEOUT_MS: "5000" } });
    sessionManager = new Http2SessionManager(backEnd.service.url);
  });
  after(async () => {
    sessionManager?.abort();
    await backEnd?.stop();
  });
  const transport = () => createGrpcTransport({ baseUrl: backEnd.service.url, sessionManager });
  const client = () => createClient(TokenLifecycleService, transport());
  const stopMs = async () => {
    const started = performance.now();
    await backEnd.service.stop();
    return performance.now() - started;
  };

  it("does not wait for connections of either version of HTTP that idle", async () => {
    const request = activationRequest();
    await client().recordActivation(request);
    // fetch keeps its connection.
    await getToken(backEnd.service.url, request.activation?.tokenReferenceId ?? "");
    expect(await stopMs()).to.be.below(1_000);
    await backEnd.service.start();
    await untilServing(backEnd.service);
  });

  it("ends a call in flight as UNAVAILABLE when the grace is over", async () => {
    await client().recordActivation(activationRequest());
    process.kill(backEnd.redis.pid(), "SIGSTOP");
    try {
      const failure = client()
        .getToken({ tokenReferenceId: "T-1" })
        .then(
          () => undefined,
          (error: unknown) => ConnectError.from(error),
        );
      // Frames of a connection keep their order: when this call has its answer, the one before is in flight.
      await createClient(Health, transport()).check({});
      const ms = await stopMs();
      expect((await failure)?.code).to.equal(Code.Unavailable);
      expect(ms).to.be.within(1_000, 3_000);
    } finally {
      process.kill(backEnd.redis.pid(), "SIGCONT");
    }
  });

  it("ends calls of the recording rpcs in flight in the same way, whichever way they came", async () => {
    await backEnd.service.start();
    await untilServing(backEnd.service);
    const options = { baseUrl: backEnd.service.url, sessionManager: new Http2SessionManager(backEnd.service.url) };
    process.kill(backEnd.redis.pid(), "SIGSTOP");
    try {
      const both = [createConnectTransport({ ...options, httpVersion: "2" }), createGrpcTransport(options)].map(
        (each) => createClient(TokenLifecycleService, each),
      );
      const calls = both.flatMap((each) => [
        each.recordActivation(activationRequest()),
        each.batchRecordActivations({ items: [{ request: activationRequest() }] }),
      ]);
      const codes = calls.map((call) =>
        call.then(
          () => "done",
          (error: unknown) => Code[ConnectError.from(error).code],
        ),
      );
      await createClient(Health, createGrpcTransport(options)).check({});
      expect(await stopMs()).to.be.within(1_000, 3_000);
      expect(await Promise.all(codes)).to.deep.equal(codes.map(() => "Unavailable"));
    } finally {
      process.kill(backEnd.redis.pid(), "SIGCONT");
      options.sessionManager.abort();
    }
  });
});
