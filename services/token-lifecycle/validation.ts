// Enforces the buf.validate rules of the proto at the door, for every caller and every rpc.
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { createValidator, type Violation } from "@bufbuild/protovalidate";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { type CertainlyValid, certainlyValid, type KnownCel } from "../../lib/protobuf/certainly-valid.js";
import { type TokenData, TokenDataSchema } from "../../proto/gen/mpp/token/v1/token_activation_pb.js";
import type { RecordActivationRequest } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { type FieldViolation, fieldViolations } from "./errors.js";

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
  const quick = new Map<DescMessage, CertainlyValid>();
  const isCertainlyValid = (desc: DescMessage, message: Message): boolean => {
    let test = quick.get(desc);
    if (test === undefined) {
      test = certainlyValid(desc, knownCel);
      quick.set(desc, test);
    }
    return test(message);
  };
  return (desc, message) => {
    // The validator takes some 45 us for an activation, most of it for the rules in CEL.
    if (isCertainlyValid(desc, message) && misplacedMembers(message).length === 0) return;
    const result = validator.validate(desc, message);
    // Rules that cannot be evaluated are our fault, so no caller is to blame.
    if (result.kind === "error") throw new ConnectError("the rules of a field cannot be evaluated", Code.Internal);
    const refused: FieldViolation[] = [];
    const misfit = (name: string, violation: FieldViolation): void => {
      if (options.strictTokenData) refused.push(violation);
      else options.onMisfit(name);
    };
    for (const violation of result.violations ?? []) {
      const found = {
        field: pathOf(violation),
        rule: violation.ruleId,
        description: violation.message || "is illegal",
      };
      const inferred = inferredMember(violation);
      if (inferred === undefined) refused.push(found);
      else misfit(inferred, found);
    }
    for (const { name, jsonName } of misplacedMembers(message))
      misfit(jsonName, { field: `activation.token_data.${name}`, rule: "type", description: "must be a JSON string" });
    if (refused.length > 0) throw fieldViolations(refused);
  };
}

// Rules in CEL as closures, for the quick look; test/services/token-lifecycle/validation.test.ts holds them to the rules.
const knownCel: KnownCel = new Map([
  [
    "token_data.not_empty",
    (value) => {
      const { token, expiryMonth, expiryYear, sequenceNumber } = value as TokenData;
      return [token, expiryMonth, expiryYear, sequenceNumber].some((member) => member !== undefined);
    },
  ],
]);

/** Members of TokenData that came in another JSON type than inferred, and are kept among those it does not declare. */
function misplacedMembers(message: Message): { name: string; jsonName: string }[] {
  const unknown = (message as Partial<RecordActivationRequest>).activation?.tokenData?.unknownMembers;
  return unknown ? TokenDataSchema.fields.filter(({ jsonName }) => Object.hasOwn(unknown, jsonName)) : [];
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
