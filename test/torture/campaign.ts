// One campaign: real processes under load, faults by chance, and a ledger that is checked after each heal.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { partitions } from "../../services/token-lifecycle/store/keys.js";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { type Random, seeded } from "../../tools/random.js";
import { createAuthority, writeTlsFolder } from "../support/certificates.js";
import { startTestCluster } from "../support/cluster.js";
import { writeClient, writeKeyring } from "../support/keys.js";
import {
  startTestPart,
  startTestRedis,
  type TestPart,
  temporaryFolder,
  until,
  untilServing,
} from "../support/processes.js";
import { buildDisk, type Disk } from "./disk.js";
import { faultTable, pause } from "./faults.js";
import { createLedger, type Entry, isRightAtFirst, type Ledger } from "./ledger.js";
import { startLoad } from "./load.js";
import { type FaultProxy, startFaultProxy } from "./proxy.js";
import { startSentinelSet } from "./sentinel.js";

export type CampaignOptions = {
  readonly seed: number;
  /** Ends after this time, or after this many kills, whichever comes first. */
  readonly seconds: number;
  readonly kills: number;
  readonly workers: number;
  /** `replicated:1` runs three Redis under Sentinel, the others a single one. */
  readonly durability: "fsync" | "everysec" | "memory" | "replicated:1";
  /** `replicated:1` runs on a Cluster of three masters with a replica each instead. */
  readonly cluster: boolean;
  /** The hop between gateway and service runs over mutual TLS. */
  readonly tls: boolean;
  /** Told after each fault. */
  readonly progress: (state: { seconds: number; kills: number; settled: number; misses: number }) => void;
};

export type CampaignReport = {
  readonly seed: number;
  readonly durability: string;
  readonly cluster: boolean;
  readonly tls: boolean;
  readonly seconds: number;
  readonly kills: number;
  readonly cutsPower: boolean;
  readonly faults: Record<string, number>;
  readonly sent: number;
  readonly notifications: Record<Entry["kind"], number>;
  readonly answers: Record<string, number>;
  readonly firstTry: number;
  readonly resolvedAfterU: number;
  readonly misses: Ledger["misses"];
};

/** What stands below the service, and what can happen to it. */
type Topology = {
  readonly redisUrl: string;
  /** A connection past everything that fails. */
  readonly admin: () => Promise<RedisClient>;
  readonly disk: Disk | undefined;
  readonly faults: (service: TestPart, gateway: TestPart, toService: FaultProxy) => Table;
  readonly stop: () => Promise<void>;
};
type Table = readonly (readonly [weight: number, strike: BoundFault])[];
type BoundFault = {
  readonly name: string;
  readonly kills: boolean;
  readonly strike: (ms: number, random: Random) => Promise<string>;
};

/** One Redis, its disk, and a proxy on the way to it. */
async function singleRedis(folder: string, durability: CampaignOptions["durability"]): Promise<Topology> {
  const redisDir = join(folder, "redis");
  const disk = buildDisk(join(folder, "disk"), redisDir);
  const appendfsync = durability === "memory" ? "no" : durability === "everysec" ? "everysec" : "always";
  const redis = await startTestRedis(redisDir, appendfsync, {
    env: disk?.env ?? {},
    more: ["--enable-debug-command", "local"],
  });
  const toRedis = await startFaultProxy({ path: redis.socket });
  let connection: RedisClient | undefined;
  const admin = async (): Promise<RedisClient> => {
    if (connection?.status !== "ready") connection = await redis.connect();
    return connection;
  };
  return {
    redisUrl: `redis://127.0.0.1:${toRedis.port}`,
    admin,
    disk,
    faults: (service, gateway, toService) =>
      faultTable(disk).map(([weight, { name, kills, strike }]) => {
        const target = { redis, service, gateway, hops: [toService, toRedis] as const, disk, admin };
        return [weight, { name, kills, strike: (ms: number, random: Random) => strike(target, ms, random) }] as const;
      }),
    async stop() {
      await redis.stop();
      await toRedis.close();
    },
  };
}

/** Three Redis under Sentinel, of which one at a time dies. */
async function redisUnderSentinel(folder: string): Promise<Topology> {
  const set = await startSentinelSet(folder);
  return {
    redisUrl: set.url,
    admin: set.admin,
    disk: undefined,
    faults: (service, gateway) => [
      [8, { name: "kill the master", kills: true, strike: (ms) => set.failOver(ms) }],
      [1, { name: "kill the service", kills: true, strike: kill(service) }],
      [1, { name: "kill the gateway", kills: true, strike: kill(gateway) }],
    ],
    stop: set.stop,
  };
}

const kill = (part: TestPart) => async () => {
  await part.kill();
  await part.start();
  return "killed";
};

