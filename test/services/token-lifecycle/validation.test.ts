import { create, type MessageShape } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import fc from "fast-check";
import { TokenActivationSchema } from "../../../proto/gen/mpp/token/v1/token_activation_pb.js";
import { createValidation } from "../../../services/token-lifecycle/validation.js";

const time = { seconds: 1_764_000_000n, nanos: 0 };
const text = (...words: string[]) => fc.option(fc.constantFrom(...words), { nil: undefined });

/** Activations near the edge of their rules: each part is good more often than not. */
const activations = fc
  .record({
    tokenReferenceId: fc.constantFrom("T", "T-1", "x".repeat(64), "é".repeat(64), "x".repeat(65), ""),
    customerId: text("c", "x".repeat(64), "\u{1f600}".repeat(64), "\u{1f600}".repeat(65), ""),
    walletId: text("1", "x".repeat(17), ""),
    accountSource: fc.option(fc.constantFrom(1, 6, 0, 99), { nil: undefined }),
    tokenData: fc.record(
      {
        token: text("5345678901234521", "12", ""),
        expiryMonth: text("10", "13"),
        expiryYear: text("28", "2028"),
        unknownMembers: fc.option(fc.constantFrom({}, { more: "x" }), { nil: undefined }),
      },
      { requiredKeys: [] },
    ),
    serviceRequestTime: fc.constantFrom(time, { seconds: 253_402_300_800n, nanos: 0 }, { seconds: 0n, nanos: -1 }),
    tokenActivatedTime: fc.constantFrom(time, { seconds: -62_135_596_800n, nanos: 0 }),
  })
  .map((init) => {
    const given = Object.fromEntries(Object.entries(init).filter(([, value]) => value !== undefined));
    return create(TokenActivationSchema, given as never);
  });

describe("the service's validation", () => {
  it("refuses what the rules refuse, but for the inferred members of token data, which it counts", () => {
    const validator = createValidator();
    const misfits: string[] = [];
    const validate = createValidation({ strictTokenData: false, onMisfit: (field) => misfits.push(field) });
    const inferred = ["token", "expiry_month", "expiry_year", "sequence_number"];
    const refuses = (message: MessageShape<typeof TokenActivationSchema>): boolean => {
      try {
        validate(TokenActivationSchema, message);
        return false;
      } catch (error) {
        expect(error).to.be.instanceOf(ConnectError);
        return true;
      }
    };
    fc.assert(
      fc.property(activations, (message) => {
        const violations = validator.validate(TokenActivationSchema, message).violations ?? [];
        const names = violations.map(({ field }) => field.map((part) => ("name" in part ? part.name : "")));
        const counted = names.filter((path) => inferred.includes(path.at(-1) ?? ""));
        misfits.length = 0;
        expect(refuses(message)).to.equal(violations.length > counted.length);
        expect(misfits.length).to.equal(counted.length);
      }),
      { numRuns: 500 },
    );
  });
});
