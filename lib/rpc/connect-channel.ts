// A channel to one address, in the Connect protocol on HTTP/2: bytes of a unary request out and bytes of its response back, or calls that
// last. What the peer did not choose to say is UNAVAILABLE or DEADLINE_EXCEEDED, as a gRPC client would have it, never CANCELED or INTERNAL.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeFromHttpStatus, errorFromJsonBytes } from "@connectrpc/connect/protocol-connect";
import type { TlsFiles } from "../tls-files.js";
import { streamContentType } from "./envelopes.js";

export type ConnectChannel = {
  /** Throws ConnectError. `timeoutMs` is the call's deadline; there is none without one. */
  readonly call: (path: string, request: Buffer, timeoutMs: number | undefined) => Promise<Buffer>;
  /** Begins a call that lasts, see batch-stream.ts. Throws ConnectError. */
  readonly open: (path: string) => LastingCall;
  /** Ends the connection and every call on it. */
  readonly close: () => void;
};

export type LastingCall = {
  /** Our side of it is ended, in good order, when its connection gets no more calls. */
  readonly stream: ClientHttp2Stream;
  /** To be told of each answer. */
  readonly heard: () => void;
  /** Remembers this moment. What it returns is for the deadline of something that was asked now: a connection that was silent since gets no more calls. */
  readonly listen: () => () => void;
};

export type ChannelOptions = {
  readonly tls: TlsFiles | undefined;
  /** Largest response, in bytes. */
  readonly readMaxBytes: number;
};

const contentType = "application/proto";
const jsonForm = /^application\/json(; ?charset=utf-8)?$/i;
/** How long a connection may take to come about, in milliseconds: long enough for one lost packet. */
const connectMs = 1_500;
/** How long a connection that gets no more calls may take for those it has, in milliseconds. */
const lingerMs = 10_000;
export const unavailable = (what: string, cause?: unknown): ConnectError =>
  new ConnectError(what, Code.Unavailable, undefined, undefined, cause);

type Connection = {
  readonly session: ClientHttp2Session;
  /** Answers that came so far. */
  answers: number;
  /** Calls that last. */
  readonly lasting: Set<ClientHttp2Stream>;
};

export function connectChannel(baseUrl: string, { tls, readMaxBytes }: ChannelOptions): ConnectChannel {
  /** All that are open; calls go to the newest. */
  const sessions = new Set<ClientHttp2Session>();
  let newest: Connection | undefined;
  let isClosed = false;

  function drop(session: ClientHttp2Session): void {
    if (newest?.session !== session) return;
    // The peer answers what it has got, and ends them.
    for (const stream of newest.lasting) stream.end();
    newest = undefined;
  }

  /** See LastingCall.listen. */
  function listeningTo(used: Connection): () => void {
    const { answers, session } = used;
    return () => {
      // When nothing at all came in this time, the peer may be gone without a word: the next call tries a new connection.
      if (!session.connecting && used.answers === answers) retire(session);
    };
  }

  /** Gives it no more calls, and ends it when those under way are over. */
  function retire(session: ClientHttp2Session): void {
    if (newest?.session !== session) return;
    drop(session);
    if (session.destroyed) return;
    session.close();
    // A peer that is gone without a word takes no part in an orderly end.
    const timer = setTimeout(() => session.destroy(), lingerMs).unref();
    session.on("close", () => clearTimeout(timer));
  }

  /** A connection has names for a billion calls, and may have given its last one when one never went out. */
  function retireUsedUp(session: ClientHttp2Session, stream: ClientHttp2Stream): void {
    if (stream.pending) retire(session);
  }

  function connection(): Connection {
    if (isClosed) throw unavailable("the channel is closed");
    if (newest !== undefined && !newest.session.closed && !newest.session.destroyed) return newest;
    const session = orUnavailable("there is no connection", () => connect(baseUrl, { ...tls }));
    const timer = setTimeout(() => session.destroy(), connectMs);
    session.on("connect", () => clearTimeout(timer));
    // Its calls hear of it through their streams.
    session.on("error", () => drop(session));
    session.on("goaway", () => drop(session));
    session.on("close", () => {
      clearTimeout(timer);
      drop(session);
      sessions.delete(session);
    });
    sessions.add(session);
    newest = { session, answers: 0, lasting: new Set() };
    return newest;
  }

  return {
    call: (path, request, timeoutMs) =>
      new Promise((resolve, reject) => {
        const used = connection();
        const retireSilent = listeningTo(used);
        const stream = begin(used.session, path, contentType, timeoutMs);
        let headers: IncomingHttpHeaders | undefined;
        const onDeadline = (): void => {
          reject(new ConnectError(`no answer within ${timeoutMs} ms`, Code.DeadlineExceeded));
          retireSilent();
          stream.close(constants.NGHTTP2_CANCEL);
        };
        const timer = timeoutMs === undefined ? undefined : setTimeout(onDeadline, timeoutMs);
        stream.on("response", (received) => {
          headers = received;
          used.answers += 1;
        });
        readAll(stream, readMaxBytes)
          .then((bytes) => resolve(responseOf(headers, bytes)))
          .catch((error: unknown) => {
            retireUsedUp(used.session, stream);
            reject(error);
          })
          .finally(() => clearTimeout(timer));
        stream.end(request);
      }),
    open(path) {
      const used = connection();
      const stream = begin(used.session, path, streamContentType, undefined);
      used.lasting.add(stream);
      stream.on("close", () => {
        used.lasting.delete(stream);
        retireUsedUp(used.session, stream);
      });
      return {
        stream,
        heard() {
          used.answers += 1;
        },
        listen: () => listeningTo(used),
      };
    },
    close() {
      isClosed = true;
      for (const session of sessions) session.destroy();
    },
  };
}

const begin = (
  session: ClientHttp2Session,
  path: string,
  type: string,
  timeoutMs: number | undefined,
): ClientHttp2Stream =>
  orUnavailable("the connection takes no call", () =>
    session.request({
      ":method": "POST",
      ":path": path,
      "content-type": type,
      "connect-protocol-version": "1",
      ...(timeoutMs !== undefined && { "connect-timeout-ms": String(timeoutMs) }),
    }),
  );

function orUnavailable<T>(what: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw unavailable(what, error);
  }
}

function readAll(stream: ClientHttp2Stream, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    stream.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= limitBytes) {
        chunks.push(chunk);
        return;
      }
      reject(new ConnectError(`the response is larger than ${limitBytes} bytes`, Code.ResourceExhausted));
      stream.close(constants.NGHTTP2_CANCEL);
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
  throw jsonForm.test(headers["content-type"] ?? "") ? errorFromJsonBytes(bytes, undefined, said) : said;
}
