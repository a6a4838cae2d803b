// The outcome of a run in the forms that people and machines read: TAP 14, JUnit XML, Markdown, JSON, and plain text.

import { rules, sources, standings } from "./rules.js";
import type { CaseResult } from "./run.js";

export type Report = {
  readonly url: string;
  readonly clientId: string;
  readonly startedAt: string;
  readonly seconds: number;
  readonly apis: readonly { readonly api: string; readonly results: readonly CaseResult[] }[];
};

export const formats = ["text", "tap", "junit", "md", "json"] as const;
export type Format = (typeof formats)[number];

export const counted = ({ apis }: Report): { pass: number; fail: number; notice: number } => {
  const counts = { pass: 0, fail: 0, notice: 0 };
  for (const { results } of apis) for (const { verdict } of results) counts[verdict] += 1;
  return counts;
};

/** The report as text, with a line feed at the end. */
export const written: Readonly<Record<Format, (report: Report, colour: Colour) => string>> = {
  text: textReport,
  tap: tapReport,
  junit: junitReport,
  md: markdownReport,
  json: (report) => `${JSON.stringify(jsonReport(report), undefined, 2)}\n`,
};

type Colour = (name: "green" | "red" | "yellow" | "bold" | "dim", text: string) => string;

/** With several APIs a name alone does not say whose case it is. */
const namesOf = ({ apis }: Report): (CaseResult & { api: string; fullName: string })[] =>
  apis.flatMap(({ api, results }) =>
    results.map((result) => ({ ...result, api, fullName: apis.length > 1 ? `${api}: ${result.name}` : result.name })),
  );

const summaryOf = (report: Report): string => {
  const { pass, fail, notice } = counted(report);
  const total = pass + fail + notice;
  const noticed = notice === 0 ? "" : `, ${notice} to know where nothing is published`;
  return `${total} cases in ${report.seconds.toFixed(1)} s: ${pass} passed, ${fail} failed${noticed}`;
};

/** Where a rule stands, and how far it can be relied on. */
const placeOf = ({ rule }: CaseResult): string => `${rules[rule].at} (${rules[rule].standing})`;

function textReport(report: Report, colour: Colour): string {
  const lines: string[] = [];
  const results = namesOf(report);
  // What failed stands last, where a terminal shows it.
  for (const result of [
    ...results.filter(({ verdict }) => verdict === "notice"),
    ...results.filter(({ verdict }) => verdict === "fail"),
  ]) {
    const isFail = result.verdict === "fail";
    lines.push(
      `${isFail ? colour("red", "FAIL") : colour("yellow", "know")}  ${colour("bold", result.fullName)}: ${result.what}`,
      `      expected: ${result.expected}; got: ${result.observed}`,
      colour("dim", `      ${rules[result.rule].says} ${placeOf(result)}`),
    );
  }
  if (results.some(({ name, verdict }) => name === "request/plain" && verdict === "fail"))
    lines.push(
      "The plain request was not accepted, so the rest says little: check the Client-Id and the keys, or give --members.",
    );
  lines.push(colour(counted(report).fail > 0 ? "red" : "green", summaryOf(report)));
  return `${lines.join("\n")}\n`;
}

/** https://testanything.org/tap-version-14-specification.html */
function tapReport(report: Report): string {
  const results = namesOf(report);
  const lines = ["TAP version 14", `1..${results.length}`];
  results.forEach((result, index) => {
    const { verdict, fullName, what, expected, observed, rule } = result;
    lines.push(`${verdict === "fail" ? "not ok" : "ok"} ${index + 1} - ${tapText(`${fullName}: ${what}`)}`);
    if (verdict === "pass") return;
    const details = {
      severity: verdict,
      expected,
      observed,
      rule: rules[rule].says,
      at: rules[rule].at,
      standing: rules[rule].standing,
    };
    // JSON strings are YAML strings too.
    lines.push(
      "  ---",
      ...Object.entries(details).map(([name, text]) => `  ${name}: ${JSON.stringify(text)}`),
      "  ...",
    );
  });
  lines.push(`# ${summaryOf(report)}`, `# ${report.url} as ${report.clientId}`);
  return `${lines.join("\n")}\n`;
}

