// Keeps tokens in Redis: reads, decides and swaps until the decision was made on the very value it replaced.
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { loadScript } from "../../../lib/script.js";
import { StoredTokenSchema } from "../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { TokenEventSchema } from "../../../proto/gen/mpp/token/v1/token_pb.js";
import type { Decision } from "../core/decide.js";
import { StoreError, type TokenStore } from "../core/ports.js";
import type { Current } from "../core/token.js";
import type { Durability, DurabilityWatch } from "./durability.js";
import { customerKey, eventsKey, partitionOf, tokenKey } from "./keys.js";
import type { RedisClient } from "./redis.js";

const swapScript = loadScript(
  new URL("swap.lua", import.meta.url),
  ["token", "events"],
  ["expected", "replacement", "event", "events_max_len"],
);

export type StoreOptions = {
  readonly durability: Durability;
  /** How long to wait for replicas, in milliseconds. */
  readonly replicaTimeoutMs: number;
  /** Length to which each partition's event stream is trimmed, roughly. */
  readonly eventsMaxLen: number;
  /** Round trips that a decision may take while others change the same token. */
  readonly attempts: number;
};

type Swap = (
  token: string,
  events: string,
  expected: Buffer,
  replacement: Buffer,
  event: Buffer,
  max: number,
) => Promise<unknown>;

const nothing = Buffer.alloc(0);

export function redisTokenStore(redis: RedisClient, watch: DurabilityWatch, options: StoreOptions): TokenStore {
  redis.defineCommand("swapToken", swapScript);
  const swapToken = Reflect.get(redis, "swapTokenBuffer").bind(redis) as Swap;

  async function swap(
    tokenReferenceId: string,
    expected: Buffer,
    change: Decision & { kind: "change" },
  ): Promise<Swapped> {
    const { activation } = change.next;
    const [reply] = await answered(
      Promise.all([
        swapToken(
          tokenKey(tokenReferenceId),
          eventsKey(partitionOf(tokenReferenceId)),
          expected,
          bufferOf(toBinary(StoredTokenSchema, change.next)),
          bufferOf(toBinary(TokenEventSchema, change.event)),
          options.eventsMaxLen,
        ),
        // Goes out with the swap, so it costs no round trip. An entry of a swap that fails is harmless: readers ask the token.
        activation?.customerId === undefined ? 0 : redis.zadd(customerKey(activation.customerId), 0, tokenReferenceId),
      ]),
    );
    return swappedOf(reply);
  }

  // WAIT counts replicas that have everything this connection wrote or read, so a repeat needs it as much as a change.
  async function waitForReplicas(): Promise<void> {
    const { replicas } = options.durability;
    if (replicas === 0) return;
    const reached = await answered(redis.wait(replicas, options.replicaTimeoutMs));
    if (reached < replicas) throw new StoreError("unavailable", `${reached} of ${replicas} replicas have the write`);
  }

  function mustBeDurable(): void {
    const [reason] = watch.reasons();
    if (reason !== undefined) throw new StoreError("not-durable", reason);
  }

  return {
    async read(tokenReferenceId) {
      return currentOf((await answered(redis.getBuffer(tokenKey(tokenReferenceId)))) ?? nothing);
    },

    async apply(tokenReferenceId, decide) {
      mustBeDurable();
      // The bet: most activations are the first of their token, so decide as if nothing were there.
      let expected: Buffer = nothing;
      for (let attempt = 0; attempt < options.attempts; attempt++) {
        const decision = decide(currentOf(expected));
        const swapped =
          decision.kind === "change" ? await swap(tokenReferenceId, expected, decision) : { done: true as const };
        if (swapped.done) {
          await waitForReplicas();
          return decision;
        }
        expected = swapped.current;
      }
      throw new StoreError("contention", `the token changed under ${options.attempts} attempts`);
    },
  };
}

type Swapped = { done: true } | { done: false; current: Buffer };

function swappedOf(reply: unknown): Swapped {
  if (Array.isArray(reply) && Buffer.isBuffer(reply[0]) && Buffer.isBuffer(reply[1])) {
    const word = reply[0].toString();
    if (word === "swapped") return { done: true };
    if (word === "current") return { done: false, current: reply[1] };
  }
  throw new Error("swap.lua answered something else");
}

function currentOf(value: Buffer): Current {
  return value.length === 0 ? undefined : fromBinary(StoredTokenSchema, value);
}

/** ioredis writes a plain Uint8Array as a list of numbers. */
const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Whatever goes wrong on the way to Redis and back leaves the outcome unknown. */
function answered<T>(reply: Promise<T>): Promise<T> {
  return reply.catch((error: unknown) => {
    throw new StoreError("unavailable", "Redis did not answer", { cause: error });
  });
}
