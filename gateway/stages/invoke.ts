// Call -> Reply: the rpc, within a deadline, and once more where nothing was decided.
import type { Message } from "@bufbuild/protobuf";
import { ConnectError, type Transport } from "@connectrpc/connect";
import { reasonOf } from "../alipayplus/result.js";
import type { Call, Reply } from "./messages.js";

/** Time that a second try needs to make sense, in milliseconds. */
const secondTryMs = 100;

/**
 * Throws ConnectError. A failure that the service did not decide is tried once more while there is time: the rpcs behind
 * an endpoint are safe to repeat, and an instance that is going away is the usual cause.
 */
export async function invoke(call: Call, nextTransport: () => Transport, deadlineMs: number): Promise<Reply> {
  const { endpoint, request } = call;
  const end = performance.now() + deadlineMs;
  const once = async (timeoutMs: number): Promise<Message> => {
    const reply = await nextTransport().unary(endpoint.method, undefined, timeoutMs, undefined, request as never);
    return reply.message;
  };
  try {
    return { endpoint, response: await once(deadlineMs) };
  } catch (error) {
    const left = Math.floor(end - performance.now());
    if (left < secondTryMs || reasonOf(ConnectError.from(error)) !== undefined) throw ConnectError.from(error);
  }
  try {
    return { endpoint, response: await once(Math.floor(end - performance.now())) };
  } catch (error) {
    throw ConnectError.from(error);
  }
}
