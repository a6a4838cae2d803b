// Reads the exact bytes of a request body, and no more of them than the limit.
import type { IncomingMessage } from "node:http";
import { Refusal } from "./alipayplus/result.js";

/** What is thrown away of a body that is not wanted, before its connection is ended. */
const discardLimitBytes = 16 * 1024 * 1024;

/** Throws Refusal PARAM_ILLEGAL for a body over the limit, and an ordinary error when the sender goes away. */
export async function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  // A request that is destroyed takes its connection with it, and the answer that should go there.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limitBytes) throw new Refusal("PARAM_ILLEGAL", `The body is larger than ${limitBytes} bytes`);
    chunks.push(chunk);
  }
  const [only] = chunks;
  return chunks.length === 1 && only ? only : Buffer.concat(chunks, length);
}

/** Takes what is left of a body off the connection while the answer is on its way, up to a bound. */
export function discardBody(request: IncomingMessage): void {
  let length = 0;
  request.on("data", (chunk: Buffer) => {
    length += chunk.length;
    if (length > discardLimitBytes) request.destroy();
  });
  request.resume();
}
