import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import fc from "fast-check";
import {
  isOurFault,
  Refusal,
  type ResultCode,
  reasonOf,
  resultCodes,
  resultOf,
  resultOfError,
} from "../../../gateway/alipayplus/result.js";
import { BadRequestSchema, ErrorInfoSchema } from "../../../proto/gen/google/rpc/error_details_pb.js";
import { ErrorReason } from "../../../proto/gen/mpp/token/v1/error_reason_pb.js";

const codes = Object.values(Code).filter((code): code is Code => typeof code === "number");
const reasons = Object.keys(ErrorReason).filter((word) => Number.isNaN(Number(word)));

type Violation = { field: string; description: string };

/** An error as it arrives over the wire: with details that say whose decision it is. */
function errorOf(code: Code, reason?: string, violations: Violation[] = [], domain = "token.mpp"): ConnectError {
  const details = [
    ...(reason === undefined ? [] : [{ desc: ErrorInfoSchema, value: create(ErrorInfoSchema, { domain, reason }) }]),
    ...(violations.length === 0
      ? []
      : [{ desc: BadRequestSchema, value: create(BadRequestSchema, { fieldViolations: violations }) }]),
  ];
  return new ConnectError("words that nobody may read", code, undefined, details);
}

const jsonPathOf = (path: string): string | undefined =>
  path.startsWith("activation.") ? path.slice("activation.".length) : undefined;
const violation = { field: "activation.walletId", description: "must be at most 16 characters" };
const resultOfFailure = (error: ConnectError) => resultOfError(error, jsonPathOf);

describe("the result codes", () => {
  const documented: Record<ResultCode, "S" | "F" | "U"> = {
    SUCCESS: "S",
    ACCESS_DENIED: "F",
    INVALID_CLIENT: "F",
    INVALID_SIGNATURE: "F",
    KEY_NOT_FOUND: "F",
    MEDIA_TYPE_NOT_ACCEPTABLE: "F",
    METHOD_NOT_SUPPORTED: "F",
    NO_INTERFACE_DEF: "F",
    PARAM_ILLEGAL: "F",
    PROCESS_FAIL: "F",
    REPEAT_REQ_INCONSISTENT: "F",
    REQUEST_TRAFFIC_EXCEED_LIMIT: "U",
    UNKNOWN_EXCEPTION: "U",
  };
  for (const [code, status] of Object.entries(documented))
    it(`give ${code} the status ${status} that Alipay+ documents`, () => {
      const result = resultOf(code as ResultCode);
      expect(result).to.include({ resultCode: code, resultStatus: status });
      expect(result.resultMessage).to.have.length.within(1, 256);
    });

  it("are those that Alipay+ documents and no others", () => {
    expect(Object.keys(resultCodes)).to.have.members(Object.keys(documented));
  });

  it("cut a message at the 256 characters that Alipay+ takes", () => {
    for (const length of [200, 228, 229, 230, 1000])
      expect(resultOf("PARAM_ILLEGAL", "x".repeat(length)).resultMessage).to.have.length.at.most(256);
    const whole = resultOf("PARAM_ILLEGAL", "walletId must not be empty").resultMessage;
    expect(whole).to.equal("Illegal parameters exist. walletId must not be empty");
  });

  it("travel in a Refusal together with its detail", () => {
    const refusal = new Refusal("PARAM_ILLEGAL", "walletId must not be empty");
    expect(refusal.result).to.deep.equal(resultOf("PARAM_ILLEGAL", "walletId must not be empty"));
  });
});

