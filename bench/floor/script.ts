// Third part of the floor: one script call on Redis, its caller's client included, many at once.
import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { loadScript } from "../../lib/script.js";
import type { Measured, ScriptTask } from "../generator/tasks.js";
import { cpuUsOfParts } from "../processes.js";
import { percentile } from "../statistics.js";

const script = loadScript(
  new URL("floor.lua", import.meta.url),
  ["token", "events"],
  ["expected", "replacement", "event", "events_max_len"],
);

type Call = (token: string, events: string, ...args: (string | Buffer)[]) => Promise<unknown>;

/** A state and an event of usual sizes. */
const state = randomBytes(400);
const event = randomBytes(160);

export async function measureScript(task: ScriptTask): Promise<Measured> {
  const redis = new Redis({ path: task.socket, maxRetriesPerRequest: 0, retryStrategy: () => null });
  redis.defineCommand("floor", script);
  const call = Reflect.get(redis, "floorBuffer").bind(redis) as Call;
  const parts = { ...task.parts, caller: [process.pid] };
  const times: number[] = [];
  const opensAt = performance.now() + task.warmMs;
  let before: Record<string, number> | undefined;
  let startedAt = 0;
  let next = 0;
  let running = true;
  const work = async (): Promise<void> => {
    while (running) {
      const sentAt = performance.now();
      const index = next++;
      await call(`token:{${index % 16}}:${index}`, `events:{${index % 16}}`, "", state, event, "100000");
      const now = performance.now();
      if (before !== undefined) times.push(now - sentAt);
      else if (now >= opensAt) {
        before = cpuUsOfParts(parts);
        startedAt = performance.now();
      }
      if (before !== undefined && now >= startedAt + task.windowMs) running = false;
    }
  };
  await Promise.all(Array.from({ length: task.atOnce }, work));
  const seconds = (performance.now() - startedAt) / 1000;
  const after = cpuUsOfParts(parts);
  redis.disconnect();
  const ascending = Float64Array.from(times).sort();
  return {
    answers: times.length,
    seconds,
    p50Ms: percentile(ascending, 0.5),
    p99Ms: percentile(ascending, 0.99),
    p999Ms: percentile(ascending, 0.999),
    maxMs: ascending.at(-1) ?? Number.NaN,
    cpuUsByPart: Object.fromEntries(Object.entries(after).map(([name, us]) => [name, us - (before?.[name] ?? 0)])),
    generatorCpuUs: 0,
  };
}
