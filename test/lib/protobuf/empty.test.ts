import { create, type DescMessage } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { file_google_protobuf_descriptor } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import { emptyOf } from "../../../lib/protobuf/empty.js";
import { file_mpp_token_store_v1_stored_token } from "../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { file_mpp_token_v1_token_activation } from "../../../proto/gen/mpp/token/v1/token_activation_pb.js";
import { file_mpp_token_v1_token_lifecycle_service } from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { file_mpp_token_v1_token } from "../../../proto/gen/mpp/token/v1/token_pb.js";

describe("empty messages from a template", () => {
  const files = [
    file_mpp_token_store_v1_stored_token,
    file_mpp_token_v1_token,
    file_mpp_token_v1_token_activation,
    file_mpp_token_v1_token_lifecycle_service,
    // Of another syntax, with defaults in a prototype.
    file_google_protobuf_descriptor,
  ];
  const types = files.flatMap((file) =>
    [...nestedTypes(file)].filter((type): type is DescMessage => type.kind === "message"),
  );
  for (const desc of types)
    it(`are what create() makes: ${desc.typeName}`, () => {
      const [made, created] = [emptyOf(desc)(), create(desc)];
      expect(made).to.deep.equal(created);
      expect(Object.getPrototypeOf(made)).to.equal(Object.getPrototypeOf(created));
    });

  it("share nothing that can change", () => {
    for (const desc of types) {
      const empty = emptyOf(desc);
      const [one, other] = [empty(), empty()] as Message[];
      for (const [name, value] of Object.entries(one ?? {}))
        if (typeof value === "object" && !(value instanceof Uint8Array && value.length === 0))
          expect(value, `${desc.typeName} ${name}`).to.not.equal(other?.[name]);
    }
  });
});

type Message = Record<string, unknown>;
