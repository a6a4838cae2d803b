// A connection on which a test writes the very bytes it wants, and the answers that come back.
import { type KeyObject, sign } from "node:crypto";
import { connect, type Socket } from "node:net";
import { contentToSign, formatSignatureHeader } from "../../gateway/alipayplus/signature.js";
import { wholeSecond } from "../../gateway/alipayplus/time.js";
import { isAnswerSigned } from "../../tools/sender.js";
import { privateKey, testClientId, testSender } from "./keys.js";
import { apiPath, type Result } from "./notification.js";

export type WireAnswer = {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
  readonly result: Result;
};

export type Wire = {
  readonly socket: Socket;
  readonly write: (bytes: string | Buffer) => void;
  /** The next answer; throws when the connection ends or nothing comes within `limitMs`. */
  readonly answer: (limitMs?: number) => Promise<WireAnswer>;
  /** The next answer, or "closed" when the connection ends without another. */
  readonly answerOrEnd: (limitMs?: number) => Promise<WireAnswer | "closed">;
  readonly isClosed: () => boolean;
  readonly close: () => void;
};

/** Connects; a failure to connect counts as a connection that was closed. */
export function openWire(url: string): Wire {
  const { hostname, port } = new URL(url);
  return wireOf(connect({ host: hostname, port: Number(port), noDelay: true }));
}

/** The same over a socket of the caller's own. */
export function wireOf(socket: Socket): Wire {
  let received = Buffer.alloc(0);
  let closed = false;
  let wake = (): void => {};
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    wake();
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    closed = true;
    wake();
  });
  const answerOrEnd = async (limitMs = 8_000): Promise<WireAnswer | "closed"> => {
    const end = Date.now() + limitMs;
    for (;;) {
      const taken = takeAnswer(received);
      if (taken) {
        received = received.subarray(taken.length);
        if (taken.answer.status >= 200) return taken.answer;
        continue;
      }
      if (closed) return "closed";
      if (Date.now() > end) throw new Error(`no answer within ${limitMs} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(end - Date.now(), 1));
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  };
  return {
    socket,
    write: (bytes) => void socket.write(bytes),
    answerOrEnd,
    async answer(limitMs) {
      const answer = await answerOrEnd(limitMs);
      if (answer === "closed") throw new Error("the connection ended without an answer");
      return answer;
    },
    isClosed: () => closed,
    close: () => socket.destroy(),
  };
}

function takeAnswer(bytes: Buffer): { answer: WireAnswer; length: number } | undefined {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd === -1) return undefined;
  const [first = "", ...lines] = bytes.subarray(0, headEnd).toString("latin1").split("\r\n");
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const length = headEnd + 4 + Number(headers["content-length"] ?? 0);
  if (bytes.length < length) return undefined;
  const body = bytes.subarray(headEnd + 4, length);
  return { answer: { status: Number(first.split(" ")[1]), headers, body, result: resultIn(body) }, length };
}

function resultIn(body: Buffer): Result {
  try {
    return JSON.parse(body.toString()).result;
  } catch {
    return { resultCode: `no JSON: ${body.toString()}`, resultStatus: "", resultMessage: "" };
  }
}

/** Whether the gateway signed this answer to a request for that target. */
export const isSignedFor = (answer: WireAnswer, path = apiPath, method = "POST"): boolean =>
  isAnswerSigned(testSender, method, path, answer.headers, answer.body);

export type Headers = readonly (readonly [name: string, value: string])[];
export type Signing = {
  readonly path?: string;
  readonly method?: string;
  readonly clientId?: string;
  readonly time?: string;
  readonly keyVersion?: number;
  readonly key?: KeyObject;
};

/** The Signature value for a body, as Alipay+ would write it. */
export function signatureFor(body: string | Buffer, signing: Signing = {}): string {
  const { path = apiPath, method = "POST", clientId = testClientId, time = now(), keyVersion = 1 } = signing;
  const content = contentToSign({ method, path, clientId, time, body: Buffer.from(body as string) });
  return formatSignatureHeader(keyVersion, sign("sha256", content, signing.key ?? aplusKey));
}

const aplusKey = privateKey("aplus");
const now = (): string => wholeSecond(Date.now());

/** The headers of a signed request, without those that frame the body. */
export function signedHeaders(body: string | Buffer, signing: Signing = {}): [name: string, value: string][] {
  const time = signing.time ?? now();
  return [
    ["Host", "localhost"],
    ["Content-Type", "application/json; charset=UTF-8"],
    ["Client-Id", signing.clientId ?? testClientId],
    ["Request-Time", time],
    ["Signature", signatureFor(body, { ...signing, time })],
  ];
}

/** Headers with one replaced, or left out when the value is undefined. */
export const withHeader = (headers: Headers, name: string, value: string | undefined): Headers => [
  ...headers.filter(([each]) => each.toLowerCase() !== name.toLowerCase()),
  ...(value === undefined ? [] : [[name, value] as const]),
];

/** The bytes of a request line and headers, with the empty line; text counts as Latin-1. */
export const headBytes = (target: string, headers: Headers, method = "POST", version = "1.1"): Buffer =>
  Buffer.from(
    `${method} ${target} HTTP/${version}\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`,
    "latin1",
  );

/** The bytes of a whole request, framed by Content-Length. */
export const requestBytes = (target: string, headers: Headers, body: string | Buffer, method = "POST"): Buffer =>
  Buffer.concat([
    headBytes(target, [...headers, ["Content-Length", String(Buffer.byteLength(body))]], method),
    Buffer.from(body as string),
  ]);

/** Sends one request on a connection of its own. */
export async function sendBytes(url: string, bytes: Buffer, limitMs?: number): Promise<WireAnswer | "closed"> {
  const wire = openWire(url);
  wire.write(bytes);
  try {
    return await wire.answerOrEnd(limitMs);
  } finally {
    wire.close();
  }
}
