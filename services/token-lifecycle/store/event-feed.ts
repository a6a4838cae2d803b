// The event streams as watchers see them: one reader at the head for all, and each watcher at its own pace behind it.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Cluster, type Redis } from "ioredis";
import { type EventCursor, EventCursorSchema } from "../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { ErrorReason } from "../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import { type TokenEvent, TokenEventSchema, TokenEventType } from "../../../proto/gen/mpp/token/v1/token_pb.js";
import { laneOf } from "./cluster.js";
import { eventsKey, partitions } from "./keys.js";
import type { RedisClient } from "./redis.js";

/** The ID of a stream entry, comparable. */
type Position = { readonly ms: bigint; readonly seq: bigint };
type Entry = { readonly position: Position; readonly event: TokenEvent };

export type WatchStart =
  | { readonly at: "now" }
  | { readonly at: "beginning" }
  | { readonly at: "cursor"; readonly cursor: string };

/** An event, or a sign that there was none for a while; with the cursor that goes on behind it. */
export type FeedItem = { readonly event: TokenEvent | undefined; readonly cursor: string };

export class FeedError extends Error {
  constructor(
    readonly reason:
      | ErrorReason.CURSOR_INVALID
      | ErrorReason.CURSOR_EXPIRED
      | ErrorReason.CONSUMER_TOO_SLOW
      | ErrorReason.STOPPING,
    message: string,
    /** Where to go on, where that makes sense. */
    readonly cursor?: string,
  ) {
    super(message);
  }
}

export type EventFeed = {
  /** Events behind the start, each at least once, those of a token in order. Ends when `signal` aborts. */
  readonly watch: (
    start: WatchStart,
    wants: (event: TokenEvent) => boolean,
    signal: AbortSignal,
  ) => AsyncGenerator<FeedItem>;
  /** How many watchers there are. */
  readonly watchers: () => number;
  /** Ends every watch with STOPPING. */
  readonly stop: () => void;
};

export type FeedOptions = {
  readonly heartbeatMs: number;
  /** How long a watcher may take for one event before it is too slow. */
  readonly stallMs: number;
  /** How long one read at the head waits for entries. Well below the client's own time limit, or reads pile up. */
  readonly blockMs: number;
  /** Entries that each partition keeps in memory for watchers near the head. */
  readonly recent: number;
};

/** Entries that one read takes from one partition. */
const readCount = 200;
const zero: Position = { ms: 0n, seq: 0n };

/** A connection that waits for new entries of these partitions, and so blocks. */
export type EventHead = {
  readonly partitions: readonly number[];
  readonly ask: <T>(question: (redis: Redis) => Promise<T>) => Promise<T>;
};

/** One for all partitions; in Cluster one for each, since a command that reads several must find them in one slot. */
export function headsOf(redis: RedisClient): EventHead[] {
  if (redis instanceof Cluster)
    return partitionNumbers.map((partition) => {
      const lane = laneOf(redis, { single: true });
      return {
        partitions: [partition],
        ask: (question) =>
          lane.ask(eventsKey(partition), (node, _address, asking) => {
            if (asking) node.asking().catch(() => {});
            return question(node);
          }),
      };
    });
  const ask: EventHead["ask"] = async (question) => {
    if (redis.status !== "ready") throw new Error("not connected");
    return question(redis);
  };
  return [{ partitions: partitionNumbers, ask }];
}

