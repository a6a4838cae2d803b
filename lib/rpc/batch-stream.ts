// Batches over one call that lasts, from the caller's side: each goes out as a message of the stream, and its answer is told by its number.
// The call begins with the first batch, and again with the next one after it has ended.
import { constants, type IncomingHttpHeaders } from "node:http2";
import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeFromHttpStatus, endStreamFlag, endStreamFromJson } from "@connectrpc/connect/protocol-connect";
import { decoderOf } from "../protobuf/decoder.js";
import { type Encode, encoderOf } from "../protobuf/encoder.js";
import type { BatchStream } from "./batch.js";
import { type ConnectChannel, type LastingCall, unavailable } from "./connect-channel.js";
import { envelope, readEnvelopes, streamContentType } from "./envelopes.js";

export type BatchStreamLimits = {
  /** Largest message to the peer, in bytes. */
  readonly writeMaxBytes: number;
  /** Largest message from the peer, in bytes. */
  readonly readMaxBytes: number;
};

/** The batch rpc's response. Throws ConnectError: UNIMPLEMENTED, without anything done, from a peer that has no such rpc. */
export type SendBatch = (batch: Message, timeoutMs: number) => Promise<Message>;

export type BatchStreamCaller = {
  readonly send: SendBatch;
  /** True after a deadline on a stream that the peer never began to answer: something between the two may hold it back until its end. */
  readonly isHeldBack: () => boolean;
};

/** A batch without its answer. */
type Pending = { readonly resolve: (response: Message) => void; readonly reject: (error: ConnectError) => void };

/** Numbers are uint32. */
const sequenceLimit = 2 ** 32;

export function batchStream(channel: ConnectChannel, rpc: BatchStream, limits: BatchStreamLimits): BatchStreamCaller {
  const path = `/${rpc.method.parent.typeName}/${rpc.method.name}`;
  const encode = encoderOf(rpc.method.input);
  const decode = decoderOf(rpc.method.output);
  type Open = { readonly call: LastingCall; readonly pending: Map<number, Pending>; hasBegun: boolean };
  let newest: Open | undefined;
  let sequence = 0;
  let isHeldBack = false;

  function begin(): Open {
    const call = channel.open(path);
    const { stream } = call;
    const pending = new Map<number, Pending>();
    const end = (error: ConnectError): void => {
      if (newest?.call === call) newest = undefined;
      for (const each of pending.values()) each.reject(error);
      pending.clear();
    };
    const breakOff = (error: ConnectError): void => {
      end(error);
      stream.close(constants.NGHTTP2_CANCEL);
    };
    const settle = (bytes: Buffer): void => {
      const response = decode(bytes);
      const number = rpc.sequenceOf(response);
      const waiting = pending.get(number);
      // It came after its deadline.
      if (waiting === undefined) return;
      pending.delete(number);
      const result = rpc.resultOf(response);
      if (result instanceof ConnectError) waiting.reject(result);
      else waiting.resolve(result);
    };
    const read = readEnvelopes(limits.readMaxBytes, (flags, bytes) => {
      if (flags === 0) settle(bytes);
      else if (flags === endStreamFlag) {
        end(endStreamFromJson(bytes).error ?? unavailable("the stream was ended"));
        stream.end();
      } else throw new ConnectError("an envelope of another kind", Code.Internal);
    });
    stream.on("response", (headers) => {
      call.heard();
      open.hasBegun = true;
      isHeldBack = false;
      const error = refusalOf(headers);
      if (error) breakOff(error);
    });
    stream.on("data", (chunk: Buffer) => {
      call.heard();
      try {
        read(chunk);
      } catch (error) {
        // Batches may have been recorded: nobody's decision is in these bytes.
        breakOff(new ConnectError("the stream is not as it should be", Code.Unavailable, undefined, undefined, error));
      }
    });
    stream.on("end", () => end(unavailable("the stream was cut")));
    stream.on("error", (error) => end(unavailable("the connection was lost", error)));
    stream.on("close", () => end(unavailable("the connection was lost")));
    const open: Open = { call, pending, hasBegun: false };
    newest = open;
    return open;
  }

  const send: SendBatch = (batch, timeoutMs) =>
    new Promise((resolve, reject) => {
      sequence = (sequence + 1) % sequenceLimit;
      const number = sequence;
      const bytes = encoded(encode, rpc.requestOf(number, timeoutMs, batch), limits.writeMaxBytes);
      // One whose side is ended still waits for its answers.
      const open = newest?.call.stream.writable ? newest : begin();
      const { call, pending } = open;
      const retireSilent = call.listen();
      const timer = setTimeout(() => {
        pending.delete(number);
        if (!open.hasBegun) isHeldBack = true;
        reject(new ConnectError(`no answer within ${timeoutMs} ms`, Code.DeadlineExceeded));
        retireSilent();
      }, timeoutMs);
      pending.set(number, {
        resolve(response) {
          clearTimeout(timer);
          resolve(response);
        },
        reject(error) {
          clearTimeout(timer);
          reject(error);
        },
      });
      call.stream.write(envelope(0, bytes));
    });
  return { send, isHeldBack: () => isHeldBack };
}

/** Throws ConnectError that is said of the batch: one of its items may be the reason. */
export function encoded(encode: Encode, batch: Message, limitBytes: number): Buffer {
  let bytes: Buffer;
  try {
    bytes = encode(batch);
  } catch (error) {
    throw new ConnectError("the batch cannot be encoded", Code.Internal, undefined, undefined, error);
  }
  if (bytes.length > limitBytes) throw new ConnectError("the batch is too large", Code.ResourceExhausted);
  return bytes;
}

/** What a peer said that does not take the stream. */
function refusalOf(headers: IncomingHttpHeaders): ConnectError | undefined {
  const status = Number(headers[":status"]);
  if (status !== 200) return new ConnectError(`HTTP ${status}`, codeFromHttpStatus(status));
  if (headers["content-type"] === streamContentType && headers["connect-content-encoding"] === undefined)
    return undefined;
  return new ConnectError("the response is of another kind", Code.Unavailable);
}
