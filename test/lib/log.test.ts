import { expect } from "chai";
import { errorFields } from "../../lib/log.js";
import { StartError } from "../../lib/program.js";

describe("what is logged of an error", () => {
  it("is never its message, which may quote a caller", () => {
    const error = Object.assign(new TypeError("token 5345678901234521 is wrong"), { code: "E_WRONG" });
    const fields = errorFields(error);
    expect(fields).to.include({ error: "TypeError", code: "E_WRONG" });
    expect(JSON.stringify(fields)).to.not.include("5345678901234521");
    expect(fields.at).to.include("log.test");
  });

  it("is the reason too when it speaks of files and settings alone", () => {
    expect(errorFields(new StartError("wrong policy file p.json: it is not JSON."))).to.deep.equal({
      error: "Error",
      reason: "wrong policy file p.json: it is not JSON.",
    });
  });

  it("is its type when it is no error at all", () => {
    expect(errorFields("5345678901234521")).to.deep.equal({ error: "string" });
  });
});
