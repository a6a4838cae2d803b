// Stands in for the token service, to fail as no real one does on demand.
import * as http2 from "node:http2";
import * as net from "node:net";
import type { ConnectError, ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { TokenLifecycleService } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";

/** What happens to a call, or to the whole connection before any call. */
export type Behaviour =
  | { readonly call: (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void }
  | { readonly connection: (socket: net.Socket) => void };

export type Upstream = {
  readonly url: string;
  /** From now on it behaves like this, on new connections. */
  readonly behave: (behaviour: Behaviour) => void;
  /** Calls, or connections where the behaviour is a connection's, since the last `behave`. */
  readonly count: () => number;
  /** Nothing listens any more. */
  readonly stop: () => Promise<void>;
  /** Listens again on the same port. */
  readonly start: () => Promise<void>;
};

export async function startUpstream(): Promise<Upstream> {
  let behaviour: Behaviour = { connection: (socket) => void socket.destroy() };
  let count = 0;
  const sockets = new Set<net.Socket>();
  const h2c = http2.createServer((request, response) => {
    count += 1;
    request.on("error", () => {});
    response.on("error", () => {});
    if ("call" in behaviour) behaviour.call(request, response);
  });
  h2c.on("sessionError", () => {});
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    if ("call" in behaviour) {
      h2c.emit("connection", socket);
      return;
    }
    count += 1;
    behaviour.connection(socket);
  });
  const endConnections = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  await listen(0);
  const { port } = server.address() as net.AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    behave(next) {
      behaviour = next;
      count = 0;
      endConnections();
    },
    count: () => count,
    async stop() {
      if (!server.listening) return;
      const closed = new Promise((resolve) => server.close(resolve));
      endConnections();
      await closed;
    },
    start: () => listen(port),
  };
}

/** The rpc answers with this implementation, over the real protocols. */
export const answering = (
  recordActivation: ServiceImpl<typeof TokenLifecycleService>["recordActivation"],
): Behaviour => ({
  call: connectNodeAdapter({
    routes: (router) => void router.service(TokenLifecycleService, { recordActivation }),
  }),
});

/** The rpc fails with this error. */
export const refusing = (error: ConnectError): Behaviour =>
  answering(() => {
    throw error;
  });

/** A page of a proxy that knows nothing of rpcs. */
export const page = (status: number, body: string, contentType = "text/html"): Behaviour => ({
  call(request, response) {
    request.resume();
    request.on("end", () => response.writeHead(status, { "content-type": contentType }).end(body));
  },
});
