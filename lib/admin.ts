// The admin port: metrics and probes over plain HTTP, never on the public port.
import { createServer, type Server } from "node:http";
import type { Registry } from "prom-client";

/** Why the process should get no traffic now; empty when it should. */
export type Readiness = () => string[];

export function adminServer(registry: Registry, notReadyReasons: Readiness): Server {
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
        return send(404, "text/plain; charset=utf-8", "there is /metrics, /livez and /readyz\n");
    }
  });
}
