// Runs a plan: starts the systems, lets the generator measure them round by round, and takes the median of each figure.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Generator } from "./generator/client.js";
import type { Load, Measured } from "./generator/tasks.js";
import { type Arrival, type BenchOptions, mainConnections, type Step, stepsOf } from "./plan.js";
import { portIn, startProgram } from "./program.js";
import { median } from "./statistics.js";
import { type Durability, emptyRedis, type System, type SystemKind, startRedis } from "./systems.js";

/** CPU of what nobody can do without, in microseconds for each notification. */
export type Floor = {
  readonly verifyUs: number;
  readonly httpUs: number;
  readonly scriptCallerUs: number;
  readonly scriptRedisUs: number;
  readonly totalUs: number;
};

/** The figures of one system in one step: medians over the rounds. */
export type Row = Step & {
  readonly name: string;
  readonly durability: Durability;
  readonly rps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  /** CPU of all its processes for each notification. */
  readonly cpuUs: number;
  /** The same as a multiple of the floor. */
  readonly ratio: number;
  readonly cpuUsByProcess: Readonly<Record<string, number>>;
  readonly generatorCpuUs: number;
};

export type Outcome = { readonly floors: Partial<Record<Durability, Floor>>; readonly rows: readonly Row[] };

export type Bench = {
  readonly kinds: readonly SystemKind[];
  readonly generator: Generator;
  readonly keysDir: string;
  /** A folder for this run alone. */
  readonly folder: string;
  /** Told before each measure. */
  readonly onMeasure: (what: string) => void;
};

/** How many measures a plan has. */
export const measuresIn = (options: BenchOptions, systems: number): number =>
  options.durabilities.length * (systems + options.rounds * (stepsOf(options).length * systems + 2));

export async function measure(options: BenchOptions, bench: Bench): Promise<Outcome> {
  const floors: Partial<Record<Durability, Floor>> = {};
  const rows: Row[] = [];
  for (const durability of options.durabilities) {
    const outcome = await measureClass(options, bench, durability);
    floors[durability] = outcome.floor;
    rows.push(...outcome.rows);
  }
  return { floors, rows };
}

type Stop = () => Promise<void>;

