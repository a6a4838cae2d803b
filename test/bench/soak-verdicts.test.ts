import { expect } from "chai";
import { soakVerdicts } from "../../bench/soak-verdicts.js";

const judged = (gateway: readonly number[]): boolean[] =>
  soakVerdicts(
    gateway.map((mb, second) => ({ second, memoryMb: { gateway: mb, redis: second * 100 }, runtime: {} })),
  ).map(({ met }) => met);

describe("the verdicts of a soak", () => {
  const times = Array.from({ length: 40 }, (_, i) => i);
  const cases: { name: string; memory: number[]; verdicts: [belowLimit: boolean, noGrowth: boolean] }[] = [
    { name: "memory that settles", memory: times.map((t) => 100 - 40 / (t + 1)), verdicts: [true, true] },
    { name: "memory that grows all the time", memory: times.map((t) => 80 + t), verdicts: [true, false] },
    { name: "a saw", memory: times.map((t) => 100 + (t % 5) * 4), verdicts: [true, true] },
    { name: "one moment above the limit", memory: times.map((t) => (t === 3 ? 151 : 100)), verdicts: [false, true] },
  ];
  for (const { name, memory, verdicts } of cases)
    it(`are ${verdicts.map((met) => (met ? "met" : "not met")).join(" and ")} for ${name}`, () => {
      expect(judged(memory)).to.deep.equal(verdicts);
    });
});
