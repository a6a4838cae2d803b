import { expect } from "chai";
import fc from "fast-check";
import { median, percentile } from "../../bench/statistics.js";

describe("the statistics of the benches", () => {
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  const cases: { values: number[]; share: number; wanted: number }[] = [
    { values: hundred, share: 0.5, wanted: 50 },
    { values: hundred, share: 0.99, wanted: 99 },
    { values: hundred, share: 0.999, wanted: 100 },
    { values: hundred, share: 0, wanted: 1 },
    { values: [7], share: 0.99, wanted: 7 },
    { values: [1, 2], share: 0.5, wanted: 1 },
    { values: [], share: 0.5, wanted: Number.NaN },
  ];
  for (const { values, share, wanted } of cases)
    it(`give ${wanted} as the ${share * 100}th percentile of ${values.length} values`, () => {
      expect(percentile(values, share)).to.deep.equal(wanted);
    });

  it("give a percentile that so many values do not exceed, and no smaller one does", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer(), { minLength: 1 }),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        (all, share) => {
          const ascending = Float64Array.from(all).sort();
          const value = percentile(ascending, share);
          const below = (limit: (each: number) => boolean): number => ascending.filter(limit).length / ascending.length;
          expect(below((each) => each <= value)).to.be.at.least(share);
          expect(below((each) => each < value)).to.be.below(share);
        },
      ),
    );
  });

  it("give the middle as the median, in whatever order the values come", () => {
    expect([median([3, 1, 2]), median([4, 1, 3, 2]), median([5]), median([])]).to.deep.equal([2, 2.5, 5, Number.NaN]);
  });
});
