import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { TokenActivationSchema, type TokenDataSchema } from "../../../proto/gen/mpp/token/v1/token_activation_pb.js";
import { createValidation } from "../../../services/token-lifecycle/validation.js";

describe("the rule that token data has a member", () => {
  const validate = createValidation({ strictTokenData: false, onMisfit: () => {} });
  const codeFor = (tokenData: MessageInitShape<typeof TokenDataSchema> | undefined): Code | undefined => {
    const time = timestampFromMs(0);
    const message = create(TokenActivationSchema, {
      ...{ tokenReferenceId: "T", serviceRequestTime: time, tokenActivatedTime: time },
      ...(tokenData && { tokenData }),
    });
    try {
      validate(TokenActivationSchema, message);
      return undefined;
    } catch (error) {
      return ConnectError.from(error).code;
    }
  };
  // A rule that cannot be evaluated answers INTERNAL, and the sender would try again for ever.
  for (const { name, tokenData, code } of [
    { name: "no token data", tokenData: undefined, code: Code.InvalidArgument },
    { name: "no member", tokenData: {}, code: Code.InvalidArgument },
    { name: "an empty struct of unknown members", tokenData: { unknownMembers: {} }, code: Code.InvalidArgument },
    { name: "unknown members alone", tokenData: { unknownMembers: { panSuffix: "x" } }, code: undefined },
    { name: "an unknown member named fields", tokenData: { unknownMembers: { fields: "x" } }, code: undefined },
    { name: "a token alone", tokenData: { token: "5345678901234521" }, code: undefined },
    { name: "an expiry alone", tokenData: { expiryMonth: "10" }, code: undefined },
  ])
    it(`${code === undefined ? "takes" : "refuses"} ${name}`, () => {
      expect(codeFor(tokenData)).to.equal(code);
    });
});
