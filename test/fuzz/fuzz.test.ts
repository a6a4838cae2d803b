import { expect } from "chai";
import { fuzz } from "./fuzz.js";

describe("generated requests", () => {
  it("are all answered as promised, the broken ones too", async function () {
    this.timeout(60_000);
    const { answers, breaches, inputs } = await fuzz({ inputs: 400, seed: 1 });
    expect(breaches).to.deep.equal([]);
    const counted = [...answers.values()].flatMap((counts) => [...counts.values()]);
    expect(counted.reduce((sum, count) => sum + count, 0)).to.equal(inputs);
    // A generator that makes nothing but refusals would test nothing but the first line.
    expect(answers.get("members")?.get("SUCCESS") ?? 0).to.be.above(10);
    expect(answers.get("members")?.get("PARAM_ILLEGAL") ?? 0).to.be.above(10);
  });
});
