// A second implementation of gRPC keeps the wire honest.
import { type DescMessage, type DescMethodUnary, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import { expect } from "chai";
import { BadRequestSchema, ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../proto/gen/google/rpc/status_pb.js";
import { TokenLifecycleService } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { Outcome, TokenState } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { startTestBackEnd, type TestBackEnd, untilServing } from "../support/processes.js";
import { activationRequest } from "../support/rpc.js";

describe("the token service to a client of grpc-js", () => {
  let backEnd: TestBackEnd;
  let client: grpc.Client;
  before(async () => {
    backEnd = await startTestBackEnd();
    client = new grpc.Client(backEnd.service.url.slice("http://".length), grpc.credentials.createInsecure());
  });
  after(async () => {
    client?.close();
    await backEnd?.stop();
  });

  const { recordActivation, getToken } = TokenLifecycleService.method;

  function call<I extends DescMessage, O extends DescMessage>(
    { parent, name, input, output }: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    deadlineMs = 5_000,
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest<MessageShape<I>, MessageShape<O>>(
        `/${parent.typeName}/${name}`,
        (message) => Buffer.from(toBinary(input, message)),
        (bytes) => fromBinary(output, bytes),
        request,
        new grpc.Metadata(),
        { deadline: Date.now() + deadlineMs },
        (error, reply) => (reply === undefined ? reject(error) : resolve(reply)),
      );
    });
  }

  const failure = (reply: Promise<unknown>): Promise<grpc.ServiceError> =>
    reply.then(
      () => Promise.reject(new Error("the call succeeded")),
      (error: grpc.ServiceError) => error,
    );

  /** The google.rpc.Status that travels beside the code, with its details decoded. */
  function detailsOf(error: grpc.ServiceError) {
    const [bytes] = error.metadata.get("grpc-status-details-bin");
    if (!Buffer.isBuffer(bytes)) throw new Error("the error has no grpc-status-details-bin");
    const status = fromBinary(StatusSchema, bytes);
    const unpacked = <D extends DescMessage>(desc: D) => status.details.flatMap((any) => anyUnpack(any, desc) ?? []);
    return { status, errorInfo: unpacked(ErrorInfoSchema), badRequest: unpacked(BadRequestSchema) };
  }

  const getTokenRequest = (tokenReferenceId: string) => ({
    $typeName: "mpp.token.v1.GetTokenRequest" as const,
    tokenReferenceId,
  });

  it("records an activation, recognises its repeat, and returns the token masked", async () => {
    const request = activationRequest();
    const tokenReferenceId = request.activation?.tokenReferenceId ?? "";
    for (const outcome of [Outcome.APPLIED, Outcome.REPEATED])
      expect(await call(recordActivation, request)).to.include({ outcome, state: TokenState.ACTIVE, version: 1n });
    const { token } = await call(getToken, getTokenRequest(tokenReferenceId));
    expect(token).to.include({ tokenReferenceId, state: TokenState.ACTIVE, version: 1n, customerId: "customer-1" });
    expect(token?.tokenData?.token).to.equal("************4521");
  });

  it("names every field that breaks its rule in google.rpc.BadRequest, and itself in google.rpc.ErrorInfo", async () => {
    const request = activationRequest({ walletId: "W".repeat(17), customerId: "" });
    const error = await failure(call(recordActivation, request));
    expect(error.code).to.equal(grpc.status.INVALID_ARGUMENT);
    const { status, errorInfo, badRequest } = detailsOf(error);
    expect(status.code).to.equal(grpc.status.INVALID_ARGUMENT);
    expect(errorInfo.map(({ reason, domain }) => ({ reason, domain }))).to.deep.equal([
      { reason: "FIELD_VIOLATION", domain: "token.mpp" },
    ]);
    const violations = badRequest.flatMap(({ fieldViolations }) => fieldViolations);
    expect(violations.map(({ field, reason }) => ({ field, reason }))).to.have.deep.members([
      { field: "activation.wallet_id", reason: "STRING_MAX_LEN" },
      { field: "activation.customer_id", reason: "STRING_MIN_LEN" },
    ]);
    for (const { description } of violations) expect(description).to.match(/^must /);
    expect(error.details).to.not.include("WWWW");
  });

  it("names the fields that differ when an activation is on record with other content", async () => {
    const request = activationRequest();
    await call(recordActivation, request);
    const tokenReferenceId = request.activation?.tokenReferenceId ?? "";
    const other = activationRequest({ tokenReferenceId, customerId: "customer-2", walletId: "104" });
    const error = await failure(call(recordActivation, other));
    expect(error.code).to.equal(grpc.status.ALREADY_EXISTS);
    const [info] = detailsOf(error).errorInfo;
    expect(info).to.include({ reason: "ACTIVATION_CONFLICT", domain: "token.mpp" });
    expect(info?.metadata).to.deep.equal({ fields: "customerId,walletId" });
    expect(error.details).to.not.include("customer-2");
  });

  it("answers NOT_FOUND with its reason for a token that nobody reported", async () => {
    const error = await failure(call(getToken, getTokenRequest("T-nobody")));
    expect(error.code).to.equal(grpc.status.NOT_FOUND);
    expect(detailsOf(error).errorInfo[0]).to.include({ reason: "TOKEN_NOT_FOUND", domain: "token.mpp" });
  });

  it("answers UNIMPLEMENTED for an rpc it does not have", async () => {
    const unknown = { ...getToken, name: "GetEverything" } as typeof getToken;
    const error = await failure(call(unknown, getTokenRequest("T-nobody")));
    expect(error.code).to.equal(grpc.status.UNIMPLEMENTED);
  });

  it("ends a call at the caller's deadline when Redis does not answer, and answers again afterwards", async () => {
    process.kill(backEnd.redis.pid(), "SIGSTOP");
    try {
      const started = performance.now();
      const error = await failure(call(getToken, getTokenRequest("T-nobody"), 200));
      expect(error.code).to.equal(grpc.status.DEADLINE_EXCEEDED);
      expect(performance.now() - started).to.be.within(150, 900);
    } finally {
      process.kill(backEnd.redis.pid(), "SIGCONT");
    }
    await untilServing(backEnd.service);
    expect(await call(recordActivation, activationRequest())).to.include({ outcome: Outcome.APPLIED });
  });
});
