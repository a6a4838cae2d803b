import { expect } from "chai";
import { previousVersions } from "../../tools/previous.js";
import { buildOrSkip } from "../support/versions.js";
import { phases, type RollingReport, rollingUpgrade } from "./rolling.js";

describe("a rolling upgrade of two gateways and two token services, and back, under load", () => {
  let report: RollingReport;
  before(async function () {
    const old = buildOrSkip(this, previousVersions[0]);
    this.timeout(120_000);
    report = await rollingUpgrade({ old, load: { workers: 8, restMs: 50 }, answersBetween: 40 });
  });

  it("replaces all four, one of each back, all of them back, and all four again", () => {
    const old = report.phases.map(({ running }) => Object.values(running).filter((each) => each === "old").length);
    expect(old).to.deep.equal([4, 0, 2, 4, 0, 0]);
  });

  it("loses nothing, applies everything once, and gives each notification one result", () => {
    expect(report.misses).to.deep.equal([]);
    expect(report.entries.filter(({ done }) => !done)).to.deep.equal([]);
    expect(report.phases.map(({ name }) => name)).to.include.members(phases.map(({ name }) => name));
    expect(report.entries.length).to.be.above(400);
  });

  it("says F of a conflict alone, else S or U, and the right one of them at the first try for 99 %", () => {
    const answers = new Set(report.phases.flatMap((phase) => Object.keys(phase.answers)));
    expect(["S SUCCESS", "F PROCESS_FAIL", "U UNKNOWN_EXCEPTION"]).to.include.members([...answers]);
    const sum = (of: (phase: RollingReport["phases"][number]) => number) =>
      report.phases.reduce((total, phase) => total + of(phase), 0);
    const share = sum(({ right }) => right) / sum(({ first }) => first);
    expect(share, JSON.stringify(report.phases, undefined, 1)).to.be.at.least(0.99);
  });
});
