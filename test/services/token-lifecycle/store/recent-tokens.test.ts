import { expect } from "chai";
import fc from "fast-check";
import { recentTokens } from "../../../../services/token-lifecycle/store/recent-tokens.js";

describe("the memory of recent tokens", () => {
  const ids = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `T-${from + i}`);

  it("has the token that was added last, whatever its reference and whatever came before", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary", minLength: 1 }), { minLength: 1 }), (references) => {
        const recent = recentTokens(8);
        for (const reference of references) recent.add(reference);
        expect(recent.has(references.at(-1) ?? "")).to.equal(true);
      }),
    );
  });

  it("has hardly a token that was not added, also when it is full", () => {
    const recent = recentTokens(1_024);
    for (const id of ids(0, 20_000)) recent.add(id);
    // 1 in 2 ** 22 is to be expected.
    expect(ids(20_000, 120_000).filter(recent.has)).to.have.length.below(3);
  });

  it("keeps most of half as many tokens as it has places", () => {
    const recent = recentTokens(2_048);
    for (const id of ids(0, 1_024)) recent.add(id);
    expect(ids(0, 1_024).filter(recent.has)).to.have.length.above(700);
  });
});
