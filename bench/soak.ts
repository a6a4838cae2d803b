// `npm run bench:soak`: the product under a steady load for as long as one likes, its memory watched all the while.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { SingleBar } from "cli-progress";
import { Command } from "commander";
import { freePort } from "../test/support/programs.js";
import { type RuntimeFigures, runtimeFigures } from "./admin.js";
import { benchKeys, signCorpus } from "./corpus.js";
import { startGenerator } from "./generator/client.js";
import { positive, whole, words } from "./options.js";
import { rssOf } from "./processes.js";
import { lineChart } from "./report/charts.js";
import { colourOf } from "./report/svg.js";
import { type SoakSample, soakVerdicts } from "./soak-verdicts.js";
import { type Durability, startProduct } from "./systems.js";

const options = new Command()
  .name("npm run bench:soak --")
  .description("Runs the product under a steady load of new tokens and watches the memory of its processes.")
  .option("--minutes <number>", "how long", positive, 20)
  .option("--rate <number>", "notifications a second", positive, 850)
  .option("--notifications <number>", "how many, instead of how long", whole)
  .option("--connections <number>", "connections they come over", whole, 64)
  .option("--every <seconds>", "time between two samples", positive, 5)
  .option("--durability <class>", "fsync or memory", words<Durability>(["fsync", "memory"]), ["fsync"])
  .option("--out <folder>", "where soak.json and soak.svg go", ".data/bench")
  .parse()
  .opts();

const seconds: number = options.notifications ? options.notifications / options.rate : options.minutes * 60;
const dataDir = resolve(process.env.DATA_DIR || ".data", "bench");
const folder = join(dataDir, `soak-${process.pid}`);
const bar = new SingleBar({ format: "{bar} {value}/{total} s  {memory}  {eta_formatted} left" });
mkdirSync(folder, { recursive: true });
try {
  await soak();
} catch (error) {
  process.stderr.write(`\nsoak: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function soak(): Promise<void> {
  const { keysDir, sender } = await benchKeys(dataDir);
  await signCorpus(dataDir, sender, 1, () => {});
  const adminPorts: Record<string, number> = { gateway: await freePort(), service: await freePort() };
  const settings = { ADMIN_PORT: `${adminPorts.gateway}`, TOKEN_SERVICE_ADMIN_PORT: `${adminPorts.service}` };
  const product = await startProduct({ folder, keysDir, durability: options.durability[0] }, settings);
  const generator = await startGenerator({ folder: dataDir, count: 1 });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void generator.stop());
  const samples: SoakSample[] = [];
  const started = performance.now();
  const sample = async (): Promise<void> => {
    const memoryMb = Object.fromEntries(
      Object.entries(product.parts()).map(([name, pids]) => [
        name,
        pids.reduce((bytes, pid) => bytes + rssOf(pid), 0) / 2 ** 20,
      ]),
    );
    const runtime: Record<string, RuntimeFigures> = {};
    for (const [name, port] of Object.entries(adminPorts)) runtime[name] = await runtimeFigures(port);
    const second = Math.round((performance.now() - started) / 1000);
    samples.push({ second, memoryMb, runtime });
    const memory = Object.entries(memoryMb).map(([name, mb]) => `${name} ${mb.toFixed(0)} MB`);
    bar.update(Math.min(second, Math.round(seconds)), { memory: memory.join(", ") });
  };
  bar.start(Math.round(seconds), 0, { memory: "" });
  // A sample that fails says that a process is gone, and then the load fails too.
  const timer = setInterval(() => void sample().catch(() => {}), options.every * 1000);
  try {
    await sample();
    const measured = await generator.run({
      kind: "load",
      port: product.port,
      scenario: "first",
      load: { connections: options.connections, ratePerS: options.rate },
      warmMs: 0,
      windowMs: seconds * 1000,
      supply: "endless",
      checksSignatures: true,
      parts: product.parts(),
    });
    clearInterval(timer);
    await sample();
    bar.stop();
    const verdicts = soakVerdicts(samples);
    const report = { date: new Date().toISOString(), ...options, seconds, measured, verdicts, samples };
    mkdirSync(options.out, { recursive: true });
    writeFileSync(join(options.out, "soak.json"), `${JSON.stringify(report, undefined, 2)}\n`);
    writeFileSync(join(options.out, "soak.svg"), plotOf(samples));
    process.stdout.write(
      `${measured.answers} answers in ${seconds.toFixed(0)} s, all of them right; p50 ${measured.p50Ms.toFixed(1)} ms, ` +
        `p99 ${measured.p99Ms.toFixed(1)} ms, longest ${measured.maxMs.toFixed(0)} ms\n` +
        `${verdicts.map(({ what, met }) => `${met ? "met    " : "NOT MET"}  ${what}`).join("\n")}\n` +
        `written: ${join(options.out, "soak.json")} and soak.svg\n`,
    );
    if (verdicts.some(({ met }) => !met)) process.exitCode = 1;
  } finally {
    clearInterval(timer);
    bar.stop();
    await generator.stop();
    await product.stop();
  }
}

function plotOf(all: readonly SoakSample[]): string {
  const names = Object.keys(all[0]?.memoryMb ?? {});
  return lineChart(
    `Resident memory at ${options.rate} notifications a second`,
    { x: "minutes", y: "MB" },
    names.map((name, index) => ({
      name,
      colour: colourOf(index),
      points: all.map(({ second, memoryMb }) => [second / 60, memoryMb[name] ?? 0] as const),
    })),
  );
}
