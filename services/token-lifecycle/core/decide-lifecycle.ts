// The state machine, half two: what the MPP's own services make of a token. Pure; the store swaps in what this decides.
import { clone, create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import {
  AnsweredRequestSchema,
  type StoredToken,
  StoredTokenSchema,
} from "../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { ErrorReason } from "../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import {
  Outcome,
  type Suspender,
  type TokenEvent,
  TokenEventSchema,
  TokenEventType,
  TokenState,
} from "../../../proto/gen/mpp/token/v1/token_pb.js";
import { type Current, compareInstants, type Decision, keepHistory } from "./token.js";

export type Move = "suspend" | "resume" | "deactivate";

/** Who did what, and when by the service's clock. */
type Act = {
  readonly reason: string;
  readonly actor: string;
  /** The service that called. */
  readonly clientId: string;
  readonly deliveryId: string;
  readonly traceparent?: string;
  readonly now: Timestamp;
};

export type LifecycleCommand = Act & {
  readonly move: Move;
  readonly suspender: Suspender;
  readonly requestId: string;
  /** Hash of everything that makes a request the same as another. */
  readonly contentHash: Uint8Array;
  readonly expectedVersion?: bigint | undefined;
};

/** How many requests a token remembers; the oldest is forgotten first. */
export const requestsLimit = 32;

type Rule = {
  readonly type: TokenEventType;
  /** States that the move may start from. Source: docs/architecture.md, Mastercard's token states. */
  readonly from: readonly TokenState[];
};

const rules: Readonly<Record<Move, Rule>> = {
  suspend: { type: TokenEventType.SUSPENDED, from: [TokenState.ACTIVE, TokenState.SUSPENDED] },
  resume: { type: TokenEventType.RESUMED, from: [TokenState.SUSPENDED] },
  deactivate: {
    type: TokenEventType.DEACTIVATED,
    from: [TokenState.INACTIVE, TokenState.ACTIVE, TokenState.SUSPENDED],
  },
};

/** Decides suspend, resume and deactivate. The order of checks is: known, answered before, version, state, suspender. */
export function decideLifecycle(current: Current, command: LifecycleCommand): Decision {
  const refuse = (reason: Exclude<ErrorReason, ErrorReason.UNSPECIFIED>): Decision => ({
    kind: "refuse",
    reason,
    fields: [],
    ...(current && { token: current }),
  });
  if (current === undefined) return refuse(ErrorReason.TOKEN_NOT_FOUND);
  const answered = current.requests.find(({ requestId }) => requestId === command.requestId);
  if (answered)
    return Buffer.from(answered.contentHash).equals(command.contentHash)
      ? { kind: "repeat", token: current, answered }
      : refuse(ErrorReason.REQUEST_ID_CONFLICT);
  if (command.expectedVersion !== undefined && command.expectedVersion !== current.version)
    return refuse(ErrorReason.VERSION_MISMATCH);
  const { type, from } = rules[command.move];
  if (!from.includes(current.state)) return refuse(ErrorReason.STATE_FORBIDS);
  const isHeld = current.suspenders.includes(command.suspender);
  if (command.move === "suspend" && isHeld) return refuse(ErrorReason.ALREADY_SUSPENDED);
  if (command.move === "resume" && !isHeld) return refuse(ErrorReason.NOT_SUSPENDED_BY_CALLER);

  const suspenders = suspendersAfter(command.move, current.suspenders, command.suspender);
  const state = stateAfter(command.move, suspenders);
  const { next, event } = changed(current, type, state, command);
  event.suspender = command.suspender;
  next.suspenders = suspenders;
  next.requests.push(
    create(AnsweredRequestSchema, {
      requestId: command.requestId,
      contentHash: command.contentHash,
      version: next.version,
      state,
    }),
  );
  next.requests.splice(0, next.requests.length - requestsLimit);
  keepHistory(next, event);
  return { kind: "change", next, event };
}

function suspendersAfter(move: Move, held: readonly Suspender[], suspender: Suspender): Suspender[] {
  switch (move) {
    case "suspend":
      return [...held, suspender].sort((a, b) => a - b);
    case "resume":
      return held.filter((each) => each !== suspender);
    case "deactivate":
      return [];
  }
}

function stateAfter(move: Move, suspenders: readonly Suspender[]): TokenState {
  if (move === "deactivate") return TokenState.DEACTIVATED;
  return suspenders.length === 0 ? TokenState.ACTIVE : TokenState.SUSPENDED;
}

/** Erases what is personal. What stays recognises late repeats by their time: a tombstone has no contents to compare. */
export function decideErasure(current: Current, act: Act): Decision {
  if (current === undefined) return { kind: "refuse", reason: ErrorReason.TOKEN_NOT_FOUND, fields: [] };
  if (current.eraseTime) return { kind: "repeat", token: current };
  const { next: changedToken, event } = changed(current, TokenEventType.ERASED, TokenState.DEACTIVATED, act);
  delete event.customerId;
  const next = create(StoredTokenSchema, {
    tokenReferenceId: changedToken.tokenReferenceId,
    clientId: changedToken.clientId,
    state: changedToken.state,
    version: changedToken.version,
    stateVersion: changedToken.stateVersion,
    activations: current.activations.map((each) => ({ ...each, macs: new Uint8Array() })),
    eraseTime: act.now,
    updateTime: act.now,
    ...times(changedToken),
  });
  // Reasons and actors of earlier entries are people's words about people.
  next.history = current.history.map((entry) => ({ ...entry, reason: "", actor: "" }));
  keepHistory(next, event);
  return { kind: "change", next, event };
}

function times(token: StoredToken) {
  const { stateTime, createTime, activationsDroppedUntil } = token;
  return {
    ...(stateTime && { stateTime }),
    ...(createTime && { createTime }),
    ...(activationsDroppedUntil && { activationsDroppedUntil }),
  };
}

/** The next version of the token in a state that an act set now. Its ordering time never moves back. */
function changed(
  current: StoredToken,
  type: TokenEventType,
  state: TokenState,
  act: Act,
): { next: StoredToken; event: TokenEvent } {
  const next = clone(StoredTokenSchema, current);
  next.version += 1n;
  next.state = state;
  next.stateVersion = next.version;
  next.stateTime = compareInstants(act.now, current.stateTime) < 0 && current.stateTime ? current.stateTime : act.now;
  next.updateTime = act.now;
  const event = create(TokenEventSchema, {
    tokenReferenceId: next.tokenReferenceId,
    version: next.version,
    type,
    outcome: Outcome.APPLIED,
    eventTime: act.now,
    receivedTime: act.now,
    previousState: current.state,
    state,
    clientId: act.clientId,
    deliveryId: act.deliveryId,
    traceparent: act.traceparent ?? "",
    reason: act.reason,
    actor: act.actor,
    ...(current.activation?.customerId !== undefined && { customerId: current.activation.customerId }),
  });
  return { next, event };
}
