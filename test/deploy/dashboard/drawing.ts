// Draws panels of the dashboard as one SVG, on Grafana's grid of 24 columns: a likeness for the documents, not Grafana.
import { colourOf, element, linearScale, text } from "../../../bench/report/svg.js";
import type { Drawn, Panel, Window } from "./panels.js";

const [width, gap, unitHeight, margin] = [1320, 8, 30, 12];
const column = (width - 2 * margin + gap) / 24;
const [ground, frame, grid, pale] = ["#f4f5f5", "#d8dade", "#e8e9eb", "#6b7078"];

/** Grafana's names of colours in thresholds. */
const named: Readonly<Record<string, string>> = {
  blue: "#3274d9",
  green: "#299c46",
  yellow: "#d8a200",
  red: "#d44a3a",
};

const round = (value: number): string => String(Number(value.toPrecision(3)));

/** A value with a prefix that keeps it between 1 and `base`. */
function scaled(value: number, base: number, prefixes: readonly string[]): [string, string] {
  let [rest, index] = [value, 0];
  while (Math.abs(rest) >= base && index < prefixes.length - 1) [rest, index] = [rest / base, index + 1];
  return [round(rest), prefixes[index] ?? ""];
}

const units: Readonly<Record<string, (value: number) => string>> = {
  reqps: (value) => `${round(value)} req/s`,
  percentunit: (value) => `${Number((value * 100).toFixed(2))} %`,
  s: (value) => (value !== 0 && Math.abs(value) < 1 ? `${round(value * 1000)} ms` : `${round(value)} s`),
  bytes: (value) => scaled(value, 1024, ["B", "KiB", "MiB", "GiB"]).join(" "),
  short: (value) => scaled(value, 1000, ["", "K", "Mil", "Bil"]).join(" ").trim(),
};

/** A value as Grafana's unit of that name writes it. */
export function inUnit(value: number, unit = "short"): string {
  const write = units[unit];
  if (write === undefined) throw new Error(`a unit that is not drawn here: ${unit}`);
  return Number.isFinite(value) ? write(value) : "-";
}

