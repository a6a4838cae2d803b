import { expect } from "chai";
import { bounded } from "../../lib/bounded.js";

describe("bounded work", () => {
  it("does so much at once, in turn, and says no beyond what may wait", async () => {
    const work = bounded(2, 3);
    const begun: number[] = [];
    const ends: (() => void)[] = [];
    const start = (n: number) =>
      work.run(() => {
        begun.push(n);
        return new Promise<number>((resolve) => ends.push(() => resolve(n)));
      });
    const started = [1, 2, 3, 4, 5, 6].map(start);
    expect(begun).to.deep.equal([1, 2]);
    expect(work.waiting()).to.equal(3);
    expect(started[5]).to.equal(undefined);
    for (let n = 0; n < 5; n++) {
      ends[n]?.();
      await started[n];
      await Promise.resolve();
    }
    expect(begun).to.deep.equal([1, 2, 3, 4, 5]);
    expect(await Promise.all(started.slice(0, 5))).to.deep.equal([1, 2, 3, 4, 5]);
  });

  it("gives the place of work that fails to the next", async () => {
    const work = bounded(1, 1);
    const failing = work.run(() => Promise.reject(new Error("no")));
    const next = work.run(async () => "done");
    expect(await failing?.catch((error: Error) => error.message)).to.equal("no");
    expect(await next).to.equal("done");
    expect(await work.run(async () => "again")).to.equal("again");
  });
});
