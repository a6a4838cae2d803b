// The admin port: metrics, probes and perhaps pages over plain HTTP, never on the public port.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Registry } from "prom-client";

/** Why the process should get no traffic now; empty when it should. */
export type Readiness = () => string[];

/** Answers a request, or says that it is not one of its own. */
export type Pages = (request: IncomingMessage, response: ServerResponse) => boolean;

export function adminServer(registry: Registry, notReadyReasons: Readiness, pages: Pages = () => false): Server {
  return createServer(async (request, response) => {
    const send = (status: number, type: string, body: string): void => {
      response.writeHead(status, { "content-type": type }).end(body);
    };
    switch (request.url) {
      case "/metrics":
        return send(200, registry.contentType, await registry.metrics());
      case "/livez":
        return send(200, "text/plain; charset=utf-8", "ok\n");
      case "/readyz": {
        const reasons = notReadyReasons();
        return send(reasons.length === 0 ? 200 : 503, "text/plain; charset=utf-8", `${reasons.join("\n") || "ok"}\n`);
      }
      default:
        if (pages(request, response)) return;
        return send(404, "text/plain; charset=utf-8", "there is /metrics, /livez and /readyz\n");
    }
  });
}
