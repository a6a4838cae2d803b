// A real Prometheus on loopback, with the configuration and the rules of deploy/.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse, stringify } from "yaml";
import { stopChild } from "../../tools/supervise.js";
import { until } from "./processes.js";
import { freePort } from "./programs.js";

export const prometheusProgram = "/usr/bin/prometheus";
const deploy = fileURLToPath(new URL("../../deploy/", import.meta.url));

export type Series = { readonly metric: Readonly<Record<string, string>> };
export type Instant = Series & { readonly value: readonly [number, string] };
export type Range = Series & { readonly values: readonly (readonly [number, string])[] };
export type Target = { readonly labels: Record<string, string>; readonly health: string; readonly lastError: string };
export type Rule = {
  readonly name: string;
  readonly health: string;
  readonly lastError?: string;
  readonly state: string;
};

export type TestPrometheus = {
  readonly query: (expr: string) => Promise<Instant[]>;
  readonly queryRange: (expr: string, startS: number, endS: number, stepS: number) => Promise<Range[]>;
  readonly targets: () => Promise<Target[]>;
  readonly rules: () => Promise<Rule[]>;
  readonly stop: () => Promise<void>;
};

export type PrometheusOptions = {
  readonly folder: string;
  /** host:port of the admin ports, by the name of the job; these take the place of those in deploy/compose/prometheus.yml. */
  readonly targets: Readonly<Record<string, readonly string[]>>;
  /** In place of the intervals there, to scrape and to evaluate rules. */
  readonly intervalMs: number;
  /** Alerts whose `for` is another one in the copy that this Prometheus reads. */
  readonly patience?: Readonly<Record<string, string>>;
};

type ScrapeConfig = { job_name: string; static_configs: unknown };
type Config = { global: Record<string, string>; rule_files: string[]; scrape_configs: ScrapeConfig[] };
type RulesFile = { groups: { name: string; rules: { alert: string; for?: string }[] }[] };

/** Undefined where there is none and nobody insists; an error in CI, so that nothing passes unseen. */
export async function startPrometheus(options: PrometheusOptions): Promise<TestPrometheus | undefined> {
  if (!existsSync(prometheusProgram)) {
    const remedy = `${prometheusProgram} is missing: apt-get install -y --no-install-recommends prometheus`;
    if (process.env.CI) throw new Error(remedy);
    process.stderr.write(`Prometheus is not tested here. ${remedy}\n`);
    return undefined;
  }
  const folder = join(options.folder, "prometheus");
  mkdirSync(folder, { recursive: true });
  const [rulesFile, configFile] = [join(folder, "rules.yaml"), join(folder, "prometheus.yml")];
  writeFileSync(rulesFile, stringify(rulesWith(options.patience ?? {})));
  writeFileSync(configFile, stringify(configWith(options, rulesFile)));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const log = openSync(join(folder, "log"), "a");
  const child = spawn(
    prometheusProgram,
    [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
      // What is asked for the last second must not be what it was some seconds ago.
      "--query.lookback-delta=5s",
    ],
    { stdio: ["ignore", log, log] },
  );
  const stop = (): Promise<void> => stopChild(child, 5_000);

  async function ask<T>(path: string, params: Record<string, string> = {}): Promise<T> {
    const answer = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(params)}`);
    const { status, data, error } = (await answer.json()) as { status: string; data: T; error?: string };
    if (status !== "success") throw new Error(`${path} ${params.query ?? ""}: ${error}`);
    return data;
  }

  try {
    await until("Prometheus is ready", async () => {
      if (child.exitCode !== null) throw new Error(`Prometheus ended: ${readFileSync(join(folder, "log"), "utf8")}`);
      return fetch(`${url}/-/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    stop,
    query: async (query) => (await ask<{ result: Instant[] }>("query", { query })).result,
    async queryRange(query, start, end, step) {
      const params = { query, start: String(start), end: String(end), step: String(step) };
      return (await ask<{ result: Range[] }>("query_range", params)).result;
    },
    targets: async () => (await ask<{ activeTargets: Target[] }>("targets")).activeTargets,
    rules: async () => (await ask<{ groups: { rules: Rule[] }[] }>("rules")).groups.flatMap(({ rules }) => rules),
  };
}

function configWith({ targets, intervalMs }: PrometheusOptions, rulesFile: string): Config {
  const config = parse(readFileSync(`${deploy}compose/prometheus.yml`, "utf8")) as Config;
  const interval = `${intervalMs}ms`;
  return {
    global: { ...config.global, scrape_interval: interval, evaluation_interval: interval },
    rule_files: [rulesFile],
    scrape_configs: config.scrape_configs.map((job) => {
      const own = targets[job.job_name];
      if (own === undefined) throw new Error(`no target for the job ${job.job_name}`);
      return { ...job, static_configs: [{ targets: own }] };
    }),
  };
}

function rulesWith(patience: Readonly<Record<string, string>>): RulesFile {
  const { groups } = parse(readFileSync(`${deploy}prometheus/token-gateway.rules.yaml`, "utf8")) as RulesFile;
  return {
    groups: groups.map((group) => ({
      ...group,
      rules: group.rules.map((rule) => ({ ...rule, ...(patience[rule.alert] && { for: patience[rule.alert] }) })),
    })),
  };
}
