// BatchRecordActivations to every kind of client, and the direct way to the recording rpcs beside the general one.
import { execFile } from "node:child_process";
import http2 from "node:http2";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  create,
  createRegistry,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  toBinary,
  toJsonString,
  type UnknownField,
} from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { expect } from "chai";
import fc from "fast-check";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  file_google_rpc_error_details,
} from "../../proto/gen/google/rpc/error_details_pb.js";
import type { Status } from "../../proto/gen/google/rpc/status_pb.js";
import type { AccountSource } from "../../proto/gen/mpp/token/v1/token_activation_pb.js";
import {
  type BatchRecordActivationsItemSchema,
  type BatchRecordActivationsRequest,
  BatchRecordActivationsRequestSchema,
  type BatchRecordActivationsResponse,
  BatchRecordActivationsResponseSchema,
  type RecordActivationRequest,
  RecordActivationRequestSchema,
  RecordActivationResponseSchema,
  type StreamRecordActivationsRequest,
  StreamRecordActivationsRequestSchema,
  type StreamRecordActivationsResponse,
  StreamRecordActivationsResponseSchema,
  TokenLifecycleService,
} from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { Outcome } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { startTestBackEnd, type TestBackEnd, untilServing } from "../support/processes.js";
import { activationRequest } from "../support/rpc.js";

const buf = fileURLToPath(new URL("../../node_modules/.bin/buf", import.meta.url));
const { recordActivation, batchRecordActivations, streamRecordActivations } = TokenLifecycleService.method;
const pathOf = ({ parent, name }: DescMethod) => `/${parent.typeName}/${name}`;

/** A status in JSON holds its details as Any. */
const registry = createRegistry(file_google_rpc_error_details);

type Item = MessageInitShape<typeof BatchRecordActivationsItemSchema>;
type Made = {
  call: (items: Item[], timeoutMs?: number) => Promise<BatchRecordActivationsResponse>;
  /** The answers to these batches over one stream, as they come. */
  stream: (
    batches: readonly { sequence: number; items: Item[]; timeoutMs?: number }[],
  ) => Promise<StreamRecordActivationsResponse[]>;
  close: () => void;
};

const overConnectNode =
  (create: (options: { baseUrl: string; sessionManager: Http2SessionManager }) => Transport) =>
  (baseUrl: string): Made => {
    const sessionManager = new Http2SessionManager(baseUrl);
    const client = createClient(TokenLifecycleService, create({ baseUrl, sessionManager }));
    return {
      call: (items, timeoutMs = 10_000) => client.batchRecordActivations({ items }, { timeoutMs }),
      async stream(batches) {
        const requests = (async function* () {
          for (const { items, ...more } of batches) yield { ...more, batch: { items } };
        })();
        const replies: StreamRecordActivationsResponse[] = [];
        for await (const reply of client.streamRecordActivations(requests, { timeoutMs: 0 })) replies.push(reply);
        return replies;
      },
      close: () => sessionManager.abort(),
    };
  };

function overGrpcJs(baseUrl: string): Made {
  const client = new grpc.Client(baseUrl.slice("http://".length), grpc.credentials.createInsecure());
  const call = (items: Item[], timeoutMs = 10_000) =>
    new Promise<BatchRecordActivationsResponse>((resolve, reject) => {
      client.makeUnaryRequest<BatchRecordActivationsRequest, BatchRecordActivationsResponse>(
        pathOf(batchRecordActivations),
        (message) => Buffer.from(toBinary(BatchRecordActivationsRequestSchema, message)),
        (bytes) => fromBinary(BatchRecordActivationsResponseSchema, bytes),
        create(BatchRecordActivationsRequestSchema, { items }),
        new grpc.Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error, reply) =>
          reply === undefined ? reject(new ConnectError(error?.details ?? "", Number(error?.code))) : resolve(reply),
      );
    });
  const stream: Made["stream"] = (batches) =>
    new Promise((resolve, reject) => {
      const replies: StreamRecordActivationsResponse[] = [];
      const calls = client
        .makeBidiStreamRequest<StreamRecordActivationsRequest, StreamRecordActivationsResponse>(
          pathOf(streamRecordActivations),
          (message) => Buffer.from(toBinary(StreamRecordActivationsRequestSchema, message)),
          (bytes) => fromBinary(StreamRecordActivationsResponseSchema, bytes),
        )
        .on("data", (reply) => replies.push(reply))
        .on("error", reject)
        .on("end", () => resolve(replies));
      for (const { items, ...more } of batches)
        calls.write(create(StreamRecordActivationsRequestSchema, { ...more, batch: { items } }));
      calls.end();
    });
  return { call, stream, close: () => client.close() };
}