type Box = { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
type Draw = (panel: Panel, drawn: readonly Drawn[], box: Box, window: Window) => string[];

const lastOf = ({ points }: Drawn): number => points.at(-1)?.[1] ?? Number.NaN;

const heading: Draw = ({ title }, _drawn, { x, y, h }) => [
  text(x + 4, y + h - 9, title, { "font-size": 15, "font-weight": "bold" }),
];

const stat: Draw = ({ title, fieldConfig }, [drawn], { x, y, w, h }) => {
  const { unit, thresholds } = fieldConfig?.defaults ?? {};
  const value = drawn === undefined ? Number.NaN : lastOf(drawn);
  const reached = thresholds?.steps.filter((step) => step.value === null || value >= step.value).at(-1);
  return [
    element("rect", { x, y, width: w, height: h, rx: 3, fill: named[reached?.color ?? ""] ?? pale }),
    text(x + 10, y + 20, title, { fill: "#fff", "font-size": 13 }),
    text(x + w / 2, y + h / 2 + 24, inUnit(value, unit), {
      ...{ fill: "#fff", "font-size": 30, "font-weight": "bold", "text-anchor": "middle" },
    }),
  ];
};

const table: Draw = (panel, drawn, box) => {
  const { x, y, w } = box;
  const labels = [...new Set(drawn.flatMap((each) => Object.keys(each.labels)))].sort();
  const rows = drawn.map((each) => [...labels.map((label) => each.labels[label] ?? ""), inUnit(lastOf(each))]);
  const columns = [...labels, "Value"].map((name, index) => [name, ...rows.map((row) => row[index] ?? "")]);
  const wants = columns.map((cells) => Math.max(...cells.map(widthOf)) + 12);
  // The figure is what the table is for: only the labels make room.
  const wanted = wants.slice(0, -1).reduce((sum, want) => sum + want, 0);
  const share = Math.min(1, (w - 20 - (wants.at(-1) ?? 0)) / wanted);
  let at = x + 10;
  const cells = columns.flatMap((words, index) => {
    const [left, room] = [at, (wants[index] ?? 0) * (index < labels.length ? share : 1)];
    at += room;
    return words.map((cell, line) =>
      text(left, y + 50 + line * 24, shortened(cell, room - 8), {
        "font-size": 11,
        ...(line === 0 && { fill: "#3274d9" }),
      }),
    );
  });
  const lines = [0, ...rows.keys()].map((row) => y + 58 + row * 24);
  return [
    ...framed(panel, box),
    ...cells,
    ...lines.map((at) => element("line", { x1: x + 10, x2: x + w - 10, y1: at, y2: at, stroke: grid })),
  ];
};

/** About what a text of 11 pixels takes. */
const widthOf = (words: string): number =>
  [...words].reduce((sum, sign) => sum + (/[A-Z_%@]/.test(sign) ? 7.4 : /[ijlt:.,/]/.test(sign) ? 4 : 6.2), 0);

/** As much of the words as there is room for. */
function shortened(words: string, room: number): string {
  if (widthOf(words) <= room) return words;
  let shown = words;
  while (shown !== "" && widthOf(`${shown}…`) > room) shown = shown.slice(0, -1);
  return `${shown}…`;
}

const framed = ({ title }: Panel, { x, y, w, h }: Box): string[] => [
  element("rect", { x, y, width: w, height: h, rx: 3, fill: "#fff", stroke: frame }),
  text(x + 10, y + 20, title, { "font-size": 13, "font-weight": "bold" }),
];

const timeseries: Draw = (panel, drawn, box, { startS, endS }) => {
  const { x, y, w } = box;
  const { unit, custom } = panel.fieldConfig?.defaults ?? {};
  const isStacked = custom?.stacking?.mode === "normal";
  const lines = isStacked ? stacked(drawn) : drawn;
  const key = legend(drawn, box);
  const [left, right, top, bottom] = [x + 74, x + w - 12, y + 36, key.top - 26];
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value)).filter(Number.isFinite);
  const across = (seconds: number): number => left + ((seconds - startS) / (endS - startS)) * (right - left);
  const most = Math.max(...values, 0) * 1.08;
  // Round steps of bytes are those of their prefix.
  const step = unit === "bytes" && most > 1 ? 1024 ** Math.floor(Math.log(most) / Math.log(1024)) : 1;
  const scale = linearScale(most / step, bottom, top, 5);
  const up = (value: number): number => scale.at(value / step);
  const drawnLines = lines.map((line, index) => {
    const runs = unbroken(line.points).map((run) =>
      run.map(([at, value]) => `${across(at).toFixed(1)},${up(value).toFixed(1)}`),
    );
    const colour = colourOf(index);
    const strokes = runs.map((run) =>
      element("polyline", { points: run.join(" "), fill: "none", stroke: colour, "stroke-width": 1.5 }),
    );
    if (!isStacked) return strokes.join("");
    const areas = runs.map((run) => {
      const [first = "", last = ""] = [run[0], run.at(-1)].map((spot) => spot?.split(",")[0]);
      const points = `${first},${bottom} ${run.join(" ")} ${last},${bottom}`;
      return element("polygon", { points, fill: colour, "fill-opacity": 0.4 });
    });
    return [...areas, ...strokes].join("");
  });
  return [
    ...framed(panel, box),
    ...scale.ticks.flatMap((tick) => [
      element("line", { x1: left, x2: right, y1: scale.at(tick), y2: scale.at(tick), stroke: grid }),
      text(left - 8, scale.at(tick) + 4, inUnit(tick * step, unit), {
        ...{ "text-anchor": "end", "font-size": 11, fill: pale },
      }),
    ]),
    ...timesWithin(startS, endS, (right - left) / 80).flatMap((at) => [
      element("line", { x1: across(at), x2: across(at), y1: top, y2: bottom, stroke: grid }),
      text(Math.min(across(at), right - 16), bottom + 16, clock(at), {
        ...{ "text-anchor": "middle", "font-size": 11, fill: pale },
      }),
    ]),
    // The lowest of a stack covers those above it.
    ...(isStacked ? drawnLines.reverse() : drawnLines),
    ...(values.length === 0
      ? [text((left + right) / 2, (top + bottom) / 2, "No data", { "text-anchor": "middle", fill: pale })]
      : []),
    ...key.drawn,
  ];
};

