// The token as the machine sees it: its stored value, and instants that can be compared.
import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { StoredToken } from "../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";

/** A token on record, or undefined for one never heard of. */
export type Current = StoredToken | undefined;

/** Negative when a is earlier than b, 0 when equal. An absent instant is earlier than every other. */
export function compareInstants(a: Timestamp | undefined, b: Timestamp | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1;
  if (a.seconds !== b.seconds) return a.seconds < b.seconds ? -1 : 1;
  return a.nanos - b.nanos;
}

export const sameInstant = (a: Timestamp | undefined, b: Timestamp | undefined): boolean => compareInstants(a, b) === 0;

/** The event time that orders: a sender's clock far ahead must not freeze a token against later news. */
export function orderingTime(eventTime: Timestamp, now: Timestamp, toleranceS: number): Timestamp {
  const latest = create(TimestampSchema, { seconds: now.seconds + BigInt(toleranceS), nanos: now.nanos });
  return compareInstants(eventTime, latest) > 0 ? latest : eventTime;
}
