// `npm run bench:store`: what a notification costs and what a token takes in Redis, with more and more tokens stored.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { SingleBar } from "cli-progress";
import { Command } from "commander";
import { Redis } from "ioredis";
import { customerKey, eventsKey, partitions, tokenKey } from "../services/token-lifecycle/store/keys.js";
import { benchKeys, signCorpus } from "./corpus.js";
import { createFiller, filledReference } from "./fill.js";
import { type Generator, startGenerator } from "./generator/client.js";
import type { Measured } from "./generator/tasks.js";
import { positive, whole, wholes } from "./options.js";
import { tableText } from "./report/table.js";
import { median } from "./statistics.js";
import { type Product, startProduct } from "./systems.js";

const options = new Command()
  .name("npm run bench:store --")
  .description("Fills the store with tokens and measures notifications and memory at each size.")
  .option("--sizes <numbers>", "numbers of stored tokens", wholes, [10_000, 100_000, 1_000_000])
  .option("--rate <number>", "notifications a second while it is measured", positive, 800)
  .option("--seconds <number>", "length of a measure", positive, 4)
  .option("--times <number>", "measures at each size, of which the median counts", whole, 3)
  .option("--out <folder>", "where store.json goes", ".data/bench")
  .parse()
  .opts<{ sizes: number[]; rate: number; seconds: number; times: number; out: string }>();

type SizeRow = {
  readonly tokens: number;
  /** CPU for a notification, in microseconds: medians. */
  readonly serviceUs: number;
  readonly redisUs: number;
  /** Mean size of a stored value, and what Redis takes for it with its key. */
  readonly valueBytes: number;
  readonly tokenBytes: number;
  /** For each token. */
  readonly eventBytes: number;
  readonly customerBytes: number;
  /** used_memory above the empty Redis, for each token. */
  readonly allBytes: number;
};

