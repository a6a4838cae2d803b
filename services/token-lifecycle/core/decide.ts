// The state machine: what a command makes of a token. Pure; the store swaps in what this decides.
import { clone, create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
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
  type TokenEvent,
  TokenEventSchema,
  TokenEventType,
  TokenState,
} from "../../../proto/gen/mpp/token/v1/token_pb.js";
import { differingFields } from "./fingerprint.js";
import { type Current, compareInstants, orderingTime, sameInstant } from "./token.js";

/** An activation that has what validation demands. */
export type CompleteActivation = TokenActivation & { tokenActivatedTime: Timestamp; tokenData: TokenData };

/** An activation that passed validation, with everything that a decision needs: no clock, no key, no chance inside. */
export type RecordActivation = {
  readonly activation: CompleteActivation;
  /** The activation's token data, sealed. */
  readonly tokenData: SealedTokenData;
  /** The activation's fingerprint under the list and key that new records use. */
  readonly fingerprint: ActivationFingerprint;
  /** The activation's fingerprint under the list and key of an older record. */
  readonly fingerprintLike: (recorded: ActivationFingerprint) => ActivationFingerprint;
  readonly clientId: string;
  readonly deliveryId: string;
  readonly receivedTime: Timestamp;
  /** The service's own clock, and how far ahead of it an event time may order. */
  readonly now: Timestamp;
  readonly futureToleranceS: number;
};

export type Decision =
  | { readonly kind: "change"; readonly next: StoredToken; readonly event: TokenEvent }
  | { readonly kind: "repeat"; readonly token: StoredToken }
  | { readonly kind: "refuse"; readonly reason: ErrorReason; readonly fields: readonly string[] };

/** How many history entries and activations a token keeps. */
export const historyLimit = 32;
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
    return { kind: "refuse", reason: ErrorReason.CLIENT_CONFLICT, fields: [] };

  const recorded = current?.activations.find((each) =>
    sameInstant(each.tokenActivatedTime, activation.tokenActivatedTime),
  );
  if (current && recorded) {
    const fields = differingFields(recorded, command.fingerprintLike(recorded));
    return fields.length === 0
      ? { kind: "repeat", token: current }
      : { kind: "refuse", reason: ErrorReason.ACTIVATION_CONFLICT, fields };
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
    : create(StoredTokenSchema, {
        tokenReferenceId: activation.tokenReferenceId,
        clientId,
        createTime: command.now,
      });
  next.version += 1n;
  next.state = state;
  next.updateTime = command.now;
  if (outcome === Outcome.APPLIED) {
    next.stateTime = ordering;
    next.activation = withoutTokenData(activation);
    next.tokenData = command.tokenData;
  }
  keepActivation(next, command.fingerprint);

  const event = create(TokenEventSchema, {
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
    ...(next.activation?.customerId !== undefined && { customerId: next.activation.customerId }),
  });
  keepHistory(next, event);
  return { kind: "change", next, event };
}

function withoutTokenData({ tokenData: _secret, ...open }: CompleteActivation): TokenActivation {
  return open;
}

function keepActivation(token: StoredToken, fingerprint: ActivationFingerprint): void {
  token.activations.push(fingerprint);
  token.activations.sort((a, b) => compareInstants(a.tokenActivatedTime, b.tokenActivatedTime));
  for (const dropped of token.activations.splice(0, token.activations.length - activationsLimit))
    if (dropped.tokenActivatedTime) token.activationsDroppedUntil = dropped.tokenActivatedTime;
}

function keepHistory(token: StoredToken, event: TokenEvent): void {
  const entry = { ...event, tokenReferenceId: "" };
  delete entry.customerId;
  token.history.push(entry);
  token.history.splice(0, token.history.length - historyLimit);
}