/** Three masters with a replica each, of which one node at a time dies, and whose partitions move. */
async function redisCluster(folder: string): Promise<Topology> {
  // Long enough for a busy machine: a live node that is taken for dead would be a second fault.
  const cluster = await startTestCluster(folder, 2_500);
  let connection: RedisClient | undefined;
  const admin = async (): Promise<RedisClient> => {
    if (connection?.status !== "ready") connection = await cluster.connect();
    return connection;
  };
  const anyPartition = (random: Random): number => random.between(0, partitions - 1);
  async function killMaster(ms: number, random: Random): Promise<string> {
    const partition = anyPartition(random);
    const started = Date.now();
    const comeBack = await cluster.killMasterOf(partition);
    const tookMs = Date.now() - started;
    await pause(ms);
    await comeBack();
    // It knows the masters as they were.
    connection?.disconnect();
    connection = undefined;
    return `the master of partition ${partition}, its replica promoted in ${tookMs} ms`;
  }
  async function move(_ms: number, random: Random): Promise<string> {
    const partition = anyPartition(random);
    await cluster.movePartition(partition);
    return `partition ${partition}`;
  }
  return {
    redisUrl: cluster.url,
    admin,
    disk: undefined,
    faults: (service, gateway) => [
      [8, { name: "kill a master", kills: true, strike: killMaster }],
      [4, { name: "move a partition", kills: false, strike: move }],
      [1, { name: "kill the service", kills: true, strike: kill(service) }],
      [1, { name: "kill the gateway", kills: true, strike: kill(gateway) }],
    ],
    stop: cluster.stop,
  };
}

function topologyOf({ cluster, durability }: CampaignOptions, folder: string): Promise<Topology> {
  if (durability !== "replicated:1") return singleRedis(folder, durability);
  return cluster ? redisCluster(folder) : redisUnderSentinel(folder);
}

export async function runCampaign(options: CampaignOptions): Promise<CampaignReport> {
  const random = seeded(options.seed);
  const folder = temporaryFolder();
  writeClient(join(folder.path, "keys"));
  writeKeyring(join(folder.path, "keyring"));
  const topology = await topologyOf(options, folder.path);
  const hop = options.tls ? mutualTls(folder.path) : { scheme: "http", service: {}, gateway: {} };
  const common = { DATA_DIR: folder.path, LOG_LEVEL: "warn", DURABILITY_CHECK_MS: "100" };
  const service = await startTestPart(
    "service",
    {
      ...common,
      ...hop.service,
      REDIS_URL: topology.redisUrl,
      DURABILITY: options.durability,
      EVENTS_MAX_LEN: "100000000",
    },
    join(folder.path, "service.log"),
  );
  await untilServing(service);
  const toService = await startFaultProxy({ port: Number(new URL(service.url).port) });
  const gateway = await startTestPart(
    "gateway",
    { ...common, ...hop.gateway, TOKEN_SERVICE_URL: `${hop.scheme}://127.0.0.1:${toService.port}` },
    join(folder.path, "gateway.log"),
  );
  const ledger = createLedger(folder.path);

  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  const load = startLoad(ledger, options, () => gateway.url);
  const table = topology.faults(service, gateway, toService);
  const faults: Record<string, number> = {};
  let kills = 0;
  try {
    while (elapsed() < options.seconds && kills < options.kills) {
      const fault = random.pick(table);
      const ms = random.between(50, 900);
      const words = await fault.strike(ms, random);
      faults[fault.name] = (faults[fault.name] ?? 0) + 1;
      if (fault.kills) kills += 1;
      ledger.happened(`${fault.name}: ${words}`);
      await until("the service serves again", async () => isServing(service), 30_000);
      await pause(random.between(50, 250));
      const settled = await ledger.check(await topology.admin());
      options.progress({ seconds: elapsed(), kills, settled, misses: ledger.misses.length });
    }
    await load.settle();
    await ledger.checkAll(await topology.admin());
    await ledger.checkEvents(await topology.admin());
  } finally {
    load.end();
    await gateway.stop();
    await service.stop();
    await toService.close();
    await topology.stop();
    folder.remove();
  }
  const of = (kind: Entry["kind"]): Entry[] => ledger.entries.filter((entry) => entry.kind === kind);
  const counted = ledger.entries.filter(({ answers: [first] }) => first !== undefined);
  return {
    seed: options.seed,
    durability: options.durability,
    cluster: options.cluster,
    tls: options.tls,
    seconds: Math.round(elapsed()),
    kills,
    cutsPower: topology.disk !== undefined,
    faults,
    sent: load.sent(),
    notifications: {
      first: of("first").length,
      repeat: of("repeat").length,
      conflict: of("conflict").length,
      late: of("late").length,
    },
    answers: load.answers,
    firstTry: counted.filter(isRightAtFirst).length,
    resolvedAfterU: counted.filter(({ answers: [first], done }) => done && (first?.result.startsWith("U") ?? false))
      .length,
    misses: ledger.misses,
  };
}

/** Certificates for both sides of the hop, and what each has to be told of them. */
function mutualTls(folder: string) {
  const authority = createAuthority(folder, "authority");
  const [name, policyFile] = ["URI:spiffe://torture/gateway", join(folder, "policy", "policy.json")];
  mkdirSync(join(folder, "policy"));
  writeFileSync(policyFile, JSON.stringify({ callers: [{ san: name, rights: ["record"] }] }));
  const tlsFolder = (of: string, san: string) => writeTlsFolder(join(folder, of), authority.issue(san), authority.ca);
  return {
    scheme: "https",
    service: {
      TOKEN_SERVICE_TLS_DIR: tlsFolder("service-tls", "IP:127.0.0.1"),
      TOKEN_SERVICE_POLICY_FILE: policyFile,
    },
    gateway: { TOKEN_CLIENT_TLS_DIR: tlsFolder("gateway-tls", name) },
  };
}

const isServing = (service: { adminUrl: string }): Promise<boolean> =>
  fetch(`${service.adminUrl}/readyz`).then(
    (response) => response.ok,
    () => false,
  );
