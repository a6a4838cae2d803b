import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import fc from "fast-check";
import { encoderOf } from "../../../lib/protobuf/encoder.js";
import { StatusSchema } from "../../../proto/gen/google/rpc/status_pb.js";
import { HealthListResponseSchema } from "../../../proto/gen/grpc/health/v1/health_pb.js";
import { StoredTokenSchema } from "../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { TokenDataSchema } from "../../../proto/gen/mpp/token/v1/token_activation_pb.js";
import {
  BatchGetTokensResponseSchema,
  RecordActivationRequestSchema,
  RecordActivationResponseSchema,
} from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { TokenEventSchema } from "../../../proto/gen/mpp/token/v1/token_pb.js";
import { arbitraryMessage } from "../../support/arbitrary-message.js";
import { compileProto, messageOf } from "../../support/schema.js";

describe("the compiled protobuf encoder", () => {
  const types: DescMessage[] = [
    RecordActivationRequestSchema,
    RecordActivationResponseSchema,
    BatchGetTokensResponseSchema,
    TokenDataSchema,
    TokenEventSchema,
    StoredTokenSchema,
    StatusSchema,
  ];
  for (const desc of types)
    it(`writes every ${desc.name} as toBinary does`, () => {
      const encode = encoderOf(desc);
      fc.assert(
        fc.property(arbitraryMessage(desc), (message) => {
          expect(encode(message).toString("hex")).to.equal(Buffer.from(toBinary(desc, message)).toString("hex"));
        }),
      );
    });

  it("writes every kind of field that it takes as toBinary does", () => {
    const desc = messageOf(
      compileProto(`syntax = "proto3"; package made.up;
        enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_NEGATIVE = -1; COLOUR_RED = 1; }
        message Everything {
          int32 a = 1; optional int32 b = 2; uint32 c = 3; int64 d = 4; optional uint64 e = 5; bool f = 6; double g = 7;
          bytes h = 8; optional string i = 9; repeated int32 j = 10; repeated string k = 11; repeated Everything l = 12;
          oneof choice { string m = 13; int64 n = 14; Everything o = 15; } Colour p = 16; repeated Colour q = 17;
          repeated bool r = 536870911; optional double s = 18; repeated int64 t = 19 [packed = false];
        }`),
      "Everything",
    );
    const encode = encoderOf(desc);
    fc.assert(
      fc.property(arbitraryMessage(desc, 2), (message) => {
        expect(encode(message).toString("hex")).to.equal(Buffer.from(toBinary(desc, message)).toString("hex"));
      }),
    );
  });

  for (const [length, what] of [
    [127, "one byte"],
    [128, "two bytes"],
    [16_384, "three bytes"],
    [2_097_152, "four bytes"],
  ] as const)
    it(`moves content whose length takes ${what}`, () => {
      const message = create(TokenEventSchema, {
        reason: "é".repeat(length / 2),
        actor: "x".repeat(length),
        version: 7n,
      });
      expect(encoderOf(TokenEventSchema)(message).equals(toBinary(TokenEventSchema, message))).to.equal(true);
    });

  it("keeps fields that the schema does not know", () => {
    const newer = Buffer.from("08021801f2070568656c6c6f", "hex");
    const message = fromBinary(RecordActivationResponseSchema, newer);
    expect(encoderOf(RecordActivationResponseSchema)(message).toString("hex")).to.equal(
      Buffer.from(toBinary(RecordActivationResponseSchema, message)).toString("hex"),
    );
  });

  it("refuses half a surrogate pair", () => {
    const message = create(TokenEventSchema, { reason: "\ud800" });
    expect(() => encoderOf(TokenEventSchema)(message)).to.throw("not well-formed");
    expect(encoderOf(TokenEventSchema)(create(TokenEventSchema, { reason: "a" })).length).to.equal(3);
  });

  for (const desc of [HealthListResponseSchema, StructSchema])
    it(`leaves ${desc.name} to the library, for its map`, () => {
      fc.assert(
        fc.property(fc.constant(create(desc)), (message) => {
          expect(encoderOf(desc)(message).equals(toBinary(desc, message))).to.equal(true);
        }),
      );
    });

  it("gives each caller bytes of its own", () => {
    const encode = encoderOf(TokenEventSchema);
    const first = encode(create(TokenEventSchema, { reason: "first" }));
    const copy = Buffer.from(first);
    encode(create(TokenEventSchema, { reason: "second" }));
    expect(first.equals(copy)).to.equal(true);
  });
});
