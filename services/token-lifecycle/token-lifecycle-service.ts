// The rpcs of TokenLifecycleService, each from its own file, over one store.
import type { ServiceImpl } from "@connectrpc/connect";
import type {
  RecordActivationRequest,
  TokenLifecycleService,
} from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import type { Audit } from "./access/caller.js";
import type { TokenStore } from "./core/ports.js";
import { moveToken } from "./rpcs/move-token.js";
import { readTokens } from "./rpcs/read-tokens.js";
import { recordActivation } from "./rpcs/record-activation.js";
import { secretTokenData } from "./rpcs/secret-token-data.js";
import { watchTokenEvents } from "./rpcs/watch-token-events.js";
import type { EventFeed } from "./store/event-feed.js";
import type { Keyring } from "./vault/keyring.js";

export type ServiceDeps = {
  readonly store: TokenStore;
  readonly feed: EventFeed;
  readonly keyring: () => Keyring;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** How far ahead of our clock an event time may order, in seconds. */
  readonly futureToleranceS: number;
  readonly onActivation: (outcome: string, request: RecordActivationRequest, trouble?: unknown) => void;
  readonly audit: Audit;
};

export function tokenLifecycleService(deps: ServiceDeps): ServiceImpl<typeof TokenLifecycleService> {
  return {
    recordActivation: recordActivation(deps),
    watchTokenEvents: watchTokenEvents(deps.feed),
    ...readTokens(deps),
    ...moveToken(deps),
    ...secretTokenData(deps),
  };
}
