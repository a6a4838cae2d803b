// How much the gateway takes on: of everyone together before any check is paid for, and of each client once its signature holds.
import { RateLimiterMemory } from "rate-limiter-flexible";
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
  readonly enterAs: (clientId: string) => Promise<Leave>;
  readonly inFlight: () => number;
};

/** `onShed` hears of each request that a limit turns away. */
export function createLimits(settings: LimitSettings, onShed: (limit: LimitName) => void = () => {}): Limits {
  const rate = new RateLimiterMemory({ points: settings.clientRatePerSecond, duration: 1 });
  const byClient = new Map<string, number>();
  let inFlight = 0;
  const tooMuch = (limit: LimitName): Refusal => {
    onShed(limit);
    return new Refusal("REQUEST_TRAFFIC_EXCEED_LIMIT");
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
    async enterAs(clientId) {
      const now = byClient.get(clientId) ?? 0;
      if (now >= settings.clientMaxInFlight) throw tooMuch("client_in_flight");
      byClient.set(clientId, now + 1);
      const leave = (): void => {
        const left = (byClient.get(clientId) ?? 1) - 1;
        if (left === 0) byClient.delete(clientId);
        else byClient.set(clientId, left);
      };
      try {
        await rate.consume(clientId);
      } catch {
        leave();
        throw tooMuch("client_rate");
      }
      return leave;
    },
  };
}
