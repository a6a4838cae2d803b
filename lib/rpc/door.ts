// A port that speaks HTTP/1.1 and HTTP/2 side by side: in plain, where the first bytes tell, or over TLS, where ALPN does.
import * as http from "node:http";
import * as http2 from "node:http2";
import * as net from "node:net";
import type { TlsFiles } from "../tls-files.js";
import type { Direct } from "./direct-unary.js";

/** Handles a request of either version; what connectNodeAdapter returns. */
export type Handler = (
  request: http.IncomingMessage | http2.Http2ServerRequest,
  response: http.ServerResponse | http2.Http2ServerResponse,
) => void;

export type Door = {
  readonly server: net.Server;
  /** Uses new certificate files for new connections. */
  readonly renew: (files: TlsFiles) => void;
  /** Takes no new connection and no new call, and resolves when the last connection is gone. */
  readonly close: () => Promise<void>;
  /** Ends the connections that are left. */
  readonly destroy: () => void;
};

/** Time for a connection to say which protocol it speaks, in milliseconds. */
const firstBytesMs = 10_000;
const settings = { maxConcurrentStreams: 1000 };

/** `direct` gets each stream of HTTP/2 first; what it does not take goes to the handler. */
export function createDoor(handler: Handler, tls: TlsFiles | undefined, direct: Direct = () => false): Door {
  const sessions = new Set<http2.ServerHttp2Session>();
  const sockets = new Set<net.Socket>();
  const http1 = http.createServer((request, response) => handler(keptOpen(request, response), response));
  // It tracks and times out connections from the moment it listens, and this one gets its connections from below.
  http1.emit("listening");
  const secure = tls && http2.createSecureServer({ ...secureOptions(tls), settings }, handler);
  const h2 = secure ?? http2.createServer({ settings }, handler);
  putBefore(h2, direct);
  h2.on("session", (session: http2.ServerHttp2Session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  // A peer that goes away in the middle of a call is its own affair.
  h2.on("sessionError", () => {});
  const server: net.Server = secure ?? net.createServer((socket) => routeByFirstBytes(socket, http1, h2));
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  });
  return {
    server,
    renew(files) {
      secure?.setSecureContext(files);
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const session of sessions) session.close();
      // Ends idle connections now, and the others when their call is done.
      http1.close();
      await closed;
    },
    destroy() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Node's own listener, which makes a request and a response of every stream, gets what `direct` leaves. */
function putBefore(h2: http2.Http2Server | http2.Http2SecureServer, direct: Direct): void {
  const [toHandler, ...others] = h2.listeners("stream") as ((...args: unknown[]) => void)[];
  if (toHandler === undefined || others.length > 0) throw new Error("this version of Node hands out streams otherwise");
  h2.removeAllListeners("stream");
  h2.on("stream", (stream, headers, ...rest) => {
    if (!direct(stream, headers)) toHandler.call(h2, stream, headers, ...rest);
  });
}

/** What is read and dropped of a message that was refused before its end, in bytes. */
const dropLimitBytes = 4 * 1024 * 1024;

/**
 * A handler that refuses a message before its end would end the connection under the answer, and the caller would not read
 * it: the rest of the message is read and dropped first.
 */
function keptOpen(request: http.IncomingMessage, response: http.ServerResponse): http.IncomingMessage {
  const iterator = request.iterator.bind(request);
  request[Symbol.asyncIterator] = () => iterator({ destroyOnReturn: false });
  const end = response.end.bind(response) as (...args: unknown[]) => http.ServerResponse;
  response.end = (...args: unknown[]) => {
    if (request.complete || request.destroyed) return end(...args);
    let left = dropLimitBytes;
    const finish = (): void => {
      request.off("data", onData);
      request.off("close", finish);
      end(...args);
    };
    const onData = (chunk: Buffer): void => {
      left -= chunk.length;
      if (left < 0) finish();
    };
    request.on("data", onData);
    request.on("close", finish);
    request.resume();
    return response;
  };
  return request;
}

// A caller without a good certificate is let in as far as an answer that says so.
const secureOptions = (files: TlsFiles): http2.SecureServerOptions => ({
  ...files,
  allowHTTP1: true,
  requestCert: true,
  rejectUnauthorized: false,
  minVersion: "TLSv1.2",
});

/** HTTP/2 with prior knowledge starts with "PRI"; nothing in HTTP/1.1 does. */
function routeByFirstBytes(socket: net.Socket, http1: http.Server, h2c: net.Server): void {
  let head = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), firstBytesMs);
  socket.once("close", () => clearTimeout(timer));
  const onData = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    if (head.length < 3) return;
    clearTimeout(timer);
    socket.off("data", onData);
    socket.pause();
    socket.unshift(head);
    (head.subarray(0, 3).toString("latin1") === "PRI" ? h2c : http1).emit("connection", socket);
    process.nextTick(() => socket.resume());
  };
  socket.on("data", onData);
}
