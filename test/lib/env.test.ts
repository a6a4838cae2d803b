import { expect } from "chai";
import fc from "fast-check";
import { flag, httpUrls, oneOf, port, readEnv, text, wholeNumber } from "../../lib/env.js";
import { StartError } from "../../lib/program.js";

describe("readEnv", () => {
  it("reads what is set and falls back where nothing is", () => {
    const settings = { A: { parse: text }, B: { parse: port, fallback: 1 }, C: { parse: flag, fallback: undefined } };
    expect(readEnv({ A: "x", D: "not asked for" }, settings)).to.deep.equal({ A: "x", B: 1, C: undefined });
    expect(readEnv({ A: "x", B: "2", C: "true" }, settings)).to.deep.equal({ A: "x", B: 2, C: true });
  });

  it("takes an empty variable for one that is not set", () => {
    expect(readEnv({ A: "" }, { A: { parse: port, fallback: 7 } })).to.deep.equal({ A: 7 });
    expect(() => readEnv({ A: "" }, { A: { parse: text } })).to.throw(StartError, "A is not set");
  });

  it("tells every mistake in one line", () => {
    const settings = { A: { parse: text }, B: { parse: port, fallback: 1 }, C: { parse: flag }, D: { parse: text } };
    expect(() => readEnv({ B: "x", C: "yes", D: "fine" }, settings)).to.throw(
      StartError,
      "wrong settings: A is not set; B must be a whole number from 0 to 65535; C must be true or false. See README.md",
    );
  });

  it("does not say a value back, since it may be a secret", () => {
    const parsers = { port, flag, httpUrls, oneOf: oneOf("a", "b"), wholeNumber: wholeNumber(1, 2) };
    for (const parse of Object.values<(value: string) => unknown>(parsers))
      expect(() => readEnv({ SECRET: "hunter2" }, { SECRET: { parse } }))
        .to.throw(StartError)
        .with.property("message")
        .that.does.not.include("hunter2");
  });
});

describe("wholeNumber", () => {
  it("reads every whole number in its range, and none outside", () => {
    fc.assert(
      fc.property(fc.integer({ min: -20, max: 120 }), (n) => {
        const read = (): number => wholeNumber(0, 100)(String(n));
        if (n >= 0 && n <= 100) expect(read()).to.equal(n);
        else expect(read).to.throw("must be a whole number from 0 to 100");
      }),
    );
  });

  for (const value of ["", " 1", "1 ", "1.0", "1e1", "0x1", "+1", "-0", "1_0", "١", "NaN", "Infinity", "9".repeat(16)])
    it(`refuses ${JSON.stringify(value)}`, () => {
      expect(() => wholeNumber(0, Number.MAX_SAFE_INTEGER)(value)).to.throw("must be a whole number");
    });
});

describe("flag", () => {
  it("takes true and false and no other word", () => {
    expect([flag("true"), flag("false")]).to.deep.equal([true, false]);
    for (const value of ["TRUE", "1", "0", "yes", "on", " true"])
      expect(() => flag(value)).to.throw("must be true or false");
  });
});

describe("oneOf", () => {
  it("takes its words as they are written, and lists them when it gets another", () => {
    expect(oneOf("fsync", "memory")("memory")).to.equal("memory");
    for (const value of ["FSYNC", "fsync ", "toString", ""])
      expect(() => oneOf("fsync", "memory")(value)).to.throw("must be one of fsync, memory");
  });
});

describe("httpUrls", () => {
  it("reads one URL or several, without the slash at the end", () => {
    expect(httpUrls("http://a:1")).to.deep.equal(["http://a:1"]);
    expect(httpUrls(" https://a/ ,http://[::1]:2//")).to.deep.equal(["https://a", "http://[::1]:2"]);
  });

  for (const value of ["a:1", "//a", "http://", "ftp://a", "http://a,", ",", "javascript:alert(1)", "http://a b"])
    it(`refuses ${JSON.stringify(value)}`, () => {
      expect(() => httpUrls(value)).to.throw("must be http:// or https:// URLs, separated by commas");
    });
});
