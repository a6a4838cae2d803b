// `npm run upgrade`: a long rolling upgrade, and back, with a table of what was answered in each phase.
import { Command, InvalidArgumentError } from "commander";
import { builtVersion, previousVersions, type Version, whyMissing } from "../../tools/previous.js";
import { rollingUpgrade } from "./rolling.js";

const whole = (value: string): number => {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError("must be a whole number");
  return Number(value);
};
const versionOf = (commit: string): Version => {
  const found = previousVersions.find((version) => version.commit.startsWith(commit));
  if (!found) throw new InvalidArgumentError("tools/previous.ts names no such commit");
  return found;
};

const { from, workers, answers } = new Command()
  .name("npm run upgrade --")
  .description(
    "Replaces gateways and token services of an earlier version under load, and back, and checks every answer.",
  )
  .option("--from <commit>", "the earlier version", versionOf, previousVersions[0])
  .option("--workers <number>", "notifications under way at once", whole, 64)
  .option("--answers <number>", "answers between two replacements", whole, 2_000)
  .parse()
  .opts<{ from: Version; workers: number; answers: number }>();

const missing = whyMissing(from);
if (missing) {
  process.stderr.write(`${missing}\n`);
  process.exit(1);
}
process.stdout.write(`from the version of ${from.name}, ${from.commit}\n\n`);
process.stdout.write("| phase | notifications | right at the first try | answers |\n|---|---|---|---|\n");
const { misses } = await rollingUpgrade({
  ...{ old: builtVersion(from), load: { workers }, answersBetween: answers },
  progress({ name, first, right, answers }) {
    const words = Object.entries(answers).map(([answer, count]) => `${count} ${answer}`);
    process.stdout.write(`| ${name} | ${first} | ${right} | ${words.join(", ")} |\n`);
  },
});
for (const { what, reference, timeline } of misses.slice(0, 20))
  process.stdout.write(`\n${what}: ${reference}\n${timeline.join("\n")}\n`);
process.stdout.write(`\n${misses.length === 0 ? "No promise was broken." : `${misses.length} broken promises.`}\n`);
process.exitCode = misses.length > 0 ? 1 : 0;
