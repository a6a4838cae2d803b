// What the rpcs need from outside, wired in main.ts.
import type { Traced } from "../../../lib/rpc/tracing.js";
import type { RecordActivationRequest } from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import type { Audit } from "../access/caller.js";
import type { TokenStore } from "../core/ports.js";
import type { EventFeed } from "../store/event-feed.js";
import type { Validate } from "../validation.js";
import type { Keyring } from "../vault/keyring.js";

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
  /** Throws INVALID_ARGUMENT/FIELD_VIOLATION for a message that breaks its rules. */
  readonly validate: Validate;
  /** Tells of an activation to whoever gathers traces; undefined where nobody does. */
  readonly traced: Traced | undefined;
};
