import { expect } from "chai";
import fc from "fast-check";
import { lineChart, stackedBars } from "../../../bench/report/charts.js";
import { element, linearScale, logScale, picture, text } from "../../../bench/report/svg.js";

/** Reads just enough XML to see that every element is closed in order; returns the names of all. */
function elementsIn(svg: string): string[] {
  const open: string[] = [];
  const names: string[] = [];
  for (const [, closing, name = "", alone] of svg.matchAll(/<(\/?)([a-z]+)(?:\s[a-z0-9-]+="[^"<>]*")*\s*(\/?)>/gi)) {
    if (closing) expect(open.pop()).to.equal(name);
    else {
      names.push(name);
      if (!alone) open.push(name);
    }
  }
  expect(open).to.deep.equal([]);
  expect(svg.replaceAll(/<[^<>]*>/g, ""), "stray signs").to.not.match(/[<>]/);
  return names;
}

describe("the pictures", () => {
  it("are well-formed whatever the words in them", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (title, name) => {
        const svg = stackedBars(title, "us", [{ name, parts: { [name]: 1 } }]);
        elementsIn(svg);
        expect(svg).to.not.include("NaN");
      }),
    );
  });

  it("escape what would end a text or an attribute", () => {
    expect(text(0, 0, 'a<b>&"')).to.include(">a&lt;b&gt;&amp;&quot;</text>");
    expect(element("g", { id: '"<' })).to.equal('<g id="&quot;&lt;"/>');
    expect(picture(10, 20, "t", [])).to.match(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" viewBox="0 0 10 20"/);
  });

  it("draw a part of a bar as long as its share", () => {
    const svg = stackedBars("cost", "us", [{ name: "product", parts: { gateway: 30, service: 60 } }]);
    const widths = [...svg.matchAll(/<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)" height="20"/g)].map(([, w]) =>
      Number(w),
    );
    expect(widths).to.have.length(2);
    expect((widths[1] ?? 0) / (widths[0] ?? 1)).to.be.closeTo(2, 0.01);
    expect(svg).to.include(">90</text>");
  });

  it("draw one line and its marks for each series", () => {
    const svg = lineChart("latency", { x: "load", y: "ms", logY: true }, [
      {
        name: "p50",
        colour: "#000",
        points: [
          [1, 1],
          [2, 10],
        ],
      },
      {
        name: "p99",
        colour: "#000",
        dashed: true,
        points: [
          [1, 2],
          [2, 100],
        ],
      },
    ]);
    const names = elementsIn(svg);
    expect(names.filter((name) => name === "polyline")).to.have.length(2);
    expect(names.filter((name) => name === "circle")).to.have.length(4);
    expect(svg).to.not.include("NaN");
  });

  it("have ticks at round values within the scale", () => {
    expect(linearScale(1_150, 0, 100).ticks).to.deep.equal([0, 200, 400, 600, 800, 1_000]);
    expect(logScale(0.8, 120, 100, 0).ticks).to.deep.equal([1, 2, 5, 10, 20, 50, 100]);
    fc.assert(
      fc.property(fc.double({ min: 1e-3, max: 1e9, noNaN: true }), (most) => {
        const { ticks, at } = linearScale(most, 0, 100);
        expect(ticks.length).to.be.within(2, 8);
        for (const tick of ticks) expect(at(tick)).to.be.within(0, 100.001);
      }),
    );
  });
});
