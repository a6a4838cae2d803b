// A server of nothing but a direct way into an rpc, and a caller connected to it.
import { once } from "node:events";
import http2 from "node:http2";
import type net from "node:net";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import type { Direct } from "../../lib/rpc/direct-unary.js";

export type DirectServer = {
  readonly client: http2.ClientHttp2Session;
  /** Streams that reached the server. What the direct way leaves is answered with status 299. */
  readonly streams: http2.ServerHttp2Stream[];
  readonly stop: () => Promise<void>;
};

export async function startDirectServer(direct: Direct): Promise<DirectServer> {
  const streams: http2.ServerHttp2Stream[] = [];
  const server = http2.createServer();
  server.on("sessionError", () => {});
  server.on("stream", (stream, headers) => {
    streams.push(stream);
    if (direct(stream, headers)) return;
    stream.respond({ ":status": 299 });
    stream.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = http2.connect(`http://127.0.0.1:${(server.address() as net.AddressInfo).port}`);
  client.on("error", () => {});
  return {
    client,
    streams,
    async stop() {
      client.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Notes how each call ended: "done", or the name of its code. */
export const noting =
  (note: (outcome: string) => void): Interceptor =>
  (next) =>
  async (request) => {
    try {
      const response = await next(request);
      note("done");
      return response;
    } catch (error) {
      note(Code[ConnectError.from(error).code]);
      throw error;
    }
  };
