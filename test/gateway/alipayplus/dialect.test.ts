import { create, type DescMessage, equals, type FileRegistry, type Message, toJson } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import {
  DialectError,
  decoderOf,
  encoderOf,
  type Notes,
  UnsupportedSchema,
} from "../../../gateway/alipayplus/dialect.js";
import { type Json, parseJson } from "../../../gateway/alipayplus/json.js";
import { instantOf } from "../../../gateway/alipayplus/time.js";
import {
  AccountSource,
  type TokenActivation,
  TokenActivationSchema,
} from "../../../proto/gen/mpp/token/v1/token_activation_pb.js";
import { compileProto, messageOf } from "../../support/schema.js";

const decodeActivation = decoderOf(TokenActivationSchema);

const full = {
  tokenReferenceId: "T-1",
  customerId: "customer-1",
  walletId: "103",
  tokenRequestorId: "50110030273",
  secureElementId: "04AABBCCDDEEFF",
  accountSource: "ACCOUNT_ON_FILE",
  serviceRequestTime: "2026-01-02T11:04:05+08:00",
  tokenActivatedTime: "2026-01-02T11:05:06.789+08:00",
  tokenData: { token: "5345678901234521", expiryMonth: "10", expiryYear: "28", sequenceNumber: "01" },
};

const activationOf = (json: unknown, notes: Notes = { ignoredMembers: 0 }): TokenActivation =>
  decodeActivation(
    parseJson(Buffer.from(typeof json === "string" ? json : JSON.stringify(json))),
    notes,
  ) as TokenActivation;

const complaintOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof DialectError) return error.message;
    throw error;
  }
  return "none";
};

describe("decoding a TokenActivation", () => {
  it("fills every field that came", () => {
    const notes = { ignoredMembers: 0 };
    const activation = activationOf(full, notes);
    const expected = create(TokenActivationSchema, {
      ...full,
      accountSource: AccountSource.ACCOUNT_ON_FILE,
      serviceRequestTime: instantOf("2026-01-02T03:04:05Z") as NonNullable<ReturnType<typeof instantOf>>,
      tokenActivatedTime: instantOf("2026-01-02T03:05:06.789Z") as NonNullable<ReturnType<typeof instantOf>>,
    });
    expect(toJson(TokenActivationSchema, activation)).to.deep.equal(toJson(TokenActivationSchema, expected));
    expect(notes.ignoredMembers).to.equal(0);
  });

  const strings = ["tokenReferenceId", "customerId", "walletId", "tokenRequestorId", "secureElementId"];
  const times = ["serviceRequestTime", "tokenActivatedTime"];
  for (const name of [...strings, ...times, "accountSource"]) {
    for (const value of [1, 0, true, false, [], ["T-1"], {}, { a: "b" }])
      it(`refuses ${JSON.stringify(value)} as ${name}`, () => {
        const complaint = complaintOf(() => activationOf({ ...full, [name]: value }));
        expect(complaint).to.equal(`${name} must be a JSON string`);
      });
    it(`refuses "" as ${name}`, () => {
      expect(complaintOf(() => activationOf({ ...full, [name]: "" }))).to.equal(`${name} must not be empty`);
    });
    it(`takes null as ${name} for an absent one`, () => {
      const { [name as keyof typeof full]: _, ...rest } = full;
      expect(activationOf({ ...full, [name]: null })).to.deep.equal(activationOf(rest));
    });
  }

  for (const word of [
    "UNSPECIFIED",
    "ACCOUNT_SOURCE_UNSPECIFIED",
    "ACCOUNT_SOURCE_ACCOUNT_ON_FILE",
    "account_on_file",
    "ACCOUNT_ON_FILE ",
    "SOMETHING_NEW",
    "0",
    "1",
    "__proto__",
    "constructor",
  ])
    it(`refuses the word "${word}" as accountSource`, () => {
      const complaint = complaintOf(() => activationOf({ ...full, accountSource: word }));
      expect(complaint).to.equal("accountSource must be one of the words the API lists");
    });

  const words: Record<string, AccountSource> = {
    ACCOUNT_ON_FILE: AccountSource.ACCOUNT_ON_FILE,
    ACCOUNT_ADDED_MANUALLY: AccountSource.ACCOUNT_ADDED_MANUALLY,
    ACCOUNT_ADDED_VIA_APPLICATION: AccountSource.ACCOUNT_ADDED_VIA_APPLICATION,
    EXISTING_TOKEN_CREDENTIAL: AccountSource.EXISTING_TOKEN_CREDENTIAL,
    ACCOUNT_ADDED_VIA_BROWSER: AccountSource.ACCOUNT_ADDED_VIA_BROWSER,
    ACCOUNT_ADDED_VIA_CHIP_DATA: AccountSource.ACCOUNT_ADDED_VIA_CHIP_DATA,
  };
  for (const [word, value] of Object.entries(words))
    it(`takes the word ${word} as accountSource`, () => {
      expect(activationOf({ ...full, accountSource: word }).accountSource).to.equal(value);
    });

  for (const name of times)
    for (const text of ["2026-01-02T11:04:05", "2026-02-30T11:04:05Z", "1685599933871", "2026-01-02T11:04:05+0800"])
      it(`refuses ${text} as ${name}`, () => {
        const complaint = complaintOf(() => activationOf({ ...full, [name]: text }));
        expect(complaint).to.equal(`${name} must be an existing instant in RFC 3339 with seconds and an offset`);
      });

  for (const value of ["text", "", 1, true, [], [{ token: "1" }]])
    it(`refuses ${JSON.stringify(value)} as tokenData`, () => {
      const complaint = complaintOf(() => activationOf({ ...full, tokenData: value }));
      expect(complaint).to.equal("tokenData must be a JSON object");
    });

  for (const text of ["[]", '"text"', "1", "null", "true", `[${JSON.stringify(full)}]`])
    it(`refuses ${text.slice(0, 20)} as the body`, () => {
      expect(complaintOf(() => activationOf(text))).to.equal("the body must be a JSON object");
    });

  it("names the path of a field inside another", () => {
    const complaint = complaintOf(() => activationOf({ ...full, tokenData: { token: 5345678901234521 } }));
    expect(complaint).to.equal("tokenData.token must be a JSON string");
  });

  it("takes an empty object for one without members: which must be there is for the service to say", () => {
    expect(activationOf({})).to.deep.equal(create(TokenActivationSchema));
  });
});

