// The admin port: metrics, probes and perhaps pages over plain HTTP, never on the public port.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Registry } from "prom-client";

export type Readiness = {
  /** Why the process should get no traffic now; empty when it should. */
  readonly reasons: readonly string[];
  /** What is not well, and no reason to send no traffic. */
  readonly notes?: readonly string[];
};

/** Answers a request, or says that it is not one of its own. */
export type Pages = (request: IncomingMessage, response: ServerResponse) => boolean;

export function adminServer(registry: Registry, readiness: () => Readiness, pages: Pages = () => false): Server {
  return createServer(async (request, response) => {
    const send = (status: number, type: string, body: string): void => {
      response.writeHead(status, { "content-type": type }).end(body);
    };
    const sendText = (status: number, lines: readonly string[]): void =>
      send(status, "text/plain; charset=utf-8", `${lines.join("\n")}\n`);
    switch (request.url) {
      case "/metrics":
        return send(200, registry.contentType, await registry.metrics());
      case "/livez":
        return sendText(200, ["ok"]);
      case "/readyz": {
        const { reasons, notes = [] } = readiness();
        const said = notes.map((note) => `note: ${note}`);
        return reasons.length === 0 ? sendText(200, ["ok", ...said]) : sendText(503, [...reasons, ...said]);
      }
      default:
        if (pages(request, response)) return;
        return sendText(404, ["there is /metrics, /livez and /readyz"]);
    }
  });
}
