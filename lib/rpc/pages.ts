// Which web pages may call a port, and what: everything else that a browser sends is refused before it does anything.
import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import { cors } from "@connectrpc/connect";
import type { Handler } from "./door.js";

export type PageRules = {
  /** Origins whose pages may call, for instance `http://127.0.0.1:9465`. */
  readonly origins: () => ReadonlySet<string>;
  /** Paths that a page may call, whatever rights its user has. */
  readonly paths: ReadonlySet<string>;
  /** Without TLS nobody has checked the name that the caller used. */
  readonly isPlain: boolean;
  readonly onRefused: (what: { path: string; origin: string }) => void;
};

type Request = Parameters<Handler>[0];
type Response = Parameters<Handler>[1];

/** True for what a browser says of itself, whether it may call or not. */
export const isFromABrowser = (headers: IncomingHttpHeaders): boolean =>
  headers.origin !== undefined || headers["sec-fetch-site"] !== undefined;

/** How long a browser may believe an answer to its question beforehand, in seconds. */
const preflightMaxAgeS = 600;

/** Programs pass: they send neither Origin nor Sec-Fetch-Site. */
export const limitingPages =
  (handler: Handler, rules: PageRules): Handler =>
  (request, response) => {
    const origin = request.headers.origin;
    const path = request.url?.split("?", 1)[0] ?? "";
    if (origin === undefined ? mayBeFromAPage(request, rules) : !(rules.origins().has(origin) && rules.paths.has(path)))
      return refuse(request, response, rules, path);
    if (origin === undefined) return handler(request, response);
    response.setHeader("access-control-allow-origin", origin);
    response.setHeader("vary", "Origin");
    // A client certificate counts as a credential.
    if (!rules.isPlain) response.setHeader("access-control-allow-credentials", "true");
    if (request.method !== "OPTIONS") return handler(request, response);
    response.setHeader("access-control-allow-methods", "POST");
    response.setHeader("access-control-allow-headers", cors.allowedHeaders.join(", "));
    response.setHeader("access-control-max-age", `${preflightMaxAgeS}`);
    response.writeHead(204);
    response.end();
  };

/**
 * A browser leaves Origin out of what a page merely embeds (but then says Sec-Fetch-Site), and of a GET to the page's own
 * host. That host may be a name that was pointed at us after the page had loaded, so in plain only an address or localhost
 * will do.
 */
function mayBeFromAPage(request: Request, { isPlain }: PageRules): boolean {
  if (request.headers["sec-fetch-site"] !== undefined) return true;
  const speaksLikeABrowser = request.httpVersionMajor === 1 && request.method !== "POST";
  return isPlain && speaksLikeABrowser && !isAddress(request.headers.host);
}

/** True for a Host that no name server has a say in. */
export function isAddress(host: string | undefined): boolean {
  const name = host?.replace(/:\d{1,5}$/, "") ?? "";
  return name === "localhost" || isIP(name) === 4 || (/^\[.*\]$/.test(name) && isIP(name.slice(1, -1)) === 6);
}

function refuse(request: Request, response: Response, rules: PageRules, path: string): void {
  const origin = request.headers.origin ?? String(request.headers["sec-fetch-site"] ?? request.headers.host ?? "");
  rules.onRefused({ path: path.slice(0, 100), origin: origin.slice(0, 100) });
  response.writeHead(403, { "content-type": "application/json" });
  response.end(`${JSON.stringify({ code: "permission_denied", message: "pages may not call this" })}\n`);
}
