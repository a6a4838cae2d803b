// Seals stored token data anew under the newest key of the ring, so that no token data opens with an older one. The older
// key's file stays: fingerprints made with it still recognise repeats, and cannot be made anew without their content.
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Cluster, type Redis } from "ioredis";
import { loadScript } from "../../../lib/script.js";
import { type StoredToken, StoredTokenSchema } from "../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { ownerOf } from "./cluster.js";
import { eventsKey, partitions } from "./keys.js";
import type { RedisClient } from "./redis.js";

const replaceScript = loadScript(new URL("replace.lua", import.meta.url), ["token"], ["expected", "replacement"]);

export type ResealReport = {
  /** Tokens that were looked at, sealed anew, and are still under an older key because they kept changing. */
  seen: number;
  resealed: number;
  left: number;
};

/** Tokens that one round takes. */
const batch = 100;
/** Times that a token which changes meanwhile is tried. */
const attempts = 5;

/**
 * Walks over all tokens. Safe to interrupt and to run again: what is under the newest key is passed over. `reseal` gives the
 * token with its data under that key, or undefined when it already is.
 */
export async function resealAll(
  redis: RedisClient,
  reseal: (token: StoredToken) => StoredToken | undefined,
  progress: (report: ResealReport) => void,
  signal: AbortSignal,
): Promise<ResealReport> {
  redis.defineCommand("replaceToken", replaceScript);
  const replaceToken = Reflect.get(redis, "replaceToken").bind(redis) as (
    key: string,
    expected: Buffer,
    replacement: Buffer,
  ) => Promise<unknown>;
  const report: ResealReport = { seen: 0, resealed: 0, left: 0 };

  async function one(key: string): Promise<void> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const value = await redis.getBuffer(key);
      if (value === null) return;
      const next = reseal(fromBinary(StoredTokenSchema, value));
      if (next === undefined) return;
      if ((await replaceToken(key, value, Buffer.from(toBinary(StoredTokenSchema, next)))) === 1) {
        report.resealed += 1;
        return;
      }
    }
    report.left += 1;
  }

  async function walk(node: Redis): Promise<void> {
    let cursor = "0";
    do {
      const [next, keys] = await node.scan(cursor, "MATCH", "token:*", "COUNT", batch);
      cursor = next;
      await Promise.all(keys.map(one));
      report.seen += keys.length;
      progress(report);
    } while (cursor !== "0" && !signal.aborted);
  }
  if (!(redis instanceof Cluster)) await walk(redis);
  // Keys of a slot that moves meanwhile may be passed over: then everything is looked at again.
  else
    for (let before = ""; before !== mastersOf(redis) && !signal.aborted; ) {
      before = mastersOf(redis);
      report.seen = 0;
      for (const node of redis.nodes("master")) await walk(node);
      await new Promise((resolve) => redis.refreshSlotsCache(resolve));
    }
  return report;
}

/** How many tokens there are, and some keys more. */
export async function sizeOf(redis: RedisClient): Promise<number> {
  const nodes = redis instanceof Cluster ? redis.nodes("master") : [redis];
  const sizes = await Promise.all(nodes.map((node) => node.dbsize()));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Which master has which partition. */
const mastersOf = (cluster: Cluster): string =>
  Array.from({ length: partitions }, (_, partition) => ownerOf(cluster, eventsKey(partition))).join();
