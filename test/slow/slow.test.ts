import { expect } from "chai";
import { besideSlowSenders, kinds } from "./slow.js";

describe("honest traffic beside slow senders", () => {
  it("gets its SUCCESS whatever they are slow with: headers, body or reading", async function () {
    this.timeout(40_000);
    const scale = { sockets: 150, rate: 50, rounds: 1, seconds: 1, warmUpSeconds: 1 };
    const reports = await besideSlowSenders({ kinds, ...scale });
    expect(reports.map(({ kind }) => kind)).to.deep.equal([...kinds]);
    for (const { kind, failures, answers, leastOpen } of reports) {
      expect(failures, kind).to.deep.equal([]);
      expect(answers).to.equal(100);
      expect(leastOpen, `slow connections of kind ${kind}`).to.be.above(75);
    }
  });
});
