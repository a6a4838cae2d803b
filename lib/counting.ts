// Counters and histograms for the hot path: the labels are looked up once by their values, and what is left are additions.
// prom-client checks and joins the labels again for each of them, also behind labels().
import { collectDefaultMetrics, Registry } from "prom-client";

export type MetricOptions = {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
  /** Values of the labels that are there from the start, as zero: a rate sees no first step of a series that is new. */
  readonly startsWith?: readonly (readonly string[])[];
};

/** Adds 1 to the series of these label values. */
export type Count = (...labels: string[]) => void;
/** Puts seconds into the series of these label values. */
export type Observe = (seconds: number, ...labels: string[]) => void;

type Sample = { metricName?: string; labels: Record<string, string | number>; value: number };

/** A registry with what Node tells about itself. */
export function processRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  // Gauges whose names say that they were counters; their twins by type stay.
  for (const name of ["nodejs_active_handles_total", "nodejs_active_requests_total", "nodejs_active_resources_total"])
    registry.removeSingleMetric(name);
  return registry;
}

export function counter(registry: Registry, options: MetricOptions): Count {
  const seriesOf = register(
    registry,
    "counter",
    options,
    () => ({ count: 0 }),
    ({ count }, labels) => [{ labels, value: count }],
  );
  return (...labels) => {
    seriesOf(labels).count += 1;
  };
}

/** `buckets` are upper bounds in seconds, ascending. */
export function histogram(
  registry: Registry,
  options: MetricOptions & { readonly buckets: readonly number[] },
): Observe {
  const { name, buckets } = options;
  const seriesOf = register(
    registry,
    "histogram",
    options,
    () => ({ counts: new Array<number>(buckets.length + 1).fill(0), sum: 0 }),
    ({ counts, sum }, labels) => {
      let below = 0;
      const samples: Sample[] = counts.map((count, index) => {
        below += count;
        return { metricName: `${name}_bucket`, labels: { ...labels, le: buckets[index] ?? "+Inf" }, value: below };
      });
      return [
        ...samples,
        { metricName: `${name}_sum`, labels, value: sum },
        { metricName: `${name}_count`, labels, value: below },
      ];
    },
  );
  return (seconds, ...labels) => {
    const series = seriesOf(labels);
    let index = 0;
    while (index < buckets.length && seconds > (buckets[index] as number)) index++;
    (series.counts[index] as number) += 1;
    series.sum += seconds;
  };
}

/** Registers a metric that keeps its series itself; returns what finds a series by its label values. */
function register<S>(
  registry: Registry,
  type: "counter" | "histogram",
  { name, help, labelNames = [], startsWith = labelNames.length === 0 ? [[]] : [] }: MetricOptions,
  empty: () => S,
  samplesOf: (series: S, labels: Record<string, string>) => Sample[],
): (labels: readonly string[]) => S {
  const known = new Map<string, { series: S; labels: Record<string, string> }>();
  const seriesOf = (values: readonly string[]): S => {
    const key = values.length === 1 ? (values[0] as string) : values.join("\n");
    let found = known.get(key);
    if (found === undefined) {
      const labels = Object.fromEntries(labelNames.map((label, index) => [label, values[index] ?? ""]));
      found = { series: empty(), labels };
      known.set(key, found);
    }
    return found.series;
  };
  for (const values of startsWith) seriesOf(values);
  const get = async () => ({
    name,
    help,
    type,
    aggregator: "sum",
    values: [...known.values()].flatMap(({ series, labels }) => samplesOf(series, labels)),
  });
  registry.registerMetric({ name, help, labelNames, get } as never);
  return seriesOf;
}
