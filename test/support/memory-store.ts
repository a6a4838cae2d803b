// The store as it should behave, in a Map: the model that the one in Redis is compared with.
import { clone } from "@bufbuild/protobuf";
import { type StoredToken, StoredTokenSchema } from "../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import type { TokenEvent } from "../../proto/gen/mpp/token/v1/token_pb.js";
import type { TokenStore } from "../../services/token-lifecycle/core/ports.js";

export type MemoryStore = Pick<TokenStore, "read" | "apply"> & { readonly events: TokenEvent[] };

export function memoryStore(): MemoryStore {
  const tokens = new Map<string, StoredToken>();
  const events: TokenEvent[] = [];
  const currentOf = (tokenReferenceId: string): StoredToken | undefined => {
    const token = tokens.get(tokenReferenceId);
    return token && clone(StoredTokenSchema, token);
  };
  return {
    events,
    read: async (tokenReferenceId) => currentOf(tokenReferenceId),
    apply: async (tokenReferenceId, _bet, decide) => {
      const decision = decide(currentOf(tokenReferenceId));
      if (decision.kind === "change") {
        tokens.set(tokenReferenceId, decision.next);
        events.push(decision.event);
      }
      return decision;
    },
  };
}
