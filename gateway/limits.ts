// How much the gateway takes on: of everyone together before any check is paid for, and of each client once its signature holds.
import { Refusal } from "./alipayplus/result.js";

export type LimitSettings = {
  /** Requests under way at once, of everyone. */
  readonly maxInFlight: number;
  /** Requests under way at once, of one client. */
  readonly clientMaxInFlight: number;
  /** Requests a second, of one client. */
  readonly clientRatePerSecond: number;
};

/** Gives a place back. */
export type Leave = () => void;

export type LimitName = "in_flight" | "client_in_flight" | "client_rate";

export type Limits = {
  /** Throws Refusal when there is no place left. Costs nothing, so it comes first. */
  readonly checkRoom: () => void;
  /** Takes a place among all requests; throws Refusal when there is none. After the body: a slow sender gets no place. */
  readonly enter: () => Leave;
  /** Takes a place of a client's own. After the signature: a borrowed Client-Id must not spend an honest client's quota. */
  readonly enterAs: (clientId: string) => Leave;
  readonly inFlight: () => number;
};

/** A client's requests under way, and those of its second: each second begins with the first request after the last one. */
type Share = { inFlight: number; requests: number; secondEndsMs: number };

/** `onShed` hears of each request that a limit turns away. */
export function createLimits(
  settings: LimitSettings,
  onShed: (limit: LimitName) => void = () => {},
  nowMs: () => number = () => performance.now(),
): Limits {
  // Of clients whose keys we have, so they stay few.
  const shares = new Map<string, Share>();
  let inFlight = 0;
  const tooMuch = (limit: LimitName): Refusal => {
    onShed(limit);
    return new Refusal("REQUEST_TRAFFIC_EXCEED_LIMIT");
  };
  const shareOf = (clientId: string): Share => {
    const known = shares.get(clientId);
    if (known) return known;
    const share = { inFlight: 0, requests: 0, secondEndsMs: 0 };
    shares.set(clientId, share);
    return share;
  };
  const checkRoom = (): void => {
    if (inFlight >= settings.maxInFlight) throw tooMuch("in_flight");
  };
  return {
    inFlight: () => inFlight,
    checkRoom,
    enter() {
      checkRoom();
      inFlight += 1;
      return () => {
        inFlight -= 1;
      };
    },
    enterAs(clientId) {
      const share = shareOf(clientId);
      if (share.inFlight >= settings.clientMaxInFlight) throw tooMuch("client_in_flight");
      const now = nowMs();
      if (now >= share.secondEndsMs) Object.assign(share, { requests: 0, secondEndsMs: now + 1000 });
      share.requests += 1;
      if (share.requests > settings.clientRatePerSecond) throw tooMuch("client_rate");
      share.inFlight += 1;
      return () => {
        share.inFlight -= 1;
      };
    },
  };
}
