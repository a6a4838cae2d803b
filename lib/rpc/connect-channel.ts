// A channel to one address: bytes of a unary request out, bytes of its response back, in the Connect protocol on HTTP/2. What the
// peer did not choose to say is UNAVAILABLE or DEADLINE_EXCEEDED, as a gRPC client would have it, never CANCELED or INTERNAL.
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeFromHttpStatus, errorFromJsonBytes } from "@connectrpc/connect/protocol-connect";
import type { TlsFiles } from "../tls-files.js";

export type ConnectChannel = {
  /** Throws ConnectError. `timeoutMs` is the call's deadline; there is none without one. */
  readonly call: (path: string, request: Buffer, timeoutMs: number | undefined) => Promise<Buffer>;
  /** Ends the connection and every call on it. */
  readonly close: () => void;
};

export type ChannelOptions = {
  readonly tls: TlsFiles | undefined;
  /** Largest response, in bytes. */
  readonly readMaxBytes: number;
};

const contentType = "application/proto";
const unavailable = (what: string, cause?: unknown): ConnectError =>
  new ConnectError(what, Code.Unavailable, undefined, undefined, cause);

export function connectChannel(baseUrl: string, { tls, readMaxBytes }: ChannelOptions): ConnectChannel {
  let session: ClientHttp2Session | undefined;
  let isClosed = false;

  const drop = (dropped: ClientHttp2Session): void => {
    if (session === dropped) session = undefined;
  };

  function openSession(): ClientHttp2Session {
    if (isClosed) throw unavailable("the channel is closed");
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    const opened = connect(baseUrl, { ...tls });
    // Its calls hear of it through their streams.
    opened.on("error", () => drop(opened));
    opened.on("close", () => drop(opened));
    opened.on("goaway", () => drop(opened));
    session = opened;
    return opened;
  }

  return {
    call: (path, request, timeoutMs) =>
      new Promise((resolve, reject) => {
        const used = openSession();
        const stream = begin(used, path, timeoutMs);
        const fail = (error: ConnectError): void => {
          clearTimeout(timer);
          reject(error);
        };
        const timer =
          timeoutMs === undefined
            ? undefined
            : setTimeout(() => {
                fail(new ConnectError(`no answer within ${timeoutMs} ms`, Code.DeadlineExceeded));
                // Without even a header the peer may be gone without a word: the next call tries a new connection.
                if (stream.sentHeaders && !headers) {
                  drop(used);
                  used.close();
                }
                stream.close(8 /* NGHTTP2_CANCEL */);
              }, timeoutMs);
        let headers: IncomingHttpHeaders | undefined;
        stream.on("response", (received) => {
          headers = received;
        });
        readAll(stream, readMaxBytes).then((bytes) => {
          clearTimeout(timer);
          try {
            resolve(responseOf(headers, bytes));
          } catch (error) {
            reject(error);
          }
        }, fail);
        stream.end(request);
      }),
    close() {
      isClosed = true;
      session?.destroy();
    },
  };
}

function begin(session: ClientHttp2Session, path: string, timeoutMs: number | undefined): ClientHttp2Stream {
  try {
    return session.request({
      ":method": "POST",
      ":path": path,
      "content-type": contentType,
      "connect-protocol-version": "1",
      ...(timeoutMs !== undefined && { "connect-timeout-ms": String(timeoutMs) }),
    });
  } catch (error) {
    throw unavailable("the connection takes no call", error);
  }
}

function readAll(stream: ClientHttp2Stream, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    stream.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length <= limitBytes) return;
      reject(new ConnectError(`the response is larger than ${limitBytes} bytes`, Code.ResourceExhausted));
      stream.close(8 /* NGHTTP2_CANCEL */);
    });
    stream.on("end", () => {
      // A connection that breaks ends its streams too.
      if (stream.rstCode !== 0 || stream.aborted) reject(unavailable("the connection was lost"));
      else resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, length));
    });
    stream.on("error", (error) => reject(unavailable("the connection was lost", error)));
    // Errors cost a stack trace, and every stream closes.
    stream.on("close", () => stream.readableEnded || reject(unavailable("the connection was lost")));
  });
}

/** The body of a response that is one; throws what the peer said instead. */
function responseOf(headers: IncomingHttpHeaders | undefined, bytes: Buffer): Buffer {
  if (headers === undefined) throw unavailable("the connection was lost");
  const length = headers["content-length"];
  if (length !== undefined && Number(length) !== bytes.length) throw unavailable("the response was cut");
  const status = Number(headers[":status"]);
  if (status === 200) {
    if (headers["content-type"] === contentType && headers["content-encoding"] === undefined) return bytes;
    throw new ConnectError("the response is of another kind", Code.Unknown);
  }
  const said = new ConnectError(`HTTP ${status}`, codeFromHttpStatus(status));
  throw headers["content-type"] === "application/json" ? errorFromJsonBytes(bytes, undefined, said) : said;
}
