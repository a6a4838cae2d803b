// Sends prepared requests over HTTP or HTTPS, header by header as they are written, and reads the answers.
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { type ReceivedAnswer, receive, type Sender } from "../sender.js";
import type { PreparedRequest } from "./request.js";

export type Wire = {
  /** Throws when no answer comes in time. */
  readonly send: (request: PreparedRequest) => Promise<ReceivedAnswer>;
  readonly close: () => void;
};

export function openWire(url: URL, sender: Sender, connections: number, timeoutMs: number): Wire {
  const isTls = url.protocol === "https:";
  const agent = new (isTls ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: connections });
  const once = ({ method, target, path, headers, body }: PreparedRequest): Promise<ReceivedAnswer> =>
    new Promise((resolve, reject) => {
      const started = performance.now();
      const request = (isTls ? httpsRequest : httpRequest)(
        {
          host: url.hostname.replace(/^\[|\]$/g, ""),
          port: url.port,
          method,
          path: target,
          headers: headers.flat(),
          agent,
        },
        (response) => receive(response, sender, method, path, started).then(resolve, reject),
      );
      const timer = setTimeout(() => request.destroy(new Error(`none within ${timeoutMs} ms`)), timeoutMs);
      request.on("close", () => clearTimeout(timer));
      request.on("error", (error: NodeJS.ErrnoException) =>
        // The other side may close a connection that it kept open just when the next request is on its way.
        reject(request.reusedSocket && error.code === "ECONNRESET" ? new Stale() : error),
      );
      request.end(body);
    });
  return {
    send: (request) => once(request).catch((error) => (error instanceof Stale ? once(request) : Promise.reject(error))),
    close: () => agent.destroy(),
  };
}

class Stale extends Error {}