const tapText = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("#", "\\#");

function junitReport(report: Report): string {
  const { fail } = counted(report);
  const total = report.apis.reduce((sum, { results }) => sum + results.length, 0);
  const suites = report.apis.flatMap(({ api, results }) => [
    `  <testsuite name=${attribute(api)} tests="${results.length}" failures="${results.filter(({ verdict }) => verdict === "fail").length}" errors="0" skipped="0" time="${report.seconds.toFixed(3)}" timestamp=${attribute(report.startedAt.slice(0, 19))}>`,
    `    <properties><property name="url" value=${attribute(report.url)}/><property name="clientId" value=${attribute(report.clientId)}/></properties>`,
    ...results.flatMap(junitCase),
    "  </testsuite>",
  ]);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="conform" tests="${total}" failures="${fail}" errors="0" time="${report.seconds.toFixed(3)}">`,
    ...suites,
    "</testsuites>\n",
  ].join("\n");
}

function junitCase(result: CaseResult): string[] {
  const [group = ""] = result.name.split("/");
  const opening = `    <testcase classname=${attribute(`conform.${group}`)} name=${attribute(result.name)} time="${(result.ms / 1000).toFixed(3)}"`;
  if (result.verdict === "pass") return [`${opening}/>`];
  const text = xmlText(
    `${result.what}\nexpected ${result.expected}\ngot ${result.observed}\n${rules[result.rule].says}\n${placeOf(result)}`,
  );
  const inner =
    result.verdict === "fail"
      ? `<failure type=${attribute(result.rule)} message=${attribute(`expected ${result.expected}, got ${result.observed}`)}>${text}</failure>`
      : `<system-out>${text}</system-out>`;
  return [`${opening}>`, `      ${inner}`, "    </testcase>"];
}

// XML 1.0 has no way to write most control characters, and an answer may hold any.
const xmlText = (text: string): string =>
  text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML forbids
    .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Cs}/gu, "\ufffd")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");

const attribute = (text: string): string =>
  `"${xmlText(text).replaceAll('"', "&quot;").replaceAll("\n", "&#10;").replaceAll("\t", "&#9;")}"`;

function markdownReport(report: Report): string {
  const words = { pass: "pass", fail: "**FAIL**", notice: "to know" };
  return [
    "# Conformance report",
    "",
    `${report.url} as ${report.clientId}, ${report.startedAt}`,
    "",
    `${summaryOf(report)}.`,
    "",
    "| verdict | case | what | expected | got | rule |",
    "|---|---|---|---|---|---|",
    ...namesOf(report).map((result) =>
      markdownRow([
        words[result.verdict],
        `\`${result.fullName}\``,
        ...[result.what, result.expected, result.observed, `${rules[result.rule].says} ${placeOf(result)}`],
      ]),
    ),
    "",
    "Where the rules stand:",
    "",
    ...Object.entries(sources).map(([name, url]) => `- ${name}: ${url}`),
    "",
    "How far they can be relied on:",
    "",
    ...Object.entries(standings).map(
      ([name, { meaning, fails }]) => `- ${name}: ${meaning}${fails ? "" : " Breaking it fails nobody."}`,
    ),
    "",
  ].join("\n");
}

export const markdownRow = (cells: readonly string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;

const jsonReport = (report: Report) => ({
  ...{ url: report.url, clientId: report.clientId, startedAt: report.startedAt, seconds: report.seconds },
  counts: counted(report),
  results: namesOf(report).map(({ fullName: _, rule, ...result }) => ({
    ...result,
    rule: { name: rule, ...rules[rule] },
  })),
});
