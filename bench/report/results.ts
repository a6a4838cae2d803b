// What a run leaves: latest.json for programs, the same as text and pictures for people.
import { arch, cpus, release, totalmem } from "node:os";
import type { Outcome, Row } from "../measure.js";
import type { BenchOptions } from "../plan.js";
import { type BarVerdict, barsOf, barsText } from "./bars.js";
import { plotsOf } from "./plots.js";
import { outcomeText } from "./table.js";

/** What a run leaves: the figures for programs, the tables and verdicts for people, and the pictures. */
export function reportOf(outcome: Outcome, options: BenchOptions) {
  const bars = barsOf(outcome.rows);
  return {
    json: `${JSON.stringify(resultsOf(outcome, options, bars), undefined, 2)}\n`,
    text: `${[outcomeText(outcome), barsText(bars)].filter((part) => part !== "").join("\n")}\n`,
    pictures: plotsOf(outcome),
  };
}

/** `systems` holds the closed loops of first deliveries; the other loads stand beside it. */
function resultsOf({ floors, rows }: Outcome, options: BenchOptions, bars: readonly BarVerdict[]) {
  const floor = floors.fsync ?? floors.memory;
  return {
    date: new Date().toISOString(),
    machine: {
      cpus: cpus().length,
      model: cpus()[0]?.model ?? "",
      memoryGb: Math.round(totalmem() / 2 ** 30),
      kernel: `${release()} ${arch()}`,
    },
    versions: { node: process.versions.node, openssl: process.versions.openssl },
    rounds: options.rounds,
    secondsOfEach: options.windowMs / 1000,
    floorUs: rounded(floor?.totalUs ?? Number.NaN),
    floors,
    systems: rows.filter(({ scenario, arrival }) => scenario === "first" && arrival === "closed").map(plain),
    openLoops: rows.filter(({ arrival }) => arrival !== "closed").map(plain),
    scenarios: rows.filter(({ scenario }) => scenario !== "first").map(plain),
    bars: bars.map((each) => ({ ...each, figure: rounded(each.figure) })),
  };
}

const rounded = (value: number): number => Number(value.toFixed(3));

function plain({ scenario, arrival, connections, name, durability, ...row }: Row) {
  return {
    ...{ name, durability, connections, scenario, arrival },
    rps: rounded(row.rps),
    p50Ms: rounded(row.p50Ms),
    p99Ms: rounded(row.p99Ms),
    p999Ms: rounded(row.p999Ms),
    cpuUs: rounded(row.cpuUs),
    ratio: rounded(row.ratio),
    cpuUsByProcess: Object.fromEntries(Object.entries(row.cpuUsByProcess).map(([part, us]) => [part, rounded(us)])),
    generatorCpuUs: rounded(row.generatorCpuUs),
  };
}
