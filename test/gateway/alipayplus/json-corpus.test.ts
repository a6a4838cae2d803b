import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { depthLimit, type Json, JsonError, parseJson } from "../../../gateway/alipayplus/json.js";

/** JSONTestSuite by Nicolas Seriot, where it lies beside the project; it is no part of it. */
const corpus = fileURLToPath(new URL("../../../../shared/corpora/JSONTestSuite/test_parsing/", import.meta.url));

const twice = "a member stands twice";
const number = "a JSON number of any size is JSON; the dialect refuses every number later";
const halfPair = "half a surrogate pair is no character";
const notUtf8 = "not UTF-8";

/** What the suite leaves to the parser, and how ours decides. */
const verdicts: Readonly<Record<string, readonly [verdict: "accepted" | "refused", reason: string]>> = {
  "i_number_double_huge_neg_exp.json": ["accepted", number],
  "i_number_huge_exp.json": ["accepted", number],
  "i_number_neg_int_huge_exp.json": ["accepted", number],
  "i_number_pos_double_huge_exp.json": ["accepted", number],
  "i_number_real_neg_overflow.json": ["accepted", number],
  "i_number_real_pos_overflow.json": ["accepted", number],
  "i_number_real_underflow.json": ["accepted", number],
  "i_number_too_big_neg_int.json": ["accepted", number],
  "i_number_too_big_pos_int.json": ["accepted", number],
  "i_number_very_big_negative_int.json": ["accepted", number],
  "i_object_key_lone_2nd_surrogate.json": ["refused", halfPair],
  "i_string_1st_surrogate_but_2nd_missing.json": ["refused", halfPair],
  "i_string_1st_valid_surrogate_2nd_invalid.json": ["refused", halfPair],
  "i_string_UTF-16LE_with_BOM.json": ["refused", notUtf8],
  "i_string_UTF-8_invalid_sequence.json": ["refused", notUtf8],
  "i_string_UTF8_surrogate_U+D800.json": ["refused", notUtf8],
  "i_string_incomplete_surrogate_and_escape_valid.json": ["refused", halfPair],
  "i_string_incomplete_surrogate_pair.json": ["refused", halfPair],
  "i_string_incomplete_surrogates_escape_valid.json": ["refused", halfPair],
  "i_string_invalid_lonely_surrogate.json": ["refused", halfPair],
  "i_string_invalid_surrogate.json": ["refused", halfPair],
  "i_string_invalid_utf-8.json": ["refused", notUtf8],
  "i_string_inverted_surrogates_U+1D11E.json": ["refused", halfPair],
  "i_string_iso_latin_1.json": ["refused", notUtf8],
  "i_string_lone_second_surrogate.json": ["refused", halfPair],
  "i_string_lone_utf8_continuation_byte.json": ["refused", notUtf8],
  "i_string_not_in_unicode_range.json": ["refused", notUtf8],
  "i_string_overlong_sequence_2_bytes.json": ["refused", notUtf8],
  "i_string_overlong_sequence_6_bytes.json": ["refused", notUtf8],
  "i_string_overlong_sequence_6_bytes_null.json": ["refused", notUtf8],
  "i_string_truncated-utf-8.json": ["refused", notUtf8],
  "i_string_utf16BE_no_BOM.json": ["refused", "NUL bytes are UTF-8, but no JSON"],
  "i_string_utf16LE_no_BOM.json": ["refused", "NUL bytes are UTF-8, but no JSON"],
  "i_structure_500_nested_arrays.json": ["refused", `nested deeper than ${depthLimit}`],
  "i_structure_UTF-8_BOM_empty_object.json": ["refused", "a byte order mark is no JSON"],
};

/** Valid by the grammar, and refused all the same. */
const refusedThoughValid: Readonly<Record<string, string>> = {
  "y_object_duplicated_key.json": twice,
  "y_object_duplicated_key_and_value.json": twice,
};

/** Far more than any of these needs, far less than a parser that can be made to dig. */
const quickMs = 500;

const isRefused = (bytes: Uint8Array): boolean => {
  try {
    parseJson(bytes);
    return false;
  } catch (error) {
    // Anything else would be a failure of ours, and Alipay+ would be told to try again.
    expect(error).to.be.instanceOf(JsonError);
    return true;
  }
};

describe("parseJson and JSONTestSuite", () => {
  let files: string[] = [];
  before(function () {
    if (existsSync(corpus)) files = readdirSync(corpus).filter((name) => name.endsWith(".json"));
    else {
      process.stdout.write(`    no JSONTestSuite in ${corpus}: https://github.com/nst/JSONTestSuite\n`);
      this.skip();
    }
  });
  const those = (prefix: string): string[] => files.filter((name) => name.startsWith(prefix));
  const bytesOf = (name: string): Buffer => readFileSync(corpus + name);

  it("refuses every text that is no JSON", () => {
    expect(those("n_")).to.have.length(188);
    expect(those("n_").filter((name) => !isRefused(bytesOf(name)))).to.deep.equal([]);
  });

  it("reads every text that is JSON as JSON.parse does, but for a member that stands twice", () => {
    expect(those("y_")).to.have.length(95);
    for (const name of those("y_"))
      if (name in refusedThoughValid) expect(() => parseJson(bytesOf(name)), name).to.throw(JsonError, "twice");
      else expect(parseJson(bytesOf(name)), name).to.deep.equal(JSON.parse(bytesOf(name).toString()));
  });

  it("decides what the suite leaves open as the table says", () => {
    expect(those("i_").sort()).to.deep.equal(Object.keys(verdicts).sort());
    for (const name of those("i_"))
      expect(isRefused(bytesOf(name)) ? "refused" : "accepted", name).to.equal(verdicts[name]?.[0]);
  });

  it("quotes no text that it refuses", () => {
    for (const name of [...those("n_"), ...those("i_")])
      try {
        parseJson(bytesOf(name));
      } catch (error) {
        expect((error as Error).message, name).to.match(/^the body (?:is|has|holds) [a-z0-9 -]+$/i);
      }
  });
});

