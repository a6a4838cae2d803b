// `npm run bench`: the product and its rivals side by side, with a table, plots and bench/results/latest.json at the end.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { SingleBar } from "cli-progress";
import { Command } from "commander";
import { benchKeys, signCorpus } from "./corpus.js";
import { startGenerator } from "./generator/client.js";
import type { Scenario } from "./generator/tasks.js";
import { measure, measuresIn, type Outcome } from "./measure.js";
import { positive, whole, wholes, words } from "./options.js";
import { type BenchOptions, notificationsFor } from "./plan.js";
import { reportOf } from "./report/results.js";
import { type Durability, systemKinds } from "./systems.js";

const names = systemKinds.map(({ name }) => name);
const given = new Command()
  .name("npm run bench --")
  .description("Measures the product and its rivals side by side on this machine.")
  .option("--quick", "fewer systems and loads, in under three minutes", false)
  .option("--only <systems>", `measure these alone: ${names.join(", ")}`, words(names))
  .option("--connections <numbers>", "connections of the closed loops", wholes)
  .option("--durability <classes>", "fsync, memory", words<Durability>(["fsync", "memory"]))
  .option(
    "--scenarios <words>",
    "first, repeat, forged; first is always there",
    words<Scenario>(["first", "repeat", "forged"]),
  )
  .option("--open", "also the loads of a constant rate: 300/s, and half of what was measured")
  .option("--no-open", "leave them out")
  .option("--rounds <number>", "how often everything is measured; the median counts", whole)
  .option("--seconds <number>", "length of a measure, without its warm-up", positive)
  .option(
    "--out <folder>",
    "where latest.json and the plots go (default: bench/results, with --quick or a filter .data/bench)",
  )
  .parse()
  .opts();

// Whoever asks for a part of it wants no more than that.
const isPart = given.only !== undefined || given.connections !== undefined;
const isShort = given.quick || isPart;
const options: BenchOptions = {
  systems: given.only ?? (isShort ? ["product", "koa", "koa-memo", "fastify", "fastify-memo"] : names),
  durabilities: given.durability ?? (isShort ? ["fsync"] : ["fsync", "memory"]),
  connections: given.connections ?? (isShort ? [1, 64] : [1, 16, 64, 256]),
  scenarios: given.scenarios ?? (isPart ? ["first"] : ["first", "repeat", "forged"]),
  openLoops: given.open ?? !isPart,
  rounds: given.rounds ?? (isShort ? 1 : 3),
  windowMs: (given.seconds ?? 2.5) * 1000,
  warmMs: isShort ? 500 : 1_000,
  warmUp: isShort ? { crowded: 8_000, alone: 1_000 } : { crowded: 24_000, alone: 6_000 },
};
const dataDir = resolve(process.env.DATA_DIR || ".data", "bench");
// The full run's files are committed.
const out = resolve(given.out ?? (isShort ? dataDir : "bench/results"));
const plots = given.out !== undefined || isShort ? out : resolve("docs/performance");

const kinds = systemKinds.filter(({ name, missing }) => {
  if (!options.systems.includes(name)) return false;
  const why = missing?.();
  if (why !== undefined) process.stdout.write(`${name} is left out: ${why}\n`);
  return why === undefined;
});

/** More than any system here answers; a measure that runs out of notifications fails. */
const mostPerS = 32_000;
const bar = new SingleBar({ format: "{bar} {value}/{total}  {what}  {eta_formatted} left", etaBuffer: 50 });
const folder = join(dataDir, `run-${process.pid}`);
mkdirSync(folder, { recursive: true });
try {
  report(await run());
} catch (error) {
  process.stderr.write(`\nbench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Prints, and leaves the same in files. */
function report(outcome: Outcome): void {
  const { json, text, pictures } = reportOf(outcome, options);
  const files = { [join(out, "latest.json")]: json, [join(out, "latest.md")]: text };
  for (const [name, svg] of Object.entries(pictures)) files[join(plots, name)] = svg;
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  process.stdout.write(`\n${text}\nwritten: ${Object.keys(files).join(", ")}\n`);
}

async function run(): Promise<Outcome> {
  const { keysDir, sender } = await benchKeys(dataDir);
  const count = notificationsFor(options, mostPerS);
  bar.start(count, 0, { what: "signing notifications" });
  await signCorpus(dataDir, sender, count, (signed) => bar.update(signed));
  bar.stop();
  const generator = await startGenerator({ folder: dataDir, count });
  // Whoever waits for the generator is told, and stops what it started.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void generator.stop());
  bar.start(measuresIn(options, kinds.length), 0, { what: "starting" });
  try {
    const onMeasure = (what: string): void => bar.increment({ what });
    return await measure(options, { kinds, generator, keysDir, folder, onMeasure });
  } finally {
    bar.stop();
    await generator.stop();
  }
}
