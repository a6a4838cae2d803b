// Unary calls that come as messages of one stream, from the server's side: each is answered as if it had come alone, behind the same
// interceptors. Over binary Connect on HTTP/2 straight from the stream; by the library's handler for every other client.
import { setMaxListeners } from "node:events";
import { constants } from "node:http2";
import type { DescMethodBiDiStreaming, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, type HandlerContext } from "@connectrpc/connect";
import { endStreamFlag, endStreamToJson } from "@connectrpc/connect/protocol-connect";
import { inAnyOrder } from "../in-any-order.js";
import { decoderOf } from "../protobuf/decoder.js";
import { encoderOf } from "../protobuf/encoder.js";
import type { Answer, UnaryRpc } from "./answering.js";
import { withinMs } from "./deadline.js";
import type { Direct, DirectOptions } from "./direct-unary.js";
import { envelope, readEnvelopes, streamContentType } from "./envelopes.js";

export type StreamedCalls = {
  /** The rpc that is the stream. */
  readonly method: DescMethodBiDiStreaming;
  /** What each of its messages is a call of. */
  readonly rpc: UnaryRpc;
  readonly answer: Answer;
  /** The call in a message. `timeoutMs` 0 is as long as a call without deadline may take. */
  readonly callIn: (message: Message) => { readonly request: Message; readonly timeoutMs: number };
  /** The message that answers another one. */
  readonly replyTo: (message: Message, result: { readonly response: Message } | { readonly error: unknown }) => Message;
};

/** Calls of one stream that are worked on at once; what comes beyond is read when one of them is done. */
const mostUnderWay = 64;
/** How long a caller that does not end its side may take to read why the stream was ended, in milliseconds. */
const lingerMs = 10_000;

/** The interceptor for deadlines asks whether there is one; how long it is, is seen to here. */
const withoutDeadline = new Headers();
const withDeadline = new Headers({ "connect-timeout-ms": "1" });

/** Never rejects. */
async function replyOf(
  { rpc, answer, callIn, replyTo }: StreamedCalls,
  message: Message,
  contextValues: ContextValues,
  signal: AbortSignal,
): Promise<Message> {
  const { request, timeoutMs } = callIn(message);
  try {
    const answered = answer({
      stream: false,
      service: rpc.method.parent,
      method: rpc.method,
      requestMethod: "POST",
      url: `http://localhost/${rpc.method.parent.typeName}/${rpc.method.name}`,
      signal,
      header: timeoutMs === 0 ? withoutDeadline : withDeadline,
      contextValues,
      message: request,
    });
    const { message: response } = await (timeoutMs === 0 ? answered : withinMs(timeoutMs, answered));
    return replyTo(message, { response });
  } catch (error) {
    return replyTo(message, { error });
  }
}

/** The rpc as the library's handler wants it. */
export const streamedByHandler = (calls: StreamedCalls) =>
  async function* (messages: AsyncIterable<Message>, { values, signal }: HandlerContext): AsyncGenerator<Message> {
    yield* inAnyOrder(messages, (message) => replyOf(calls, message, values, signal), mostUnderWay, signal);
  };

type StreamOptions = Pick<DirectOptions, "contextValues" | "readMaxBytes" | "shutdown">;

export function directStream(calls: StreamedCalls, { contextValues, readMaxBytes, shutdown }: StreamOptions): Direct {
  const { method } = calls;
  const path = `/${method.parent.typeName}/${method.name}`;
  const decode = decoderOf(method.input);
  const encode = encoderOf(method.output);
  const streams = new Set<(reason: ConnectError) => void>();
  shutdown.addEventListener("abort", () => {
    for (const stop of streams) stop(ConnectError.from(shutdown.reason, Code.Unavailable));
  });

  return (stream, headers) => {
    if (
      headers[":path"] !== path ||
      headers[":method"] !== "POST" ||
      headers["content-type"] !== streamContentType ||
      headers["connect-protocol-version"] !== "1" ||
      headers["connect-content-encoding"] !== undefined ||
      headers["connect-timeout-ms"] !== undefined
    )
      return false;
    const controller = new AbortController();
    // One listener for each call under way.
    setMaxListeners(0, controller.signal);
    let underWay = 0;
    let isOver = false;

    const end = (error?: ConnectError): void => {
      if (isOver) return;
      isOver = true;
      streams.delete(stop);
      if (error) controller.abort(error);
      if (stream.destroyed) return;
      const how = JSON.stringify(endStreamToJson(new Headers(), error, undefined));
      stream.end(envelope(endStreamFlag, Buffer.from(how)));
      // What still comes is dropped.
      stream.resume();
      if (stream.readableEnded) return;
      const timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), lingerMs);
      stream.on("close", () => clearTimeout(timer));
    };
    // Every call under way hears of it, and says so.
    const stop = (reason: ConnectError): void => {
      controller.abort(reason);
      setImmediate(end, reason);
    };
    const gone = (): void => {
      if (isOver) return;
      isOver = true;
      streams.delete(stop);
      controller.abort(new ConnectError("the caller went away", Code.Canceled));
    };

    /** Reads on only while there is room, for calls and for replies that the caller has not taken yet. */
    const pace = (): void => {
      const isFull = underWay >= mostUnderWay || stream.writableNeedDrain;
      if (isFull !== stream.isPaused()) isFull ? stream.pause() : stream.resume();
    };
    const take = (message: Message): void => {
      underWay += 1;
      pace();
      replyOf(calls, message, contextValues(stream), controller.signal)
        .then((reply) => {
          if (!isOver) stream.write(envelope(0, encode(reply)));
        })
        // What cannot be sent must not end the process.
        .catch(() => end(new ConnectError("internal error", Code.Internal)))
        .finally(() => {
          underWay -= 1;
          if (isOver) return;
          pace();
          if (underWay === 0 && stream.readableEnded) end();
        });
    };
    const read = readEnvelopes(readMaxBytes, (flags, bytes) => {
      if (isOver) return;
      if (flags !== 0) throw new ConnectError("an envelope of another kind", Code.InvalidArgument);
      take(messageIn(bytes));
    });
    const messageIn = (bytes: Buffer): Message => {
      try {
        return decode(bytes);
      } catch {
        // Never its words: they may quote what was sent.
        throw new ConnectError(`cannot decode message ${method.input.typeName} from binary`, Code.Internal);
      }
    };

    streams.add(stop);
    stream.respond({ ":status": 200, "content-type": streamContentType });
    stream.on("data", (chunk: Buffer) => {
      if (isOver) return;
      try {
        read(chunk);
      } catch (error) {
        end(ConnectError.from(error));
      }
    });
    stream.on("drain", pace);
    stream.on("end", () => {
      if (underWay === 0) end();
    });
    stream.on("aborted", gone);
    stream.on("error", gone);
    stream.on("close", gone);
    if (shutdown.aborted) stop(ConnectError.from(shutdown.reason, Code.Unavailable));
    return true;
  };
}
