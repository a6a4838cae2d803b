import { expect } from "chai";
import { type BenchOptions, mainConnections, stepsOf } from "../../bench/plan.js";

const options: BenchOptions = {
  ...{ systems: ["product"], durabilities: ["fsync"], connections: [1, 64, 256] },
  ...{
    scenarios: ["first", "repeat", "forged"],
    openLoops: true,
    rounds: 1,
    windowMs: 1_000,
    warmMs: 0,
    warmUp: { crowded: 0, alone: 0 },
  },
};
const told = (given: Partial<BenchOptions>): string[] =>
  stepsOf({ ...options, ...given }).map((step) => Object.values(step).join(" "));

describe("the plan of a bench", () => {
  it("has repeats right behind the deliveries they repeat, and loads of a constant rate last", () => {
    expect(told({})).to.deep.equal([
      "first closed 1",
      "first closed 64",
      "repeat closed 64",
      "forged closed 64",
      "first closed 256",
      "first 300/s 64",
      "first half 64",
    ]);
  });

  it("always has first deliveries", () => {
    expect(told({ connections: [2], scenarios: ["repeat"], openLoops: false })).to.deep.equal([
      "first closed 2",
      "repeat closed 2",
    ]);
  });

  it("compares at 64 connections, or at the nearest that is measured", () => {
    expect(
      [
        [1, 16, 64, 256],
        [1, 16],
        [128, 256],
      ].map(mainConnections),
    ).to.deep.equal([64, 16, 128]);
  });
});
