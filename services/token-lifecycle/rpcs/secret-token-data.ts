// RevealTokenData and EraseToken: the two rpcs on what is secret. Every call is audited.
import { randomUUID } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { ErrorReason } from "../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import type { TokenLifecycleService } from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { callerOf } from "../access/caller.js";
import { decideErasure } from "../core/decide-lifecycle.js";
import type { TokenStore } from "../core/ports.js";
import { refusal, storeRefusal } from "../errors.js";
import { open } from "../vault/seal.js";
import type { ServiceDeps } from "./deps.js";

type SecretRpcs = Pick<ServiceImpl<typeof TokenLifecycleService>, "revealTokenData" | "eraseToken">;

export function secretTokenData(deps: Pick<ServiceDeps, "store" | "keyring" | "now" | "audit">): SecretRpcs {
  const { store, keyring, now, audit } = deps;
  return {
    async revealTokenData({ tokenReferenceId, reason, actor }, { values, method }) {
      // Before the data leaves: a call that fails later was still a call.
      audit({ call: method.name, caller: callerOf(values).name, outcome: "allowed", tokenReferenceId, reason, actor });
      const stored = await store.read(tokenReferenceId).catch((error: unknown) => {
        throw storeRefusal(error);
      });
      if (stored === undefined) throw refusal(ErrorReason.TOKEN_NOT_FOUND, "no token has this reference");
      if (stored.tokenData === undefined) throw refusal(ErrorReason.TOKEN_ERASED, "the token was erased");
      return { tokenData: open(stored.tokenData, tokenReferenceId, keyring()) };
    },

    async eraseToken({ tokenReferenceId, reason, actor }, { values, method }) {
      const caller = callerOf(values).name;
      audit({ call: method.name, caller, outcome: "allowed", tokenReferenceId, reason, actor });
      try {
        return await eraseToken(store, tokenReferenceId, { clientId: caller, reason, actor }, now());
      } catch (error) {
        throw storeRefusal(error);
      }
    },
  };
}

/** Erases a token and everything kept about it elsewhere. Safe to repeat, and complete only when it resolves. */
export async function eraseToken(
  store: TokenStore,
  tokenReferenceId: string,
  by: { readonly clientId: string; readonly reason: string; readonly actor: string },
  nowMs: number,
) {
  // First the lists: what names the customers goes with the swap.
  const present = await store.read(tokenReferenceId);
  const act = { ...by, deliveryId: randomUUID(), now: timestampFromMs(nowMs) };
  let customerIds = present?.indexedCustomerIds ?? [];
  await store.unindex(tokenReferenceId, customerIds);
  const decision = await store.apply(tokenReferenceId, "known", (current) => {
    customerIds = [...customerIds, ...(current?.indexedCustomerIds ?? [])];
    return decideErasure(current, act);
  });
  if (decision.kind === "refuse") throw refusal(decision.reason, "no token has this reference");
  const tombstone = decision.kind === "change" ? decision.next : decision.token;
  await store.unindex(tokenReferenceId, customerIds);
  await store.removeTraces(tombstone);
  return tombstone.eraseTime ? { eraseTime: tombstone.eraseTime } : {};
}
