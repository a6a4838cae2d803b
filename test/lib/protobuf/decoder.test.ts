import { create, type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import { decoderOf } from "../../../lib/protobuf/decoder.js";
import { StatusSchema } from "../../../proto/gen/google/rpc/status_pb.js";
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

/** What a decoder makes of bytes: the message, or that it throws. */
function outcome(decode: () => Message): unknown {
  try {
    return decode();
  } catch {
    return "throws";
  }
}
function same(desc: DescMessage, bytes: Uint8Array): void {
  expect(outcome(() => decoderOf(desc)(bytes))).to.deep.equal(outcome(() => fromBinary(desc, bytes)));
}

describe("the compiled protobuf decoder", () => {
  const types: DescMessage[] = [
    RecordActivationRequestSchema,
    RecordActivationResponseSchema,
    BatchGetTokensResponseSchema,
    TokenDataSchema,
    TokenEventSchema,
    StoredTokenSchema,
    StatusSchema,
  ];
  for (const desc of types) {
    it(`reads every ${desc.name} as fromBinary does`, () => {
      fc.assert(fc.property(arbitraryMessage(desc), (message) => same(desc, toBinary(desc, message))));
    });

    it(`makes of a damaged ${desc.name} what fromBinary makes of it`, () => {
      const damage = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }), cut: fc.nat({ max: 3 }) });
      fc.assert(
        fc.property(arbitraryMessage(desc), damage, (message, { at, byte, cut }) => {
          const bytes = toBinary(desc, message);
          if (bytes.length > 0) bytes[at % bytes.length] = byte;
          same(desc, bytes.subarray(0, Math.max(0, bytes.length - cut)));
        }),
        { numRuns: 300 },
      );
    });
  }

  it("reads every kind of field, and random bytes, as fromBinary does", () => {
    const desc = messageOf(
      compileProto(`syntax = "proto3"; package made.up; import "google/protobuf/struct.proto";
        enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_NEGATIVE = -1; COLOUR_RED = 1; }
        message Everything {
          int32 a = 1; optional int32 b = 2; uint32 c = 3; int64 d = 4; optional uint64 e = 5; bool f = 6; double g = 7;
          bytes h = 8; optional string i = 9; repeated int32 j = 10; repeated string k = 11; repeated Everything l = 12;
          oneof choice { string m = 13; int64 n = 14; Everything o = 15; } Colour p = 16; repeated Colour q = 17;
          repeated bool r = 536870911; optional double s = 18; repeated int64 t = 19 [packed = false];
          google.protobuf.Struct u = 20;
        }`),
      "Everything",
    );
    fc.assert(fc.property(arbitraryMessage(desc, 2), (message) => same(desc, toBinary(desc, message))));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 24 }), (bytes) => same(desc, bytes)),
      { numRuns: 2_000 },
    );
  });

  for (const [what, hex] of [
    ["a field that the schema does not know", "08021801f2070568656c6c6f"],
    ["a field twice", "08010802"],
    ["a negative number", "08ffffffffffffffffff01"],
    ["a number as long as it goes", "18ffffffffffffffffff01"],
    ["a number that is too long", "18ffffffffffffffffffff01"],
    ["a cut number", "18ff"],
    ["another wire type", "0a00"],
  ] as const)
    it(`makes of ${what} what fromBinary makes of it`, () => {
      same(RecordActivationResponseSchema, Buffer.from(hex, "hex"));
    });

  it("merges a message that comes in two parts", () => {
    const half = (init: object) => toBinary(RecordActivationRequestSchema, create(RecordActivationRequestSchema, init));
    const bytes = Buffer.concat([half({ delivery: { clientId: "C" } }), half({ delivery: { deliveryId: "D" } })]);
    same(RecordActivationRequestSchema, bytes);
    expect(decoderOf(RecordActivationRequestSchema)(bytes).delivery).to.deep.include({
      clientId: "C",
      deliveryId: "D",
    });
  });

  it("has no trouble with a member named __proto__, nor with one twice", () => {
    for (const name of ["__proto__", "a"]) {
      const member = Buffer.concat([
        Buffer.from([0x0a, name.length]),
        Buffer.from(name),
        Buffer.from("12031a0178", "hex"),
      ]);
      const entry = Buffer.concat([Buffer.from([0x0a, member.length]), member]);
      const struct = Buffer.concat([entry, entry]);
      same(TokenDataSchema, Buffer.concat([Buffer.from([0x7a, struct.length]), struct]));
    }
  });

  it("leaves what is nested too deeply to the library, which refuses it", () => {
    let struct = Buffer.alloc(0);
    for (let depth = 0; depth < 200; depth++) {
      const value = Buffer.concat([Buffer.from([0x2a]), lengthOf(struct), struct]);
      const member = Buffer.concat([Buffer.from("0a0161", "hex"), Buffer.from([0x12]), lengthOf(value), value]);
      struct = Buffer.concat([Buffer.from([0x0a]), lengthOf(member), member]);
    }
    const bytes = Buffer.concat([Buffer.from([0x7a]), lengthOf(struct), struct]);
    same(TokenDataSchema, bytes);
    expect(() => decoderOf(TokenDataSchema)(bytes)).to.throw();
  });
});

function lengthOf(bytes: Buffer): Buffer {
  const { length } = bytes;
  return length < 0x80 ? Buffer.from([length]) : Buffer.from([(length & 0x7f) | 0x80, length >> 7]);
}
