import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { encode } from "../../../gateway/stages/encode.js";
import { RecordActivationResponseSchema } from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { endpoint } from "../../support/requests.js";

describe("encode", () => {
  it("answers SUCCESS with the members that the API declares, and tells nothing of the token", () => {
    const response = create(RecordActivationResponseSchema, { version: 3n });
    expect(encode({ endpoint, response })).to.deep.equal({
      result: { resultCode: "SUCCESS", resultStatus: "S", resultMessage: "Success" },
      members: {},
    });
  });
});
