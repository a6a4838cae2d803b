// The rpcs of TokenLifecycleService, each from its own file, over one store; but StreamRecordActivations, which the port makes of batches.
import type { ServiceImpl } from "@connectrpc/connect";
import type { TokenLifecycleService } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import type { ServiceDeps } from "./rpcs/deps.js";
import { moveToken } from "./rpcs/move-token.js";
import { readTokens } from "./rpcs/read-tokens.js";
import { recordActivations } from "./rpcs/record-activation.js";
import { secretTokenData } from "./rpcs/secret-token-data.js";
import { watchTokenEvents } from "./rpcs/watch-token-events.js";

export type TokenRpcs = Omit<ServiceImpl<typeof TokenLifecycleService>, "streamRecordActivations">;

export function tokenLifecycleService(deps: ServiceDeps): TokenRpcs {
  return {
    ...recordActivations(deps),
    watchTokenEvents: watchTokenEvents(deps.feed),
    ...readTokens(deps),
    ...moveToken(deps),
    ...secretTokenData(deps),
  };
}
