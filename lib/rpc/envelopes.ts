// The envelopes in which a stream of the Connect protocol carries its messages: a byte of flags, four of length, big-endian, and the bytes.
import { Code, ConnectError } from "@connectrpc/connect";

/** Media type of a stream of binary messages. */
export const streamContentType = "application/connect+proto";

const headBytes = 5;

export function envelope(flags: number, bytes: Uint8Array): Buffer {
  const whole = Buffer.allocUnsafe(headBytes + bytes.length);
  whole[0] = flags;
  whole.writeUInt32BE(bytes.length, 1);
  whole.set(bytes, headBytes);
  return whole;
}

/**
 * Takes a stream's chunks as they come, and hands on what each envelope holds. Throws ConnectError RESOURCE_EXHAUSTED for one that is larger
 * than `limitBytes`, as soon as its length is known; there is no going on after that.
 */
export function readEnvelopes(
  limitBytes: number,
  onEnvelope: (flags: number, bytes: Buffer) => void,
): (chunk: Buffer) => void {
  let chunks: Buffer[] = [];
  let length = 0;
  /** Below this many bytes nothing can be done. */
  let wanted = headBytes;
  return (chunk) => {
    chunks.push(chunk);
    length += chunk.length;
    if (length < wanted) return;
    const bytes = chunks.length === 1 ? chunk : Buffer.concat(chunks, length);
    let from = 0;
    for (wanted = headBytes; bytes.length - from >= wanted; wanted = headBytes) {
      const size = bytes.readUInt32BE(from + 1);
      if (size > limitBytes)
        throw new ConnectError(
          `message size ${size} is larger than configured readMaxBytes ${limitBytes}`,
          Code.ResourceExhausted,
        );
      wanted = headBytes + size;
      if (bytes.length - from < wanted) break;
      const start = from + headBytes;
      from += wanted;
      onEnvelope(bytes[start - headBytes] as number, bytes.subarray(start, from));
    }
    chunks = from === bytes.length ? [] : [bytes.subarray(from)];
    length = bytes.length - from;
  };
}
