// Two kinds of charts: bars in stacked parts, and lines over a scale.
import { colourOf, element, linearScale, logScale, picture, type Scale, text, tickText } from "./svg.js";

const chartWidth = 760;

export type Bar = { readonly name: string; readonly parts: Readonly<Record<string, number>> };

/** Horizontal bars, one below the other, each in parts that add up; the sum stands behind it. */
export function stackedBars(title: string, unit: string, bars: readonly Bar[]): string {
  const names = [...new Set(bars.flatMap(({ parts }) => Object.keys(parts)))];
  const total = ({ parts }: Bar): number => Object.values(parts).reduce((sum, value) => sum + value, 0);
  const key = legend(names.map((name, index) => ({ name, colour: colourOf(index) })));
  const [width, left, top, row] = [chartWidth, 150, key.height + 18, 28];
  const bottom = top + bars.length * row;
  const scale = linearScale(Math.max(...bars.map(total)) * 1.1, left, width - 20);
  const drawn = bars.flatMap((bar, index) => {
    const y = top + index * row;
    let from = 0;
    const parts = Object.entries(bar.parts).map(([name, value]) => {
      const x = scale.at(from);
      from += value;
      return element("rect", {
        ...{ x, y: y + 4, width: scale.at(from) - x, height: row - 8 },
        fill: colourOf(names.indexOf(name)),
      });
    });
    const middle = y + row / 2 + 4;
    return [
      ...parts,
      text(left - 8, middle, bar.name, { "text-anchor": "end" }),
      text(scale.at(from) + 6, middle, total(bar).toFixed(0)),
    ];
  });
  return picture(width, bottom + 50, title, [
    ...key.drawn,
    ...verticals(scale, top, bottom),
    ...drawn,
    text(left, bottom + 38, unit),
  ]);
}

export type Line = {
  readonly name: string;
  readonly colour: string;
  readonly dashed?: boolean;
  readonly points: readonly (readonly [x: number, y: number])[];
};
export type Axes = { readonly x: string; readonly y: string; readonly logY?: boolean };

/** Lines with a mark at each point. */
export function lineChart(title: string, axes: Axes, lines: readonly Line[]): string {
  const key = legend(lines.filter(({ dashed }) => !dashed));
  const [width, height, left, right, top] = [chartWidth, 420, 60, 740, key.height + 36];
  const bottom = height - 50;
  const points = lines.flatMap((line) => line.points);
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const x = linearScale(Math.max(...xs, 0), left, right);
  const y = axes.logY
    ? logScale(Math.min(...ys) * 0.8, Math.max(...ys) * 1.25, bottom, top)
    : linearScale(Math.max(...ys, 0) * 1.1, bottom, top);
  const drawn = lines.flatMap((line) => {
    const spots = line.points.map(([a, b]) => [x.at(a), y.at(b)] as const);
    const path = spots.map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join(" ");
    const dash = line.dashed ? { "stroke-dasharray": "5 4" } : {};
    return [
      element("polyline", { points: path, fill: "none", stroke: line.colour, "stroke-width": 2, ...dash }),
      ...(spots.length > 60 ? [] : spots).map(([cx, cy]) => element("circle", { cx, cy, r: 3, fill: line.colour })),
    ];
  });
  return picture(width, height, title, [
    ...key.drawn,
    ...verticals(x, top, bottom),
    ...y.ticks.flatMap((tick) => [
      element("line", { x1: left, x2: right, y1: y.at(tick), y2: y.at(tick), stroke: "#ddd" }),
      text(left - 6, y.at(tick) + 4, tickText(tick), { "text-anchor": "end" }),
    ]),
    ...drawn,
    text(right, bottom + 36, axes.x, { "text-anchor": "end" }),
    text(left, top - 10, axes.y),
  ]);
}

const verticals = (x: Scale, top: number, bottom: number): string[] =>
  x.ticks.flatMap((tick) => [
    element("line", { x1: x.at(tick), x2: x.at(tick), y1: top, y2: bottom, stroke: "#ddd" }),
    text(x.at(tick), bottom + 18, tickText(tick), { "text-anchor": "middle" }),
  ]);

type Legend = { readonly drawn: readonly string[]; readonly height: number };

/** Entries side by side below the title, in as many rows as they need. */
function legend(entries: readonly { name: string; colour: string }[]): Legend {
  let [x, y] = [16, 40];
  const drawn = entries.flatMap(({ name, colour }) => {
    const wide = 34 + name.length * 7;
    if (x + wide > chartWidth) [x, y] = [16, y + 18];
    const at = x;
    x += wide;
    return [element("rect", { x: at, y, width: 12, height: 12, fill: colour }), text(at + 17, y + 10, name)];
  });
  return { drawn, height: y + 12 };
}
