// How the service says no: a status code, and details that say whose decision it is.
import { create, type DescMessage, getOption, type MessageInitShape } from "@bufbuild/protobuf";
import { type Any, AnySchema, anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { error_domain } from "../../proto/gen/alipayplus/dialect/v1/dialect_pb.js";
import { BadRequestSchema, ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import { type Status, StatusSchema } from "../../proto/gen/google/rpc/status_pb.js";
import { ErrorReason, ErrorReasonSchema } from "../../proto/gen/mpp/token/v1/error_reason_pb.js";
import { StoreError, type StoreTrouble } from "./core/ports.js";

const codes: Readonly<Record<Exclude<ErrorReason, ErrorReason.UNSPECIFIED>, Code>> = {
  [ErrorReason.FIELD_VIOLATION]: Code.InvalidArgument,
  [ErrorReason.ACTIVATION_CONFLICT]: Code.AlreadyExists,
  [ErrorReason.CLIENT_CONFLICT]: Code.AlreadyExists,
  [ErrorReason.TOKEN_NOT_FOUND]: Code.NotFound,
  [ErrorReason.STORE_UNAVAILABLE]: Code.Unavailable,
  [ErrorReason.DURABILITY_NOT_MET]: Code.Unavailable,
  [ErrorReason.CONTENTION]: Code.Aborted,
  [ErrorReason.REQUEST_ID_CONFLICT]: Code.AlreadyExists,
  [ErrorReason.VERSION_MISMATCH]: Code.Aborted,
  [ErrorReason.STATE_FORBIDS]: Code.FailedPrecondition,
  [ErrorReason.ALREADY_SUSPENDED]: Code.FailedPrecondition,
  [ErrorReason.NOT_SUSPENDED_BY_CALLER]: Code.FailedPrecondition,
  [ErrorReason.TOKEN_ERASED]: Code.NotFound,
  [ErrorReason.PAGE_TOKEN_INVALID]: Code.InvalidArgument,
  [ErrorReason.CURSOR_INVALID]: Code.InvalidArgument,
  [ErrorReason.CURSOR_EXPIRED]: Code.OutOfRange,
  [ErrorReason.CONSUMER_TOO_SLOW]: Code.ResourceExhausted,
  [ErrorReason.STOPPING]: Code.Unavailable,
  [ErrorReason.NO_CERTIFICATE]: Code.Unauthenticated,
  [ErrorReason.RIGHT_MISSING]: Code.PermissionDenied,
};

export type Reason = keyof typeof codes;
type Detail = { desc: DescMessage; value: MessageInitShape<DescMessage> };

export const errorDomain = getOption(ErrorReasonSchema, error_domain);

export const wordOf = (reason: ErrorReason): string =>
  ErrorReasonSchema.value[reason]?.name.slice(ErrorReasonSchema.sharedPrefix?.length ?? 0) ?? "";

/** An error that this service decided. The message is for people and holds nothing a caller sent. */
export function refusal(
  reason: Reason,
  message: string,
  metadata: Record<string, string> = {},
  details: Detail[] = [],
): ConnectError {
  const info: MessageInitShape<typeof ErrorInfoSchema> = { reason: wordOf(reason), domain: errorDomain, metadata };
  return new ConnectError(message, codes[reason], undefined, [{ desc: ErrorInfoSchema, value: info }, ...details]);
}

export type FieldViolation = { field: string; rule: string; description: string };

/** INVALID_ARGUMENT that names each field and the rule it breaks. */
export function fieldViolations(violations: FieldViolation[]): ConnectError {
  const value: MessageInitShape<typeof BadRequestSchema> = {
    fieldViolations: violations.map(({ field, rule, description }) => ({
      field,
      description,
      reason: rule.toUpperCase().replaceAll(/[^A-Z0-9]+/g, "_"),
    })),
  };
  const message = violations.map(({ field, description }) => `${field} ${description}`).join("; ");
  return refusal(ErrorReason.FIELD_VIOLATION, message, {}, [{ desc: BadRequestSchema, value }]);
}

const reasonOfTrouble: Readonly<Record<StoreTrouble, Reason>> = {
  unavailable: ErrorReason.STORE_UNAVAILABLE,
  "not-durable": ErrorReason.DURABILITY_NOT_MET,
  contention: ErrorReason.CONTENTION,
};

/** What the store's trouble is to a caller. Anything else stays what it is, and becomes INTERNAL. */
export function storeRefusal(error: unknown): unknown {
  return error instanceof StoreError ? refusal(reasonOfTrouble[error.trouble], error.message) : error;
}

/** What an rpc's error is inside a message. What is not ours to tell is INTERNAL, as it would be for the rpc itself. */
export function statusOf(error: unknown): Status {
  if (!(error instanceof ConnectError)) return create(StatusSchema, { code: Code.Internal, message: "internal error" });
  const details = error.details.map(
    (detail): Any =>
      "desc" in detail
        ? anyPack(detail.desc, create(detail.desc, detail.value))
        : create(AnySchema, { typeUrl: `type.googleapis.com/${detail.type}`, value: detail.value }),
  );
  return create(StatusSchema, { code: error.code, message: error.rawMessage, details });
}