describe("the result of a failed rpc", () => {
  it("covers all sixteen status codes", () => {
    expect(codes).to.have.length(16);
  });

  for (const code of codes) {
    const expected = code === Code.ResourceExhausted ? "REQUEST_TRAFFIC_EXCEED_LIMIT" : "UNKNOWN_EXCEPTION";
    it(`is ${expected} for a bare ${Code[code]}`, () => {
      expect(resultOfFailure(errorOf(code))).to.deep.equal(resultOf(expected));
      expect(resultOfFailure(errorOf(code, undefined, [violation]))).to.deep.equal(resultOf(expected));
    });
  }

  const decisions: { reason: string; code: Code; resultCode: ResultCode }[] = [
    { reason: "FIELD_VIOLATION", code: Code.InvalidArgument, resultCode: "PARAM_ILLEGAL" },
    { reason: "ACTIVATION_CONFLICT", code: Code.AlreadyExists, resultCode: "PROCESS_FAIL" },
    { reason: "CLIENT_CONFLICT", code: Code.AlreadyExists, resultCode: "PROCESS_FAIL" },
  ];
  for (const { reason, code, resultCode } of decisions)
    it(`is F ${resultCode} for ${Code[code]} with the reason ${reason}`, () => {
      expect(resultOfFailure(errorOf(code, reason, [violation]))).to.include({ resultCode, resultStatus: "F" });
    });

  for (const reason of [...reasons, "SOMETHING_NEW", "", "field_violation", "ERROR_REASON_FIELD_VIOLATION"])
    it(`is F for the reason "${reason}" with no code but the one that goes with it`, () => {
      const finals = codes.filter((code) => resultOfFailure(errorOf(code, reason, [violation])).resultStatus === "F");
      const listed = decisions.filter((decision) => decision.reason === reason).map(({ code }) => code);
      expect(finals).to.deep.equal(listed);
    });

  for (const domain of ["", "token.mpp.example", "TOKEN.MPP", "googleapis.com", "envoy"])
    it(`is U for every reason of the domain "${domain}"`, () => {
      for (const { reason, code } of decisions)
        expect(resultOfFailure(errorOf(code, reason, [violation], domain)).resultStatus).to.equal("U");
    });

  it("finds our reason behind a foreign one", () => {
    const error = errorOf(Code.AlreadyExists, "ACTIVATION_CONFLICT", [], "envoy");
    error.details.push(...errorOf(Code.AlreadyExists, "CLIENT_CONFLICT").details);
    expect(reasonOf(error)).to.equal(ErrorReason.CLIENT_CONFLICT);
    expect(resultOfFailure(error).resultCode).to.equal("PROCESS_FAIL");
  });

  it("names the JSON field and the rule of the first violation that is the sender's", () => {
    const ours = { field: "delivery.client_id", description: "must match" };
    const error = errorOf(Code.InvalidArgument, "FIELD_VIOLATION", [
      ours,
      violation,
      { ...violation, field: "activation.b" },
    ]);
    expect(resultOfFailure(error)).to.deep.equal(resultOf("PARAM_ILLEGAL", "walletId must be at most 16 characters"));
  });

  it("is U when the gateway filled every field that is wrong", () => {
    const ours = { field: "delivery.received_time", description: "is required" };
    expect(resultOfFailure(errorOf(Code.InvalidArgument, "FIELD_VIOLATION", [ours]))).to.deep.equal(
      resultOf("UNKNOWN_EXCEPTION"),
    );
  });

  it("is U for a FIELD_VIOLATION that names no field", () => {
    expect(resultOfFailure(errorOf(Code.InvalidArgument, "FIELD_VIOLATION")).resultStatus).to.equal("U");
  });

  it("never repeats the words of the error, and says PARAM_ILLEGAL, PROCESS_FAIL or U and nothing else", () => {
    const word = fc.oneof(fc.constantFrom(...reasons), fc.string());
    fc.assert(
      fc.property(
        fc.constantFrom(...codes),
        fc.option(word, { nil: undefined }),
        fc.constantFrom("token.mpp", "other"),
        fc.boolean(),
        (code, reason, domain, hasViolation) => {
          const result = resultOfFailure(errorOf(code, reason, hasViolation ? [violation] : [], domain));
          expect(result.resultMessage).not.to.include("words that nobody may read");
          expect(result.resultCode === "REQUEST_TRAFFIC_EXCEED_LIMIT").to.equal(code === Code.ResourceExhausted);
          if (result.resultStatus !== "U") expect(result.resultCode).to.be.oneOf(["PARAM_ILLEGAL", "PROCESS_FAIL"]);
          if (domain === "other") expect(result.resultStatus).to.equal("U");
        },
      ),
    );
  });
});

describe("isOurFault", () => {
  it("is true for the codes that say we are wired up wrongly, and no others", () => {
    expect(codes.filter(isOurFault)).to.have.members([Code.Unauthenticated, Code.PermissionDenied, Code.Unimplemented]);
  });
});
