// Which tokens this instance has met lately, so that a repeat is looked up before anything is made for a token that may be new.
import { hashOf } from "./keys.js";

/** A hint and no more: it forgets, and about one time in some thousands it takes a token for another. */
export type RecentTokens = {
  readonly add: (tokenReferenceId: string) => void;
  readonly has: (tokenReferenceId: string) => boolean;
};

/** Each token has one of `slots` places, a power of two, 4 bytes each; the token that comes last keeps it. */
export function recentTokens(slots: number): RecentTokens {
  // The hash tells the tokens of one place apart. Zeroed memory takes no room before it is written to.
  const hashes = new Uint32Array(slots);
  return {
    add(tokenReferenceId) {
      const hash = hashOf(tokenReferenceId);
      hashes[hash & (slots - 1)] = hash;
    },
    has(tokenReferenceId) {
      const hash = hashOf(tokenReferenceId);
      return hashes[hash & (slots - 1)] === hash;
    },
  };
}
