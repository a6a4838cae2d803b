import { create, type DescMessage, type Message } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { expect } from "chai";
import fc from "fast-check";
import { certainlyValid } from "../../../lib/protobuf/certainly-valid.js";
import { DeliverySchema } from "../../../proto/gen/alipayplus/dialect/v1/dialect_pb.js";
import { TokenLifecycleService } from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { arbitraryMessage } from "../../support/arbitrary-message.js";
import { compileProto, messageOf } from "../../support/schema.js";

const validator = createValidator();
const isValid = (desc: DescMessage, message: Message): boolean => validator.validate(desc, message).kind === "valid";

describe("the quick look at a message's rules", () => {
  for (const { input } of TokenLifecycleService.methods)
    it(`calls no ${input.name} valid that the validator refuses`, () => {
      const quick = certainlyValid(input, new Map());
      fc.assert(
        fc.property(arbitraryMessage(input), (message) => {
          if (quick(message)) expect(isValid(input, message)).to.equal(true);
        }),
      );
    });

  const rules = `syntax = "proto3"; package made.up; import "buf/validate/validate.proto";
    import "google/protobuf/timestamp.proto";
    enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_RED = 1; COLOUR_BLUE = 2; }
    message Ruled {
      string short = 1 [(buf.validate.field).string = {min_len: 2, max_len: 4}];
      optional string maybe = 2 [(buf.validate.field).string.pattern = "^[0-9]{2}$"];
      string needed = 3 [(buf.validate.field).required = true];
      Colour colour = 4 [(buf.validate.field).enum = {defined_only: true, not_in: [2]}];
      repeated string list = 5 [(buf.validate.field).repeated = {min_items: 1, max_items: 2, items: {string: {max_len: 3}}}];
      bytes digest = 6 [(buf.validate.field).bytes.len = 4, (buf.validate.field).ignore = IGNORE_IF_ZERO_VALUE];
      google.protobuf.Timestamp time = 7 [(buf.validate.field).timestamp = {gte: {seconds: 10}, lte: {seconds: 20}}];
      Inner inner = 8 [(buf.validate.field).required = true];
      repeated Inner free = 9 [(buf.validate.field).repeated = {max_items: 3, items: {ignore: IGNORE_ALWAYS}}];
      repeated Inner bound = 10;
      oneof choice { string a = 11 [(buf.validate.field).string.max_len = 2]; Inner b = 12; }
    }
    message Inner { string word = 1 [(buf.validate.field).string.min_len = 1]; }
    message Beyond { int32 number = 1 [(buf.validate.field).int32.gte = 1]; }
    message Together { option (buf.validate.message).cel = {id: "x" message: "x" expression: "true"}; string a = 1; }
    message Worded { string word = 1 [(buf.validate.field).cel = {id: "word" message: "x" expression: "this == 'yes'"}]; }`;
  let registry: ReturnType<typeof compileProto>;
  before(() => {
    registry = compileProto(rules);
  });
  const good = () => {
    const desc = messageOf(registry, "Ruled");
    const init = {
      ...{ short: "abc", maybe: "12", needed: "x", colour: 1, list: ["a"], digest: new Uint8Array(4) },
      ...{ time: { seconds: 15n, nanos: 1 }, inner: { word: "w" }, free: [{ word: "" }], bound: [{ word: "w" }] },
      choice: { case: "a", value: "ab" },
    };
    return { desc, init };
  };

  it("is certain of a message that keeps every rule it knows", () => {
    const { desc, init } = good();
    const message = create(desc, init as never);
    expect(isValid(desc, message)).to.equal(true);
    expect(certainlyValid(desc, new Map())(message)).to.equal(true);
  });

  for (const [name, change] of Object.entries({
    "a text too short": { short: "a" },
    "a text too long": { short: "abcde" },
    "another form": { maybe: "1a" },
    "a missing text": { needed: "" },
    "a forbidden word": { colour: 2 },
    "an unknown word": { colour: 7 },
    "too few items": { list: [] },
    "too many items": { list: ["a", "b", "c"] },
    "an item too long": { list: ["abcd"] },
    "bytes of another length": { digest: new Uint8Array(5) },
    "a time too early": { time: { seconds: 9n } },
    "a time too late": { time: { seconds: 21n } },
    "a missing message": { inner: undefined },
    "a bad message": { inner: { word: "" } },
    "too many messages": { free: [{}, {}, {}, {}] },
    "a bad message in a list": { bound: [{ word: "w" }, { word: "" }] },
    "a bad choice": { choice: { case: "a", value: "abc" } },
    "a bad message as choice": { choice: { case: "b", value: { word: "" } } },
  }))
    it(`is not certain of ${name}, which the validator refuses`, () => {
      const { desc, init } = good();
      const message = create(desc, { ...init, ...change } as never);
      expect(isValid(desc, message)).to.equal(false);
      expect(certainlyValid(desc, new Map())(message)).to.equal(false);
    });

  it("takes the random messages of a ruled type as the validator does, or leaves them to it", () => {
    const desc = messageOf(registry, "Ruled");
    const quick = certainlyValid(desc, new Map());
    fc.assert(
      fc.property(arbitraryMessage(desc, 2), (message) => {
        if (quick(message)) expect(isValid(desc, message)).to.equal(true);
      }),
    );
  });

  for (const name of ["Beyond", "Together"])
    it(`is never certain of a type with rules that it does not know: ${name}`, () => {
      const desc = messageOf(registry, name);
      const message = create(desc, { number: 1 } as never);
      expect(isValid(desc, message)).to.equal(true);
      expect(certainlyValid(desc, new Map())(message)).to.equal(false);
    });

  it("is certain of a rule in CEL only with a closure for it", () => {
    const desc = messageOf(registry, "Worded");
    const message = create(desc, { word: "yes" } as never);
    expect(certainlyValid(desc, new Map())(message)).to.equal(false);
    expect(certainlyValid(desc, new Map([["word", (value: unknown) => value === "yes"]]))(message)).to.equal(true);
  });

  it("is certain of a usual delivery", () => {
    const delivery = create(DeliverySchema, {
      ...{ clientId: "C", deliveryId: "D", receivedTime: { seconds: 5n }, bodySha256: new Uint8Array(32) },
    });
    expect(certainlyValid(DeliverySchema, new Map())(delivery)).to.equal(true);
  });
});
