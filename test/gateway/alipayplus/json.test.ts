import { expect } from "chai";
import fc from "fast-check";
import { depthLimit, JsonError, parseJson } from "../../../gateway/alipayplus/json.js";

const failureOf = (bytes: Uint8Array | string): JsonError => {
  try {
    parseJson(Buffer.from(bytes as string));
  } catch (error) {
    if (error instanceof JsonError) return error;
    throw error;
  }
  throw new Error("it was accepted");
};

const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);

describe("parseJson", () => {
  const accepted = [
    { name: "white space around and between", text: ' \r\n\t{ "a" : [ "1" , null ] } \n', value: { a: ["1", null] } },
    {
      name: "the same name in two objects",
      text: '{"a":{"x":"1"},"b":{"x":"2"}}',
      value: { a: { x: "1" }, b: { x: "2" } },
    },
    { name: "the same name in two items", text: '[{"x":"1"},{"x":"2"}]', value: [{ x: "1" }, { x: "2" }] },
    { name: "a name inside a member of that name", text: '{"a":{"a":{"a":"1"}}}', value: { a: { a: { a: "1" } } } },
    { name: "a value that equals its name", text: '{"a":"a","b":"a"}', value: { a: "a", b: "a" } },
    { name: "names that differ in case", text: '{"a":"1","A":"2"}', value: { a: "1", A: "2" } },
    {
      name: "names that differ in their normal form",
      text: '{"\u00e9":"1","e\u0301":"2"}',
      value: { é: "1", "e\u0301": "2" },
    },
    {
      name: "brackets, colons and quotes inside strings",
      text: '{"a":"{[:\\"}]","b":"\\\\"}',
      value: { a: '{[:"}]', b: "\\" },
    },
    { name: "an empty name", text: '{"":"1"}', value: { "": "1" } },
    { name: "an escaped surrogate pair", text: '"\\ud83d\\ude00"', value: "😀" },
    { name: "the same character as UTF-8", text: '"😀"', value: "😀" },
    { name: "an escaped NUL", text: '"\\u0000"', value: "\0" },
    { name: "a big number", text: "123456789012345678901234567890", value: 1.2345678901234568e29 },
    { name: "a number beyond every double", text: "[1e999]", value: [Number.POSITIVE_INFINITY] },
    { name: "the deepest nesting", text: nested(depthLimit), value: JSON.parse(nested(depthLimit)) as unknown },
    { name: "opening brackets in a string", text: `"${"[".repeat(1000)}"`, value: "[".repeat(1000) },
    { name: "a string alone", text: '"a"', value: "a" },
  ];
  for (const { name, text, value } of accepted)
    it(`takes ${name}`, () => {
      expect(parseJson(Buffer.from(text))).to.deep.equal(value);
    });

  const twice = [
    { name: "at the top", text: '{"a":"1","a":"1"}', member: "a" },
    { name: "with other members between", text: '{"a":"1","b":{"c":"2"},"a":"3"}', member: "a" },
    { name: "in an inner object", text: '{"x":{"y":{"a":"1","a":"2"}}}', member: "a" },
    { name: "in an item of a list", text: '{"x":[{"b":"1"},{"a":"1","a":"2"}]}', member: "a" },
    { name: "after an inner object that has it too", text: '{"a":{"a":"1"},"a":"2"}', member: "a" },
    { name: "the second time by an escape", text: '{"a":"1","\\u0061":"2"}', member: "a" },
    { name: "by two spellings of an escape", text: '{"\\u006A":"1","\\u006a":"2"}', member: "j" },
    { name: "with a quote in it", text: '{"\\"":"1","\\u0022":"2"}', member: '"' },
    { name: "with white space before the colon", text: '{"a" :"1","a"\n:"2"}', member: "a" },
    { name: "of the name __proto__", text: '{"__proto__":"1","__proto__":"2"}', member: "__proto__" },
    { name: "of an empty name", text: '{"":"1","":"2"}', member: "" },
    { name: "even when both are null", text: '{"a":null,"a":null}', member: "a" },
  ];
  for (const { name, text, member } of twice)
    it(`refuses a member given twice ${name}`, () => {
      const failure = failureOf(text);
      expect(failure.message).to.equal("the body has a member twice");
      expect(failure.member).to.equal(member);
    });

  const refused = [
    { name: "nothing", bytes: "", message: "the body is not JSON" },
    { name: "white space alone", bytes: " ", message: "the body is not JSON" },
    { name: "two values", bytes: "{}{}", message: "the body is not JSON" },
    { name: "a trailing comma", bytes: '{"a":"1",}', message: "the body is not JSON" },
    { name: "a comment", bytes: '{"a":"1"/**/}', message: "the body is not JSON" },
    { name: "single quotes", bytes: "{'a':'1'}", message: "the body is not JSON" },
    { name: "a name without quotes", bytes: '{a:"1"}', message: "the body is not JSON" },
    { name: "NaN", bytes: "[NaN]", message: "the body is not JSON" },
    { name: "a number with a leading zero", bytes: "[01]", message: "the body is not JSON" },
    { name: "a raw NUL", bytes: '{"a":"1\0"}', message: "the body is not JSON" },
    { name: "a NUL after the value", bytes: "{}\0", message: "the body is not JSON" },
    { name: "a raw line feed in a string", bytes: '"a\nb"', message: "the body is not JSON" },
    { name: "a cut body", bytes: '{"a":"1"', message: "the body is not JSON" },
    { name: "a string that does not end", bytes: '{"a":"1', message: "the body is not JSON" },
    { name: "a byte order mark", bytes: "\ufeff{}", message: "the body is not JSON" },
    { name: "UTF-16", bytes: Buffer.from("\ufeff{}", "utf16le"), message: "the body is not UTF-8" },
    { name: "Latin-1", bytes: Buffer.from('{"a":"é"}', "latin1"), message: "the body is not UTF-8" },
    { name: "an overlong slash", bytes: Buffer.from([0x22, 0xc0, 0xaf, 0x22]), message: "the body is not UTF-8" },
    {
      name: "a surrogate in UTF-8",
      bytes: Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]),
      message: "the body is not UTF-8",
    },
    { name: "a cut character", bytes: Buffer.from([0x22, 0xf0, 0x9f, 0x98]), message: "the body is not UTF-8" },
    {
      name: "half a surrogate pair in a value",
      bytes: '{"a":"\\ud83d"}',
      message: "the body holds half a surrogate pair",
    },
    { name: "the other half", bytes: '["\\ude00"]', message: "the body holds half a surrogate pair" },
    { name: "the halves in wrong order", bytes: '"\\ude00\\ud83d"', message: "the body holds half a surrogate pair" },
    {
      name: "half a surrogate pair in a name",
      bytes: '{"a":[{"\\ud83d":"1"}]}',
      message: "the body holds half a surrogate pair",
    },
    { name: "one level too many", bytes: nested(depthLimit + 1), message: "the body is nested too deeply" },
    {
      name: "objects nested too deeply",
      bytes: `${'{"a":'.repeat(depthLimit + 1)}"1"${"}".repeat(depthLimit + 1)}`,
      message: "the body is nested too deeply",
    },
    { name: "a depth bomb that never closes", bytes: "[".repeat(60_000), message: "the body is nested too deeply" },
  ];
  for (const { name, bytes, message } of refused)
    it(`refuses ${name}`, () => {
      expect(failureOf(bytes).message).to.equal(message);
    });

  it("keeps a member named __proto__ as a member, for the next step to judge", () => {
    const value = parseJson(Buffer.from('{"__proto__":{"polluted":"yes"}}')) as Record<string, unknown>;
    expect(Object.keys(value)).to.deep.equal(["__proto__"]);
    expect(value.polluted).to.equal(undefined);
    expect(Object.getPrototypeOf(value)).to.equal(Object.prototype);
  });

  it("never quotes the body in what it says", () => {
    const secret = "5345678901234521";
    for (const text of [`{"token":"${secret}"`, `{"token":${secret}x}`, `{"a":"1","a":"${secret}"}`])
      expect(failureOf(text).message).not.to.include(secret);
  });

  const values = fc.jsonValue({ maxDepth: depthLimit - 1, stringUnit: "binary" });

  it("agrees with JSON.parse for every value", () => {
    fc.assert(
      fc.property(values, fc.constantFrom(undefined, 2, "\t"), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        expect(parseJson(Buffer.from(text))).to.deep.equal(JSON.parse(text));
      }),
    );
  });

  it("takes no text that JSON.parse refuses", () => {
    const cut = fc.tuple(values, fc.nat(), fc.string({ maxLength: 2 }));
    fc.assert(
      fc.property(cut, ([value, at, noise]) => {
        const whole = JSON.stringify(value);
        const place = at % (whole.length + 1);
        const text = (whole.slice(0, place) + noise + whole.slice(place + 1)).toWellFormed();
        let parsed: unknown;
        try {
          parsed = parseJson(Buffer.from(text));
        } catch (error) {
          expect(error).to.be.instanceOf(JsonError);
          return;
        }
        expect(parsed).to.deep.equal(JSON.parse(text));
      }),
      { numRuns: 500 },
    );
  });

  it("refuses any object whose member is written again", () => {
    const objects = fc.dictionary(fc.string(), fc.string(), { minKeys: 1 });
    fc.assert(
      fc.property(objects, fc.nat(), (object, which) => {
        const names = Object.keys(object);
        const name = names[which % names.length] ?? "";
        const text = `${JSON.stringify(object).slice(0, -1)},${JSON.stringify(name)}:"again"}`;
        expect(failureOf(text).member).to.equal(name);
      }),
    );
  });
});
