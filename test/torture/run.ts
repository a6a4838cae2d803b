// `npm run torture`: a long campaign of faults under load, with a report at the end. Same seed, same faults.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SingleBar } from "cli-progress";
import { Command, InvalidArgumentError, Option } from "commander";
import { type CampaignOptions, runCampaign } from "./campaign.js";
import { reportText } from "./report.js";

const whole = (value: string): number => {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError("must be a whole number");
  return Number(value);
};

const options = new Command()
  .name("npm run torture --")
  .description("Runs the product under load and faults, and compares every answer with what Redis holds.")
  .option("--seconds <number>", "how long", whole, 300)
  .option("--kills <number>", "end after this many kills", whole, 1_000_000)
  .option("--seed <number>", "seed of the faults", whole, Math.floor(Math.random() * 1e9))
  .option("--workers <number>", "notifications under way at once", whole, 8)
  .addOption(
    new Option("--durability <class>", "what SUCCESS promises")
      .choices(["fsync", "everysec", "memory", "replicated:1"])
      .default("fsync"),
  )
  .option("--cluster", "with replicated:1, a Redis Cluster in place of Sentinel", false)
  .option("--tls", "mutual TLS between gateway and service", false)
  .option("--out <folder>", "where the report goes", ".data/torture")
  .parse()
  .opts<Omit<CampaignOptions, "progress"> & { out: string }>();

if (options.cluster && options.durability !== "replicated:1") {
  process.stderr.write("--cluster goes with --durability replicated:1\n");
  process.exit(1);
}
process.stdout.write(`seed ${options.seed}\n`);
const bar = new SingleBar({ format: "{bar} {value}/{total} s  {kills} kills  {settled} settled  {misses} misses" });
bar.start(options.seconds, 0, { kills: 0, settled: 0, misses: 0 });
const report = await runCampaign({
  ...options,
  progress: ({ seconds, ...rest }) => bar.update(Math.min(Math.round(seconds), options.seconds), rest),
});
bar.stop();
mkdirSync(options.out, { recursive: true });
const name = `torture-${report.durability.replace(":", "-")}${report.cluster ? "-cluster" : ""}-${report.seed}`;
writeFileSync(join(options.out, `${name}.json`), JSON.stringify(report, undefined, 2));
writeFileSync(join(options.out, `${name}.md`), reportText(report));
process.stdout.write(`${reportText(report)}\nwritten to ${join(options.out, name)}.md and .json\n`);
process.exitCode = report.misses.length > 0 ? 1 : 0;