describe("parseJson and a hostile sender", () => {
  const parse = (text: string): Json => parseJson(Buffer.from(text));
  const deep = (open: string, close: string, times: number, inside = ""): string =>
    open.repeat(times) + inside + close.repeat(times);

  for (const { name, text } of [
    { name: "at the top", text: '{"a":"1","a":"2"}' },
    { name: "with equal values", text: '{"a":"1","b":"2","a":"1"}' },
    { name: "inside an object", text: '{"tokenData":{"token":"1","token":"2"}}' },
    { name: "inside an array", text: '[[{"x":{"a":"1","b":[],"a":"2"}}]]' },
    { name: "after an object and an array", text: '{"a":{"b":"1"},"c":[{"b":"1"}],"a":"2"}' },
    { name: "at the last depth", text: deep('{"d":', "}", depthLimit - 1, '{"a":"1","a":"2"}') },
    { name: "once with an escape", text: '{"token":"1","\\u0074oken":"2"}' },
    { name: "with other escapes", text: '{"a\\/b":"1","a/b":"2"}' },
    { name: "as __proto__", text: '{"__proto__":{"a":"1"},"__proto__":{"a":"2"}}' },
    { name: "with an empty name", text: '{"":"1","":"2"}' },
    { name: "beside a string that looks like one", text: '{"b":"\\"a\\":{","a":"1","a":"2"}' },
  ])
    it(`refuses a member given twice ${name}`, () => {
      expect(() => parse(text)).to.throw(JsonError, "twice");
    });

  for (const text of [
    '{"a":{"a":{"a":"a"}},"b":["a","a"]}',
    '[{"a":"1"},{"a":"2"}]',
    '{"a":"\\",\\"a\\":\\"","b":":{}[]\\\\"}',
  ])
    it(`takes ${text}, where no member stands twice`, () => {
      expect(parse(text)).to.deep.equal(JSON.parse(text));
    });

  for (const { name, text } of [
    { name: "100,000 brackets", text: "[".repeat(100_000) },
    { name: "100,000 closed brackets", text: deep("[", "]", 100_000) },
    { name: "100,000 objects", text: deep('{"a":', "}", 100_000, "1") },
    { name: "one level too many", text: deep("[", "]", depthLimit + 1) },
  ])
    it(`refuses ${name} without digging`, () => {
      const started = performance.now();
      expect(() => parse(text)).to.throw(JsonError, "nested too deeply");
      expect(performance.now() - started).to.be.below(quickMs);
    });

  it("takes the last depth there is, and brackets in strings at no depth", () => {
    expect(parse(deep("[", "]", depthLimit))).to.be.an("array");
    expect(parse(JSON.stringify("[{".repeat(50_000)))).to.have.length(100_000);
  });

  for (const { name, text } of [
    { name: "backslashes", text: `{"a":"${"\\\\".repeat(30_000)}` },
    { name: "quotes", text: '"'.repeat(60_001) },
    { name: "escaped quotes", text: `"${'\\"'.repeat(30_000)}` },
    { name: "members without an end", text: '{"a":"b",'.repeat(7_000) },
    { name: "closing brackets", text: "]".repeat(60_000) },
  ])
    it(`refuses 60 KiB of ${name} quickly`, () => {
      const started = performance.now();
      expect(isRefused(Buffer.from(text))).to.equal(true);
      expect(performance.now() - started).to.be.below(quickMs);
    });

  it("reads 60 KiB of members quickly", () => {
    const text = JSON.stringify(Object.fromEntries(Array.from({ length: 4_000 }, (_, i) => [`m${i}`, '\\"'])));
    const started = performance.now();
    expect(Object.keys(parse(text) as object)).to.have.length(4_000);
    expect(performance.now() - started).to.be.below(quickMs);
  });

  it("keeps __proto__ an ordinary member, and nobody's prototype", () => {
    const value = parse('{"__proto__":{"denied":"false"},"constructor":{"prototype":"x"}}') as object;
    expect(Object.getPrototypeOf(value)).to.equal(Object.prototype);
    expect(Object.keys(value)).to.deep.equal(["__proto__", "constructor"]);
    expect("denied" in {}).to.equal(false);
  });

  it("refuses a NUL that is bare and takes one that is escaped", () => {
    expect(isRefused(Buffer.from('{"a":"\0"}'))).to.equal(true);
    expect(isRefused(Buffer.from('{"a":"1"}\0'))).to.equal(true);
    expect(parse('{"a":"\\u0000"}')).to.deep.equal({ a: "\0" });
  });

  for (const text of ["1e400", "-1e400", "9".repeat(60_000), `0.${"1".repeat(60_000)}`, `1e${"9".repeat(60_000)}`])
    it(`takes the number ${text.slice(0, 8)} of ${text.length} characters for a number`, () => {
      expect(parse(`[${text}]`)).to.deep.equal([Number(text)]);
    });

  for (const text of ["NaN", "Infinity", "0x10", "01", "+1", "1.", ".1", "1e", "--1", "１"])
    it(`refuses ${text}`, () => {
      expect(isRefused(Buffer.from(`[${text}]`))).to.equal(true);
    });
});
