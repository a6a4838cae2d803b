// A campaign's report in Markdown.
import type { CampaignReport } from "./campaign.js";

const rows = (counts: Record<string, number>): string[] =>
  Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `| ${name} | ${count} |`);

export function reportText(report: CampaignReport): string {
  const { misses } = report;
  return [
    `# Torture: seed ${report.seed}, class ${report.durability}${report.cluster ? ", Cluster" : ""}${report.tls ? ", mutual TLS" : ""}`,
    "",
    `${report.seconds} s, ${report.kills} kills${report.cutsPower ? ", power cuts included" : ", no power cuts"}.`,
    `${misses.length === 0 ? "No promise was broken." : `**${misses.length} broken promises.**`}`,
    "",
    "| notifications | |",
    "|---|---|",
    ...rows(report.notifications),
    `| sent, repeats after U and lost answers included | ${report.sent} |`,
    `| right on the first try | ${report.firstTry} |`,
    `| U at first, resolved by repeating | ${report.resolvedAfterU} |`,
    "",
    "| answer | times |",
    "|---|---|",
    ...rows(report.answers),
    "",
    "| fault | times |",
    "|---|---|",
    ...rows(report.faults),
    ...misses
      .slice(0, 20)
      .flatMap(({ what, reference, timeline }) => ["", `## ${what}: ${reference}`, "", "```", ...timeline, "```"]),
    "",
  ].join("\n");
}
