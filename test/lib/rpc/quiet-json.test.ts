import { fromJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { quietJson } from "../../../lib/rpc/quiet-json.js";
import { RecordActivationRequestSchema } from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";

describe("a message in JSON", () => {
  const { textDecoder } = quietJson(RecordActivationRequestSchema, {});
  const refusal = (text: string): ConnectError => {
    try {
      textDecoder.decode(Buffer.from(text));
    } catch (error) {
      return ConnectError.from(error);
    }
    throw new Error("this was not refused");
  };

  it("is left as it is when it can be decoded, unknown members included", () => {
    const text = '{"activation": {"tokenReferenceId": "T-1", "later": 1}}';
    expect(textDecoder.decode(Buffer.from(text))).to.equal(text);
  });

  const cases: { text: string; place: string }[] = [
    { text: "secret", place: "message mpp.token.v1.RecordActivationRequest" },
    { text: '"secret"', place: "message mpp.token.v1.RecordActivationRequest" },
    { text: '{"activation":"secret"}', place: "message mpp.token.v1.TokenActivation" },
    { text: '{"activation":{"tokenData":{"token":["secret"]}}}', place: "field mpp.token.v1.TokenData.token" },
    { text: '{"activation":{"tokenData":{"token":"secret', place: "message mpp.token.v1.RecordActivationRequest" },
    { text: '{"secret":1,"secret":2}', place: "message mpp.token.v1.RecordActivationRequest" },
    { text: '{"activation":{"tokenData":{"unknownMembers":"secret"}}}', place: "message google.protobuf.Struct" },
  ];
  for (const { text, place } of cases)
    it(`is refused by the name of what is wrong, and is not quoted: ${text}`, () => {
      expect(() => fromJsonString(RecordActivationRequestSchema, text)).to.throw();
      const { code, rawMessage, cause } = refusal(text);
      expect({ code, rawMessage, cause }).to.deep.equal({
        code: Code.InvalidArgument,
        rawMessage: `cannot decode ${place} from JSON`,
        cause: undefined,
      });
    });
});
