// What the product owes: each bar with the figure of this run, met or not.
import type { Row } from "../measure.js";

export type BarVerdict = {
  readonly bar: string;
  readonly figure: number;
  readonly limit: number;
  readonly atLeast: boolean;
  readonly met: boolean;
};

type Figures = {
  /** The figure of a system in a load; NaN when it was not measured. */
  readonly of: (name: string, load: Load, figure: (row: Row) => number) => number;
  readonly best: (names: readonly string[]) => number;
};
type Load = Partial<Pick<Row, "scenario" | "arrival" | "connections">>;

const at64: Load = { connections: 64 };
const rps = (row: Row): number => row.rps;
const cpuUs = (row: Row): number => row.cpuUs;
const p50 = (row: Row): number => row.p50Ms;
const p99 = (row: Row): number => row.p99Ms;

/** The rivals that sign each answer, and those that have the memo. go-memo stands in the table for comparison alone. */
const signing = ["koa", "fastify", "go"] as const;
const remembering = ["koa-memo", "fastify-memo"] as const;

type BarRule = {
  readonly bar: string;
  readonly atLeast?: number;
  readonly atMost?: number;
  readonly figure: (figures: Figures) => number;
};

const rules: readonly BarRule[] = [
  {
    bar: "throughput at 64 connections / best rival that signs each answer",
    atLeast: 2,
    figure: ({ of, best }) => of("product", at64, rps) / best(signing),
  },
  {
    bar: "throughput at 64 connections / best Node rival with the memo",
    atLeast: 0.95,
    figure: ({ of, best }) => of("product", at64, rps) / best(remembering),
  },
  {
    bar: "CPU for a notification at 64 connections / floor",
    atMost: 2,
    figure: ({ of }) => of("product", at64, ({ ratio }) => ratio),
  },
  {
    bar: "p50 at 1 connection / Koa monolith",
    atMost: 1.5,
    figure: ({ of }) => of("product", { connections: 1 }, p50) / of("koa", { connections: 1 }, p50),
  },
  {
    bar: "p50 at 1 connection / Koa monolith with the memo",
    atMost: 1.5,
    figure: ({ of }) => of("product", { connections: 1 }, p50) / of("koa-memo", { connections: 1 }, p50),
  },
  {
    bar: "p99 at 300/s / Koa monolith",
    atMost: 3,
    figure: ({ of }) => of("product", { arrival: "300/s" }, p99) / of("koa", { arrival: "300/s" }, p99),
  },
  {
    bar: "p99 at 300/s / Koa monolith with the memo",
    atMost: 3,
    figure: ({ of }) => of("product", { arrival: "300/s" }, p99) / of("koa-memo", { arrival: "300/s" }, p99),
  },
  {
    bar: "p99 at half load / p50 at half load",
    atMost: 4,
    figure: ({ of }) => of("product", { arrival: "half" }, p99) / of("product", { arrival: "half" }, p50),
  },
  {
    bar: "CPU of a repeat / first delivery",
    atMost: 1,
    figure: ({ of }) => of("product", { ...at64, scenario: "repeat" }, cpuUs) / of("product", at64, cpuUs),
  },
  {
    bar: "CPU of refusing a bad signature / first delivery",
    atMost: 0.5,
    figure: ({ of }) => of("product", { ...at64, scenario: "forged" }, cpuUs) / of("product", at64, cpuUs),
  },
];

/** The bars that this run can tell something about; all are about class `fsync`. */
export function barsOf(rows: readonly Row[]): BarVerdict[] {
  const of: Figures["of"] = (name, { scenario = "first", arrival = "closed", connections }, figure) => {
    const row = rows.find(
      (each) =>
        each.name === name &&
        each.durability === "fsync" &&
        each.scenario === scenario &&
        each.arrival === arrival &&
        (connections === undefined || each.connections === connections),
    );
    return row === undefined ? Number.NaN : figure(row);
  };
  const best: Figures["best"] = (names) =>
    Math.max(...names.map((name) => of(name, at64, rps)).filter((each) => !Number.isNaN(each)));
  return rules.flatMap(({ bar, atLeast, atMost, figure }) => {
    const value = figure({ of, best });
    if (!Number.isFinite(value) || value === 0) return [];
    const limit = atLeast ?? atMost ?? Number.NaN;
    const met = atLeast === undefined ? value <= limit : value >= limit;
    return [{ bar, figure: value, limit, atLeast: atLeast !== undefined, met }];
  });
}

export const barsText = (verdicts: readonly BarVerdict[]): string =>
  verdicts
    .map(
      ({ bar, figure, limit, atLeast, met }) =>
        `${met ? "met    " : "NOT MET"}  ${bar}: ${figure.toFixed(2)}, wants ${atLeast ? ">=" : "<="} ${limit}`,
    )
    .join("\n");
