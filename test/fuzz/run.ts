// The long form of the fuzz test: as many inputs as one wants, from a seed, with a summary in Markdown.
import { SingleBar } from "cli-progress";
import { Command, InvalidArgumentError } from "commander";
import { type FuzzReport, fuzz } from "./fuzz.js";

const wholeNumber = (value: string): number => {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError("must be a whole number");
  return Number(value);
};

const options = new Command()
  .name("npm run fuzz --")
  .description(
    "Sends generated and broken notifications to a gateway of its own. Ends with 1 when a promise was broken.",
  )
  .option("--inputs <number>", "how many to send", wholeNumber, 20_000)
  .option("--seed <number>", "what to generate them from (default: another one each time)", wholeNumber)
  .option("--concurrency <number>", "how many at once", wholeNumber, 8)
  .parse()
  .opts();

// Without a terminal the bar would be noise in a log.
const bar = new SingleBar({ format: "{bar} {value}/{total}  {eta_formatted} left", noTTYOutput: false });
const seed: number = options.seed ?? Math.floor(Math.random() * 1_000_000);
bar.start(options.inputs, 0);
const report = await fuzz({
  inputs: options.inputs,
  seed,
  concurrency: Math.max(options.concurrency, 1),
  onInput: () => bar.increment(),
});
bar.stop();
process.stdout.write(summaryOf(report));
process.exitCode = report.breaches.length > 0 ? 1 : 0;

function summaryOf({ inputs, seed, seconds, answers, slowestMs, breaches }: FuzzReport): string {
  const codes = [...new Set([...answers.values()].flatMap((counts) => [...counts.keys()]))].sort();
  const row = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |`;
  return `${[
    `# Fuzz run: ${inputs} inputs, seed ${seed}`,
    "",
    row(["answer", ...answers.keys()]),
    row(["---", ...[...answers.keys()].map(() => "---:")]),
    ...codes.map((code) => row([code, ...[...answers.values()].map((counts) => counts.get(code) ?? 0)])),
    "",
    `${seconds.toFixed(1)} s, ${(inputs / seconds).toFixed(0)} inputs a second, slowest answer ${slowestMs.toFixed(0)} ms.`,
    "",
    breaches.length === 0 ? "Every promise held." : `**${breaches.length} broken promises:**`,
    ...breaches.slice(0, 20).map((breach) => `- ${breach}`),
  ].join("\n")}\n`;
}