describe("members that the schema does not know", () => {
  const unknownIn = (tokenData: unknown, notes?: Notes) =>
    activationOf({ ...full, tokenData }, notes).tokenData?.unknownMembers;

  it("are kept in tokenData, also nested and in lists", () => {
    const extra = { schemeId: "M", inner: { a: "1", list: ["x", { y: "z" }, null] }, empty: {}, none: [] };
    const notes = { ignoredMembers: 0 };
    expect(unknownIn({ ...full.tokenData, ...extra }, notes)).to.deep.equal(extra);
    expect(notes.ignoredMembers).to.equal(0);
  });

  it("leave no trace when there are none, or only null ones", () => {
    expect(unknownIn(full.tokenData)).to.equal(undefined);
    expect(unknownIn({ ...full.tokenData, schemeId: null })).to.equal(undefined);
  });

  it("are kept under the name of the field that keeps them", () => {
    expect(unknownIn({ unknownMembers: { a: "1" } })).to.deep.equal({ unknownMembers: { a: "1" } });
  });

  it("are kept by a name that the schema spells otherwise", () => {
    expect(unknownIn({ expiry_month: "10", Token: "1" })).to.deep.equal({ expiry_month: "10", Token: "1" });
  });

  it("are counted elsewhere, whatever they are", () => {
    const notes = { ignoredMembers: 0 };
    const activation = activationOf({ ...full, a: 1, b: "", c: [true], token_reference_id: "x", gone: null }, notes);
    expect(notes.ignoredMembers).to.equal(4);
    expect(activation).to.deep.equal(activationOf(full));
  });

  const refused = [
    { name: "a number", json: '{"a":1}', rule: "has a member that is not a JSON string" },
    { name: "a boolean", json: '{"a":false}', rule: "has a member that is not a JSON string" },
    { name: "an empty string", json: '{"a":""}', rule: "has a member that is empty" },
    { name: "a number in an object", json: '{"a":{"b":{"c":1}}}', rule: "has a member that is not a JSON string" },
    { name: "a number in a list", json: '{"a":["x",1]}', rule: "has a member that is not a JSON string" },
    { name: "an empty string in a list", json: '{"a":[[""]]}', rule: "has a member that is empty" },
    { name: "the name __proto__", json: '{"__proto__":{"a":"1"}}', rule: "has a member whose name is not allowed" },
    {
      name: "the name __proto__ inside",
      json: '{"a":[{"__proto__":"x"}]}',
      rule: "has a member whose name is not allowed",
    },
  ];
  for (const { name, json, rule } of refused)
    it(`refuse ${name} where they are kept, and do not say which member`, () => {
      const complaint = complaintOf(() => activationOf(`{"tokenReferenceId":"T-1","tokenData":${json}}`));
      expect(complaint).to.equal(`tokenData ${rule}`);
    });

  it("do not reach the prototype where they are counted", () => {
    const notes = { ignoredMembers: 0 };
    const activation = activationOf('{"__proto__":{"customerId":"x"},"tokenReferenceId":"T-1"}', notes);
    expect(activation.customerId).to.equal(undefined);
    expect(notes.ignoredMembers).to.equal(1);
  });

  it("are kept as they came, whatever their names and strings", () => {
    const text = fc.string({ unit: "binary", minLength: 1 });
    const name = fc
      .oneof(text, fc.constantFrom("constructor", "toString", "hasOwnProperty", "fields"))
      .filter((each) => each !== "__proto__");
    const { free } = fc.letrec((tie) => ({
      free: fc.oneof(
        { maxDepth: 3 },
        text,
        fc.array(tie("free"), { maxLength: 3 }),
        fc.dictionary(name, tie("free"), { maxKeys: 3 }),
      ),
    }));
    const known = new Set(["token", "expiryMonth", "expiryYear", "sequenceNumber"]);
    const members = fc.dictionary(
      name.filter((each) => !known.has(each)),
      free,
      { minKeys: 1, maxKeys: 4, noNullPrototype: true },
    );
    fc.assert(
      fc.property(members, (extra) => {
        const kept = unknownIn(JSON.parse(JSON.stringify(extra)));
        expect(JSON.stringify(kept)).to.equal(JSON.stringify(extra));
      }),
    );
  });

  it("never make a complaint quote a value", () => {
    const secret = "5345678901234521";
    const bad = fc.constantFrom<unknown>(Number(secret), [secret], { [secret]: 1 }, true);
    const name = fc.constantFrom(...Object.keys(full), "somethingElse");
    fc.assert(
      fc.property(name, bad, (field, value) => {
        expect(complaintOf(() => activationOf({ ...full, tokenData: { [field]: value } }))).not.to.include(secret);
        expect(complaintOf(() => activationOf({ ...full, [field]: value }))).not.to.include(secret);
      }),
    );
  });
});