const warmMs = 1_000;
/** Of tokens and customers, when their sizes are looked at. */
const sampled = 1_000;
const dataDir = resolve(process.env.DATA_DIR || ".data", "bench");
const folder = join(dataDir, `store-${process.pid}`);
const bar = new SingleBar({ format: "{bar} {value}/{total} tokens  {what}  {eta_formatted} left", etaBuffer: 200 });
mkdirSync(folder, { recursive: true });
try {
  report(await measureSizes());
} catch (error) {
  bar.stop();
  process.stderr.write(`\nstore: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function measureSizes(): Promise<SizeRow[]> {
  const { keysDir, sender } = await benchKeys(dataDir);
  const perMeasure = Math.ceil((options.rate * (warmMs + options.seconds * 1000)) / 1000) + 1;
  const count = perMeasure * (options.sizes.length * options.times + 1);
  await signCorpus(dataDir, sender, count, () => {});
  const generator = await startGenerator({ folder: dataDir, count });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void generator.stop());
  const product = await startProduct({ folder, keysDir, durability: "fsync" });
  const redis = new Redis({ path: product.redisSocket });
  const filler = createFiller(product.serviceUrl, sender.clientId);
  const rows: SizeRow[] = [];
  try {
    const emptyBytes = await usedMemory(redis);
    await load(generator, product);
    let stored = perMeasure;
    let filled = 0;
    bar.start(Math.max(...options.sizes), 0, { what: "" });
    for (const size of options.sizes) {
      bar.update(filled, { what: "filling" });
      const more = Math.max(size - stored, 0);
      await filler.fill(filled, filled + more, (recorded) => bar.increment(recorded));
      filled += more;
      stored += more;
      await rewriteEnded(redis);
      bar.update(filled, { what: `measuring at ${stored}` });
      const sizes = await sizesIn(redis, filled);
      const allBytes = ((await usedMemory(redis)) - emptyBytes) / stored;
      const measured: Measured[] = [];
      for (let time = 0; time < options.times; time++) measured.push(await load(generator, product));
      const cpuUs = (part: string): number =>
        median(measured.map(({ cpuUsByPart, answers }) => (cpuUsByPart[part] ?? 0) / answers));
      rows.push({ tokens: stored, serviceUs: cpuUs("service"), redisUs: cpuUs("redis"), ...sizes, allBytes });
      stored += perMeasure * options.times;
    }
    return rows;
  } finally {
    bar.stop();
    filler.close();
    redis.disconnect();
    await generator.stop();
    await product.stop();
  }
}

/** New tokens at a fixed rate, so that the same gathers at every size. */
function load(generator: Generator, product: Product): Promise<Measured> {
  return generator.run({
    kind: "load",
    port: product.port,
    scenario: "first",
    load: { connections: 64, ratePerS: options.rate },
    warmMs,
    windowMs: options.seconds * 1000,
    supply: "rest",
    checksSignatures: true,
    parts: product.parts(),
  });
}

async function usedMemory(redis: Redis): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info("memory"))?.[1]);
}

/** A rewrite of the log is a process of its own that takes CPU and memory. */
async function rewriteEnded(redis: Redis): Promise<void> {
  while (!/aof_rewrite_in_progress:0/.test(await redis.info("persistence")))
    await new Promise((resolve) => setTimeout(resolve, 200));
}

async function sizesIn(redis: Redis, filled: number) {
  const indexes = Array.from({ length: Math.min(sampled, filled) }, (_, i) =>
    Math.floor((i * filled) / Math.min(sampled, filled)),
  );
  const mean = async (sizeOf: (index: number) => Promise<number>): Promise<number> => {
    const sizes = await Promise.all(indexes.map(sizeOf));
    return sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
  };
  const memory = async (key: string): Promise<number> => Number(await redis.memory("USAGE", key, "SAMPLES", 0));
  const streams = Array.from({ length: partitions }, (_, partition) => eventsKey(partition));
  const sum = async (sizes: Promise<number>[]): Promise<number> =>
    (await Promise.all(sizes)).reduce((all, size) => all + size, 0);
  return {
    valueBytes: await mean((index) => redis.strlen(tokenKey(filledReference(index)))),
    tokenBytes: await mean((index) => memory(tokenKey(filledReference(index)))),
    // Two tokens for each customer.
    customerBytes: (await mean((index) => memory(customerKey(`fill-${index >> 1}`)))) / 2,
    eventBytes: (await sum(streams.map(memory))) / (await sum(streams.map((key) => redis.xlen(key)))),
  };
}

function report(rows: readonly SizeRow[]): void {
  const header = ["tokens", "service us", "Redis us", "both us", "value", "with key", "event", "customer", "all"];
  const cells = rows.map((row) => [
    row.tokens.toLocaleString("en-US"),
    ...[row.serviceUs, row.redisUs, row.serviceUs + row.redisUs].map((us) => us.toFixed(1)),
    ...[row.valueBytes, row.tokenBytes, row.eventBytes, row.customerBytes, row.allBytes].map((bytes) =>
      bytes.toFixed(0),
    ),
  ]);
  const costs = rows.map(({ serviceUs, redisUs }) => serviceUs + redisUs);
  const spread = Math.max(...costs) / Math.min(...costs) - 1;
  const worst = Math.max(...rows.map(({ tokenBytes, valueBytes }) => tokenBytes - (1.5 * valueBytes + 100)));
  const verdicts = [
    { what: `cost from the least to the most: ${(spread * 100).toFixed(1)} % apart, wants <= 10`, met: spread <= 0.1 },
    { what: `a token takes ${worst.toFixed(0)} bytes above 1.5 x its value + 100, wants <= 0`, met: worst <= 0 },
  ];
  const file = join(options.out, "store.json");
  mkdirSync(options.out, { recursive: true });
  writeFileSync(
    file,
    `${JSON.stringify({ date: new Date().toISOString(), ...options, rows, verdicts }, undefined, 2)}\n`,
  );
  process.stdout.write(
    `\nCPU and bytes for each notification, at ${options.rate}/s\n\n${tableText(header, cells)}\n\n` +
      `${verdicts.map(({ what, met }) => `${met ? "met    " : "NOT MET"}  ${what}`).join("\n")}\nwritten: ${file}\n`,
  );
}
