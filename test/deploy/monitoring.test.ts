// Alert rules, dashboard and runbook speak of metrics, labels and alerts that exist, and of all of them.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { parse } from "yaml";
import { resultCodes } from "../../gateway/alipayplus/result.js";
import * as gateway from "../../gateway/metrics.js";
import * as service from "../../services/token-lifecycle/metrics.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const textOf = (file: string): string => readFileSync(root + file, "utf8");

type Alert = {
  alert: string;
  expr: string;
  labels: { severity: string };
  annotations: { summary: string; description: string; runbook_url: string };
};
type RuleTest = { alert_rule_test: { alertname: string; exp_alerts?: unknown[] }[] };
const rulesFile = "deploy/prometheus/token-gateway.rules.yaml";
const ruleTests = readdirSync(`${root}deploy/prometheus`).filter((name) => name.endsWith(".rules.test.yaml"));
const alerts = (parse(textOf(rulesFile)) as { groups: { rules: Alert[] }[] }).groups.flatMap(({ rules }) => rules);

type Panel = { title: string; targets?: { expr: string }[]; panels?: Panel[] };
const dashboard = JSON.parse(textOf("deploy/grafana/dashboard.json")) as { panels: Panel[] };
const targets = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));

type Known = { name: string; help: string; type: string; labelNames: readonly string[] };
const registries = [
  gateway.createMetrics({
    inFlight: () => 0,
    signingQueue: () => 0,
    undecided: () => 0,
    isReady: () => true,
    tokenService: () => new Map(),
    instances: () => [],
  }).registry,
  service.createMetrics({
    watchers: () => 0,
    isReady: () => true,
    durability: "fsync",
    isDurable: () => true,
    redisMemory: () => ({ usedBytes: 0, limitBytes: 0 }),
  }).registry,
];
const known: Known[] = [];
before(async () => {
  for (const registry of registries)
    for (const metric of registry.getMetricsAsArray() as unknown as (Known & { get: () => Promise<Known> })[]) {
      const { name, help, type } = await metric.get();
      known.push({ name, help, type, labelNames: metric.labelNames });
    }
});

/** The labels of each series of a metric by the series' name; Prometheus adds the target's own. */
function seriesOf({ name, type, labelNames }: Known): [string, string[]][] {
  const own = [...labelNames, "job", "instance"];
  if (type !== "histogram") return [[name, own]];
  return [
    [`${name}_bucket`, [...own, "le"]],
    [`${name}_sum`, own],
    [`${name}_count`, own],
  ];
}

const ofPrometheus: [string, string[]][] = [
  ["up", ["job", "instance"]],
  ["ALERTS", ["alertname", "alertstate", "job"]],
];

/** What is wrong with the names in an expression; `$` variables of Grafana count as durations. */
function strangersIn(expr: string, series: ReadonlyMap<string, readonly string[]>): string[] {
  const strangers: string[] = [];
  const grouped = [...expr.matchAll(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g)].flatMap(([, list = ""]) =>
    list.split(",").map((label) => label.trim()),
  );
  const bare = expr.replaceAll(/\b(?:by|without|on|ignoring)\s*\([^)]*\)/g, "").replaceAll(/\[[^\]]*\]/g, "");
  const labels = new Set<string>();
  let names = 0;
  for (const [, name = "", , matchers = ""] of bare.matchAll(/\b([a-zA-Z_:][\w:]*)\b(?!\s*\()(\{([^}]*)\})?/g)) {
    if (/^(?:and|or|unless|offset|bool|vector)$/.test(name) || !/^[a-zA-Z_]/.test(name)) continue;
    const its = series.get(name);
    if (its === undefined) {
      // What stands inside braces is looked at with the name before them, and a duration follows a number.
      strangers.push(name);
      continue;
    }
    names += 1;
    for (const label of its) labels.add(label);
    for (const [, label = "", value = ""] of matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"/g)) {
      if (!its.includes(label)) strangers.push(`${name}{${label}}`);
      if (label === "result_code")
        strangers.push(...value.split("|").filter((code) => !Object.hasOwn(resultCodes, code)));
    }
  }
  if (names === 0) strangers.push(`no metric in ${expr}`);
  return [...strangers, ...grouped.filter((label) => !labels.has(label)).map((label) => `by (${label})`)];
}

const allSeries = (): Map<string, string[]> => {
  const series = new Map<string, string[]>(ofPrometheus);
  for (const [name, labels] of known.flatMap(seriesOf)) series.set(name, [...(series.get(name) ?? []), ...labels]);
  return series;
};

const hasPromtool = spawnSync("promtool", ["--version"]).status === 0;
function promtool(args: string[], input = ""): string {
  const { status, stdout, stderr } = spawnSync("promtool", args, {
    cwd: `${root}deploy/prometheus`,
    input,
    encoding: "utf8",
  });
  return status === 0 ? "" : `${stdout}${stderr}`;
}

