// What the core needs from outside.
import type { StoredToken } from "../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import type { UneventfulDelivery } from "../../../proto/gen/mpp/token/v1/token_pb.js";
import type { Current, Decision } from "./token.js";

/** What the caller thinks: nothing is on record, so decide at once, unless the store remembers the token; or read first. */
export type Bet = "new" | "known";

/** Keeps tokens. A promise that resolves says that what it tells is kept as DURABILITY promises. Throws StoreError. */
export type TokenStore = {
  read: (tokenReferenceId: string) => Promise<Current>;
  /**
   * Applies a pure decision to the present token, as if alone. `decide` may be called several times, with newer tokens;
   * what it returned last is what happened. `customerId` is whom the token is listed under if what is applied is on record, be it
   * from now on or already; that a repeat lists it again makes good for a first attempt that failed half way.
   */
  apply: (
    tokenReferenceId: string,
    bet: Bet,
    decide: (current: Current) => Decision,
    customerId?: string,
  ) => Promise<Decision>;
  /** References of tokens that are or were of this customer, ascending, behind `after`; may name tokens of others. */
  referencesOf: (customerId: string, after: string, limit: number) => Promise<string[]>;
  /** Keeps a delivery that changed nothing, without promise. */
  noteDelivery: (tokenReferenceId: string, delivery: UneventfulDelivery) => void;
  /** Such deliveries, newest first; those that other instances noted come some 100 ms late. */
  uneventfulDeliveries: (tokenReferenceId: string) => Promise<UneventfulDelivery[]>;
  /** Resolves when nothing waits to be noted any more. */
  settle: () => Promise<void>;
  /** Takes the token from the customers' lists. Safe to repeat. */
  unindex: (tokenReferenceId: string, customerIds: readonly string[]) => Promise<void>;
  /** Removes what is kept about an erased token outside its tombstone. Safe to repeat. */
  removeTraces: (tombstone: StoredToken) => Promise<void>;
  /** References of tokens deactivated before an instant, oldest first. */
  deactivatedBefore: (ms: number, limit: number) => Promise<string[]>;
  /** Takes a token from that list. */
  unlistDeactivated: (tokenReferenceId: string) => Promise<void>;
};

/** "unavailable": no answer, so the outcome is unknown. "not-durable": refused beforehand. "contention": gave up. */
export type StoreTrouble = "unavailable" | "not-durable" | "contention";

export class StoreError extends Error {
  constructor(
    readonly trouble: StoreTrouble,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
