import { expect } from "chai";
import { inUnit, pictureOf } from "./drawing.js";
import { dashboard } from "./panels.js";

const window = { startS: 0, endS: 60, scrapeS: 1 };

describe("the drawing of the dashboard", () => {
  const cases: { value: number; unit: string; words: string }[] = [
    { value: 12.345, unit: "reqps", words: "12.3 req/s" },
    { value: 0.98765, unit: "percentunit", words: "98.77 %" },
    { value: 0.0123, unit: "s", words: "12.3 ms" },
    { value: 2.5, unit: "s", words: "2.5 s" },
    { value: 64 * 1024 * 1024, unit: "bytes", words: "64 MiB" },
    { value: 1_500, unit: "short", words: "1.5 K" },
    { value: Number.NaN, unit: "short", words: "-" },
  ];
  for (const { value, unit, words } of cases)
    it(`writes ${value} in ${unit} as ${words}`, () => {
      expect(inUnit(value, unit)).to.equal(words);
    });

  it("can draw every panel, with data and without", () => {
    const points: [number, number][] = [
      [0, 1],
      [30, Number.NaN],
      [60, 3],
    ];
    for (const drawn of [[], [{ name: "a <b>", labels: { le: "1" }, points }]]) {
      const { svg } = pictureOf(dashboard.panels, () => drawn, window);
      expect(svg).to.not.match(/NaN|Infinity|undefined|<b>/);
      for (const { title } of dashboard.panels) expect(svg).to.include(`>${title}</text>`);
    }
  });

  it("refuses what it cannot draw", () => {
    const [panel] = dashboard.panels;
    if (panel === undefined) throw new Error("the dashboard is empty");
    expect(() => pictureOf([{ ...panel, type: "piechart" }], () => [], window)).to.throw("piechart");
    expect(() => inUnit(1, "furlong")).to.throw("furlong");
  });
});
