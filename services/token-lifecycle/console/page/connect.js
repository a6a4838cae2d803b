// Calls of the token service by the Connect protocol with JSON: one answer, or a stream of them.

/** What the service said in place of an answer; code "unavailable" without a reason when nobody answered. */
export class CallError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {string} reason
   * @param {Record<string, string>} metadata
   */
  constructor(code, message, reason = "", metadata = {}) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.metadata = metadata;
  }
}

const service = "mpp.token.v1.TokenLifecycleService";
const answerMs = 5_000;

/**
 * @param {string} base
 * @param {string} method
 * @param {object} request
 * @returns {Promise<any>}
 */
export async function call(base, method, request) {
  const response = await send(base, method, "application/json", JSON.stringify(request), {
    signal: AbortSignal.timeout(answerMs),
    headers: { "connect-timeout-ms": `${answerMs}` },
  });
  const answer = await response.json().catch(() => undefined);
  if (response.ok && answer !== undefined) return answer;
  throw errorOf(answer, response.status);
}

/**
 * @param {string} base
 * @param {string} method
 * @param {object} request
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<any>}
 */
export async function* stream(base, method, request, signal) {
  const response = await send(base, method, "application/connect+json", envelope(request), { signal });
  if (!response.ok || !response.body) throw errorOf(await response.json().catch(() => undefined), response.status);
  let ended = false;
  for await (const { isEnd, message } of messagesIn(response.body)) {
    if (!isEnd) yield message;
    else if (message.error) throw errorOf(message.error, response.status);
    ended = isEnd;
  }
  if (!ended) throw new CallError("unavailable", "the connection was cut");
}

/**
 * @param {string} base
 * @param {string} method
 * @param {string} type
 * @param {BodyInit} body
 * @param {{ signal: AbortSignal, headers?: Record<string, string> }} more
 */
async function send(base, method, type, body, { signal, headers = {} }) {
  try {
    return await fetch(`${base}/${service}/${method}`, {
      method: "POST",
      headers: { "content-type": type, "connect-protocol-version": "1", ...headers },
      body,
      signal,
      cache: "no-store",
      referrerPolicy: "no-referrer",
      // A client certificate counts as a credential.
      credentials: base.startsWith("https:") ? "include" : "omit",
    });
  } catch {
    throw new CallError("unavailable", "the token service does not answer");
  }
}

/**
 * @param {any} error
 * @param {number} status
 */
function errorOf(error, status) {
  const info = error?.details?.find((/** @type {any} */ each) => each.type === "google.rpc.ErrorInfo")?.debug;
  return new CallError(error?.code ?? `HTTP ${status}`, error?.message ?? "", info?.reason, info?.metadata);
}

/**
 * A message of a stream: one byte of flags, four of length, then JSON.
 * @param {object} message
 */
export function envelope(message) {
  const json = new TextEncoder().encode(JSON.stringify(message));
  const bytes = new Uint8Array(5 + json.length);
  new DataView(bytes.buffer).setUint32(1, json.length);
  bytes.set(json, 5);
  return bytes;
}

/**
 * Messages however their bytes were cut into pieces.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<{ isEnd: boolean, message: any }>}
 */
export async function* messagesIn(body) {
  const reader = body.getReader();
  let bytes = new Uint8Array(0);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const more = new Uint8Array(bytes.length + value.length);
      more.set(bytes);
      more.set(value, bytes.length);
      bytes = more;
      while (bytes.length >= 5) {
        const end = 5 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
        if (bytes.length < end) break;
        const isEnd = ((bytes[0] ?? 0) & 2) !== 0;
        yield { isEnd, message: JSON.parse(new TextDecoder().decode(bytes.subarray(5, end))) };
        bytes = bytes.subarray(end);
      }
    }
  } catch (error) {
    throw error instanceof SyntaxError ? error : new CallError("unavailable", "the connection was cut");
  } finally {
    await reader.cancel().catch(() => {});
  }
}
