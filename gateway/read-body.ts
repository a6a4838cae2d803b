// Reads the exact bytes of a request body, and no more of them than the limit.
import type { IncomingMessage } from "node:http";
import { Refusal } from "./alipayplus/result.js";

/** What is thrown away of a body that is not wanted, so that the sender reads the answer before the connection ends. */
const discardLimitBytes = 1024 * 1024;

/** Throws Refusal PARAM_ILLEGAL for a body over the limit, and an ordinary error when the sender goes away. */
export async function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length <= limitBytes) chunks.push(chunk);
    else if (length > discardLimitBytes) break;
  }
  if (length > limitBytes) throw new Refusal("PARAM_ILLEGAL", `The body is larger than ${limitBytes} bytes`);
  const [only] = chunks;
  return chunks.length === 1 && only ? only : Buffer.concat(chunks, length);
}

/** Reads and drops what is left of a body, up to a bound. */
export async function discardBody(request: IncomingMessage): Promise<void> {
  if (!request.complete) await readBody(request, 0).catch(() => undefined);
}
