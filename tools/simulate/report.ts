// The report of a run: counts by result, latencies, kinds of stories, and each promise that was broken.
import { columns } from "../cli/columns.js";
import type { colour } from "../cli/output.js";
import { type Delivery, isTried, judge, type PromiseName, promises, type Told, wordOf } from "./judge.js";
import { kindNames } from "./kinds.js";

type Counts = Readonly<Record<string, number>>;

export type Report = {
  readonly scenario: string;
  readonly seed: number;
  readonly runId: string;
  readonly seconds: number;
  readonly isInterrupted: boolean;
  readonly stories: number;
  readonly notifications: number;
  readonly deliveries: number;
  /** Deliveries by what came of them. */
  readonly results: Counts;
  /** Of deliveries that were sent plainly and answered, in milliseconds. */
  readonly latencyMs: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number } | null;
  readonly kinds: Readonly<Record<string, { readonly stories: number; readonly kept: number }>>;
  readonly promises: readonly {
    readonly promise: PromiseName;
    readonly says: string;
    /** Stories that could have shown it broken. */
    readonly tried: number;
    readonly broken: number;
    readonly examples: readonly string[];
  }[];
};

/** Examples of a broken promise that are told. */
const exampleCount = 3;

export function reportOf(
  told: readonly Told[],
  run: Pick<Report, "scenario" | "seed" | "runId" | "seconds" | "isInterrupted">,
): Report {
  const sent = told.flatMap((story) => story.sent);
  const deliveries = sent.flatMap((each) => each.deliveries);
  const judged = told.map((story) => ({ story, broken: judge(story) }));
  const broken = judged.flatMap((each) => each.broken);
  return {
    ...run,
    stories: told.length,
    notifications: told.reduce((sum, story) => sum + new Set(story.sent.map(({ role }) => role)).size, 0),
    deliveries: deliveries.length,
    results: counted(deliveries.map(wordOf)),
    latencyMs: latencies(deliveries),
    kinds: Object.fromEntries(
      kindNames.flatMap((kind) => {
        const ofKind = judged.filter(({ story }) => story.kind === kind);
        const kept = ofKind.filter((each) => each.broken.length === 0).length;
        return ofKind.length === 0 ? [] : [[kind, { stories: ofKind.length, kept }]];
      }),
    ),
    promises: (Object.keys(promises) as PromiseName[]).map((promise) => {
      const these = broken.filter((each) => each.promise === promise);
      const examples = these.slice(0, exampleCount).map(({ identity, what }) => `${identity}: ${what}`);
      const tried = told.filter((story) => isTried(promise, story)).length;
      return { promise, says: promises[promise], tried, broken: these.length, examples };
    }),
  };
}

function counted(words: readonly string[]): Counts {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([, a], [, b]) => b - a));
}

function latencies(deliveries: readonly Delivery[]): Report["latencyMs"] {
  const times = deliveries
    .filter(({ status, manner }) => status !== "none" && manner === "plain")
    .map(({ ms }) => ms)
    .sort((a, b) => a - b);
  if (times.length === 0) return null;
  const at = (share: number): number => Math.round((times[Math.ceil(times.length * share) - 1] ?? 0) * 10) / 10;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

export const isClean = ({ promises }: Report): boolean => promises.every(({ broken }) => broken === 0);

export function linesOf(report: Report, paint: typeof colour): string[] {
  const { scenario, seed, seconds, stories, notifications, deliveries, results, latencyMs, kinds } = report;
  const perSecond = seconds > 0 ? `, ${(deliveries / seconds).toFixed(1)}/s` : "";
  const ms = latencyMs && Object.entries(latencyMs).map(([name, value]) => `${name} ${value} ms`);
  return [
    paint("bold", `${scenario}, seed ${seed}${report.isInterrupted ? ", interrupted" : ""}`),
    `  ${stories} stories, ${notifications} notifications, ${deliveries} deliveries in ${seconds.toFixed(1)} s${perSecond}`,
    "",
    paint("bold", "Deliveries by result"),
    ...columns(Object.entries(results).map(([word, count]) => [String(count).padStart(7), word])),
    `  latency of answers: ${ms ? ms.join(", ") : "none came"}`,
    "",
    paint("bold", "Stories"),
    ...columns(
      Object.entries(kinds).map(([kind, { stories: all, kept }]) => [
        `  ${kind}`,
        `${kept} of ${all} as they should be`,
      ]),
    ),
    "",
    paint("bold", "Promises"),
    ...report.promises.flatMap(({ says, tried, broken, examples }) => {
      if (tried === 0) return [`  -       ${says}: no story shows it`];
      if (broken === 0) return [`  ${paint("green", "kept")}    ${says}`];
      return [
        `  ${paint("red", "BROKEN")}  ${says}: ${broken} times`,
        ...examples.map((each) => `            ${each}`),
      ];
    }),
  ];
}
