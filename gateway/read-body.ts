// Reads the exact bytes of a request body, and no more of them than the limit.
import type { IncomingMessage } from "node:http";
import { Refusal } from "./alipayplus/result.js";

/** What is thrown away of a body that is not wanted, before its connection is ended. */
const discardLimitBytes = 16 * 1024 * 1024;

/** Throws Refusal PARAM_ILLEGAL for a body over the limit, and an ordinary error when the sender goes away. */
export function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    // The listeners stay: what comes after the first outcome changes nothing.
    request.on("data", (chunk: Buffer) => {
      const hadRoom = length <= limitBytes;
      length += chunk.length;
      if (length <= limitBytes) chunks.push(chunk);
      else if (hadRoom) {
        chunks.length = 0;
        // Not destroyed: that would take the connection with it, and the answer that should go there.
        request.pause();
        reject(new Refusal("PARAM_ILLEGAL", `The body is larger than ${limitBytes} bytes`));
      }
    });
    request.on("end", () => resolve(joined(chunks, length)));
    request.on("error", reject);
    request.on("close", () => {
      if (!request.readableEnded) reject(new Error("the sender went away"));
    });
  });
}

function joined(chunks: Buffer[], length: number): Buffer {
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
