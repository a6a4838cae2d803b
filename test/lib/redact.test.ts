import { create } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import fc from "fast-check";
import { redacted } from "../../lib/redact.js";
import { DeliverySchema } from "../../proto/gen/alipayplus/dialect/v1/dialect_pb.js";
import { AccountSource, TokenDataSchema } from "../../proto/gen/mpp/token/v1/token_activation_pb.js";
import {
  RecordActivationRequestSchema,
  RecordActivationResponseSchema,
} from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { compileProto, messageOf } from "../support/schema.js";

const requestOf = (token: string, extra: Record<string, string> = {}) =>
  create(RecordActivationRequestSchema, {
    activation: {
      tokenReferenceId: "T-1",
      accountSource: AccountSource.ACCOUNT_ON_FILE,
      tokenActivatedTime: create(TimestampSchema, { seconds: 1n, nanos: 500_000_000 }),
      tokenData: { token, expiryMonth: "10", unknownMembers: extra },
    },
    delivery: { clientId: "C", bodySha256: new Uint8Array(32) },
  });

describe("redacted", () => {
  it("shows what is no secret, and says of a secret only that it is there", () => {
    expect(redacted(RecordActivationRequestSchema, requestOf("5345678901234521"))).to.deep.equal({
      activation: {
        token_reference_id: "T-1",
        account_source: "ACCOUNT_SOURCE_ACCOUNT_ON_FILE",
        token_activated_time: "1970-01-01T00:00:01.500Z",
        token_data: "[redacted]",
      },
      delivery: { client_id: "C", body_sha256: "[32 bytes]" },
    });
  });

  it("hides every member of token data also when it is looked at alone", () => {
    const data = create(TokenDataSchema, { token: "5345678901234521", expiryYear: "28", unknownMembers: { a: "b" } });
    expect(redacted(TokenDataSchema, data)).to.deep.equal({
      token: "[redacted]",
      expiry_year: "[redacted]",
      unknown_members: "[redacted]",
    });
  });

  it("never lets token data through, whatever it holds", () => {
    const secret = fc.string({ minLength: 6 }).map((noise) => `secret-${noise}`);
    fc.assert(
      fc.property(secret, secret, (token, member) => {
        const shown = JSON.stringify(redacted(RecordActivationRequestSchema, requestOf(token, { [member]: member })));
        expect(shown).not.to.include("secret-");
      }),
    );
  });

  it("is plain JSON, numbers of 64 bits and unknown enum values included", () => {
    const response = create(RecordActivationResponseSchema, { version: 2n ** 63n, outcome: 99 as never });
    expect(JSON.parse(JSON.stringify(redacted(RecordActivationResponseSchema, response)))).to.deep.equal({
      outcome: 99,
      version: "9223372036854775808",
    });
  });

  it("shows an instant that no calendar has as what it is, for a caller may send one", () => {
    const delivery = create(DeliverySchema, { receivedTime: { seconds: 2n ** 62n, nanos: 1 } });
    expect(redacted(DeliverySchema, delivery)).to.deep.equal({ received_time: "4611686018427387904 s" });
  });

  it("says of lists and maps how much they hold", () => {
    const registry = compileProto(`
      syntax = "proto3";
      package made.up;
      message Many {
        repeated string texts = 1;
        map<string, string> words = 2;
        repeated string secrets = 3 [debug_redact = true];
        oneof choice { string chosen = 4 [debug_redact = true]; string open = 5; }
      }`);
    const desc = messageOf(registry, "Many");
    const many = { texts: ["a", "b"], words: { c: "d" }, secrets: ["e"], choice: { case: "chosen", value: "f" } };
    expect(redacted(desc, create(desc, many as never))).to.deep.equal({
      texts: "[2 items]",
      words: "[1 entries]",
      secrets: "[redacted]",
      chosen: "[redacted]",
    });
  });
});
