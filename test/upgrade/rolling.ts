// A rolling upgrade under load: two gateways and two token services of an earlier version over one Redis are replaced one after the
// other, back and forth, while a ledger keeps the accounts.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { thisProduct } from "../../tools/parts.js";
import { writeClient, writeKeyring } from "../support/keys.js";
import { startTestPart, startTestRedis, type TestPart, temporaryFolder, until } from "../support/processes.js";
import { createLedger, type Entry, isRightAtFirst, type Miss } from "../torture/ledger.js";
import { type LoadOptions, startLoad } from "../torture/load.js";

type Name = "service 1" | "service 2" | "gateway 1" | "gateway 2";

/** What is replaced, in this order; the four begin with the earlier version. */
export const phases: readonly {
  readonly name: string;
  readonly to: "new" | "old";
  readonly replaced: readonly Name[];
}[] = [
  { name: "upgrade, services first", to: "new", replaced: ["service 1", "service 2", "gateway 1", "gateway 2"] },
  { name: "one of each back", to: "old", replaced: ["gateway 1", "service 1"] },
  { name: "the rest back", to: "old", replaced: ["gateway 2", "service 2"] },
  { name: "upgrade, gateways first", to: "new", replaced: ["gateway 1", "gateway 2", "service 1", "service 2"] },
];

export type RollingOptions = {
  /** The folder of the earlier version's compiled product. */
  readonly old: string;
  readonly load: LoadOptions;
  /** How many answers must come after each replacement before the next one. */
  readonly answersBetween: number;
  /** Told after each phase. */
  readonly progress?: (phase: PhaseReport) => void;
};

export type PhaseReport = {
  readonly name: string;
  /** How often each answer came. */
  readonly answers: Record<string, number>;
  /** Notifications that got their first answer in this phase, and how many of these were the right one. */
  readonly first: number;
  readonly right: number;
  /** What runs at its end, by the files that the processes were started from. */
  readonly running: Readonly<Record<string, "old" | "new">>;
};

export type RollingReport = {
  readonly phases: PhaseReport[];
  readonly entries: readonly Entry[];
  readonly misses: readonly Miss[];
};

export async function rollingUpgrade({ old, load, answersBetween, progress }: RollingOptions): Promise<RollingReport> {
  const folder = temporaryFolder();
  writeClient(join(folder.path, "keys"));
  writeKeyring(join(folder.path, "keyring"));
  const stops: (() => unknown)[] = [folder.remove];
  const parts = new Map<Name, TestPart>();
  const start = async (name: Name, settings: Record<string, string>): Promise<TestPart> => {
    const common = { DATA_DIR: folder.path, LOG_LEVEL: "warn", DURABILITY_CHECK_MS: "100" };
    const part = name.startsWith("service") ? "service" : "gateway";
    const started = await startTestPart(part, { ...common, ...settings }, join(folder.path, `${name}.log`), old);
    stops.push(started.stop);
    parts.set(name, started);
    return started;
  };
  try {
    const redis = await startTestRedis(join(folder.path, "redis"));
    stops.push(redis.stop);
    const service = { REDIS_URL: redis.url, DURABILITY: "fsync", EVENTS_MAX_LEN: "100000000" };
    const services = [await start("service 1", service), await start("service 2", service)];
    // In the time of DRAIN_MS a gateway serves those who have not heard yet that it goes.
    const gateway = { TOKEN_SERVICE_URL: services.map(({ url }) => url).join(","), DRAIN_MS: "100" };
    /** The gateways that the proxy in front of them knows, each called in turn. */
    const open = new Set([await start("gateway 1", gateway), await start("gateway 2", gateway)]);
    for (const part of parts.values()) await untilReady(part);

    const ledger = createLedger(folder.path);
    let turn = 0;
    const sending = startLoad(ledger, load, () => [...open][turn++ % open.size]?.url ?? "");
    stops.push(sending.end);
    const answered = (): number => Object.values(sending.answers).reduce((sum, count) => sum + count, 0);
    const someMore = async (): Promise<void> => {
      const before = answered();
      await until(`${answersBetween} more answers`, () => answered() >= before + answersBetween, 120_000);
    };

    const reports: PhaseReport[] = [];
    let reported = { answers: {} as Record<string, number>, entries: new Set<Entry>() };
    const report = (name: string): void => {
      const fresh = ledger.entries.filter((entry) => entry.answers.length > 0 && !reported.entries.has(entry));
      const answers = Object.entries(sending.answers).map(
        ([answer, count]) => [answer, count - (reported.answers[answer] ?? 0)] as const,
      );
      const phase = {
        ...{ name, answers: Object.fromEntries(answers.filter(([, count]) => count > 0)) },
        ...{ first: fresh.length, right: fresh.filter(isRightAtFirst).length },
        running: Object.fromEntries(
          [...parts].map(([part, { pid }]) => [part, isOf(old, pid()) ? "old" : "new"] as const),
        ),
      };
      reported = { answers: { ...sending.answers }, entries: new Set([...reported.entries, ...fresh]) };
      reports.push(phase);
      progress?.(phase);
    };

    await someMore();
    report("before");
    for (const { name, to, replaced } of phases) {
      for (const each of replaced) {
        const part = parts.get(each) as TestPart;
        ledger.happened(`${each} is replaced by the ${to} version`);
        open.delete(part);
        await part.stop();
        await part.start(to === "old" ? old : thisProduct);
        await untilReady(part);
        if (each.startsWith("gateway")) open.add(part);
        await someMore();
      }
      report(name);
    }
    await sending.settle();
    report("until all was settled");
    const connection = await redis.connect();
    await ledger.checkAll(connection);
    await ledger.checkEvents(connection);
    return { phases: reports, entries: ledger.entries, misses: ledger.misses };
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

const isOf = (product: string, pid: number): boolean => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(product);

const untilReady = (part: TestPart): Promise<void> =>
  until("it is ready", async () => (await fetch(`${part.adminUrl}/readyz`)).ok);
