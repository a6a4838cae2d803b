// The pictures of a run: what a notification costs by process, and how latency grows with load.
import type { Outcome, Row } from "../measure.js";
import { mainConnections } from "../plan.js";
import type { Durability } from "../systems.js";
import { type Bar, type Line, lineChart, stackedBars } from "./charts.js";
import { colourOf } from "./svg.js";

/** SVG texts by file name. */
export function plotsOf({ floors, rows }: Outcome): Record<string, string> {
  const pictures: Record<string, string> = {};
  for (const durability of Object.keys(floors) as Durability[]) {
    const own = rows.filter((row) => row.durability === durability && row.scenario === "first");
    const floor = floors[durability];
    const closed = own.filter(({ arrival }) => arrival === "closed");
    const main = mainConnections(closed.map(({ connections }) => connections));
    const bars: Bar[] = closed
      .filter(({ connections }) => connections === main)
      .map(({ name, cpuUsByProcess }) => ({ name, parts: cpuUsByProcess }));
    if (floor)
      bars.unshift({
        name: "floor",
        parts: {
          verify: floor.verifyUs,
          "bare HTTP": floor.httpUs,
          "script's caller": floor.scriptCallerUs,
          redis: floor.scriptRedisUs,
        },
      });
    pictures[`cost-${durability}.svg`] = stackedBars(
      `CPU of a first delivery by process, ${main} connections, class ${durability}`,
      "microseconds of CPU for each notification",
      bars,
    );
    pictures[`latency-${durability}.svg`] = lineChart(
      `Latency over load, class ${durability}: p50 solid, p99 dashed`,
      { x: "notifications a second", y: "ms", logY: true },
      [...new Set(own.map(({ name }) => name))].flatMap((name, index) =>
        linesOf(
          name,
          colourOf(index),
          own.filter((row) => row.name === name),
        ),
      ),
    );
  }
  return pictures;
}

function linesOf(name: string, colour: string, rows: readonly Row[]): Line[] {
  const ascending = [...rows].sort((a, b) => a.rps - b.rps);
  const line = (figure: (row: Row) => number): Line["points"] => ascending.map((row) => [row.rps, figure(row)]);
  return [
    { name, colour, points: line(({ p50Ms }) => p50Ms) },
    { name, colour, dashed: true, points: line(({ p99Ms }) => p99Ms) },
  ];
}
