// Writes docs/conformance.md: every case, the rule that it checks and where the rule stands. `npm run docs` runs it, and a
// test compares the two.
import { writeFileSync } from "node:fs";
import { knownApis } from "../apis.js";
import type { Case } from "./case.js";
import { expectedOf } from "./judge.js";
import { markdownRow } from "./report.js";
import { rules, sources, standings } from "./rules.js";
import { casesOf } from "./suite.js";

/** Groups whose cases come from an API's own schema; all others are the same for every API. */
const ownGroups = ["field", "repeat"];
const groupOf = ({ name }: Case): string => name.slice(0, name.indexOf("/"));

const titles: Readonly<Record<string, string>> = {
  request: "The plain request",
  header: "Headers",
  "request-time": "Request-Time",
  "media-type": "Media type",
  accept: "Accept",
  transfer: "Transfer",
  method: "Method",
  path: "Path",
  signature: "What the signature covers",
  "signature-header": "How the Signature header is written",
  bytes: "The same parameters in other bytes",
  body: "The body",
  field: "Parameters",
  repeat: "Repeats",
  answer: "Answers",
};

/** The whole document. */
export function conformanceDocument(): string {
  const suites = knownApis.map((api) => ({ name: api.name, cases: casesOf(api, "") }));
  const total = new Set(suites.flatMap(({ cases }) => cases.map(({ name }) => name))).size;
  const strict = suites[0]?.cases.filter(({ rule }) => standings[rules[rule].standing].fails).length ?? 0;
  return `${[
    "# Conformance",
    "",
    "What `npx token-gateway conform` sends, and what it wants back. Written by `npm run docs` from the cases themselves;",
    "[tools.md](tools.md#token-gateway-conform) shows a run.",
    "",
    `${total} cases, made from the proto of each API. ${strict} of them check rules that are published, and can fail an endpoint. The others`,
    "tell how an endpoint does what nobody published: where it does something else than expected, the report says so and passes it.",
    "",
    "| standing | meaning | can fail an endpoint |",
    "|---|---|---|",
    ...Object.entries(standings).map(([name, { meaning, fails }]) =>
      markdownRow([name, meaning, fails ? "yes" : "no"]),
    ),
    "",
    "Where the rules stand:",
    "",
    ...Object.entries(sources).map(([name, url]) => `- ${name}: <${url}>`),
    "",
    "What cannot be provoked from outside is not checked: U REQUEST_TRAFFIC_EXCEED_LIMIT would take a flood, and ACCESS_DENIED a client",
    "that is shut out. An endpoint that says REQUEST_TRAFFIC_EXCEED_LIMIT to a case is asked again up to three times.",
    "",
    "## Every API",
    ...sections(suites[0]?.cases.filter((each) => !ownGroups.includes(groupOf(each))) ?? []),
    ...suites.flatMap(({ name, cases }) => [
      "",
      `## ${name}`,
      ...sections(cases.filter((each) => ownGroups.includes(groupOf(each)))),
    ]),
  ].join("\n")}\n`;
}

function sections(cases: readonly Case[]): string[] {
  const groups = [...new Set(cases.map(groupOf))];
  return groups.flatMap((group) => [
    "",
    `### ${titles[group] ?? group}`,
    "",
    "| case | what | expected | rule | where it stands | standing |",
    "|---|---|---|---|---|---|",
    ...cases
      .filter((each) => groupOf(each) === group)
      .map((each) => {
        const { says, at, standing } = rules[each.rule];
        return markdownRow([`\`${each.name}\``, each.what, expectedOf(each), says, at, standing]);
      }),
  ]);
}

if (process.argv[1] === import.meta.filename)
  writeFileSync(new URL("../../docs/conformance.md", import.meta.url), conformanceDocument());
