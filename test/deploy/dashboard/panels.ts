// Reads deploy/grafana/dashboard.json, and asks Prometheus what its panels would ask.
import { readFileSync } from "node:fs";
import type { Series, TestPrometheus } from "../../support/prometheus.js";

export type Step = { readonly color: string; readonly value: number | null };
export type Panel = {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: {
    readonly defaults: {
      readonly unit?: string;
      readonly thresholds?: { readonly steps: readonly Step[] };
      readonly custom?: { readonly stacking?: { readonly mode: string } };
    };
  };
  readonly targets?: readonly Query[];
};
export type Query = {
  readonly refId: string;
  readonly expr: string;
  readonly legendFormat: string;
  readonly instant?: boolean;
};

export const dashboard = JSON.parse(
  readFileSync(new URL("../../../deploy/grafana/dashboard.json", import.meta.url), "utf8"),
) as { readonly title: string; readonly panels: readonly Panel[] };

/** One line of a panel; an instant query has one point. NaN is a gap. */
export type Drawn = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly points: readonly (readonly [seconds: number, value: number])[];
};

export type Window = { readonly startS: number; readonly endS: number; readonly scrapeS: number };

/** Points that Grafana asks for in a panel of usual width, at most. */
const mostPoints = 600;

/**
 * As Grafana does it: the step, `$__interval`, is the range over the points that fit, and never below the interval of the
 * scrapes; `$__rate_interval` is the larger of that plus one scrape and of four scrapes. `${datasource}` chooses the server.
 */
export function asked({ startS, endS, scrapeS }: Window, expr: string): { expr: string; stepS: number } {
  const stepS = Math.max((endS - startS) / mostPoints, scrapeS);
  const rateS = Math.max(stepS + scrapeS, 4 * scrapeS);
  const text = expr
    .replaceAll("$__rate_interval", `${Math.ceil(rateS * 1000)}ms`)
    .replaceAll("$__interval", `${Math.ceil(stepS * 1000)}ms`);
  if (text.includes("$")) throw new Error(`a variable that is not known here: ${expr}`);
  return { expr: text, stepS };
}

export async function seriesOf(prometheus: TestPrometheus, query: Query, window: Window): Promise<Drawn[]> {
  const { expr, stepS } = asked(window, query.expr);
  const drawn = ({ metric }: Series, points: Drawn["points"]): Drawn => ({
    name: nameOf(query, metric),
    labels: metric,
    points,
  });
  if (query.instant) return (await prometheus.query(expr)).map((each) => drawn(each, [pointOf(each.value)]));
  const ranges = await prometheus.queryRange(expr, window.startS, window.endS, stepS);
  return ranges.map((each) => drawn(each, each.values.map(pointOf)));
}

const pointOf = ([seconds, value]: readonly [number, string]): [number, number] => [seconds, Number(value)];

const nameOf = ({ legendFormat }: Query, labels: Readonly<Record<string, string>>): string =>
  legendFormat.replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_, label: string) => labels[label] ?? "").trim();