const madeUp = `
syntax = "proto3";
package made.up;
import "alipayplus/dialect/v1/dialect.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";

enum Colour {
  COLOUR_UNSPECIFIED = 0;
  COLOUR_RED = 1;
  COLOUR_DARK_GREEN = 2;
}
message Every {
  string text = 1;
  bool truth = 2;
  bytes raw = 3;
  int32 int32 = 4;
  sint32 sint32 = 5;
  sfixed32 sfixed32 = 6;
  uint32 uint32 = 7;
  fixed32 fixed32 = 8;
  int64 int64 = 9;
  sint64 sint64 = 10;
  sfixed64 sfixed64 = 11;
  uint64 uint64 = 12;
  fixed64 fixed64 = 13;
  float single = 14;
  double precise = 15;
  Colour colour = 16;
  google.protobuf.Timestamp at = 17;
  Every inner = 18;
  optional string maybe_text = 19;
  optional int32 maybe_number = 20;
  optional bool maybe_truth = 21;
  repeated string texts = 22;
  repeated uint64 numbers = 23;
  repeated Colour colours = 24;
  repeated Every inners = 25;
  repeated google.protobuf.Timestamp instants = 26;
  oneof choice {
    string chosen_text = 27;
    int64 chosen_number = 28;
    Every chosen_inner = 29;
    Colour chosen_colour = 30;
  }
  string renamed = 31 [json_name = "otherName"];
}
message WithMap { map<string, string> words = 1; }
message WithDuration { google.protobuf.Duration life = 1; }
message WithStruct { google.protobuf.Struct free = 1; }
message WithWrongKeeper { string rest = 1 [(alipayplus.dialect.v1.unknown_members) = true]; }
message Outer { string text = 1; WithMap inner = 2; }
`;

