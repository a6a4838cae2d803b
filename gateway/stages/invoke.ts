// Call -> Reply: the rpc, within a deadline, and again while nothing was decided.
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { reasonOf } from "../alipayplus/result.js";
import type { Call, Reply } from "./messages.js";

/** Pauses before each further try, in milliseconds: at once to another instance, then long enough for one to come back. */
export const pausesMs: readonly number[] = [0, 50, 150, 300, 500];
/** Time that another try needs to make sense, in milliseconds. */
const leastMs = 100;

/**
 * Throws ConnectError. A failure that the service did not decide is tried again while there is time: the rpcs behind an
 * endpoint are safe to repeat, and an instance that is going away or coming back is the usual cause.
 */
export async function invoke(call: Call, nextTransport: () => Transport, deadlineMs: number): Promise<Reply> {
  const { endpoint, request } = call;
  const end = performance.now() + deadlineMs;
  for (let tries = 0; ; tries++) {
    try {
      const timeoutMs = tries === 0 ? deadlineMs : Math.floor(end - performance.now());
      const reply = await nextTransport().unary(endpoint.method, undefined, timeoutMs, undefined, request as never);
      return { endpoint, response: reply.message };
    } catch (thrown) {
      const error = ConnectError.from(thrown);
      const pauseMs = pausesMs[tries];
      // A service that says it cannot decide now has decided nothing; another instance may.
      const isDecided = reasonOf(error) !== undefined && error.code !== Code.Unavailable;
      if (isDecided || pauseMs === undefined || end - performance.now() - pauseMs < leastMs) throw error;
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}
