import { expect } from "chai";
import fc from "fast-check";
import { Histogram, Registry } from "prom-client";
import { counter, histogram, processRegistry } from "../../lib/counting.js";

const linesOf = async (registry: Registry, name: string): Promise<string[]> =>
  (await registry.metrics()).split("\n").filter((line) => line.startsWith(name));

describe("a counter", () => {
  it("counts each combination of label values", async () => {
    const registry = new Registry();
    const count = counter(registry, { name: "a_total", help: "a", labelNames: ["api", "client_id"] });
    for (const [api = "", client = ""] of [
      ["x", "1"],
      ["x", "1"],
      ["y", ""],
    ])
      count(api, client);
    expect(await linesOf(registry, "a_total")).to.deep.equal([
      'a_total{api="x",client_id="1"} 2',
      'a_total{api="y",client_id=""} 1',
    ]);
  });

  it("without labels, or with values to start with, is there as zero before anything happened", async () => {
    const registry = new Registry();
    counter(registry, { name: "a_total", help: "a" });
    counter(registry, { name: "b_total", help: "b", labelNames: ["limit"], startsWith: [["x"], ["y"]] });
    expect(await linesOf(registry, "a_total")).to.deep.equal(["a_total 0"]);
    expect(await linesOf(registry, "b_total")).to.deep.equal(['b_total{limit="x"} 0', 'b_total{limit="y"} 0']);
  });

  it("refuses a name that is taken", () => {
    const registry = new Registry();
    counter(registry, { name: "a_total", help: "a" });
    expect(() => counter(registry, { name: "a_total", help: "a" })).to.throw("already been registered");
  });
});

describe("a histogram", () => {
  const buckets = [0.001, 0.01, 0.1];

  it("says what prom-client's own would say", async () => {
    const seconds = fc.oneof(fc.constantFrom(0, ...buckets, 1), fc.double({ min: 0, max: 0.2, noNaN: true }));
    const observations = fc.array(fc.record({ stage: fc.constantFrom("a", "b"), seconds }));
    await fc.assert(
      fc.asyncProperty(observations, async (observed) => {
        const [ours, theirs] = [new Registry(), new Registry()];
        const options = { name: "a_seconds", help: "a", labelNames: ["stage"], buckets };
        const observe = histogram(ours, options);
        const other = new Histogram({ ...options, registers: [theirs] });
        for (const { stage, seconds } of observed) {
          observe(seconds, stage);
          other.observe({ stage }, seconds);
        }
        const sorted = async (registry: Registry) =>
          (await registry.metrics())
            .split("\n")
            .map((line) => line.replace(/\{(.*)\}/, (_, labels: string) => labels.split(",").sort().join()))
            .sort();
        expect(await sorted(ours)).to.deep.equal(await sorted(theirs));
      }),
      { numRuns: 50 },
    );
  });
});

describe("what a process tells of itself", () => {
  it("has no gauge that is named like a counter", async () => {
    const metrics = await processRegistry().getMetricsAsJSON();
    expect(metrics.length).to.be.above(10);
    expect(metrics.filter(({ name, type }) => name.endsWith("_total") && String(type) !== "counter")).to.deep.equal([]);
  });
});