/** `heads` block, so each has a connection of its own; `reader` serves watchers behind. */
export function createEventFeed(heads: readonly EventHead[], reader: RedisClient, options: FeedOptions): EventFeed {
  // Entries near the head, oldest first, and how far the head has come, for each partition.
  const recent: Entry[][] = Array.from({ length: partitions }, () => []);
  const reached: Position[] = Array.from({ length: partitions }, () => zero);
  // Position before the oldest entry of `recent`: entries behind it are all in memory.
  const coveredFrom: (Position | undefined)[] = Array.from({ length: partitions }, () => undefined);
  const waiting = new Set<() => void>();
  let watcherCount = 0;
  let stopped = false;

  // Counts what the head brought, so that a watcher does not sleep over news that came while it was looking elsewhere.
  let news = 0;

  const wakeAll = (): void => {
    news += 1;
    for (const wake of [...waiting]) wake();
  };

  // Heads that nobody needs now. Following costs a read and a decoding for every event, and memory for the latest ones.
  const resting = new Set<() => void>();
  const rest = (): Promise<void> => new Promise((resolve) => resting.add(resolve));
  const wakeHeads = (): void => {
    for (const wake of resting) wake();
    resting.clear();
  };

  function forgetAll(partition: number): void {
    recent[partition] = [];
    reached[partition] = zero;
    coveredFrom[partition] = undefined;
  }

  async function follow(head: EventHead): Promise<void> {
    while (!stopped) {
      if (watcherCount === 0) {
        head.partitions.forEach(forgetAll);
        await rest();
        continue;
      }
      try {
        let isNew = false;
        for (const partition of head.partitions)
          if (coveredFrom[partition] === undefined) {
            const last = await head.ask((redis) => lastPosition(redis, partition));
            coveredFrom[partition] = last;
            reached[partition] = last;
            isNew = true;
          }
        // A watcher may have gone to sleep before this place.
        if (isNew) wakeAll();
        await readHead(head);
      } catch {
        await pause(100);
      }
    }
  }

  async function readHead({ partitions, ask }: EventHead): Promise<void> {
    const ids = partitions.map((partition) => textOf(reached[partition] ?? zero));
    const streams = [...partitions.map(eventsKey), ...ids];
    const replies = await ask((redis) =>
      redis.xreadBuffer("COUNT", 1_000, "BLOCK", options.blockMs, "STREAMS", ...streams),
    );
    for (const [key, entries] of (replies ?? []) as [Buffer, RawEntry[]][]) {
      const partition = partitions.find((each) => eventsKey(each) === key.toString());
      if (partition === undefined) continue;
      const kept = recent[partition] ?? [];
      for (const raw of entries) {
        const entry = entryOf(raw);
        reached[partition] = positionOf(raw[0].toString());
        if (!entry) continue;
        if (entry.event.type === TokenEventType.ERASED) forget(kept, entry.event);
        kept.push(entry);
      }
      for (const dropped of kept.splice(0, kept.length - options.recent)) coveredFrom[partition] = dropped.position;
    }
    if (replies) wakeAll();
  }
  for (const head of heads) void follow(head);

  /** The next entries of a partition behind a position, from memory where that has them. */
  async function nextEntries(
    partition: number,
    behind: Position,
    isStart: boolean,
  ): Promise<{ entries: Entry[]; upTo: Position }> {
    const covered = coveredFrom[partition];
    const end = reached[partition] ?? zero;
    if (covered !== undefined && compare(behind, covered) >= 0) {
      const kept = recent[partition] ?? [];
      // Most watchers are near the head, so the search starts there.
      const known = kept.findLastIndex(({ position }) => compare(position, behind) <= 0);
      const entries = kept.slice(known + 1, known + 1 + readCount);
      return { entries, upTo: entries.at(-1)?.position ?? max(behind, end) };
    }
    // In this order: what is trimmed after the entries were read shows in what is asked about the stream next.
    const [raws, info] = await Promise.all([
      reader.xrangeBuffer(eventsKey(partition), `(${textOf(behind)}`, "+", "COUNT", readCount) as Promise<RawEntry[]>,
      streamInfo(reader, partition),
    ]);
    // Trimming takes from the oldest end, so nothing is missing behind a position that is still kept or newer.
    if (!isStart && !info.isWhole && compare(behind, info.start) < 0)
      throw new FeedError(ErrorReason.CURSOR_EXPIRED, "events after the cursor are no longer kept");
    const last = raws.at(-1);
    return {
      entries: raws.flatMap((raw) => entryOf(raw) ?? []),
      upTo: last ? positionOf(last[0].toString()) : max(behind, end),
    };
  }

  async function* watch(
    start: WatchStart,
    wants: (event: TokenEvent) => boolean,
    signal: AbortSignal,
  ): AsyncGenerator<FeedItem> {
    const { positions, isStart } = await startPositions(start);
    const cursor = (): string => cursorText(positions);
    const expired = (error: unknown): unknown =>
      error instanceof FeedError && error.reason === ErrorReason.CURSOR_EXPIRED
        ? new FeedError(
            error.reason,
            error.message,
            cursorText(
              partitionNumbers.map(() => zero),
              true,
            ),
          )
        : error;
    watcherCount += 1;
    wakeHeads();
    // Begins with a sign of life, unless there is an event: a break before the first event must not cost the cursor.
    let quietSince = 0;
    try {
      while (!signal.aborted) {
        if (stopped) throw new FeedError(ErrorReason.STOPPING, "the service is stopping", cursor());
        let moved = false;
        const newsSeen = news;
        for (const partition of partitionNumbers) {
          const behind = positions[partition] ?? zero;
          if (coveredFrom[partition] !== undefined && compare(behind, reached[partition] ?? zero) >= 0) continue;
          const { entries, upTo } = await nextEntries(partition, behind, isStart[partition] ?? false);
          moved ||= compare(upTo, behind) > 0;
          for (const { position, event } of entries) {
            positions[partition] = position;
            isStart[partition] = false;
            if (!wants(event)) continue;
            const offered = Date.now();
            yield { event, cursor: cursor() };
            quietSince = Date.now();
            if (stopped) throw new FeedError(ErrorReason.STOPPING, "the service is stopping", cursor());
            if (quietSince - offered > options.stallMs)
              throw new FeedError(ErrorReason.CONSUMER_TOO_SLOW, "events were taken too slowly", cursor());
            if (signal.aborted) return;
          }
          if (compare(upTo, behind) > 0) {
            positions[partition] = upTo;
            isStart[partition] = false;
          }
        }
        const left = quietSince + options.heartbeatMs - Date.now();
        if (left <= 0) {
          yield { event: undefined, cursor: cursor() };
          quietSince = Date.now();
        } else if (!moved && newsSeen === news) await sleepUntilNews(left, signal);
      }
    } catch (error) {
      throw expired(error);
    } finally {
      watcherCount -= 1;
    }
  }

  function sleepUntilNews(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      waiting.add(wake);
      signal.addEventListener("abort", wake);
      if (stopped || signal.aborted) wake();
    });
  }

  /** Where each partition starts, and whether that is a start: then nothing can be missing before the first entry. */
  async function startPositions(start: WatchStart): Promise<{ positions: Position[]; isStart: boolean[] }> {
    const all = (value: boolean): boolean[] => partitionNumbers.map(() => value);
    const infos = () => Promise.all(partitionNumbers.map((each) => streamInfo(reader, each)));
    // Real positions, not zeros: the cursors of this watch must hold although older entries are gone already.
    const beginning = async () => ({ positions: (await infos()).map((info) => info.start), isStart: all(true) });
    switch (start.at) {
      case "now":
        return { positions: (await infos()).map(({ last }) => last), isStart: all(true) };
      case "beginning":
        return beginning();
      case "cursor": {
        const { positions, fromBeginning } = parseCursor(start.cursor);
        return fromBeginning ? beginning() : { positions, isStart: all(false) };
      }
    }
  }

  return {
    watch,
    watchers: () => watcherCount,
    stop() {
      stopped = true;
      wakeAll();
      wakeHeads();
    },
  };
}

