// Housekeeping: erases tokens that were deactivated long ago, and trims events by age. A little at a time.

import { TokenState } from "../../proto/gen/mpp/token/v1/token_pb.js";
import type { Audit } from "./access/caller.js";
import type { TokenStore } from "./core/ports.js";
import { eraseToken } from "./rpcs/secret-token-data.js";

export type RetentionOptions = {
  /** Days after which a DEACTIVATED token is erased; 0 keeps it. */
  readonly deactivatedDays: number;
  readonly everyMs: number;
  /** Tokens that one round erases. */
  readonly batch: number;
};

const dayMs = 86_400_000;

/** Erases what is due now, at most `batch` tokens; returns how many. Instances that do it at once do no harm. */
export async function eraseDue(
  store: TokenStore,
  options: RetentionOptions,
  audit: Audit,
  nowMs: number,
): Promise<number> {
  if (options.deactivatedDays === 0) return 0;
  const due = nowMs - options.deactivatedDays * dayMs;
  let erased = 0;
  for (const tokenReferenceId of await store.deactivatedBefore(due, options.batch)) {
    const stored = await store.read(tokenReferenceId);
    // The list may name a token that was never deactivated: its entry went out with a swap that failed.
    if (stored?.state !== TokenState.DEACTIVATED) {
      await store.unlistDeactivated(tokenReferenceId);
      continue;
    }
    audit({ call: "EraseToken", caller: "retention", outcome: "allowed", tokenReferenceId });
    await eraseToken(
      store,
      tokenReferenceId,
      { clientId: "retention", reason: "retention", actor: "retention" },
      nowMs,
    );
    erased += 1;
  }
  return erased;
}
