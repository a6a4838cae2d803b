import { expect } from "chai";
import { asked } from "./panels.js";

describe("the variables of the dashboard", () => {
  const rate = "rate(a_total[$__rate_interval])";
  const cases: { name: string; rangeS: number; scrapeS: number; expr: string; stepS: number }[] = [
    { name: "a short range: four scrapes", rangeS: 600, scrapeS: 10, expr: "rate(a_total[40000ms])", stepS: 10 },
    {
      name: "a long range: a step and a scrape",
      rangeS: 60_000,
      scrapeS: 10,
      expr: "rate(a_total[110000ms])",
      stepS: 100,
    },
  ];
  for (const { name, rangeS, scrapeS, expr, stepS } of cases)
    it(`are what Grafana makes of them over ${name}`, () => {
      expect(asked({ startS: 0, endS: rangeS, scrapeS }, rate)).to.deep.equal({ expr, stepS });
    });

  it("are all known", () => {
    expect(() => asked({ startS: 0, endS: 60, scrapeS: 1 }, "a_total{job=~'$job'}")).to.throw("not known here");
  });
});
