// The results that Alipay+ knows, and which one each outcome of an rpc becomes. F only for what another try cannot change.
import { getOption } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import { error_domain } from "../../proto/gen/alipayplus/dialect/v1/dialect_pb.js";
import { BadRequestSchema, ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import { ErrorReason, ErrorReasonSchema } from "../../proto/gen/mpp/token/v1/error_reason_pb.js";

/** S is final, F is final and means do not repeat, U asks for a repeat. */
export type ResultStatus = "S" | "F" | "U";

/** Source: Alipay+ tokenActivationNotification, result codes. */
export const resultCodes = {
  SUCCESS: ["S", "Success"],
  ACCESS_DENIED: ["F", "Access is denied."],
  INVALID_CLIENT: ["F", "The client is invalid."],
  INVALID_SIGNATURE: ["F", "The signature is invalid."],
  KEY_NOT_FOUND: ["F", "The key is not found."],
  MEDIA_TYPE_NOT_ACCEPTABLE: ["F", "The server does not implement the media type that is acceptable to the client."],
  METHOD_NOT_SUPPORTED: ["F", "The server does not implement the requested HTTP method."],
  NO_INTERFACE_DEF: ["F", "API is not defined."],
  PARAM_ILLEGAL: ["F", "Illegal parameters exist."],
  PROCESS_FAIL: ["F", "A general business failure occurred. Don't retry."],
  // Not in this API's list but in its family's; said only where CONFLICT_RESULT_CODE wants it.
  REPEAT_REQ_INCONSISTENT: ["F", "Repeated requests are inconsistent."],
  REQUEST_TRAFFIC_EXCEED_LIMIT: ["U", "The request traffic exceeds the limit."],
  UNKNOWN_EXCEPTION: ["U", "An API calling is failed, which is caused by unknown reasons."],
} as const satisfies Record<string, readonly [ResultStatus, string]>;

export type ResultCode = keyof typeof resultCodes;
/** What a repeat with other content may be told. */
export type ConflictCode = "PROCESS_FAIL" | "REPEAT_REQ_INCONSISTENT";
export type Result = {
  readonly resultCode: ResultCode;
  readonly resultStatus: ResultStatus;
  readonly resultMessage: string;
};

/** Longest resultMessage, in characters. */
const messageLimit = 256;

/** A result; `detail` names a field and its rule, and never holds a value that the sender sent. */
export function resultOf(resultCode: ResultCode, detail?: string): Result {
  const [resultStatus, message] = resultCodes[resultCode];
  const resultMessage = detail === undefined ? message : `${message} ${detail}`.slice(0, messageLimit);
  return { resultCode, resultStatus, resultMessage };
}

/** What an F is about, for those who count and search: the field and its rule, and never a value. */
export type Fault = {
  /** As Alipay+ writes it; several are separated by commas, and there may be none. */
  readonly field: string;
  /** In capitals. */
  readonly rule: string;
  /** Who signed the request, where that is known although it was not let through. */
  readonly clientId?: string;
};

export const ruleWord = (text: string): string =>
  text
    .toUpperCase()
    .replaceAll(/[^A-Z0-9]+/g, "_")
    .replaceAll(/^_|_$/g, "");

/** Thrown by a stage that ends the journey with a result of the gateway's own. */
export class Refusal extends Error {
  readonly result: Result;
  constructor(
    resultCode: ResultCode,
    detail?: string,
    readonly fault?: Fault,
  ) {
    const result = resultOf(resultCode, detail);
    super(result.resultMessage);
    this.result = result;
  }
}

const U = "UNKNOWN_EXCEPTION";

// A bare code proves nothing: the runtime, a proxy or a cut reply may have said it, and the write may have happened.
const byCode: Readonly<Record<Code, ResultCode>> = {
  [Code.Canceled]: U,
  [Code.Unknown]: U,
  [Code.InvalidArgument]: U,
  [Code.DeadlineExceeded]: U,
  [Code.NotFound]: U,
  [Code.AlreadyExists]: U,
  [Code.PermissionDenied]: U,
  [Code.ResourceExhausted]: "REQUEST_TRAFFIC_EXCEED_LIMIT",
  [Code.FailedPrecondition]: U,
  [Code.Aborted]: U,
  [Code.OutOfRange]: U,
  [Code.Unimplemented]: U,
  [Code.Internal]: U,
  [Code.Unavailable]: U,
  [Code.DataLoss]: U,
  [Code.Unauthenticated]: U,
};

// A reason of the token service is its decision, but only with the code it goes with. Undefined: no F for it.
const byReason: Readonly<Record<ErrorReason, readonly [Code, ResultCode] | undefined>> = {
  [ErrorReason.UNSPECIFIED]: undefined,
  [ErrorReason.FIELD_VIOLATION]: [Code.InvalidArgument, "PARAM_ILLEGAL"],
  [ErrorReason.ACTIVATION_CONFLICT]: [Code.AlreadyExists, "PROCESS_FAIL"],
  [ErrorReason.CLIENT_CONFLICT]: [Code.AlreadyExists, "PROCESS_FAIL"],
  [ErrorReason.TOKEN_NOT_FOUND]: undefined,
  [ErrorReason.STORE_UNAVAILABLE]: undefined,
  [ErrorReason.DURABILITY_NOT_MET]: undefined,
  [ErrorReason.CONTENTION]: undefined,
  [ErrorReason.REQUEST_ID_CONFLICT]: undefined,
  [ErrorReason.VERSION_MISMATCH]: undefined,
  [ErrorReason.STATE_FORBIDS]: undefined,
  [ErrorReason.ALREADY_SUSPENDED]: undefined,
  [ErrorReason.NOT_SUSPENDED_BY_CALLER]: undefined,
  [ErrorReason.TOKEN_ERASED]: undefined,
  [ErrorReason.PAGE_TOKEN_INVALID]: undefined,
  [ErrorReason.CURSOR_INVALID]: undefined,
  [ErrorReason.CURSOR_EXPIRED]: undefined,
  [ErrorReason.CONSUMER_TOO_SLOW]: undefined,
  [ErrorReason.STOPPING]: undefined,
  [ErrorReason.NO_CERTIFICATE]: undefined,
  [ErrorReason.RIGHT_MISSING]: undefined,
};

const domain = getOption(ErrorReasonSchema, error_domain);
const reasonOfWord = new Map(
  ErrorReasonSchema.values.map(({ name, number }) => [
    name.slice(ErrorReasonSchema.sharedPrefix?.length ?? 0),
    number as ErrorReason,
  ]),
);

/** The reason that the token service gave, if this error is its decision. */
export function reasonOf(error: ConnectError): ErrorReason | undefined {
  const info = error.findDetails(ErrorInfoSchema).find((detail) => detail.domain === domain);
  return info && reasonOfWord.get(info.reason);
}

/**
 * The result of a failed rpc. `jsonPathOf` turns the request's field path into the JSON field that Alipay+ sent, and knows
 * none for a field that the gateway filled: that one is our own fault.
 */
export function resultOfError(
  error: ConnectError,
  jsonPathOf: (fieldPath: string) => string | undefined,
  conflictCode: ConflictCode = "PROCESS_FAIL",
): Result {
  const reason = reasonOf(error) ?? ErrorReason.UNSPECIFIED;
  const decided = byReason[reason];
  if (decided === undefined || decided[0] !== error.code) return resultOf(byCode[error.code]);
  if (reason === ErrorReason.ACTIVATION_CONFLICT) return resultOf(conflictCode);
  if (reason !== ErrorReason.FIELD_VIOLATION) return resultOf(decided[1]);
  const violations = error.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
  const [named] = violations.flatMap(({ field, description }) => {
    const path = jsonPathOf(field);
    return path === undefined ? [] : [`${path} ${description}`];
  });
  return named === undefined ? resultOf(U) : resultOf(decided[1], named);
}

/** What an F that the service decided is about. */
export function faultOf(error: ConnectError, jsonPathOf: (fieldPath: string) => string | undefined): Fault {
  const info = error.findDetails(ErrorInfoSchema).find((detail) => detail.domain === domain);
  const violations = error.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
  for (const { field, reason } of violations) {
    const path = jsonPathOf(field);
    if (path !== undefined) return { field: path, rule: reason };
  }
  return { field: info?.metadata.fields ?? "", rule: info?.reason ?? "" };
}

/** Codes that mean we are wired up wrongly, and somebody must look. */
export const isOurFault = (code: Code): boolean =>
  code === Code.Unauthenticated || code === Code.PermissionDenied || code === Code.Unimplemented;
