// Keeps tokens in Redis: reads, decides and swaps until the decision was made on the very value it replaced.
import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { decoderOf } from "../../../lib/protobuf/decoder.js";
import { encoderOf } from "../../../lib/protobuf/encoder.js";
import { loadScript } from "../../../lib/script.js";
import { StoredTokenSchema } from "../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { TokenEventSchema, TokenEventType } from "../../../proto/gen/mpp/token/v1/token_pb.js";
import { StoreError, type TokenStore } from "../core/ports.js";
import type { Current, Decision } from "../core/token.js";
import { deliveryNotes } from "./delivery-notes.js";
import type { Durability, DurabilityWatch } from "./durability.js";
import { gatheredScript } from "./gathered-script.js";
import { customerKey, deactivatedKey, deliveriesKey, eventsKey, partitionOf, sameSlotOf, tokenKey } from "./keys.js";
import { recentTokens } from "./recent-tokens.js";
import type { RedisClient } from "./redis.js";
import { answered, type Replicas, replicasOf, type Trace } from "./replicas.js";
import { type Swapped, swapperOf } from "./swapper.js";

const readScript = loadScript(new URL("read.lua", import.meta.url), ["token"], []);
const indexScript = loadScript(new URL("index.lua", import.meta.url), ["customer"], ["token_reference_id"]);

export type StoreOptions = {
  readonly durability: Durability;
  /** How long to wait for replicas, in milliseconds. */
  readonly replicaTimeoutMs: number;
  /** Length to which each partition's event stream is trimmed, roughly. */
  readonly eventsMaxLen: number;
  /** Round trips that a decision may take while others change the same token. */
  readonly attempts: number;
  /** Hears how long each wait for Redis took that a decision needs. */
  readonly onWait?: (seconds: number, operation: "read" | "swap" | "wait") => void;
  /** Hears of each command that was sent for decisions; swaps of one round go out as one. */
  readonly onRoundTrip?: (operation: "read" | "swap" | "wait") => void;
};

/** Tokens that an instance remembers, at 4 bytes each. */
const recentLimit = 2 ** 20;

const nothing = Buffer.alloc(0);
const decodeToken = decoderOf(StoredTokenSchema);