const clients: Record<string, (baseUrl: string) => Made> = {
  "connect-node over gRPC": overConnectNode((options) => createGrpcTransport(options)),
  "connect-node over Connect": overConnectNode((options) => createConnectTransport({ ...options, httpVersion: "2" })),
  "connect-node over Connect with JSON": overConnectNode((options) =>
    createConnectTransport({ ...options, httpVersion: "2", useBinaryFormat: false, jsonOptions: { registry } }),
  ),
  "grpc-js": overGrpcJs,
};

const failure = (reply: Promise<unknown>): Promise<ConnectError> =>
  reply.then(
    () => Promise.reject(new Error("the call succeeded")),
    (error: unknown) => ConnectError.from(error),
  );

/** What a status says, with its details decoded. */
function told({ code, details }: Status) {
  const [info] = details.flatMap((any) => anyUnpack(any, ErrorInfoSchema) ?? []);
  const violations = details.flatMap((any) => anyUnpack(any, BadRequestSchema)?.fieldViolations ?? []);
  return {
    code: Code[code],
    reason: info?.reason,
    metadata: { ...info?.metadata },
    fields: violations.map(({ field }) => field),
  };
}

/** One word for what became of each item. */
const wordsOf = ({ results }: BatchRecordActivationsResponse): string[] =>
  results.map(({ result }) => {
    if (result.case === "response") return Outcome[result.value.outcome] ?? "";
    return result.case === "error" ? told(result.value).reason || told(result.value).code || "" : "nothing";
  });

