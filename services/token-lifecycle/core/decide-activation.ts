// The state machine, half one: what an activation makes of a token. Pure; the store swaps in what this decides.
import { clone } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { emptyOf } from "../../../lib/protobuf/empty.js";
import {
  type ActivationFingerprint,
  type SealedTokenData,
  type StoredToken,
  StoredTokenSchema,
} from "../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { ErrorReason } from "../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import type { TokenActivation, TokenData } from "../../../proto/gen/mpp/token/v1/token_activation_pb.js";
import {
  Outcome,
  Suspender,
  type TokenEvent,
  TokenEventType,
  TokenState,
} from "../../../proto/gen/mpp/token/v1/token_pb.js";
import { differingFields } from "./fingerprint.js";
import { type Current, compareInstants, type Decision, keepHistory, orderingTime, sameInstant } from "./token.js";

const emptyToken = emptyOf(StoredTokenSchema);

/** An activation that has what validation demands. */
export type CompleteActivation = TokenActivation & { tokenActivatedTime: Timestamp; tokenData: TokenData };

/** An activation that passed validation, with everything that a decision needs: no clock, no key, no chance inside. */
export type RecordActivation = {
  readonly activation: CompleteActivation;
  /** The activation's token data, sealed when it is asked for, which a repeat never does. */
  readonly sealedTokenData: () => SealedTokenData;
  /** The activation's fingerprint under the list and key that new records use. */
  readonly fingerprint: ActivationFingerprint;
  /** The activation's fingerprint under the list and key of an older record. */
  readonly fingerprintLike: (recorded: ActivationFingerprint) => ActivationFingerprint;
  readonly clientId: string;
  readonly deliveryId: string;
  readonly traceparent?: string;
  readonly receivedTime: Timestamp;
  /** The service's own clock, and how far ahead of it an event time may order. */
  readonly now: Timestamp;
  readonly futureToleranceS: number;
};

/** How many activations a token remembers by their fingerprint; the one of the oldest time is forgotten first. */
export const activationsLimit = 32;

// What newer news of an activation does to each state. An activation lifts no suspension, and nothing revives the dead.
const activated: Readonly<Record<TokenState, { state: TokenState; outcome: Outcome }>> = {
  [TokenState.UNSPECIFIED]: { state: TokenState.ACTIVE, outcome: Outcome.APPLIED },
  [TokenState.INACTIVE]: { state: TokenState.ACTIVE, outcome: Outcome.APPLIED },
  [TokenState.ACTIVE]: { state: TokenState.ACTIVE, outcome: Outcome.APPLIED },
  [TokenState.SUSPENDED]: { state: TokenState.SUSPENDED, outcome: Outcome.RECORDED_NO_EFFECT },
  [TokenState.DEACTIVATED]: { state: TokenState.DEACTIVATED, outcome: Outcome.RECORDED_NO_EFFECT },
};

/** Decides an activation. Order is by event time, not by arrival. */
export function decideActivation(current: Current, command: RecordActivation): Decision {
  const { activation, clientId } = command;
  if (current && current.clientId !== clientId)
    return { kind: "refuse", reason: ErrorReason.CLIENT_CONFLICT, fields: [], token: current };

  const recorded = current?.activations.find((each) =>
    sameInstant(each.tokenActivatedTime, activation.tokenActivatedTime),
  );
  // A tombstone has no contents left to compare.
  if (current?.eraseTime && recorded) return { kind: "repeat", token: current };
  if (current && recorded) {
    const { fingerprint } = command;
    const isAlike =
      recorded.fieldsVersion === fingerprint.fieldsVersion && recorded.keyVersion === fingerprint.keyVersion;
    const fields = differingFields(recorded, isAlike ? fingerprint : command.fingerprintLike(recorded));
    return fields.length === 0
      ? { kind: "repeat", token: current }
      : { kind: "refuse", reason: ErrorReason.ACTIVATION_CONFLICT, fields, token: current };
  }
  // Too old to be compared, and older than what counts: it was recorded, or has nothing to say.
  if (
    current?.activationsDroppedUntil &&
    compareInstants(activation.tokenActivatedTime, current.activationsDroppedUntil) <= 0
  )
    return { kind: "repeat", token: current };

  const ordering = orderingTime(activation.tokenActivatedTime, command.now, command.futureToleranceS);
  const previousState = current?.state ?? TokenState.UNSPECIFIED;
  const late = current !== undefined && compareInstants(ordering, current.stateTime) <= 0;
  const { state, outcome } = late ? { state: previousState, outcome: Outcome.RECORDED_LATE } : activated[previousState];

  const next = current
    ? clone(StoredTokenSchema, current)
    : Object.assign(emptyToken(), {
        tokenReferenceId: activation.tokenReferenceId,
        clientId,
        createTime: command.now,
      });
  next.version += 1n;
  next.state = state;
  next.updateTime = command.now;
  if (outcome === Outcome.APPLIED) {
    next.stateTime = ordering;
    next.stateVersion = next.version;
    next.activation = withoutTokenData(activation);
    next.tokenData = command.sealedTokenData();
    const { customerId } = activation;
    if (customerId !== undefined && !next.indexedCustomerIds.includes(customerId))
      next.indexedCustomerIds.push(customerId);
  }
  keepActivation(next, next.eraseTime ? withoutMacs(command.fingerprint) : command.fingerprint);

  const event: TokenEvent = {
    $typeName: "mpp.token.v1.TokenEvent",
    tokenReferenceId: next.tokenReferenceId,
    version: next.version,
    type: TokenEventType.ACTIVATED,
    outcome,
    eventTime: activation.tokenActivatedTime,
    receivedTime: command.receivedTime,
    previousState,
    state,
    clientId,
    deliveryId: command.deliveryId,
    traceparent: command.traceparent ?? "",
    suspender: Suspender.UNSPECIFIED,
    reason: "",
    actor: "",
  };
  if (next.activation?.customerId !== undefined) event.customerId = next.activation.customerId;
  keepHistory(next, event);
  return { kind: "change", next, event };
}

function withoutTokenData({ tokenData: _secret, ...open }: CompleteActivation): TokenActivation {
  return open;
}

const withoutMacs = (fingerprint: ActivationFingerprint): ActivationFingerprint => ({
  ...fingerprint,
  macs: new Uint8Array(),
});

function keepActivation(token: StoredToken, fingerprint: ActivationFingerprint): void {
  token.activations.push(fingerprint);
  token.activations.sort((a, b) => compareInstants(a.tokenActivatedTime, b.tokenActivatedTime));
  for (const dropped of token.activations.splice(0, token.activations.length - activationsLimit))
    if (dropped.tokenActivatedTime) token.activationsDroppedUntil = dropped.tokenActivatedTime;
}
