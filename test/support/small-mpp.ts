// A small MPP endpoint that shares no code with the product. It keeps what is published, differs where nothing is, and
// has the defects that a test asks for.
import { sign, verify } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { privateKey, publicKey, testClientId } from "./keys.js";

const apiPath = "/aps/api/v1/tokenActivationNotification";

export type Defect =
  | "takes any signature"
  | "verifies the body written anew"
  | "remembers what forgers say"
  | "reads names of headers as they are written"
  | "does not look at Accept"
  | "does not look at keyVersion"
  | "answers other methods with an empty 405"
  | "has a page for unknown paths"
  | "takes numbers and booleans for texts"
  | "takes empty texts"
  | "refuses null"
  | "does not miss what is required"
  | "takes 30 February"
  | "allows one character less in walletId"
  | "allows one character more in customerId"
  | "does not know EXISTING_TOKEN_CREDENTIAL"
  | "refuses what it has seen"
  | "looks before it writes"
  | "answers refusals with HTTP 400"
  | "puts off what it refuses"
  | "does not sign refusals"
  | "signs another text than it sends"
  | "leaves out Response-Time"
  | "has Response-Time in milliseconds"
  | "answers as another client"
  | "writes a number into answers";

type Result = readonly [resultCode: string, resultStatus: string];
const refuse = (resultCode: string): Result => [resultCode, "F"];
const success: Result = ["SUCCESS", "S"];

const limits: Record<string, number> = {
  tokenReferenceId: 64,
  customerId: 64,
  walletId: 16,
  tokenRequestorId: 16,
  secureElementId: 128,
};
const dates = ["serviceRequestTime", "tokenActivatedTime"];
const required = ["tokenReferenceId", ...dates, "tokenData"];
const known = [...Object.keys(limits), "accountSource", ...dates, "tokenData"];

export type SmallMpp = { readonly url: string; readonly stop: () => Promise<void> };

