// token-gateway refusals: the genuine notifications that were answered F and are lost for good, out of the gateway's log.
import { createReadStream, existsSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Command } from "commander";
import { CommandError, colour, end, ended, jsonOption, printEither } from "./output.js";

/** As the gateway logs it. A reference that could not be read, or a field where there is none, is empty. */
type Refusal = Readonly<Record<(typeof columns)[number], string>>;
const columns = [
  ...(["time", "clientId", "api", "tokenReferenceId", "field", "rule", "resultCode", "deliveryId"] as const),
] as const;

export function register(program: Command): void {
  program
    .command("refusals")
    .description(
      "list the genuine notifications that were answered F, out of the gateway's log; ends with 1 if there are any",
    )
    .argument("[file...]", 'log files of gateways; none, or "-", is standard input')
    .option("--since <time>", "only those at or after this time, for instance 2026-11-25T08:00:00Z")
    .option("--client <id>", "only those of this Client-Id")
    .addOption(jsonOption())
    .action(async (files: string[], options: { since?: string; client?: string; json: boolean }) => {
      const sinceMs = options.since === undefined ? Number.NEGATIVE_INFINITY : Date.parse(options.since);
      if (Number.isNaN(sinceMs)) throw new CommandError(`--since ${options.since} is no time`);
      const refusals: Refusal[] = [];
      for (const input of inputsOf(files))
        for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
          const refusal = refusalIn(line);
          if (refusal === undefined || Date.parse(refusal.time) < sinceMs) continue;
          if (options.client === undefined || refusal.clientId === options.client) refusals.push(refusal);
        }
      refusals.sort((a, b) => (a.time < b.time ? -1 : Number(a.time > b.time)));
      printEither(options.json, refusals, () => linesOf(refusals));
      if (refusals.length > 0) end(ended.withFindings);
    });
}

function inputsOf(files: readonly string[]): Readable[] {
  const missing = files.find((file) => file !== "-" && !existsSync(file));
  if (missing !== undefined) throw new CommandError(`there is no file ${missing}`);
  return (files.length === 0 ? ["-"] : files).map((file) => (file === "-" ? process.stdin : createReadStream(file)));
}

/** A platform may write something of its own before the line. */
function refusalIn(line: string): Refusal | undefined {
  if (!line.includes('"refusal"')) return undefined;
  try {
    const told = JSON.parse(line.slice(line.indexOf("{"))) as Record<string, unknown>;
    if (told.part !== "gateway" || told.msg !== "refusal") return undefined;
    return Object.fromEntries(columns.map((name) => [name, String(told[name] ?? "")])) as Refusal;
  } catch {
    return undefined;
  }
}

function linesOf(refusals: readonly Refusal[]): string[] {
  if (refusals.length === 0) return ["no genuine notification was refused"];
  const rows = [columns, ...refusals.map((refusal) => columns.map((name) => plain(refusal[name]) || "-"))];
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lineOf = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  const counts = new Map<string, number>();
  for (const { clientId, field, rule } of refusals) {
    const what = [clientId, plain(field), rule].filter((word) => word !== "").join(" ");
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  const [head = [], ...others] = rows;
  return [
    colour("bold", lineOf(head)),
    ...others.map(lineOf),
    "",
    ...[...counts].sort(([, a], [, b]) => b - a).map(([what, count]) => `${String(count).padStart(6)}  ${what}`),
  ];
}

/** What a sender chose must not write on somebody's terminal. */
const plain = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, "?");
