// The service stops for a new version every day: nobody waits for idle connections, and calls in flight get an answer.
import { once } from "node:events";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { expect } from "chai";
import { batchOf, batchStreamOf } from "../../lib/rpc/batch.js";
import { batchStream } from "../../lib/rpc/batch-stream.js";
import { connectChannel } from "../../lib/rpc/connect-channel.js";
import { Health } from "../../proto/gen/grpc/health/v1/health_pb.js";
import {
  type StreamRecordActivationsRequest,
  StreamRecordActivationsRequestSchema,
  StreamRecordActivationsResponseSchema,
  TokenLifecycleService,
} from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
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

  it("does not wait for the gateway's stream of batches, which lets go when the service wants no more calls", async () => {
    await backEnd.service.start();
    await untilServing(backEnd.service);
    const channel = connectChannel(backEnd.service.url, { tls: undefined, readMaxBytes: 100_000 });
    try {
      const batch = batchOf(TokenLifecycleService.method.recordActivation, "BatchRecordActivations");
      const limits = { writeMaxBytes: 100_000, readMaxBytes: 100_000 };
      const { send } = batchStream(channel, batchStreamOf(batch, "StreamRecordActivations"), limits);
      await send(batch.requestOf([{ request: activationRequest(), timeoutMs: 5_000 }]), 5_000);
      expect(await stopMs()).to.be.below(1_000);
    } finally {
      channel.close();
    }
  });

  it("ends a stream of batches as UNAVAILABLE with the grace when its caller does not", async () => {
    await backEnd.service.start();
    await untilServing(backEnd.service);
    const overGrpc = new grpc.Client(backEnd.service.url.slice("http://".length), grpc.credentials.createInsecure());
    const options = { baseUrl: backEnd.service.url, sessionManager: new Http2SessionManager(backEnd.service.url) };
    try {
      const path = `/${TokenLifecycleService.typeName}/StreamRecordActivations`;
      const batch = { sequence: 1, batch: { items: [{ request: activationRequest() }] } };
      const opened: Promise<unknown>[] = [];
      const grpcStream = overGrpc.makeBidiStreamRequest(
        path,
        (message: StreamRecordActivationsRequest) =>
          Buffer.from(toBinary(StreamRecordActivationsRequestSchema, message)),
        (bytes) => fromBinary(StreamRecordActivationsResponseSchema, bytes),
      );
      opened.push(once(grpcStream, "data"));
      grpcStream.write(create(StreamRecordActivationsRequestSchema, batch));
      const grpcEnd = once(grpcStream, "error").then(([error]) => Code[(error as grpc.ServiceError).code]);

      const batches = (async function* () {
        yield batch;
        await new Promise(() => {});
      })();
      const transport = createConnectTransport({ ...options, httpVersion: "2" });
      const iterator = createClient(TokenLifecycleService, transport)
        .streamRecordActivations(batches, { timeoutMs: 0 })
        [Symbol.asyncIterator]();
      opened.push(iterator.next());
      const connectEnd = Promise.all(opened)
        .then(() => iterator.next())
        .then(
          () => "went on",
          (error: unknown) => Code[ConnectError.from(error).code],
        );
      const ends = [connectEnd, grpcEnd];
      const codes = Promise.all(ends);
      await Promise.all(opened);
      expect(await stopMs()).to.be.within(1_000, 3_000);
      expect(await codes).to.deep.equal(["Unavailable", "Unavailable"]);
    } finally {
      overGrpc.close();
      options.sessionManager.abort();
    }
  });
});
