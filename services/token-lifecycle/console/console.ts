// The console on the admin port: static files, and what a page cannot ask by itself. Everything else the page asks the
// token service, as any caller.
import { readdirSync, readFileSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Pages } from "../../../lib/admin.js";
import { isAddress } from "../../../lib/rpc/pages.js";
import { lookAtParts, type PartHealth, shownMetrics } from "./parts.js";

export type ConsoleOptions = {
  /** Origins that pages may have beside those of this machine. */
  readonly origins: readonly string[];
  /** The token service as browsers reach it; undefined: the host that the browser knows the console by. */
  readonly serviceUrl: string | undefined;
  readonly servicePort: () => number;
  readonly withTls: boolean;
  readonly adminPort: () => number;
  /** Admin addresses of the other parts. */
  readonly parts: readonly string[];
  readonly reasons: () => readonly string[];
  readonly metrics: () => Promise<string>;
};

/** The origins of pages on this machine that are served by its admin port. */
export const originsOf = (port: number): string[] =>
  ["127.0.0.1", "localhost", "[::1]"].map((host) => `http://${host}:${port}`);

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** For how long an answer about the parts serves all who ask, in milliseconds. */
const partsAgeMs = 1_000;

export function createConsole(options: ConsoleOptions): Pages {
  const files = readFiles();
  const hosts = new Set(options.origins.map((origin) => new URL(origin).host));
  const parts = shared(() => partsOf(options), partsAgeMs);

  return (request, response) => {
    const path = request.url?.split("?", 1)[0] ?? "";
    if (path !== "/console" && !path.startsWith("/console/")) return false;
    const { host } = request.headers;
    const send = (status: number, type: string, body: string | Buffer, more: Record<string, string> = {}): true => {
      response.writeHead(status, { ...safety, ...more, "content-type": type }).end(body);
      return true;
    };
    const say = (status: number, text: string, more?: Record<string, string>): true =>
      send(status, "text/plain; charset=utf-8", `${text}\n`, more);
    // A name may have been pointed here by a stranger whose page asks.
    if (!isAddress(host) && !hosts.has(host ?? ""))
      return say(403, "open the console by address, as localhost, or under an origin in CONSOLE_ORIGINS");
    if (request.method !== "GET" && request.method !== "HEAD") return say(405, "read only", { allow: "GET, HEAD" });
    if (path === "/console") return say(308, "/console/", { location: "/console/" });

    const name = path.slice("/console/".length) || "index.html";
    const service = options.serviceUrl ?? serviceOn(host ?? "", options);
    const file = files.get(name);
    if (file)
      return send(200, file.type, file.content, {
        "content-security-policy": `${policy}; connect-src 'self' ${service}`,
      });
    // Only the console's own page has any use for these.
    if ((request.headers["sec-fetch-site"] ?? "same-origin") !== "same-origin") return say(403, "not for other pages");
    if (name === "settings.json") return send(200, "application/json", JSON.stringify({ service }));
    if (name !== "parts.json") return say(404, "no such file");
    parts().then(
      (all) => send(200, "application/json", JSON.stringify(all)),
      () => say(500, "the parts could not be asked"),
    );
    return true;
  };
}

const policy = [
  ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'"],
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"],
].join("; ");

const safety = {
  "cache-control": "no-cache",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** The host is an address, localhost or a name of ours, so it may stand in a header. */
const serviceOn = (host: string, { withTls, servicePort }: ConsoleOptions): string =>
  `${withTls ? "https" : "http"}://${host.replace(/:\d+$/, "")}:${servicePort()}`;

function readFiles(): Map<string, { type: string; content: Buffer }> {
  const folder = fileURLToPath(new URL("page/", import.meta.url));
  return new Map(
    readdirSync(folder).flatMap((name) => {
      const type = types[extname(name)];
      return type === undefined ? [] : [[name, { type, content: readFileSync(folder + name) }]];
    }),
  );
}

async function partsOf(options: ConsoleOptions): Promise<PartHealth[]> {
  const reasons = options.reasons();
  const state = reasons.length === 0 ? "ready" : "not ready";
  const others = lookAtParts(options.parts, options.adminPort());
  return [
    { name: "redis", address: "", state, reasons, metrics: "" },
    {
      ...{ name: "token service", address: "this instance", state, reasons },
      metrics: shownMetrics(await options.metrics()),
    },
    ...(await others),
  ];
}

/** Answers everyone who asks within `ageMs` with the same answer. */
function shared<T>(ask: () => Promise<T>, ageMs: number): () => Promise<T> {
  let last: { answer: Promise<T>; atMs: number } | undefined;
  return () => {
    if (last === undefined || performance.now() - last.atMs > ageMs) last = { answer: ask(), atMs: performance.now() };
    return last.answer;
  };
}