async function measureClass(options: BenchOptions, bench: Bench, durability: Durability) {
  const stops: Stop[] = [];
  try {
    const floorSystem = await startFloor(join(bench.folder, `${durability}-floor`), durability);
    stops.push(floorSystem.stop);
    const systems: System[] = [];
    for (const kind of bench.kinds) {
      const folder = join(bench.folder, `${durability}-${kind.name}`);
      mkdirSync(folder, { recursive: true });
      bench.onMeasure(`${durability}: ${kind.name} starts and warms up`);
      const system = await kind.start({ folder, keysDir: bench.keysDir, durability });
      stops.push(system.stop);
      systems.push(system);
      await warmUp(options, bench.generator, system);
    }
    return await measureRounds(options, bench, durability, floorSystem, systems);
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function measureRounds(
  options: BenchOptions,
  bench: Bench,
  durability: Durability,
  floorSystem: FloorSystem,
  systems: readonly System[],
) {
  const floors: Floor[] = [];
  const measured = new Map<string, { step: Step; name: string; all: Measured[] }>();
  const main = mainConnections(options.connections);
  const takeFloor = async (round: number): Promise<void> => {
    bench.onMeasure(`${durability}, round ${round + 1}: the floor`);
    floors.push(await measureFloor(options, bench.generator, floorSystem, main));
  };
  // The first is for the compiler.
  await measureFloor(options, bench.generator, floorSystem, main);
  for (let round = 0; round < options.rounds; round++) {
    await takeFloor(round);
    // Turned round each time, so that nobody is always first.
    for (const step of stepsOf(options))
      for (const system of round % 2 === 0 ? systems : [...systems].reverse()) {
        bench.onMeasure(`${durability}, round ${round + 1}: ${system.name}, ${wordsOf(step)}`);
        const last = measured.get(keyOf(system.name, { scenario: "first", arrival: "closed", connections: main }))?.all;
        const load = loadOf(step, last?.at(-1));
        const key = keyOf(system.name, step);
        const entry = measured.get(key) ?? { step, name: system.name, all: [] };
        measured.set(key, entry);
        entry.all.push(await measureStep(options, bench.generator, system, step, load));
      }
    await takeFloor(round);
  }
  const floor = medianFloor(floors);
  const rows = [...measured.values()].map(({ step, name, all }) => rowOf(step, name, durability, all, floor));
  return { floor, rows };
}

const keyOf = (name: string, { scenario, arrival, connections }: Step): string =>
  [name, scenario, arrival, connections].join();

export function wordsOf({ scenario, arrival, connections }: Step): string {
  const how: Record<Arrival, string> = {
    closed: `${connections} connections`,
    "300/s": "300/s",
    half: "half load",
  };
  const what = { first: "first deliveries", repeat: "repeats", forged: "bad signatures" }[scenario];
  return `${what}, ${how[arrival]}`;
}

function loadOf({ arrival, connections }: Step, full: Measured | undefined): Load {
  if (arrival === "closed") return { connections };
  if (arrival === "300/s") return { connections, ratePerS: 300 };
  if (full === undefined) throw new Error("half load needs the throughput of a closed loop first");
  return { connections, ratePerS: Math.max(full.answers / full.seconds / 2, 1) };
}

async function measureStep(
  { warmMs, windowMs }: BenchOptions,
  generator: Generator,
  system: System,
  { scenario }: Step,
  load: Load,
): Promise<Measured> {
  if (scenario === "first") await system.empty();
  try {
    return await generator.run({
      kind: "load",
      port: system.port,
      scenario,
      load,
      warmMs,
      windowMs,
      // Past a budget the product does not sign refusals.
      checksSignatures: scenario !== "forged",
      parts: system.parts(),
    });
  } catch (error) {
    throw new Error(`${system.name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** A system that is so slow is measured as it is. */
const mostWarmUpWindows = 20;

/**
 * Runs what will be measured until it is compiled, crowded and alone; its figures count for nothing. Code is compiled for how
 * often it ran, not for how long: every system gets the same number of notifications, the slower ones in more time.
 */
async function warmUp(options: BenchOptions, generator: Generator, system: System): Promise<void> {
  const window = { ...options, warmMs: 0 };
  const { crowded, alone } = options.warmUp;
  for (const [connections, wanted] of [
    [mainConnections(options.connections), crowded],
    [Math.min(...options.connections), alone],
  ] as const) {
    const step: Step = { scenario: "first", arrival: "closed", connections };
    for (let answers = 0, windows = 0; answers < wanted && windows < mostWarmUpWindows; windows++)
      answers += (await measureStep(window, generator, system, step, { connections })).answers;
  }
}

type FloorSystem = {
  readonly port: number;
  readonly pid: number;
  readonly socket: string;
  readonly redisPid: number;
  readonly stop: Stop;
};

async function startFloor(folder: string, durability: Durability): Promise<FloorSystem> {
  mkdirSync(folder, { recursive: true });
  const redis = await startRedis(folder, durability);
  const file = new URL("./floor/http.ts", import.meta.url).pathname;
  const server = await startProgram(process.execPath, ["--import", "tsx", file], {}, join(folder, "http.log"));
  return {
    port: portIn(server.ready),
    pid: server.pid,
    socket: redis.socket,
    redisPid: redis.pid,
    async stop() {
      await server.stop();
      await redis.stop();
    },
  };
}

async function measureFloor(
  { warmMs, windowMs }: BenchOptions,
  generator: Generator,
  { port, pid, socket, redisPid }: FloorSystem,
  connections: number,
): Promise<Floor> {
  const window = { warmMs: Math.min(warmMs, 500), windowMs: Math.min(windowMs, 2_000) };
  const verify = await generator.run({ kind: "verify", windowMs: window.windowMs / 2 });
  const http = await generator.run({
    kind: "load",
    ...{ port, scenario: "first", load: { connections }, ...window },
    supply: "cycle",
    checksSignatures: false,
    parts: { http: [pid] },
  });
  await emptyRedis(socket);
  const script = await generator.run({
    kind: "script",
    socket,
    atOnce: connections,
    ...window,
    parts: { redis: [redisPid] },
  });
  const each = ({ cpuUsByPart, answers }: Measured, part: string): number => (cpuUsByPart[part] ?? 0) / answers;
  return floorOf(each(verify, "verify"), each(http, "http"), each(script, "caller"), each(script, "redis"));
}

const floorOf = (verifyUs: number, httpUs: number, scriptCallerUs: number, scriptRedisUs: number): Floor => ({
  verifyUs,
  httpUs,
  scriptCallerUs,
  scriptRedisUs,
  totalUs: verifyUs + httpUs + scriptCallerUs + scriptRedisUs,
});

const medianFloor = (floors: readonly Floor[]): Floor =>
  floorOf(
    median(floors.map(({ verifyUs }) => verifyUs)),
    median(floors.map(({ httpUs }) => httpUs)),
    median(floors.map(({ scriptCallerUs }) => scriptCallerUs)),
    median(floors.map(({ scriptRedisUs }) => scriptRedisUs)),
  );

function rowOf(step: Step, name: string, durability: Durability, all: readonly Measured[], floor: Floor): Row {
  const of = (figure: (each: Measured) => number): number => median(all.map(figure));
  const parts = Object.keys(all[0]?.cpuUsByPart ?? {});
  const cpuUsByProcess = Object.fromEntries(
    parts.map((part) => [part, of(({ cpuUsByPart, answers }) => (cpuUsByPart[part] ?? 0) / answers)]),
  );
  const cpuUs = Object.values(cpuUsByProcess).reduce((sum, us) => sum + us, 0);
  return {
    ...step,
    name,
    durability,
    rps: of(({ answers, seconds }) => answers / seconds),
    p50Ms: of(({ p50Ms }) => p50Ms),
    p99Ms: of(({ p99Ms }) => p99Ms),
    p999Ms: of(({ p999Ms }) => p999Ms),
    cpuUs,
    ratio: cpuUs / floor.totalUs,
    cpuUsByProcess,
    generatorCpuUs: of(({ generatorCpuUs, answers }) => generatorCpuUs / answers),
  };
}
