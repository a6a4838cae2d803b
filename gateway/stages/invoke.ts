// Call -> Reply: the rpc, within a deadline, and again while nothing was decided.
import { Code, ConnectError } from "@connectrpc/connect";
import { reasonOf } from "../alipayplus/result.js";
import type { Instance, Spread } from "../spread.js";
import type { Call, Reply } from "./messages.js";

/** Pauses before each further try, in milliseconds: at once to another instance, then long enough for one to come back. */
export const pausesMs: readonly number[] = [0, 50, 150, 300, 500];
/** Time that another try needs to make sense, in milliseconds. */
const leastMs = 100;

/** Codes of an instance that does not answer, or says that it cannot. */
const isSick = (code: Code): boolean => code === Code.Unavailable || code === Code.DeadlineExceeded;

/**
 * Throws ConnectError. A failure that the service did not decide is tried again while there is time: the rpcs behind an
 * endpoint are safe to repeat, and an instance that is going away or coming back is the usual cause.
 */
export async function invoke(call: Call, spread: Spread, deadlineMs: number): Promise<Reply> {
  const { endpoint, request } = call;
  const end = performance.now() + deadlineMs;
  let instance: Instance | undefined;
  for (let tries = 0; ; tries++) {
    instance = spread.next(instance);
    try {
      const leftMs = tries === 0 ? deadlineMs : Math.floor(end - performance.now());
      // One that hangs must leave time for another.
      const timeoutMs = spread.hasOther(instance) ? Math.ceil(leftMs / 2) : leftMs;
      const reply = await instance.transport.unary(endpoint.method, undefined, timeoutMs, undefined, request as never);
      spread.answered(instance);
      return { endpoint, response: reply.message };
    } catch (thrown) {
      const error = ConnectError.from(thrown);
      if (isSick(error.code)) spread.failed(instance);
      else spread.answered(instance);
      const pauseMs = pausesMs[tries];
      // A service that says it cannot decide now has decided nothing; another instance may.
      const isDecided = reasonOf(error) !== undefined && error.code !== Code.Unavailable;
      if (isDecided || pauseMs === undefined || end - performance.now() - pauseMs < leastMs) throw error;
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}
