// `npm run slow`: what slow senders cost honest traffic, as a table in Markdown.
import { Command, InvalidArgumentError, Option } from "commander";
import { besideSlowSenders, kinds, type SlowReport } from "./slow.js";

const whole = (value: string): number => {
  if (!/^[1-9]\d{0,5}$/.test(value)) throw new InvalidArgumentError("must be a whole number above 0");
  return Number(value);
};

const options = new Command()
  .name("npm run slow --")
  .description("Measures honest traffic alone and beside slow senders in turn. Ends with 1 when it suffers.")
  .addOption(new Option("--kind <kind...>", "what they are slow with").choices(kinds).default(kinds))
  .option("--sockets <number>", "slow connections, of one kind at a time", whole, 1_000)
  .option("--rate <number>", "honest notifications a second", whole, 50)
  .option("--rounds <number>", "rounds of each kind", whole, 4)
  .option("--seconds <number>", "how long a round lasts alone, and again beside them", whole, 15)
  .parse()
  .opts();

const reports = await besideSlowSenders({
  kinds: options.kind,
  warmUpSeconds: 5,
  sockets: options.sockets,
  rate: options.rate,
  rounds: options.rounds,
  seconds: options.seconds,
  progress: (what) => void process.stderr.write(`${what}\n`),
});

const ms = (time: number): string => time.toFixed(1);
const ratioOf = ({ alone, beside }: SlowReport): number => beside.p99 / alone.p99;
const rows = reports.map((report) => {
  const { kind, answers, alone, beside, leastOpen, opened, failures } = report;
  const times = [ms(alone.p50), ms(beside.p50), ms(alone.p99), ms(beside.p99), ratioOf(report).toFixed(2)];
  const counts = [answers, failures.length, leastOpen, opened];
  return `| slow ${kind} | ${[...counts, ...times].join(" | ")} |`;
});
process.stdout.write(
  `${[
    "| attack | answers | not SUCCESS | slow connections, at least | opened | p50 alone, ms | p50 beside | p99 alone | p99 beside | ratio of p99 |",
    "|---|---|---|---|---|---|---|---|---|---|",
    ...rows,
    "",
    ...reports.flatMap(({ kind, failures }) => failures.slice(0, 5).map((failure) => `- ${kind}: ${failure}`)),
  ].join("\n")}\n`,
);
process.exitCode = reports.some((report) => report.failures.length > 0 || ratioOf(report) >= 2) ? 1 : 0;