export function redisTokenStore(redis: RedisClient, watch: DurabilityWatch, options: StoreOptions): TokenStore {
  const allReplicas = replicasOf(redis, watch, {
    replicas: options.durability.replicas,
    timeoutMs: options.replicaTimeoutMs,
  });
  const swapToken = swapperOf(redis, options.eventsMaxLen, () => options.onRoundTrip?.("swap"));
  const readGathered = gatheredScript(
    redis,
    "readTokens",
    readScript,
    ({ keys }) => sameSlotOf(keys[0] ?? ""),
    () => options.onRoundTrip?.("read"),
  );
  const recent = recentTokens(recentLimit);
  const list = gatheredScript(redis, "listTokens", indexScript, ({ keys }) => keys[0] ?? "");
  const deliveries = deliveryNotes(redis);
  const encodeToken = encoderOf(StoredTokenSchema);
  const encodeEvent = encoderOf(TokenEventSchema);

  function timed<T>(operation: "read" | "swap" | "wait", reply: Promise<T>): Promise<T> {
    const { onWait } = options;
    if (onWait === undefined) return answered(reply);
    const beganAt = performance.now();
    const tell = (): void => onWait((performance.now() - beganAt) / 1000, operation);
    return answered(reply, tell);
  }

  const replicas: Replicas =
    options.durability.replicas === 0
      ? allReplicas
      : {
          have(...traces) {
            options.onRoundTrip?.("wait");
            return timed("wait", allReplicas.have(...traces));
          },
        };

  async function read(tokenReferenceId: string): Promise<Buffer> {
    options.onRoundTrip?.("read");
    return (await timed("read", redis.getBuffer(tokenKey(tokenReferenceId)))) ?? nothing;
  }

  /** With whatever else is read in this round of the event loop; and lists the token on the way, as a lost bet would. */
  async function readWithOthers(tokenReferenceId: string, customerId: string | undefined): Promise<Buffer> {
    const reply = readGathered({ keys: [tokenKey(tokenReferenceId)], args: [] });
    const entries = customerId ? [list({ keys: [customerKey(customerId)], args: [tokenReferenceId] })] : [];
    const [value] = await timed("read", Promise.all([reply, ...entries]));
    if (value === null) return nothing;
    if (!Buffer.isBuffer(value)) throw new Error("read.lua answered something else");
    return value;
  }

  async function swap(tokenReferenceId: string, expected: Buffer, change: Change): Promise<Swapped> {
    const { next, event } = change;
    const customerId = next.activation?.customerId;
    const swapped = swapToken({
      tokenReferenceId,
      expected,
      replacement: encodeToken(next),
      event: encodeEvent(event),
    });
    // These go out with the swap, so they cost no round trip. An entry of a swap that fails does no harm: readers ask
    // the token.
    const entries: Promise<unknown>[] = [];
    if (customerId !== undefined) entries.push(list({ keys: [customerKey(customerId)], args: [tokenReferenceId] }));
    if (event.type === TokenEventType.DEACTIVATED && next.updateTime)
      entries.push(redis.zadd(deactivatedKey, timestampMs(next.updateTime), tokenReferenceId));
    const [result] = await timed("swap", Promise.all([swapped, ...entries]));
    return result;
  }

  async function unindex(tokenReferenceId: string, customerIds: readonly string[]): Promise<void> {
    await answered(Promise.all(customerIds.map((id) => redis.zrem(customerKey(id), tokenReferenceId))));
  }

  /** A swap that failed has listed the token under a customer who may not be its own, and whom no erasure would find. */
  async function unindexOthers(tokenReferenceId: string, token: Current, listed: ReadonlySet<string>): Promise<void> {
    const others = [...listed].filter((id) => !token?.indexedCustomerIds.includes(id));
    if (others.length === 0) return;
    await unindex(tokenReferenceId, others);
    // One of them may have become its own in between.
    const present = currentOf(await read(tokenReferenceId), tokenReferenceId);
    const own = others.filter((id) => present?.indexedCustomerIds.includes(id));
    await answered(Promise.all(own.map((id) => redis.zadd(customerKey(id), 0, tokenReferenceId))));
  }

  function mustBeDurable(tokenReferenceId: string): void {
    const [reason] = watch.reasons(tokenKey(tokenReferenceId));
    if (reason !== undefined) throw new StoreError("not-durable", reason);
  }

  return {
    async read(tokenReferenceId) {
      return currentOf(await read(tokenReferenceId), tokenReferenceId);
    },

    async apply(tokenReferenceId, bet, decide, customerId) {
      mustBeDurable(tokenReferenceId);
      // Most activations are the first of their token: betting on that saves a round trip, also for a repeat that is not
      // known for one. A bet that is lost has sealed, encoded and sent a token for nothing, which reading first saves.
      const isBet = bet === "new" && !recent.has(tokenReferenceId);
      let expected = isBet ? nothing : await readWithOthers(tokenReferenceId, customerId);
      const indexed = new Set<string>(!isBet && customerId ? [customerId] : []);
      for (let attempt = 0; attempt < options.attempts; attempt++) {
        const current = currentOf(expected, tokenReferenceId);
        const decision = decide(current);
        if (decision.kind !== "change") {
          await unindexOthers(tokenReferenceId, current, indexed);
          await replicas.have(...tracesOf(tokenReferenceId, current, indexed));
          if (current) recent.add(tokenReferenceId);
          return decision;
        }
        const swapped = await swap(tokenReferenceId, expected, decision);
        if (swapped.done) {
          await unindexOthers(tokenReferenceId, decision.next, indexed);
          const { activation } = decision.next;
          if (activation?.customerId) indexed.add(activation.customerId);
          const isDeactivated = decision.event.type === TokenEventType.DEACTIVATED;
          await replicas.have(
            ...tracesOf(tokenReferenceId, decision.next, indexed),
            ...(isDeactivated ? [listing(deactivatedKey, tokenReferenceId, true)] : []),
          );
          recent.add(tokenReferenceId);
          return decision;
        }
        if (decision.next.activation?.customerId) indexed.add(decision.next.activation.customerId);
        expected = swapped.current;
      }
      throw new StoreError("contention", `the token changed under ${options.attempts} attempts`);
    },

    referencesOf: (customerId, after, limit) =>
      answered(redis.zrangebylex(customerKey(customerId), after === "" ? "-" : `(${after}`, "+", "LIMIT", 0, limit)),

    noteDelivery: deliveries.note,
    uneventfulDeliveries: deliveries.read,
    settle: deliveries.flush,

    async unindex(tokenReferenceId, customerIds) {
      await unindex(tokenReferenceId, customerIds);
      await replicas.have(...customerIds.map((id) => listing(customerKey(id), tokenReferenceId, false)));
    },

    async removeTraces({ tokenReferenceId, version }) {
      // Or what waits would come back behind the removal.
      await deliveries.flush();
      const key = eventsKey(partitionOf(tokenReferenceId));
      let from = "-";
      for (;;) {
        const entries = await answered(redis.xrangeBuffer(key, from, "+", "COUNT", 1_000));
        const gone = entries.filter(([, fields]) => {
          const event = fields[1] && fromBinary(TokenEventSchema, fields[1]);
          if (event?.tokenReferenceId !== tokenReferenceId || event.version >= version) return false;
          // Reasons and actors are people's words about people.
          return event.customerId !== undefined || event.reason !== "" || event.actor !== "";
        });
        if (gone.length > 0) await answered(redis.xdel(key, ...gone.map(([id]) => id)));
        const last = entries.at(-1)?.[0];
        if (last === undefined || entries.length < 1_000) break;
        from = `(${last.toString()}`;
      }
      await answered(
        Promise.all([redis.del(deliveriesKey(tokenReferenceId)), redis.zrem(deactivatedKey, tokenReferenceId)]),
      );
      await replicas.have(tokenTrace(tokenReferenceId, version), listing(deactivatedKey, tokenReferenceId, false));
    },

    async unlistDeactivated(tokenReferenceId) {
      await answered(redis.zrem(deactivatedKey, tokenReferenceId));
    },

    deactivatedBefore: (ms, limit) => answered(redis.zrangebyscore(deactivatedKey, "-inf", ms, "LIMIT", 0, limit)),
  };
}

