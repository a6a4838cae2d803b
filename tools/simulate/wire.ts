// Sends a signed request the way a story wants it: plainly, in pieces, or over a connection that is cut.
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { type ReceivedAnswer, receive, type Sender, type SignedRequest } from "../sender.js";
import type { Manner } from "./kinds.js";

export type SendOptions = { readonly manner: Manner; readonly timeoutMs: number; readonly slowBodyMs: number };

export type Wire = {
  /** Throws when no answer comes: the message says why, in few different words. */
  readonly send: (request: SignedRequest, sender: Sender, options: SendOptions) => Promise<ReceivedAnswer>;
  readonly close: () => void;
};

const pieces = 8;

export function openWire(url: URL, connections: number): Wire {
  const isTls = url.protocol === "https:";
  const Agent = isTls ? HttpsAgent : HttpAgent;
  const agent = new Agent({ keepAlive: true, maxSockets: connections });

  const once = (
    { url, headers, body }: SignedRequest,
    sender: Sender,
    { manner, timeoutMs, slowBodyMs }: SendOptions,
  ): Promise<ReceivedAnswer> =>
    new Promise((resolve, reject) => {
      const started = performance.now();
      const limitMs = timeoutMs + (manner === "slowBody" ? slowBodyMs : 0);
      const request = (isTls ? httpsRequest : httpRequest)(
        url,
        // A connection that is cut must not be one that others wait for.
        {
          method: "POST",
          headers: { ...headers, "Content-Length": body.length },
          agent: manner === "plain" ? agent : false,
        },
        (response) => receive(response, sender, "POST", url.pathname, started).then(resolve, reject),
      );
      const timer = setTimeout(() => request.destroy(new Error(`none within ${limitMs} ms`)), limitMs);
      request.on("close", () => clearTimeout(timer));
      request.on("error", (error: NodeJS.ErrnoException) =>
        reject(request.reusedSocket && error.code === "ECONNRESET" ? new Stale() : error),
      );
      const half = body.length >> 1;
      switch (manner) {
        case "plain":
          request.end(body);
          break;
        case "tornRequest":
          request.write(body.subarray(0, half), () => request.destroy(new Error("connection cut by the scenario")));
          break;
        case "tornAnswer":
          request.end(body, () => request.destroy(new Error("connection cut by the scenario")));
          break;
        case "slowBody":
          writeSlowly(
            body,
            slowBodyMs,
            (piece) => void request.write(piece),
            () => request.end(),
          );
      }
    });
  return {
    async send(request, sender, options) {
      try {
        return await once(request, sender, options);
      } catch (error) {
        // The other side may close a connection that it kept open just when the next request is on its way.
        if (error instanceof Stale) return once(request, sender, options);
        throw error;
      }
    },
    close: () => agent.destroy(),
  };
}

class Stale extends Error {}

function writeSlowly(body: Buffer, forMs: number, write: (piece: Buffer) => void, end: () => void): void {
  const size = Math.ceil(body.length / pieces);
  const next = (at: number): void => {
    if (at >= body.length) end();
    else {
      write(body.subarray(at, at + size));
      setTimeout(next, forMs / pieces, at + size);
    }
  };
  next(0);
}

/** Why no answer came, without the addresses that would make every message another one. */
export function silenceOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