/** The parts of a line between its gaps: a value that is none, or a step at which there was none. */
function unbroken(points: Drawn["points"]): Drawn["points"][] {
  const known = points.filter(([, value]) => Number.isFinite(value));
  const stepS = Math.min(...known.slice(1).map(([at], index) => at - (known[index]?.[0] ?? at)));
  const isStart = (at: number, index: number): boolean =>
    index === 0 || at - (known[index - 1]?.[0] ?? 0) > stepS * 1.5;
  const starts = known.flatMap(([at], index) => (isStart(at, index) ? [index] : []));
  return starts.map((start, index) => known.slice(start, starts[index + 1]));
}

/** Each line on top of those before it. */
function stacked(drawn: readonly Drawn[]): Drawn[] {
  const sums = new Map<number, number>();
  return drawn.map((line) => ({
    ...line,
    points: line.points.map(([at, value]) => {
      const sum = (sums.get(at) ?? 0) + (Number.isFinite(value) ? value : 0);
      sums.set(at, sum);
      return [at, sum] as const;
    }),
  }));
}

/** Names side by side at the foot of a panel, in as many lines as they need. */
function legend(drawn: readonly Drawn[], { x, y, w, h }: Box): { top: number; drawn: string[] } {
  let [at, line] = [x + 10, 0];
  const places = drawn.map(({ name }) => {
    const shown = shortened(name, w - 44);
    const wide = 30 + widthOf(shown);
    if (at + wide > x + w && at > x + 10) [at, line] = [x + 10, line + 1];
    const place = { shown, at, line };
    at += wide;
    return place;
  });
  const top = y + h - 6 - (line + 1) * 16;
  return {
    top,
    drawn: places.flatMap(({ shown, at, line }, index) => [
      element("rect", { x: at, y: top + line * 16 + 5, width: 12, height: 3, fill: colourOf(index) }),
      text(at + 17, top + line * 16 + 11, shown, { "font-size": 11 }),
    ]),
  };
}

const clock = (seconds: number): string => new Date(seconds * 1000).toISOString().slice(11, 19);

/** Round times, some `count` of them. */
function timesWithin(startS: number, endS: number, count: number): number[] {
  const steps = [5, 10, 15, 30, 60, 120, 300, 600];
  const step = steps.find((each) => (endS - startS) / each <= count) ?? 1_800;
  const first = Math.ceil(startS / step) * step;
  return Array.from({ length: Math.floor((endS - first) / step) + 1 }, (_, index) => first + index * step);
}

const kinds: Readonly<Record<string, Draw>> = { row: heading, stat, table, timeseries };

/** One picture of these panels, from the uppermost of them down. */
export function pictureOf(
  panels: readonly Panel[],
  drawnIn: (panel: Panel) => readonly Drawn[],
  window: Window,
): { svg: string; width: number; height: number } {
  const top = Math.min(...panels.map(({ gridPos }) => gridPos.y));
  const rows = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h)) - top;
  const height = rows * (unitHeight + gap) - gap + 2 * margin;
  const drawn = panels.flatMap((panel) => {
    const draw = kinds[panel.type];
    if (draw === undefined) throw new Error(`a type of panel that is not drawn here: ${panel.type}`);
    const { x, y, w, h } = panel.gridPos;
    const box = {
      ...{ x: margin + x * column, y: margin + (y - top) * (unitHeight + gap) },
      ...{ w: w * column - gap, h: h * (unitHeight + gap) - gap },
    };
    return draw(panel, drawnIn(panel), box, window);
  });
  const svg = element(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      ...{
        width,
        height,
        viewBox: `0 0 ${width} ${height}`,
        "font-family": "sans-serif",
        "font-size": 12,
        fill: "#24292e",
      },
    },
    [element("rect", { width, height, fill: ground }), ...drawn],
  );
  return { svg, width, height };
}
