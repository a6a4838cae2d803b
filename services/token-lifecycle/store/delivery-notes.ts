// Deliveries that changed nothing, noted behind their answers: many with one call, so that a repeat costs no command and no fsync of its own.
import { fromBinary } from "@bufbuild/protobuf";
import { encoderOf } from "../../../lib/protobuf/encoder.js";
import { loadScript } from "../../../lib/script.js";
import { type UneventfulDelivery, UneventfulDeliverySchema } from "../../../proto/gen/mpp/token/v1/token_pb.js";
import { gatheredScript, type Run } from "./gathered-script.js";
import { deliveriesKey, sameSlotOf } from "./keys.js";
import type { RedisClient } from "./redis.js";
import { answered } from "./replicas.js";

const noteScript = loadScript(new URL("note.lua", import.meta.url), ["deliveries"], ["delivery", "limit"]);

/** How many deliveries that changed nothing a token keeps. */
const deliveriesLimit = 32;
/** How long a note may wait for others to go with, and how many wait at most. */
const waitMs = 100;
const mostWaiting = 128;

export type DeliveryNotes = {
  /** Keeps a delivery, without promise: one that waits is lost with the process, and one that Redis does not take is lost too. */
  readonly note: (tokenReferenceId: string, delivery: UneventfulDelivery) => void;
  /** What is kept, newest first; of this instance everything that it has noted. */
  readonly read: (tokenReferenceId: string) => Promise<UneventfulDelivery[]>;
  /** Sends what waits, and resolves when Redis has it or has failed. */
  readonly flush: () => Promise<void>;
};

export function deliveryNotes(redis: RedisClient): DeliveryNotes {
  const write = gatheredScript(redis, "noteDeliveries", noteScript, ({ keys }) => sameSlotOf(keys[0] ?? ""));
  const encode = encoderOf(UneventfulDeliverySchema);
  let waiting: Run[] = [];
  let sent: Promise<unknown> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;

  function send(): void {
    clearTimeout(timer);
    timer = undefined;
    const runs = waiting;
    waiting = [];
    sent = Promise.allSettled([sent, ...runs.map(write)]);
  }

  async function flush(): Promise<void> {
    if (waiting.length > 0) send();
    await sent;
  }

  return {
    note(tokenReferenceId, delivery) {
      waiting.push({ keys: [deliveriesKey(tokenReferenceId)], args: [encode(delivery), deliveriesLimit] });
      if (waiting.length >= mostWaiting) send();
      else timer ??= setTimeout(send, waitMs);
    },
    async read(tokenReferenceId) {
      await flush();
      const values = await answered(redis.lrangeBuffer(deliveriesKey(tokenReferenceId), 0, -1));
      return values.map((value) => fromBinary(UneventfulDeliverySchema, value));
    },
    flush,
  };
}
