// The service's port: gRPC, gRPC-Web and Connect, over HTTP/1.1 and h2c side by side.
import { setMaxListeners } from "node:events";
import * as http from "node:http";
import * as http2 from "node:http2";
import * as net from "node:net";
import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { createHealth, type HealthState } from "../../lib/rpc/health.js";
import { addReflection } from "../../lib/rpc/reflection.js";
import { file_google_rpc_error_details } from "../../proto/gen/google/rpc/error_details_pb.js";
import { Health } from "../../proto/gen/grpc/health/v1/health_pb.js";
import { TokenLifecycleService } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { type Validate, validating } from "./validation.js";

export type TokenServer = {
  readonly server: net.Server;
  readonly health: HealthState;
  /** Takes no new connection, lets calls in flight finish for `graceMs`, then ends them as UNAVAILABLE. */
  readonly stop: (graceMs: number) => Promise<void>;
};

/** Largest request message, in bytes: four times what the gateway lets in. */
const readMaxBytes = 256 * 1024;
/** Longest deadline that a caller may set. */
const maxTimeoutMs = 30_000;
/** Time for a connection to say which protocol it speaks. */
const firstBytesMs = 10_000;

export function createTokenServer(service: ServiceImpl<typeof TokenLifecycleService>, validate: Validate): TokenServer {
  const shutdown = new AbortController();
  // One listener for each call in flight.
  setMaxListeners(0, shutdown.signal);
  const health = createHealth([TokenLifecycleService.typeName], shutdown.signal);
  const handler = connectNodeAdapter({
    routes(router) {
      router.service(TokenLifecycleService, service, { interceptors: [validating(validate)] });
      router.service(Health, health.service);
      addReflection(router, [TokenLifecycleService, Health], [file_google_rpc_error_details]);
    },
    readMaxBytes,
    maxTimeoutMs,
    shutdownSignal: shutdown.signal,
  });
  const http1 = http.createServer(handler);
  // It tracks and times out connections from the moment it listens, and this one gets its connections from below.
  http1.emit("listening");
  const h2c = http2.createServer({ settings: { maxConcurrentStreams: 1000 } }, handler);
  const sessions = new Set<http2.ServerHttp2Session>();
  h2c.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  // A peer that goes away in the middle of a call is its own affair.
  h2c.on("sessionError", () => {});
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    routeByFirstBytes(socket, http1, h2c);
  });

  return {
    server,
    health,
    async stop(graceMs) {
      health.set(false);
      const closed = new Promise((resolve) => server.close(resolve));
      for (const session of sessions) session.close();
      http1.close();
      const grace = setTimeout(() => {
        shutdown.abort(new ConnectError("the service is stopping", Code.Unavailable));
        setTimeout(() => {
          for (const socket of sockets) socket.destroy();
        }, 100);
      }, graceMs);
      // HTTP/1.1 connections that finish a call now would otherwise idle until the grace ends.
      const idle = setInterval(() => http1.closeIdleConnections(), 50);
      await closed;
      clearTimeout(grace);
      clearInterval(idle);
    },
  };
}

/** HTTP/2 with prior knowledge starts with "PRI"; nothing in HTTP/1.1 does. */
function routeByFirstBytes(socket: net.Socket, http1: http.Server, h2c: http2.Http2Server): void {
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