describe("the metrics", () => {
  it("have names, units and help as Prometheus wants them", () => {
    const ours = known.filter(({ name }) => /^(?:gateway|token_service)_/.test(name));
    expect(ours.length).to.be.above(20);
    const wrong = known.flatMap(({ name, help, type, labelNames }) => {
      const rules: [boolean, string][] = [
        [/^[a-z][a-z0-9_]*$/.test(name), "is in snake case"],
        [help.trim() !== "", "has a help text"],
        [name.endsWith("_total") === (type === "counter"), "ends in _total exactly when it is a counter"],
        [
          !/_(?:bucket|sum|count|info)$/.test(name) || name === "nodejs_version_info",
          "leaves the ends of series alone",
        ],
        [
          !/_(?:milliseconds|ms|minutes|kilobytes|percent|gauge|counter|histogram)(?:_|$)/.test(name),
          "has a base unit, no type",
        ],
        [!/duration|latency/.test(name) || name.endsWith("_seconds"), "has its time in seconds"],
        [!labelNames.some((label) => ["le", "job", "instance"].includes(label)), "has no label of Prometheus's own"],
      ];
      return rules.filter(([holds]) => !holds).map(([, rule]) => `${name}: ${rule}`);
    });
    expect(wrong).to.deep.equal([]);
  });

  it("pass promtool, where it is installed", async () => {
    if (!hasPromtool) return;
    for (const registry of registries) expect(promtool(["check", "metrics"], await registry.metrics())).to.equal("");
  });
});

describe("the alert rules", () => {
  it("speak of metrics, labels and result codes that exist", () => {
    expect(alerts.length).to.be.above(15);
    const wrong = alerts.flatMap(({ alert, expr }) =>
      strangersIn(expr, allSeries()).map((name) => `${alert}: ${name}`),
    );
    expect(wrong).to.deep.equal([]);
  });

  it("say who must do something, and lead to the entry of the runbook", () => {
    for (const { alert, labels, annotations } of alerts) {
      expect(["page", "ticket"], alert).to.include(labels.severity);
      expect(annotations.summary, alert).to.match(/\S/);
      expect(annotations.description, alert).to.match(/\S/);
      expect(annotations.runbook_url).to.equal(`docs/runbook.md#${alert.toLowerCase()}`);
    }
  });

  it("have a test each, in which they fire and in which they are silent", () => {
    const files = ruleTests.map((name) => parse(textOf(`deploy/prometheus/${name}`)) as { tests: RuleTest[] });
    const cases = files.flatMap(({ tests }) => tests.flatMap((test) => test.alert_rule_test));
    const tested = (fires: boolean): string[] =>
      alerts
        .filter(({ alert }) => cases.some((each) => each.alertname === alert && !each.exp_alerts === !fires))
        .map(({ alert }) => alert);
    const all = alerts.map(({ alert }) => alert);
    expect(tested(true)).to.deep.equal(all);
    expect(tested(false)).to.deep.equal(all);
  });

  it("pass promtool and their tests, where it is installed", () => {
    if (!hasPromtool) return;
    expect(promtool(["check", "rules", "token-gateway.rules.yaml"])).to.equal("");
    expect(promtool(["test", "rules", ...ruleTests])).to.equal("");
  });
});

describe("the dashboard", () => {
  it("shows metrics, labels and result codes that exist", () => {
    expect(targets.length).to.be.above(25);
    const wrong = targets.flatMap(({ title, expr }) =>
      strangersIn(expr, allSeries()).map((name) => `${title}: ${name}`),
    );
    expect(wrong).to.deep.equal([]);
  });

  it("shows every metric of ours", () => {
    const shown = targets.map(({ expr }) => expr).join("\n");
    const hidden = known
      .filter(({ name }) => /^(?:gateway|token_service)_/.test(name))
      .filter(({ name }) => !new RegExp(`\\b${name}(?:_bucket|_sum|_count)?\\b`).test(shown));
    expect(hidden.map(({ name }) => name)).to.deep.equal([]);
  });
});

describe("the reading of expressions", () => {
  const series = new Map([["a_total", ["result_code", "job"]]]);
  const cases: { expr: string; strangers: string[] }[] = [
    { expr: 'sum by (job) (rate(a_total{result_code="SUCCESS"}[5m])) > 0.5', strangers: [] },
    { expr: "a_total unless a_total offset 15m", strangers: [] },
    { expr: "rate(b_total[5m])", strangers: ["b_total", "no metric in rate(b_total[5m])"] },
    { expr: 'a_total{client="x"}', strangers: ["a_total{client}"] },
    { expr: 'a_total{result_code=~"SUCCESS|SUCCES"}', strangers: ["SUCCES"] },
    { expr: "sum by (api) (a_total)", strangers: ["by (api)"] },
  ];
  for (const { expr, strangers } of cases)
    it(`finds ${strangers.length} strangers in ${expr}`, () => {
      expect(strangersIn(expr, series)).to.deep.equal(strangers);
    });
});

describe("the runbook", () => {
  const entries = textOf("docs/runbook.md").split(/^### /m).slice(1);

  it("has an entry for every alert, in the order of the rules, and no other", () => {
    expect(entries.map((entry) => entry.split("\n")[0])).to.deep.equal(alerts.map(({ alert }) => alert));
  });

  it("says in each what it means, where to look and what to do, with commands to paste", () => {
    const lacking = entries.flatMap((entry) => {
      const parts = ["**Symptom**", "**Look**", "**Act**", "```sh\n"].filter((part) => !entry.includes(part));
      return parts.map((part) => `${entry.split("\n")[0]}: ${part}`);
    });
    expect(lacking).to.deep.equal([]);
  });

  it("has commands that a shell can read", () => {
    const blocks = [...textOf("docs/runbook.md").matchAll(/^```sh\n(.*?)^```$/gms)].map(
      ([, commands = ""]) => commands,
    );
    expect(blocks.length).to.be.above(entries.length);
    for (const commands of blocks) {
      const { status, stderr } = spawnSync("bash", ["-n"], { input: commands, encoding: "utf8" });
      expect({ commands, status, stderr }).to.deep.equal({ commands, status: 0, stderr: "" });
    }
  });
});