/** An erasure takes the token's earlier events from Redis; they must not live on in memory. */
function forget(kept: Entry[], { tokenReferenceId, version }: TokenEvent): void {
  const left = kept.filter(({ event }) => event.tokenReferenceId !== tokenReferenceId || event.version >= version);
  kept.splice(0, kept.length, ...left);
}

/** Drops events older than an instant, roughly: whole nodes of the stream at a time, so it never stalls Redis. */
export async function trimEvents(redis: RedisClient, beforeMs: number): Promise<void> {
  for (const partition of partitionNumbers) await redis.xtrim(eventsKey(partition), "MINID", "~", `${beforeMs}-0`);
}

const partitionNumbers = Array.from({ length: partitions }, (_, partition) => partition);

type RawEntry = [id: Buffer, fields: Buffer[]];

/** Undefined for an entry that is no event of ours. */
function entryOf([id, fields]: RawEntry): Entry | undefined {
  const [, bytes] = fields;
  return bytes && { position: positionOf(id.toString()), event: fromBinary(TokenEventSchema, bytes) };
}

function positionOf(text: string): Position {
  const [ms = "0", seq = "0"] = text.split("-");
  return { ms: BigInt(ms), seq: BigInt(seq) };
}

const textOf = ({ ms, seq }: Position): string => `${ms}-${seq}`;
const max = (a: Position, b: Position): Position => (compare(a, b) >= 0 ? a : b);

