// What was sent and what was answered, and whether Redis holds exactly that.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { StoredTokenSchema } from "../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { TokenEventSchema } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { eventsKey, partitions, tokenKey } from "../../services/token-lifecycle/store/keys.js";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { secretsIn } from "../../services/token-lifecycle/vault/key-source.js";
import { keyringOf } from "../../services/token-lifecycle/vault/keyring.js";
import { open } from "../../services/token-lifecycle/vault/seal.js";

/** One notification: what it says, how often it was sent, and what came back. */
export type Entry = {
  readonly reference: string;
  readonly kind: "first" | "repeat" | "conflict" | "late";
  readonly body: Record<string, unknown>;
  readonly answers: { readonly atMs: number; readonly result: string }[];
  done: boolean;
};

/** What must settle a notification, sooner or later. */
const rightResult = ({ kind }: Pick<Entry, "kind">): string => (kind === "conflict" ? "F PROCESS_FAIL" : "S SUCCESS");

/** Whether its first answer was final and the right one. */
export const isRightAtFirst = (entry: Entry): boolean => entry.answers[0]?.result === rightResult(entry);

export type Miss = { readonly what: string; readonly reference: string; readonly timeline: string[] };

export type Ledger = {
  readonly entries: readonly Entry[];
  readonly misses: readonly Miss[];
  readonly add: (entry: Omit<Entry, "answers" | "done">) => Entry;
  /** Notes an answer ("S SUCCESS", "F ...", "U ...", "none"); says whether the notification is settled. */
  readonly answer: (entry: Entry, result: string) => boolean;
  /** Notes something that happened to everyone. */
  readonly happened: (what: string) => void;
  readonly miss: (what: string, reference: string) => void;
  /** Compares the settled entries that were not checked yet with Redis. */
  readonly check: (redis: RedisClient) => Promise<number>;
  /** The same with all that are settled: what was there once may be lost later. */
  readonly checkAll: (redis: RedisClient) => Promise<void>;
  /** Compares every event in Redis with every settled entry. */
  readonly checkEvents: (redis: RedisClient) => Promise<void>;
};

export function createLedger(folder: string): Ledger {
  const started = Date.now();
  const entries: Entry[] = [];
  const misses: Miss[] = [];
  const happenings: { atMs: number; what: string }[] = [];
  const keyring = keyringOf(secretsIn(join(folder, "keyring")));
  let checked = 0;
  const pending: Entry[] = [];

  function timelineOf(reference: string): string[] {
    const own = entries
      .filter((entry) => entry.reference === reference)
      .flatMap((entry) => entry.answers.map(({ atMs, result }) => ({ atMs, what: `${entry.kind}: ${result}` })));
    const [from, to] = [Math.min(...own.map(({ atMs }) => atMs)), Math.max(...own.map(({ atMs }) => atMs))];
    const around = happenings.filter(({ atMs }) => atMs >= from - 5_000 && atMs <= to + 5_000);
    return [...own, ...around].sort((a, b) => a.atMs - b.atMs).map(({ atMs, what }) => `${atMs} ms  ${what}`);
  }

  function miss(what: string, reference: string): void {
    misses.push({ what, reference, timeline: timelineOf(reference) });
  }

  async function checkOne(entry: Entry, redis: RedisClient): Promise<void> {
    const value = await redis.getBuffer(tokenKey(entry.reference));
    if (value === null) return miss("an answered SUCCESS is not in Redis", entry.reference);
    const stored = fromBinary(StoredTokenSchema, value);
    if (entry.kind !== "first") return;
    const data = stored.tokenData && open(stored.tokenData, entry.reference, keyring);
    const said = entry.body.tokenData as { token: string };
    if (stored.activation?.customerId !== entry.body.customerId || data?.token !== said.token)
      miss("Redis holds other content than was answered with SUCCESS", entry.reference);
  }

  async function checkEach(due: readonly Entry[], redis: RedisClient): Promise<void> {
    for (let i = 0; i < due.length; i += 200)
      await Promise.all(due.slice(i, i + 200).map((entry) => checkOne(entry, redis)));
  }

  return {
    entries,
    misses,
    miss,
    add(entry) {
      const added: Entry = { ...entry, answers: [], done: false };
      entries.push(added);
      return added;
    },
    answer(entry, result) {
      entry.answers.push({ atMs: Date.now() - started, result });
      if (result === rightResult(entry)) entry.done = true;
      else if (result.startsWith("F") || result.startsWith("S")) {
        miss(`${entry.kind} was answered ${result}`, entry.reference);
        entry.done = true;
      } else if (!result.startsWith("U") && result !== "none") {
        miss(`an answer that is none: ${result}`, entry.reference);
      }
      if (entry.done) pending.push(entry);
      return entry.done;
    },
    happened: (what) => void happenings.push({ atMs: Date.now() - started, what }),
    async check(redis) {
      const due = pending.splice(0);
      await checkEach(due, redis);
      checked += due.length;
      return checked;
    },
    checkAll: (redis) =>
      checkEach(
        entries.filter(({ done }) => done),
        redis,
      ),
    async checkEvents(redis) {
      const counts = new Map<string, number>();
      for (let partition = 0; partition < partitions; partition++) {
        let from = "-";
        for (;;) {
          const page = (await redis.xrangeBuffer(eventsKey(partition), from, "+", "COUNT", 2_000)) as [
            Buffer,
            Buffer[],
          ][];
          for (const [, fields] of page) {
            const event = fields[1] && fromBinary(TokenEventSchema, fields[1]);
            if (event) counts.set(event.tokenReferenceId, (counts.get(event.tokenReferenceId) ?? 0) + 1);
          }
          const last = page.at(-1)?.[0];
          if (last === undefined || page.length < 2_000) break;
          from = `(${last.toString()}`;
        }
      }
      const wanted = new Map<string, number>();
      for (const { reference, kind, done } of entries)
        if (done && (kind === "first" || kind === "late")) wanted.set(reference, (wanted.get(reference) ?? 0) + 1);
      for (const [reference, count] of wanted)
        if (counts.get(reference) !== count)
          miss(`${counts.get(reference) ?? 0} events where ${count} must be`, reference);
    },
  };
}

/** What a file holds, for a report. */
export const logTail = (file: string, lines: number): string =>
  readFileSync(file, "utf8").trim().split("\n").slice(-lines).join("\n");