describe("BatchRecordActivations", () => {
  let backEnd: TestBackEnd;
  before(async () => {
    backEnd = await startTestBackEnd({ service: { REDIS_TIMEOUT_MS: "5000" } });
  });
  after(() => backEnd?.stop());

  for (const [name, make] of Object.entries(clients))
    describe(`to ${name}`, () => {
      let made: Made;
      before(() => {
        made = make(backEnd.service.url);
      });
      after(() => made?.close());

      it("answers each item as RecordActivation would, in their order", async () => {
        const recorded = activationRequest();
        const tokenReferenceId = recorded.activation?.tokenReferenceId ?? "";
        expect(wordsOf(await made.call([{ request: recorded }]))).to.deep.equal(["APPLIED"]);
        const { results } = await made.call([
          { request: activationRequest() },
          { request: activationRequest({ walletId: "W".repeat(17), customerId: "" }) },
          { request: recorded },
          {},
          { request: activationRequest({ tokenReferenceId, customerId: "other", walletId: "104" }) },
          { request: activationRequest(), timeoutMs: 4_294_967_295 },
        ]);
        const statuses = results.map(({ result }) => (result.case === "error" ? told(result.value) : result.value));
        expect(results).to.have.length(6);
        expect(statuses[0]).to.include({ outcome: Outcome.APPLIED, version: 1n });
        expect(statuses[1]).to.deep.include({ code: "InvalidArgument", reason: "FIELD_VIOLATION" });
        expect((statuses[1] as { fields: string[] }).fields).to.have.members([
          "activation.wallet_id",
          "activation.customer_id",
        ]);
        expect(statuses[2]).to.include({ outcome: Outcome.REPEATED, version: 1n });
        expect(statuses[3]).to.deep.include({ code: "InvalidArgument", reason: "FIELD_VIOLATION" });
        expect(statuses[4]).to.deep.equal({
          ...{ code: "AlreadyExists", reason: "ACTIVATION_CONFLICT", fields: [] },
          metadata: { fields: "customerId,walletId" },
        });
        expect(statuses[5]).to.include({ outcome: Outcome.APPLIED });
      });

      it("applies one of many of the same activation, and calls the others repeats", async () => {
        const request = activationRequest();
        const words = wordsOf(await made.call(Array.from({ length: 256 }, () => ({ request }))));
        expect(words.filter((word) => word === "APPLIED")).to.have.length(1);
        expect(words.filter((word) => word === "REPEATED")).to.have.length(255);
      });

      for (const [what, count] of [
        ["empty", 0],
        ["too long", 257],
      ] as const)
        it(`refuses a batch that is ${what}, and records nothing of it`, async () => {
          const request = activationRequest();
          const error = await failure(made.call(Array.from({ length: count }, () => ({ request }))));
          expect(error.code).to.equal(Code.InvalidArgument);
          expect(error.rawMessage).to.match(/^items must contain /);
          expect(wordsOf(await made.call([{ request }]))).to.deep.equal(["APPLIED"]);
        });

      it("takes batches over one stream too, and answers each as it would have been answered alone", async () => {
        const [known, fresh] = [activationRequest(), activationRequest()];
        await made.call([{ request: known }]);
        const replies = await made.stream([
          { sequence: 4_294_967_295, items: [{ request: known }, {}, { request: fresh }] },
          { sequence: 2, items: [] },
          { sequence: 3, items: [{ request: activationRequest() }], timeoutMs: 5_000 },
        ]);
        const words = replies.map(({ sequence, result }) => [
          sequence,
          result.case === "response" ? wordsOf(result.value) : result.case && told(result.value).reason,
        ]);
        expect(Object.fromEntries(words)).to.deep.equal({
          4294967295: ["REPEATED", "FIELD_VIOLATION", "APPLIED"],
          2: "FIELD_VIOLATION",
          3: ["APPLIED"],
        });
        expect(words).to.have.length(3);
      });
    });

  it("ends each item at its own deadline, and the batch at its caller's", async () => {
    const made = overGrpcJs(backEnd.service.url);
    process.kill(backEnd.redis.pid(), "SIGSTOP");
    try {
      const started = performance.now();
      const items = [100, 200].map((timeoutMs) => ({ request: activationRequest(), timeoutMs }));
      expect(wordsOf(await made.call(items))).to.deep.equal(["DeadlineExceeded", "DeadlineExceeded"]);
      expect(performance.now() - started).to.be.within(190, 1_500);
      const invalid = await made.call([{ request: activationRequest(), timeoutMs: 50 }, {}]);
      expect(wordsOf(invalid)).to.deep.equal(["DeadlineExceeded", "FIELD_VIOLATION"]);
      const error = await failure(made.call([{ request: activationRequest() }], 150));
      expect(error.code).to.equal(Code.DeadlineExceeded);
    } finally {
      process.kill(backEnd.redis.pid(), "SIGCONT");
      made.close();
    }
    await untilServing(backEnd.service);
  });

  it("answers 128 of the worst items below what the gateway reads", async () => {
    const word = "x".repeat(300);
    const worst = activationRequest({
      ...{ tokenReferenceId: "", customerId: word, walletId: word, accountSource: 99 as AccountSource },
      tokenData: { unknownMembers: { token: 1, expiryMonth: 1, expiryYear: 1, sequenceNumber: 1 } },
    });
    worst.delivery = create(RecordActivationRequestSchema, {
      delivery: { clientId: "?".repeat(100), deliveryId: word, bodySha256: new Uint8Array(3), traceparent: "none" },
    }).delivery as never;
    const made = clients["connect-node over Connect"]?.(backEnd.service.url) as Made;
    try {
      const response = await made.call(Array.from({ length: 128 }, () => ({ request: worst })));
      expect(new Set(wordsOf(response))).to.deep.equal(new Set(["FIELD_VIOLATION"]));
      expect(toBinary(BatchRecordActivationsResponseSchema, response).length).to.be.below(256 * 1024);
    } finally {
      made.close();
    }
  });

  it("drops what it does not know of an item, but for token data, whichever way it came", async () => {
    const unknown: UnknownField[] = [{ no: 200, wireType: 2, data: Buffer.from("\x06secret") }];
    const withUnknown = () => {
      const request = activationRequest();
      if (request.activation) request.activation.$unknown = unknown;
      return request;
    };
    const made = clients["connect-node over Connect"]?.(backEnd.service.url) as Made;
    const overGrpc = clients["grpc-js"]?.(backEnd.service.url) as Made;
    const redis = await backEnd.redis.connect();
    try {
      const [single, direct, general] = [withUnknown(), withUnknown(), withUnknown()];
      expect(wordsOf(await made.call([{ request: single }]))).to.deep.equal(["APPLIED"]);
      await made.stream([{ sequence: 1, items: [{ request: direct }] }]);
      await overGrpc.stream([{ sequence: 1, items: [{ request: general }] }]);
      for (const { activation } of [single, direct, general]) {
        const keys = await redis.keys(`token:*${activation?.tokenReferenceId}`);
        expect(keys).to.have.length(1);
        expect((await redis.getBuffer(keys[0] ?? ""))?.toString("latin1")).to.not.include("secret");
      }
    } finally {
      overGrpc.close();
      made.close();
    }
  });

  it("answers buf curl, which finds the types by reflection", async () => {
    const request = create(BatchRecordActivationsRequestSchema, { items: [{ request: activationRequest() }, {}] });
    const { stdout } = await promisify(execFile)(buf, [
      ...["curl", "--protocol", "grpc", "--http2-prior-knowledge"],
      ...["-d", toJsonString(BatchRecordActivationsRequestSchema, request)],
      `${backEnd.service.url}${pathOf(batchRecordActivations)}`,
    ]);
    const [first, second] = JSON.parse(stdout).results;
    expect(first).to.deep.equal({
      response: { outcome: "OUTCOME_APPLIED", state: "TOKEN_STATE_ACTIVE", version: "1" },
    });
    expect(second.error).to.include({ code: Code.InvalidArgument });
    expect(second.error.details[0]).to.include({ "@type": "type.googleapis.com/google.rpc.ErrorInfo" });
  });

  describe("and RecordActivation, by the direct way and by the general one,", () => {
    let session: http2.ClientHttp2Session;
    let recorded: RecordActivationRequest;
    before(async () => {
      session = http2.connect(backEnd.service.url);
      session.on("error", () => {});
      recorded = activationRequest();
      const { status, body } = await direct(pathOf(recordActivation), single(recorded));
      expect(status).to.equal(200);
      expect(fromBinary(RecordActivationResponseSchema, body)).to.include({ outcome: Outcome.APPLIED });
    });
    after(() => session?.destroy());

    type Answer = { status: number; type: string; body: Buffer };
    function post(path: string, body: Uint8Array, headers: http2.OutgoingHttpHeaders): Promise<Answer> {
      return new Promise((resolve, reject) => {
        const stream = session.request({
          ":method": "POST",
          ":path": path,
          "content-type": "application/proto",
          ...headers,
        });
        const chunks: Buffer[] = [];
        let answer = { status: 0, type: "" };
        stream.on("response", (received) => {
          answer = { status: Number(received[":status"]), type: received["content-type"] ?? "" };
        });
        stream.on("data", (chunk: Buffer) => chunks.push(chunk));
        stream.on("end", () => resolve({ ...answer, body: Buffer.concat(chunks) }));
        stream.on("error", reject);
        stream.end(Buffer.from(body));
      });
    }
    const version = { "connect-protocol-version": "1" };
    const direct = (path: string, body: Uint8Array, headers = {}) => post(path, body, { ...version, ...headers });
    // The protocol's version may be left out, and the direct way wants it.
    const general = (path: string, body: Uint8Array, headers = {}) => post(path, body, headers);

    /** Both answers, in words that can be compared. What is INTERNAL is said in the library's words by one of them. */
    async function both(path: string, body: Uint8Array, headers: http2.OutgoingHttpHeaders = {}) {
      return (await Promise.all([direct(path, body, headers), general(path, body, headers)])).map(
        ({ status, type, body: bytes }) => ({
          ...{ status, type },
          body: type === "application/json" ? refusalIn(bytes) : bytes.toString("base64"),
        }),
      );
    }
    function refusalIn(bytes: Buffer): Record<string, unknown> {
      const refusal = JSON.parse(bytes.toString());
      return refusal.code === "internal" ? { code: refusal.code } : refusal;
    }
    const single = (request: RecordActivationRequest) => toBinary(RecordActivationRequestSchema, request);
    const many = (items: Item[]) =>
      toBinary(BatchRecordActivationsRequestSchema, create(BatchRecordActivationsRequestSchema, { items }));

    const conflicting = () =>
      activationRequest({ tokenReferenceId: recorded.activation?.tokenReferenceId ?? "", customerId: "other" });

    const rows: {
      name: string;
      path?: string;
      body: () => Uint8Array;
      headers?: http2.OutgoingHttpHeaders;
      status: number;
    }[] = [
      { name: "a repeat", body: () => single(recorded), status: 200 },
      {
        name: "a repeat with a deadline",
        body: () => single(recorded),
        headers: { "connect-timeout-ms": "5000" },
        status: 200,
      },
      { name: "a conflict", body: () => single(conflicting()), status: 409 },
      { name: "an empty message", body: () => Buffer.alloc(0), status: 400 },
      { name: "a broken rule", body: () => single(activationRequest({ walletId: "W".repeat(17) })), status: 400 },
      { name: "what is no message", body: () => Buffer.from("\x0a\xffsecret"), status: 500 },
      { name: "text that is no UTF-8", body: () => Buffer.from([0x0a, 0x04, 0x0a, 0x02, 0xff, 0xfe]), status: 500 },
      { name: "a message over 256 KiB", body: () => Buffer.alloc(256 * 1024 + 1), status: 429 },
      {
        name: "an unknown field",
        body: () => Buffer.concat([single(recorded), Buffer.from("\xc2\x0c\x01x", "latin1")]),
        status: 200,
      },
      {
        name: "a deadline that is no number",
        body: () => single(recorded),
        headers: { "connect-timeout-ms": "soon" },
        status: 400,
      },
      {
        name: "a deadline that no timer holds",
        body: () => single(recorded),
        headers: { "connect-timeout-ms": "9999999999" },
        status: 400,
      },
      { name: "a deadline of none", body: () => single(recorded), headers: { "connect-timeout-ms": "0" }, status: 504 },
      {
        name: "another content type",
        body: () => single(recorded),
        headers: { "content-type": "text/plain" },
        status: 415,
      },
      {
        name: "compression that is none",
        body: () => single(recorded),
        headers: { "content-encoding": "x" },
        status: 501,
      },
      {
        name: "another rpc",
        path: "/mpp.token.v1.TokenLifecycleService/Nothing",
        body: () => Buffer.alloc(0),
        status: 404,
      },
      { name: "an empty batch", path: pathOf(batchRecordActivations), body: () => many([]), status: 400 },
      {
        name: "a batch",
        path: pathOf(batchRecordActivations),
        body: () =>
          many([{ request: recorded }, {}, { request: conflicting() }, { request: recorded, timeoutMs: 5_000 }]),
        status: 200,
      },
    ];
    for (const { name, path = pathOf(recordActivation), body, headers, status } of rows)
      it(`give the same answer to ${name}`, async () => {
        const [one, other] = await both(path, body(), headers);
        expect(one).to.deep.equal(other);
        expect(one?.status).to.equal(status);
        expect(JSON.stringify(one)).to.not.include("secret");
      });

    const word = fc.constantFrom("", "x", "é".repeat(64), "x".repeat(65), "\u{1f600}".repeat(64));
    const anyRequest = fc
      .record({
        activation: fc.record(
          {
            ...{ tokenReferenceId: word, customerId: word, walletId: word },
            accountSource: fc.constantFrom(0, 1, 99),
            tokenData: fc.record({ token: word, expiryMonth: word }, { requiredKeys: [] }),
          },
          { requiredKeys: [] },
        ),
        hasDelivery: fc.boolean(),
      })
      .map(({ activation, hasDelivery }) => {
        const request = activationRequest({ ...activation } as never);
        if (!hasDelivery) delete request.delivery;
        return request;
      });

    it("give the same answer to any request", async () => {
      await fc.assert(
        fc.asyncProperty(anyRequest, async (request) => {
          // The first of two is applied and the second a repeat, so what is compared comes after a first.
          await direct(pathOf(recordActivation), single(request));
          const [one, other] = await both(pathOf(recordActivation), single(request));
          expect(one).to.deep.equal(other);
        }),
        { numRuns: 60 },
      );
    });

    it("give the same answer to any batch", async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(anyRequest, { minLength: 1, maxLength: 6 }), async (requests) => {
          const body = many(requests.map((request) => ({ request })));
          await direct(pathOf(batchRecordActivations), body);
          const [one, other] = await both(pathOf(batchRecordActivations), body);
          expect(one).to.deep.equal(other);
        }),
        { numRuns: 30 },
      );
    });

    it("give the same answer to bytes that anybody may send", async () => {
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), async (bytes) => {
          const [one, other] = await both(pathOf(recordActivation), bytes);
          expect(one).to.deep.equal(other);
        }),
        { numRuns: 60 },
      );
    });
  });

  it("needs the right to record", async () => {
    const backEndWithout = await startTestBackEnd({ service: { LOOPBACK_RIGHTS: "read" } });
    const made = Object.values(clients).map((make) => make(backEndWithout.service.url));
    try {
      for (const { call } of made) {
        const error = await failure(call([{ request: activationRequest() }]));
        expect(error.code).to.equal(Code.PermissionDenied);
      }
      const [, connect] = made;
      const error = await failure((connect as Made).call([{}]));
      expect(error.findDetails(ErrorInfoSchema)[0]).to.include({ reason: "RIGHT_MISSING", domain: "token.mpp" });
    } finally {
      for (const { close } of made) close();
      await backEndWithout.stop();
    }
  });
});