function compare(a: Position, b: Position): number {
  if (a.ms !== b.ms) return a.ms < b.ms ? -1 : 1;
  return a.seq === b.seq ? 0 : a.seq < b.seq ? -1 : 1;
}

async function lastPosition(redis: RedisClient, partition: number): Promise<Position> {
  return (await streamInfo(redis, partition)).last;
}

type StreamInfo = {
  /** Just before the oldest entry that is kept; the last ID when none is. */
  readonly start: Position;
  readonly last: Position;
  /** Nothing was ever taken from the stream. */
  readonly isWhole: boolean;
};

async function streamInfo(redis: RedisClient, partition: number): Promise<StreamInfo> {
  const reply = (await redis.xinfo("STREAM", eventsKey(partition)).catch((error: Error) => {
    if (error.message.includes("no such key")) return [];
    throw error;
  })) as unknown[];
  const facts = new Map<string, unknown>();
  for (let i = 0; i + 1 < reply.length; i += 2) facts.set(String(reply[i]), reply[i + 1]);
  const first = facts.get("first-entry");
  const last = positionOf(String(facts.get("last-generated-id") ?? "0-0"));
  return {
    start: Array.isArray(first) ? before(positionOf(String(first[0]))) : last,
    last,
    // Redis tells the highest ID of XDEL but not of trimming, so its counters must do. Redis 6 has none of this: then
    // whatever is gone may have been news.
    isWhole: facts.has("entries-added") && facts.get("entries-added") === facts.get("length"),
  };
}

const maxSeq = 2n ** 64n - 1n;
const before = ({ ms, seq }: Position): Position => (seq > 0n ? { ms, seq: seq - 1n } : { ms: ms - 1n, seq: maxSeq });

function cursorText(positions: readonly Position[], fromBeginning = false): string {
  const message = create(EventCursorSchema, {
    positions: positions.map(({ ms, seq }) => ({ ms, seq })),
    fromBeginning,
  });
  return Buffer.from(toBinary(EventCursorSchema, message)).toString("base64url");
}

function parseCursor(text: string): { positions: Position[]; fromBeginning: boolean } {
  let cursor: EventCursor;
  try {
    cursor = fromBinary(EventCursorSchema, Buffer.from(text, "base64url"));
  } catch {
    throw new FeedError(ErrorReason.CURSOR_INVALID, "this is no cursor of this service");
  }
  if (cursor.positions.length !== partitions || cursor.$unknown !== undefined)
    throw new FeedError(ErrorReason.CURSOR_INVALID, "this is no cursor of this service");
  return {
    positions: cursor.positions.map(({ ms, seq }) => ({ ms, seq })),
    fromBeginning: cursor.fromBeginning,
  };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
