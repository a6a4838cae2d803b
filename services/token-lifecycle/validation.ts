// Enforces the buf.validate rules of the proto at the door, for every caller and every rpc.
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { createValidator, type Violation } from "@bufbuild/protovalidate";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { TokenDataSchema } from "../../proto/gen/mpp/token/v1/token_activation_pb.js";
import { fieldViolations } from "./errors.js";

export type ValidationOptions = {
  /** Refuse token data that does not fit the inferred shape; otherwise count it and go on. */
  readonly strictTokenData: boolean;
  /** Called with the name of each member of token data that does not fit. */
  readonly onMisfit: (field: string) => void;
};

export type Validate = (desc: DescMessage, message: Message) => void;

/** Throws INVALID_ARGUMENT/FIELD_VIOLATION for a message that breaks its rules. The first call for a type is slow. */
export function createValidation(options: ValidationOptions): Validate {
  const validator = createValidator();
  return (desc, message) => {
    const result = validator.validate(desc, message);
    if (result.kind === "valid") return;
    // Rules that cannot be evaluated are our fault, so no caller is to blame.
    if (result.kind === "error") throw new ConnectError("the rules of a field cannot be evaluated", Code.Internal);
    const refused = result.violations.filter((violation) => {
      const misfit = inferredMember(violation);
      if (misfit === undefined || options.strictTokenData) return true;
      options.onMisfit(misfit);
      return false;
    });
    if (refused.length > 0)
      throw fieldViolations(
        refused.map((violation) => ({
          field: pathOf(violation),
          rule: violation.ruleId,
          description: violation.message || "is illegal",
        })),
      );
  };
}

/** Validates each request message before the rpc sees it. */
export const validating =
  (validate: Validate): Interceptor =>
  (next) =>
  (request) => {
    if (!request.stream) {
      validate(request.method.input, request.message);
      return next(request);
    }
    const { message: messages, method } = request;
    async function* checked() {
      for await (const message of messages) {
        validate(method.input, message);
        yield message;
      }
    }
    return next({ ...request, message: checked() });
  };

/** The shapes inside TokenData are inferred, not published: see token_activation.proto. */
function inferredMember(violation: Violation): string | undefined {
  for (const part of violation.field)
    if (part.kind === "field" && part.parent.typeName === TokenDataSchema.typeName) return part.jsonName;
  return undefined;
}

function pathOf(violation: Violation): string {
  let path = "";
  for (const part of violation.field) {
    if (part.kind === "list_sub") path += `[${part.index}]`;
    else if (part.kind === "map_sub") path += "[]";
    else if (part.kind === "field" || part.kind === "oneof") path += path === "" ? part.name : `.${part.name}`;
  }
  return path;
}