describe("the dialect of a made-up schema", () => {
  let registry: FileRegistry;
  let every: DescMessage;
  const decode = (json: Json): Message & Record<string, unknown> =>
    decoderOf(every)(json, { ignoredMembers: 0 }) as Message & Record<string, unknown>;
  before(() => {
    registry = compileProto(madeUp);
    every = messageOf(registry, "Every");
  });

  it("decodes what it encodes, for any message without empty strings", () => {
    const text = fc.string({ unit: "binary", minLength: 1 });
    const int = (bits: number) => fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 });
    const uint = fc.integer({ min: 0, max: 2 ** 32 - 1 });
    const big = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    const ubig = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const instant = fc
      .record({ seconds: fc.bigInt({ min: -62_135_596_800n, max: 253_402_300_799n }), nanos: fc.nat(999_999_999) })
      .map((init) => ({ $typeName: "google.protobuf.Timestamp", ...init }));
    const finite = { noNaN: true, noDefaultInfinity: true } as const;
    // A decimal text has no negative zero to tell from zero.
    const positiveZero = (n: number): number => (n === 0 ? 0 : n);
    const leaves = {
      text,
      truth: fc.boolean(),
      raw: fc.uint8Array({ minLength: 1 }),
      int32: int(32),
      sint32: int(32),
      sfixed32: int(32),
      uint32: uint,
      fixed32: uint,
      int64: big,
      sint64: big,
      sfixed64: big,
      uint64: ubig,
      fixed64: ubig,
      single: fc.float(finite).map(positiveZero),
      precise: fc.double(finite).map(positiveZero),
      colour: fc.constantFrom(1, 2),
      at: instant,
      maybeText: text,
      maybeNumber: int(32),
      maybeTruth: fc.boolean(),
      texts: fc.array(text, { maxLength: 3 }),
      numbers: fc.array(ubig, { maxLength: 3 }),
      colours: fc.array(fc.constantFrom(1, 2), { maxLength: 3 }),
      instants: fc.array(instant, { maxLength: 3 }),
      renamed: text,
    };
    const leaf = fc.record(leaves, { requiredKeys: [] }).map((init) => create(every, init as never));
    const choice = fc.oneof(
      text.map((value) => ({ case: "chosenText", value })),
      big.map((value) => ({ case: "chosenNumber", value })),
      fc.constantFrom(1, 2).map((value) => ({ case: "chosenColour", value })),
      leaf.map((value) => ({ case: "chosenInner", value })),
    );
    const message = fc
      .record({ ...leaves, inner: leaf, inners: fc.array(leaf, { maxLength: 2 }), choice }, { requiredKeys: [] })
      .map((init) => create(every, init as never));
    fc.assert(
      fc.property(message, (original) => {
        const json = encoderOf(every)(original);
        const decoded = decoderOf(every)(parseJson(Buffer.from(JSON.stringify(json))), { ignoredMembers: 0 });
        expect(equals(every, decoded, original)).to.equal(true);
      }),
      { numRuns: 300 },
    );
  });

  it("encodes every scalar as a JSON string, and leaves out what is empty", () => {
    const isDialect = (json: Json): boolean =>
      typeof json === "string"
        ? json !== ""
        : typeof json === "object" && json !== null && Object.values(json).every((member) => isDialect(member));
    const init = {
      text: "",
      raw: new Uint8Array(),
      int32: -1,
      truth: true,
      colour: 0,
      texts: ["a", ""],
      colours: [2, 0],
    };
    const json = encoderOf(every)(create(every, init as never));
    expect(json).to.include({ int32: "-1", truth: "true", uint64: "0" });
    expect(json).to.deep.include({ texts: ["a"], colours: ["DARK_GREEN"] });
    expect(json).not.to.have.any.keys("text", "raw", "colour", "maybeText", "maybeNumber", "inner", "inners", "at");
    expect(isDialect(json)).to.equal(true);
  });

  const numbers = [
    { field: "int32", good: ["0", "-1", "2147483647", "-2147483648"], bad: ["2147483648", "-2147483649"] },
    { field: "sint32", good: ["2147483647", "-2147483648"], bad: ["2147483648", "-2147483649"] },
    { field: "sfixed32", good: ["2147483647", "-2147483648"], bad: ["2147483648", "-2147483649"] },
    { field: "uint32", good: ["0", "4294967295"], bad: ["-1", "4294967296"] },
    { field: "fixed32", good: ["0", "4294967295"], bad: ["-1", "4294967296"] },
    { field: "int64", good: ["9223372036854775807", "-9223372036854775808"], bad: ["9223372036854775808"] },
    { field: "sint64", good: ["9223372036854775807", "-9223372036854775808"], bad: ["-9223372036854775809"] },
    { field: "sfixed64", good: ["9223372036854775807", "-9223372036854775808"], bad: ["9223372036854775808"] },
    { field: "uint64", good: ["0", "18446744073709551615"], bad: ["-1", "18446744073709551616"] },
    { field: "fixed64", good: ["0", "18446744073709551615"], bad: ["-1", "18446744073709551616"] },
  ];
  for (const { field, good, bad } of numbers) {
    it(`takes ${good.join(" and ")} as ${field}`, () => {
      expect(good.map((text) => String(decode({ [field]: text })[field]))).to.deep.equal(good);
    });
    const forms = ["01", "+1", "-0", " 1", "1 ", "1.0", "1e3", "0x10", "1_000", "١", "one", "9".repeat(400), "1\n"];
    it(`refuses ${bad.join(" and ")} and every other form as ${field}`, () => {
      for (const text of [...bad, ...forms])
        expect(complaintOf(() => decode({ [field]: text }))).to.equal(`${field} must be a whole number in range`);
    });
  }

  const complaints: { name: string; json: Json; complaint: string }[] = [
    { name: "a number for a whole number", json: { int32: 1 }, complaint: "int32 must be a JSON string" },
    { name: "a boolean for a truth", json: { truth: true }, complaint: "truth must be a JSON string" },
    { name: "another word for a truth", json: { truth: "True" }, complaint: 'truth must be "true" or "false"' },
    { name: "what is no base64", json: { raw: "a*b" }, complaint: "raw must be base64" },
    { name: "empty bytes", json: { raw: "" }, complaint: "raw must not be empty" },
    {
      name: "a fraction without digits",
      json: { precise: "1." },
      complaint: "precise must be a decimal number in range",
    },
    { name: "NaN", json: { precise: "NaN" }, complaint: "precise must be a decimal number in range" },
    { name: "Infinity", json: { precise: "Infinity" }, complaint: "precise must be a decimal number in range" },
    {
      name: "a double out of range",
      json: { precise: "9".repeat(400) },
      complaint: "precise must be a decimal number in range",
    },
    {
      name: "a float out of range",
      json: { single: `1${"0".repeat(39)}` },
      complaint: "single must be a decimal number in range",
    },
    { name: "a string for a list", json: { texts: "a" }, complaint: "texts must be a JSON array" },
    { name: "an object for a list", json: { texts: {} }, complaint: "texts must be a JSON array" },
    { name: "a number in a list", json: { texts: ["a", 1] }, complaint: "texts[] must be a JSON string" },
    { name: "an empty item", json: { texts: ["a", ""] }, complaint: "texts[] must not be empty" },
    { name: "a null item", json: { texts: [null] }, complaint: "texts[] must be a JSON string" },
    { name: "a null message in a list", json: { inners: [null] }, complaint: "inners[] must be a JSON object" },
    {
      name: "a bad word in a list",
      json: { colours: ["RED", "BLUE"] },
      complaint: "colours[] must be one of the words the API lists",
    },
    {
      name: "a bad member far inside",
      json: { inners: [{ inner: { inners: [{ truth: "1" }] } }] },
      complaint: 'inners[].inner.inners[].truth must be "true" or "false"',
    },
    {
      name: "a bad time in a list",
      json: { instants: ["now"] },
      complaint: "instants[] must be an existing instant in RFC 3339 with seconds and an offset",
    },
  ];
  for (const { name, json, complaint } of complaints)
    it(`refuses ${name}`, () => {
      expect(complaintOf(() => decode(json))).to.equal(complaint);
    });

  it("refuses two members of one choice, and takes one beside null", () => {
    expect(complaintOf(() => decode({ chosenText: "a", chosenNumber: "1" }))).to.equal(
      "chosenNumber excludes another member that is present",
    );
    expect(decode({ chosenText: null, chosenNumber: "1" }).choice).to.deep.equal({ case: "chosenNumber", value: 1n });
  });

  it("knows a field by its JSON name alone", () => {
    const notes = { ignoredMembers: 0 };
    const decoded = decoderOf(every)({ otherName: "a", renamed: "b", maybe_text: "c" }, notes);
    expect(decoded).to.include({ renamed: "a" });
    expect(notes.ignoredMembers).to.equal(2);
  });

  const unsupported = [
    { name: "WithMap", side: "both" },
    { name: "WithDuration", side: "both" },
    { name: "WithStruct", side: "both" },
    { name: "WithWrongKeeper", side: "decoder" },
    { name: "Outer", side: "both" },
  ];
  for (const { name, side } of unsupported)
    it(`finds out at compile time that it cannot carry ${name}, each time it is asked`, () => {
      const desc = messageOf(registry, name);
      for (const _ of ["first", "again"]) {
        expect(() => decoderOf(desc)).to.throw(UnsupportedSchema);
        if (side === "both") expect(() => encoderOf(desc)).to.throw(UnsupportedSchema);
      }
    });
});
