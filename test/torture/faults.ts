// What can go wrong, as a table: how likely each fault is, how it is done, and how it is undone.
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import type { Random } from "../../tools/random.js";
import type { TestPart, TestRedis } from "../support/processes.js";
import type { Disk } from "./disk.js";
import type { FaultProxy } from "./proxy.js";

export type Target = {
  readonly redis: TestRedis;
  readonly service: TestPart;
  readonly gateway: TestPart;
  /** Between gateway and service, and between service and Redis. */
  readonly hops: readonly [FaultProxy, FaultProxy];
  readonly disk: Disk | undefined;
  /** A connection past the proxies. */
  readonly admin: () => Promise<RedisClient>;
};

export type Fault = {
  readonly name: string;
  /** True when it kills a process. */
  readonly kills: boolean;
  /** Does it, holds it for `ms`, and undoes it; resolves with words for the timeline. */
  readonly strike: (target: Target, ms: number, random: Random) => Promise<string>;
};

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function killRedis(target: Target, random: Random, losesPower: boolean): Promise<string> {
  await target.redis.kill();
  const lost = losesPower && target.disk ? target.disk.losePower() : 0;
  await pause(random.between(0, 60));
  await target.redis.start();
  return losesPower ? `lost power and ${lost} bytes` : "killed";
}

async function freeze(part: { pid: () => number }, ms: number): Promise<string> {
  const pid = part.pid();
  process.kill(pid, "SIGSTOP");
  await pause(ms);
  process.kill(pid, "SIGCONT");
  return `frozen for ${ms} ms`;
}

/** A disk that fails ends Redis at appendfsync always; if it lives on, it is killed. */
async function failDisk(target: Target, what: "fail-fsync" | "fail-write", ms: number): Promise<string> {
  target.disk?.fail(what);
  await pause(ms);
  await target.redis.kill();
  const lost = target.disk?.losePower() ?? 0;
  target.disk?.heal();
  await target.redis.start();
  return `${what}, then lost ${lost} bytes`;
}

async function withAdmin(target: Target, use: (redis: RedisClient) => Promise<unknown>): Promise<void> {
  const redis = await target.admin();
  await use(redis).catch(() => undefined);
}

const overHops = (name: string, act: (hop: FaultProxy, random: Random) => string): Fault => ({
  name,
  kills: false,
  async strike({ hops }, ms, random) {
    const hop = hops[random.between(0, 1)] as FaultProxy;
    const what = act(hop, random);
    await pause(ms);
    hop.heal();
    return `${what} on the hop to ${hop === hops[0] ? "the service" : "Redis"} for ${ms} ms`;
  },
});

/** Faults for one Redis, with their weights. Without a disk to cut, its faults are left out. */
export function faultTable(disk: Disk | undefined): (readonly [weight: number, fault: Fault])[] {
  const faults: (readonly [number, Fault])[] = [
    [14, { name: "kill Redis", kills: true, strike: (target, _ms, random) => killRedis(target, random, false) }],
    [
      10,
      {
        name: "kill the service",
        kills: true,
        async strike({ service }) {
          await service.kill();
          await service.start();
          return "killed";
        },
      },
    ],
    [
      8,
      {
        name: "kill the gateway",
        kills: true,
        async strike({ gateway }) {
          await gateway.kill();
          await gateway.start();
          return "killed";
        },
      },
    ],
    [2, { name: "freeze Redis", kills: false, strike: ({ redis }, ms) => freeze(redis, ms) }],
    [2, { name: "freeze the service", kills: false, strike: ({ service }, ms) => freeze(service, ms) }],
    [1, { name: "freeze the gateway", kills: false, strike: ({ gateway }, ms) => freeze(gateway, ms) }],
    [
      2,
      {
        name: "restart the service",
        kills: false,
        async strike({ service }) {
          await service.stop();
          await service.start();
          return "stopped and started";
        },
      },
    ],
    [
      2,
      overHops("reset connections", (hop) => {
        hop.reset();
        return "reset";
      }),
    ],
    [
      2,
      overHops("slow hop", (hop, random) => {
        const [latency, jitter] = [random.between(1, 200), random.between(0, 100)];
        hop.slow(latency, jitter);
        return `${latency} ms late, give or take ${jitter}`;
      }),
    ],
    [
      2,
      overHops("black hole", (hop) => {
        hop.silence("up", "down");
        return "silent";
      }),
    ],
    [
      1,
      overHops("requests vanish", (hop) => {
        hop.silence("up");
        return "requests vanish";
      }),
    ],
    [
      2,
      overHops("answers vanish", (hop) => {
        hop.silence("down");
        return "answers vanish";
      }),
    ],
    [
      2,
      overHops("cut in the middle of a frame", (hop, random) => {
        const bytes = random.between(1, 2_000);
        hop.cutAfter(bytes);
        return `cut after ${bytes} bytes`;
      }),
    ],
    [
      1,
      {
        name: "slow Redis",
        kills: false,
        async strike(target, ms) {
          await withAdmin(target, (redis) => redis.call("DEBUG", "SLEEP", String(ms / 1000)));
          return `asleep for ${ms} ms`;
        },
      },
    ],
    [
      1,
      {
        name: "Redis out of memory",
        kills: false,
        async strike(target, ms) {
          await withAdmin(target, (redis) => redis.config("SET", "maxmemory", "1mb"));
          await pause(ms);
          await withAdmin(target, (redis) => redis.config("SET", "maxmemory", "0"));
          return `no memory for ${ms} ms`;
        },
      },
    ],
    [
      1,
      {
        name: "Redis read-only",
        kills: false,
        async strike(target, ms) {
          // A master that nobody is: the data stays, writes are refused.
          await withAdmin(target, (redis) => redis.replicaof("127.0.0.1", 1));
          await pause(ms);
          await withAdmin(target, (redis) => redis.replicaof("NO", "ONE"));
          return `a replica for ${ms} ms`;
        },
      },
    ],
    [
      1,
      {
        name: "weaker fsync",
        kills: false,
        async strike(target, ms) {
          await withAdmin(target, (redis) => redis.config("SET", "no-appendfsync-on-rewrite", "yes"));
          await pause(ms);
          await withAdmin(target, (redis) => redis.config("SET", "no-appendfsync-on-rewrite", "no"));
          return `a weaker setting for ${ms} ms`;
        },
      },
    ],
    [
      1,
      {
        name: "rewrite the AOF",
        kills: false,
        async strike(target, ms) {
          await withAdmin(target, (redis) => redis.bgrewriteaof());
          await pause(ms);
          return "rewritten";
        },
      },
    ],
  ];
  if (disk === undefined) return faults;
  return [
    ...faults,
    [22, { name: "cut Redis's power", kills: true, strike: (target, _ms, random) => killRedis(target, random, true) }],
    [2, { name: "fsync fails", kills: true, strike: (target, ms) => failDisk(target, "fail-fsync", ms) }],
    [2, { name: "the disk is full", kills: true, strike: (target, ms) => failDisk(target, "fail-write", ms) }],
  ];
}
