// One port, every protocol: plain HTTP/1.1 with JSON, and gRPC, gRPC-Web and Connect over h2c.
import { toJson } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { expect } from "chai";
import { BadRequestSchema, ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import {
  RecordActivationRequestSchema,
  TokenLifecycleService,
} from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { Outcome, TokenState } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { startTestBackEnd, type TestBackEnd } from "../support/processes.js";
import { activationRequest } from "../support/rpc.js";

type Made = { transport: Transport; close: () => void };

/** More than the service takes in one message. */
const tooLong = "R".repeat(256 * 1024 + 1);

const overH2c =
  (create: (options: { baseUrl: string; sessionManager: Http2SessionManager }) => Transport) =>
  (baseUrl: string): Made => {
    const sessionManager = new Http2SessionManager(baseUrl);
    return { transport: create({ baseUrl, sessionManager }), close: () => sessionManager.abort() };
  };

const transports: { name: string; make: (baseUrl: string) => Made }[] = [
  { name: "gRPC over h2c", make: overH2c((options) => createGrpcTransport(options)) },
  { name: "gRPC-Web over h2c", make: overH2c((options) => createGrpcWebTransport({ ...options, httpVersion: "2" })) },
  { name: "Connect over h2c", make: overH2c((options) => createConnectTransport({ ...options, httpVersion: "2" })) },
  {
    name: "Connect with JSON over h2c",
    make: overH2c((options) => createConnectTransport({ ...options, httpVersion: "2", useBinaryFormat: false })),
  },
  {
    name: "Connect over HTTP/1.1",
    make: (baseUrl) => ({
      transport: createConnectTransport({ baseUrl, httpVersion: "1.1", nodeOptions: { agent: false } }),
      close: () => {},
    }),
  },
  {
    name: "gRPC-Web over HTTP/1.1",
    make: (baseUrl) => ({
      transport: createGrpcWebTransport({ baseUrl, httpVersion: "1.1", nodeOptions: { agent: false } }),
      close: () => {},
    }),
  },
];

describe("the port of the token service", () => {
  let backEnd: TestBackEnd;
  before(async () => {
    backEnd = await startTestBackEnd();
  });
  after(() => backEnd?.stop());

  const failure = (reply: Promise<unknown>): Promise<ConnectError> =>
    reply.then(
      () => Promise.reject(new Error("the call succeeded")),
      (error: unknown) => ConnectError.from(error),
    );

  it("ends a watch at its deadline with DEADLINE_EXCEEDED when the service's clock says so first", async () => {
    const transport = createConnectTransport({ baseUrl: backEnd.service.url, httpVersion: "1.1" });
    const client = createClient(TokenLifecycleService, transport);
    // In a header of its own the client does not look at it.
    const watching = async (): Promise<void> => {
      for await (const _ of client.watchTokenEvents({}, { headers: { "connect-timeout-ms": "200" } }));
    };
    expect((await failure(watching())).code).to.equal(Code.DeadlineExceeded);
  });

  for (const { name, make } of transports)
    describe(`speaks ${name} and`, () => {
      let made: Made;
      before(() => {
        made = make(backEnd.service.url);
      });
      after(() => made?.close());
      const client = () => createClient(TokenLifecycleService, made.transport);

      it("records an activation and returns its token", async () => {
        const request = activationRequest();
        const tokenReferenceId = request.activation?.tokenReferenceId ?? "";
        expect(await client().recordActivation(request)).to.include({ outcome: Outcome.APPLIED, version: 1n });
        expect(await client().recordActivation(request)).to.include({ outcome: Outcome.REPEATED, version: 1n });
        const { token } = await client().getToken({ tokenReferenceId });
        expect(token).to.include({ tokenReferenceId, state: TokenState.ACTIVE, clientId: "BACK_OFFICE" });
      });

      it("tells a broken rule with its details", async () => {
        const error = await failure(client().recordActivation(activationRequest({ walletId: "W".repeat(17) })));
        expect(error.code).to.equal(Code.InvalidArgument);
        expect(error.findDetails(ErrorInfoSchema)[0]).to.include({ reason: "FIELD_VIOLATION", domain: "token.mpp" });
        const violations = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
        expect(violations.map(({ field }) => field)).to.deep.equal(["activation.wallet_id"]);
      });

      it("refuses a message over 256 KiB with RESOURCE_EXHAUSTED", async () => {
        const error = await failure(client().getToken({ tokenReferenceId: tooLong }));
        expect(Code[error.code], String(error.cause ?? error)).to.equal(Code[Code.ResourceExhausted]);
      });
    });

  const postJson = async (rpc: string, body: unknown) => {
    const answer = await fetch(`${backEnd.service.url}/${TokenLifecycleService.typeName}/${rpc}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };

  it("takes JSON from plain fetch", async () => {
    const request = activationRequest();
    const tokenReferenceId = request.activation?.tokenReferenceId;
    expect(await postJson("RecordActivation", toJson(RecordActivationRequestSchema, request))).to.deep.equal({
      status: 200,
      body: { outcome: "OUTCOME_APPLIED", state: "TOKEN_STATE_ACTIVE", version: "1" },
    });
    const { status, body } = await postJson("GetToken", { tokenReferenceId });
    expect(status).to.equal(200);
    expect(body.token).to.include({ tokenReferenceId, state: "TOKEN_STATE_ACTIVE", walletId: "103" });
    expect(JSON.stringify(body)).to.not.include("5345678901234521");
  });

  it("answers plain fetch with an error in JSON that names the reason", async () => {
    const { status, body } = await postJson("GetToken", { tokenReferenceId: "T-nobody" });
    expect(status).to.equal(404);
    expect(body).to.include({ code: "not_found" });
    expect(body.details).to.have.lengthOf(1);
    expect((body.details as { type: string }[])[0]?.type).to.equal("google.rpc.ErrorInfo");
  });

  it("answers JSON over the limit with resource_exhausted to plain fetch", async () => {
    const { body } = await postJson("GetToken", { tokenReferenceId: tooLong });
    expect(body.code).to.equal("resource_exhausted");
  });

  it("answers many calls of both versions of HTTP at once", async () => {
    const made = transports.slice(0, 3).map(({ make }) => make(backEnd.service.url));
    try {
      const overBoth = Array.from({ length: 60 }, async (_, index) => {
        const request = activationRequest();
        const transport = made[index % 4]?.transport;
        if (transport === undefined)
          return (await postJson("RecordActivation", toJson(RecordActivationRequestSchema, request))).body.version;
        return String((await createClient(TokenLifecycleService, transport).recordActivation(request)).version);
      });
      expect(new Set(await Promise.all(overBoth))).to.deep.equal(new Set(["1"]));
    } finally {
      for (const { close } of made) close();
    }
  });
});
