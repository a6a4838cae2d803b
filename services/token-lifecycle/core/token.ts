// The token as the machine sees it: its stored value, what can be decided about it, and instants that can be compared.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { StoredToken } from "../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import type { ErrorReason } from "../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import type { TokenEvent, TokenState } from "../../../proto/gen/mpp/token/v1/token_pb.js";

/** A token on record, or undefined for one never heard of. */
export type Current = StoredToken | undefined;

export type Decision =
  /** Replace the token by `next` and record the event. */
  | { readonly kind: "change"; readonly next: StoredToken; readonly event: TokenEvent }
  /** It happened before. `answered` is the answer it got, where that is not the present state. */
  | {
      readonly kind: "repeat";
      readonly token: StoredToken;
      readonly answered?: { readonly state: TokenState; readonly version: bigint };
    }
  | {
      readonly kind: "refuse";
      readonly reason: Exclude<ErrorReason, ErrorReason.UNSPECIFIED>;
      /** JSON names of the fields that differ, for a conflict. */
      readonly fields: readonly string[];
      /** The token that it was refused for; undefined when there is none. */
      readonly token?: StoredToken;
    };

/** How many history entries a token keeps. */
export const historyLimit = 32;

/** Appends the event to the token's history, without what the token says anyway or what only a trace needs. */
export function keepHistory(token: StoredToken, event: TokenEvent): void {
  const { customerId: _, ...entry } = event;
  token.history.push({ ...entry, tokenReferenceId: "", traceparent: "" });
  token.history.splice(0, token.history.length - historyLimit);
}

/** Negative when a is earlier than b, 0 when equal. An absent instant is earlier than every other. */
export function compareInstants(a: Timestamp | undefined, b: Timestamp | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1;
  if (a.seconds !== b.seconds) return a.seconds < b.seconds ? -1 : 1;
  return a.nanos - b.nanos;
}

export const sameInstant = (a: Timestamp | undefined, b: Timestamp | undefined): boolean => compareInstants(a, b) === 0;

/** The event time that orders: a sender's clock far ahead must not freeze a token against later news. */
export function orderingTime(eventTime: Timestamp, now: Timestamp, toleranceS: number): Timestamp {
  const latest = { ...now, seconds: now.seconds + BigInt(toleranceS) };
  return compareInstants(eventTime, latest) > 0 ? latest : eventTime;
}