type Change = Decision & { kind: "change" };
/** A reply that belongs to another command would make one token's answer out of another's. */
function currentOf(value: Buffer, tokenReferenceId: string): Current {
  if (value.length === 0) return undefined;
  const token = decodeToken(value);
  if (token.tokenReferenceId !== tokenReferenceId) throw new Error("Redis answered with another token");
  return token;
}

/** The token in this version or a later one. */
const tokenTrace = (tokenReferenceId: string, version: bigint): Trace => ({
  key: tokenKey(tokenReferenceId),
  async isThere(node) {
    const value = await node.getBuffer(tokenKey(tokenReferenceId));
    return (currentOf(value ?? nothing, tokenReferenceId)?.version ?? -1n) >= version;
  },
});

/** A token's entry in a list, or that there is none. */
const listing = (key: string, tokenReferenceId: string, isListed: boolean): Trace => ({
  key,
  isThere: async (node) => ((await node.zscore(key, tokenReferenceId)) !== null) === isListed,
});

/** What an answer about this token rests on: the token as it was decided on, and its entries in lists that were written. */
function tracesOf(tokenReferenceId: string, token: Current, listed: ReadonlySet<string>): Trace[] {
  if (token === undefined) return [];
  const own = token.indexedCustomerIds.filter((id) => listed.has(id));
  return [
    tokenTrace(tokenReferenceId, token.version),
    ...own.map((id) => listing(customerKey(id), tokenReferenceId, true)),
  ];
}
