// Answers chosen unary rpcs of the Connect protocol on HTTP/2 straight from the stream, for the callers that call most. The same
// interceptors run as in the general handler, which answers everything else: other protocols, codecs and compression.
import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { DescMethodUnary, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, type Interceptor } from "@connectrpc/connect";
import { codeToHttpStatus, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { decoderOf } from "../protobuf/decoder.js";
import { encoderOf } from "../protobuf/encoder.js";
import { answering, type UnaryRpc } from "./answering.js";

export type DirectOptions = {
  readonly interceptors: readonly Interceptor[];
  readonly contextValues: (stream: ServerHttp2Stream) => ContextValues;
  /** Largest request message, in bytes. */
  readonly readMaxBytes: number;
  /** How long a call may take, the arrival of its message included, whatever deadline the caller sets; in milliseconds. */
  readonly maxDeadlineMs: number;
  readonly shutdown: AbortSignal;
};

/** Takes a stream that is one of its calls and answers it; false for one that is not, which is left as it is. */
export type Direct = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;

const contentType = "application/proto";
const timeoutForm = /^[1-9][0-9]{0,8}$/;
/** What is read and dropped of a message that was refused before its end, in bytes, and how long that may take. */
const dropLimitBytes = 4 * 1024 * 1024;
const dropMs = 10_000;

type Call = { readonly signal: AbortSignal; readonly end: () => void };

export function directUnary(rpcs: readonly UnaryRpc[], options: DirectOptions): Direct {
  const answers = new Map(
    rpcs.map((rpc) => {
      const answer = answering(rpc, options.interceptors);
      return [`/${rpc.method.parent.typeName}/${rpc.method.name}`, { method: rpc.method, answer }];
    }),
  );
  const beginCall = callsUntil(options.shutdown, options.maxDeadlineMs);
  return (stream, headers) => {
    const path = headers[":path"] as string;
    const found = answers.get(path);
    const timeout = headers["connect-timeout-ms"];
    if (
      found === undefined ||
      headers[":method"] !== "POST" ||
      headers["content-type"] !== contentType ||
      headers["connect-protocol-version"] !== "1" ||
      headers["content-encoding"] !== undefined ||
      (timeout !== undefined && !timeoutForm.test(String(timeout)))
    )
      return false;
    const call = beginCall(stream, timeout === undefined ? undefined : Number(timeout));
    const { method, answer } = found;
    const encode = encoderOf(method.output);
    readAll(stream, options.readMaxBytes, call.signal)
      .then((bytes) =>
        answer({
          stream: false,
          service: method.parent,
          method,
          requestMethod: "POST",
          url: `http://${headers[":authority"] ?? "localhost"}${path}`,
          signal: call.signal,
          header: headersOf(headers),
          contextValues: options.contextValues(stream),
          message: messageOf(method, bytes),
        }),
      )
      .then((response) => send(stream, 200, contentType, encode(response.message)))
      .catch((thrown: unknown) => {
        // As in the library: what an rpc did not choose to say is not for callers.
        const told = thrown instanceof ConnectError ? thrown : new ConnectError("internal error", Code.Internal);
        send(stream, codeToHttpStatus(told.code), "application/json", Buffer.from(errorToJsonBytes(told, undefined)));
      })
      // What cannot be sent must not end the process.
      .catch(() => stream.close(constants.NGHTTP2_INTERNAL_ERROR))
      .finally(call.end);
    return true;
  };
}

/** Gives each call a signal that ends with its deadline, with its stream, and when the server stops. */
function callsUntil(shutdown: AbortSignal, maxDeadlineMs: number) {
  const underWay = new Set<AbortController>();
  shutdown.addEventListener("abort", () => {
    for (const controller of underWay) controller.abort(shutdown.reason);
  });
  return (stream: ServerHttp2Stream, timeoutMs = maxDeadlineMs): Call => {
    const controller = new AbortController();
    const onDeadline = (): void => controller.abort(new ConnectError("the deadline is over", Code.DeadlineExceeded));
    const onAborted = (): void => controller.abort(gone());
    const timer = setTimeout(onDeadline, Math.min(timeoutMs, maxDeadlineMs));
    stream.on("aborted", onAborted);
    stream.on("error", onAborted);
    if (shutdown.aborted) controller.abort(shutdown.reason);
    underWay.add(controller);
    return {
      signal: controller.signal,
      end(): void {
        clearTimeout(timer);
        underWay.delete(controller);
      },
    };
  };
}

const gone = (): ConnectError => new ConnectError("the caller went away", Code.Canceled);

/** All of the message; rejects with the signal's reason when that comes first. */
function readAll(stream: ServerHttp2Stream, limitBytes: number, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort);
    stream.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= limitBytes) chunks.push(chunk);
      else
        reject(
          new ConnectError(`message size is larger than configured readMaxBytes ${limitBytes}`, Code.ResourceExhausted),
        );
      if (length > limitBytes + dropLimitBytes) stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    });
    stream.on("end", () => {
      signal.removeEventListener("abort", onAbort);
      // A message that was broken off ends too.
      if (stream.aborted || stream.rstCode !== constants.NGHTTP2_NO_ERROR) reject(gone());
      else resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, length));
    });
    // Errors cost a stack trace, and every stream closes.
    stream.on("close", () => stream.readableEnded || reject(gone()));
    if (signal.aborted) onAbort();
  });
}

function messageOf(method: DescMethodUnary, bytes: Buffer): Message {
  try {
    return decoderOf(method.input)(bytes);
  } catch {
    // Never its words: they may quote what was sent.
    throw new ConnectError(`cannot decode message ${method.input.typeName} from binary`, Code.Internal);
  }
}

function headersOf(from: IncomingHttpHeaders): Headers {
  const headers = new Headers();
  for (const name of Object.keys(from)) {
    const value = from[name];
    if (!name.startsWith(":") && value !== undefined)
      headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  return headers;
}

function send(stream: ServerHttp2Stream, status: number, type: string, bytes: Buffer): void {
  if (stream.destroyed || stream.closed) return;
  const headers: OutgoingHttpHeaders = { ":status": status, "content-type": type, "content-length": bytes.length };
  stream.respond(headers);
  stream.end(bytes);
  // Who is still sending a message that was refused is let finish, so that the answer is read, but not for ever.
  if (stream.readableEnded) return;
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), dropMs);
  stream.on("close", () => clearTimeout(timer));
}
