// What the core needs from outside.
import type { Decision } from "./decide.js";
import type { Current } from "./token.js";

/** Keeps tokens. A promise that resolves says that what it tells is kept as DURABILITY promises. */
export type TokenStore = {
  /** Reads a token. Throws StoreError. */
  read: (tokenReferenceId: string) => Promise<Current>;
  /**
   * Applies a pure decision to the present token, as if alone. `decide` may be called several times, with newer tokens;
   * what it returned last is what happened. Throws StoreError.
   */
  apply: (tokenReferenceId: string, decide: (current: Current) => Decision) => Promise<Decision>;
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