export async function startSmallMpp(...defects: readonly Defect[]): Promise<SmallMpp> {
  const has = (defect: Defect): boolean => defects.includes(defect);
  const tokens = new Map<string, string>();
  const writing = new Set<string>();

  const server = createServer(async (request, response) => {
    const body = await bodyOf(request);
    const path = (request.url ?? "").split("?")[0] ?? "";
    if (path !== apiPath && has("has a page for unknown paths")) {
      response.writeHead(404, { "Content-Type": "text/html" }).end("<h1>Not found</h1>");
      return;
    }
    if (request.method !== "POST" && has("answers other methods with an empty 405")) {
      response.writeHead(405).end();
      return;
    }
    answer(request, response, path, await resultOf(request, path, body));
  });

  async function resultOf(request: IncomingMessage, path: string, body: Buffer): Promise<Result> {
    const header = (name: string): string | undefined => {
      const at = request.rawHeaders.findIndex((written, i) =>
        i % 2 === 1 || !has("reads names of headers as they are written")
          ? i % 2 === 0 && written.toLowerCase() === name.toLowerCase()
          : written === name,
      );
      return at === -1 ? undefined : request.rawHeaders[at + 1];
    };
    if (path !== apiPath) return refuse("NO_INTERFACE_DEF");
    if (request.method !== "POST") return refuse("METHOD_NOT_SUPPORTED");
    if (!(header("Content-Type") ?? "application/json").startsWith("application/json"))
      return refuse("MEDIA_TYPE_NOT_ACCEPTABLE");
    if (!has("does not look at Accept") && !/\*\/\*|json/.test(header("Accept") ?? "*/*"))
      return refuse("MEDIA_TYPE_NOT_ACCEPTABLE");
    if (header("Client-Id") !== testClientId) return refuse("INVALID_CLIENT");
    const time = header("Request-Time");
    if (time === undefined) return refuse("PARAM_ILLEGAL");
    const signature = header("Signature") ?? "";
    const version = /keyVersion=(\d+)/.exec(signature)?.[1];
    if (version !== "1" && version !== undefined && !has("does not look at keyVersion")) return refuse("KEY_NOT_FOUND");
    if (!isVerified(path, time, body, signature)) {
      if (has("remembers what forgers say")) write(body);
      return refuse("INVALID_SIGNATURE");
    }
    return read(body);
  }

  function isVerified(path: string, time: string, body: Buffer, header: string): boolean {
    const value = /signature=([^,\s]+)/.exec(header)?.[1];
    if (value === undefined) return false;
    if (has("takes any signature")) return true;
    const signed = has("verifies the body written anew") ? Buffer.from(anew(body)) : body;
    const content = Buffer.concat([Buffer.from(`POST ${path}\n${testClientId}.${time}.`), signed]);
    return verify("sha256", content, publicKey("aplus"), Buffer.from(decodeURIComponent(value), "base64"));
  }

  async function read(body: Buffer): Promise<Result> {
    const members = membersOf(body);
    if (members === undefined || known.some((name) => !isLegal(name, members[name]))) return refuse("PARAM_ILLEGAL");
    const reference = String(members.tokenReferenceId);
    if (has("looks before it writes")) {
      if (writing.has(reference)) return refuse("PROCESS_FAIL");
      writing.add(reference);
      await new Promise((resolve) => setTimeout(resolve, 20));
      writing.delete(reference);
    }
    if (tokens.has(reference) && has("refuses what it has seen")) return refuse("PROCESS_FAIL");
    return write(body) ? success : refuse("PROCESS_FAIL");
  }

  /** True when the token is new, or what is known of it is the same. */
  function write(body: Buffer): boolean {
    const members = membersOf(body) ?? {};
    const reference = String(members.tokenReferenceId);
    const content = JSON.stringify(known.map((name) => members[name] ?? null));
    if (!tokens.has(reference)) tokens.set(reference, content);
    return tokens.get(reference) === content;
  }

  function isLegal(name: string, value: unknown): boolean {
    if (value === undefined) return has("does not miss what is required") || !required.includes(name);
    if (value === null) return !required.includes(name) && !has("refuses null");
    if (name === "tokenData") return typeof value === "object" && !Array.isArray(value);
    if (value === "") return has("takes empty texts");
    const isText =
      typeof value === "string" || (has("takes numbers and booleans for texts") && typeof value !== "object");
    if (!isText) return false;
    if (dates.includes(name)) return isDate(String(value));
    if (value === "EXISTING_TOKEN_CREDENTIAL" && has("does not know EXISTING_TOKEN_CREDENTIAL")) return false;
    const more = Number(has("allows one character more in customerId") && name === "customerId");
    const less = Number(has("allows one character less in walletId") && name === "walletId");
    // UTF-16 units, where others count code points: nothing is published.
    return String(value).length <= (limits[name] ?? 64) + more - less;
  }

  function isDate(text: string): boolean {
    if (has("takes 30 February") && text.startsWith("2019-02-30")) return true;
    const [, year, month, day] = /^(\d{4})-(\d{2})-(\d{2})/.exec(text) ?? [];
    const date = new Date(text);
    if (Number.isNaN(date.getTime())) return false;
    return new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day);
  }

  function answer(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    [resultCode, status]: Result,
  ): void {
    const isRefusal = status === "F";
    const resultStatus = isRefusal && has("puts off what it refuses") ? "U" : status;
    const result = { resultCode, resultStatus, resultMessage: "said by a small MPP" };
    const body = JSON.stringify({ result, ...(has("writes a number into answers") && { version: 1 }) });
    const time = has("has Response-Time in milliseconds") ? String(Date.now()) : new Date().toISOString();
    const clientId = has("answers as another client") ? "ANOTHER_CLIENT" : testClientId;
    const signed = has("signs another text than it sends") ? `${body}\n` : body;
    const content = Buffer.from(`${request.method} ${path}\n${clientId}.${time}.${signed}`);
    const value = encodeURIComponent(sign("sha256", content, privateKey("mpp")).toString("base64"));
    response.statusCode = isRefusal && has("answers refusals with HTTP 400") ? 400 : 200;
    response.setHeader("Content-Type", "application/json");
    response.setHeader("Client-Id", clientId);
    if (!has("leaves out Response-Time")) response.setHeader("Response-Time", time);
    if (!isRefusal || !has("does not sign refusals"))
      response.setHeader("Signature", `algorithm=RSA256, keyVersion=1, signature=${value}`);
    response.end(body);
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${apiPath}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function membersOf(body: Buffer): Record<string, unknown> | undefined {
  try {
    const members = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
    return typeof members === "object" && members !== null && !Array.isArray(members) ? members : undefined;
  } catch {
    return undefined;
  }
}

function anew(body: Buffer): string {
  try {
    return JSON.stringify(JSON.parse(body.toString()));
  } catch {
    return body.toString();
  }
}
