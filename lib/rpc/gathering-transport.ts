// A Transport for unary rpcs that gathers calls while the peer has a backlog, where the rpc has a batch rpc beside it. A call goes
// out at once, and alone, while fewer than `inFlight` are under way; none waits longer than `patienceMs` for company. Where there is a stream of
// batches too, all of them go over that, a call that is alone as a batch of one; an older peer gets what it knows.
import type { DescMessage, DescMethodUnary, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport, type UnaryResponse } from "@connectrpc/connect";
import { decoderOf } from "../protobuf/decoder.js";
import { encoderOf } from "../protobuf/encoder.js";
import type { Batch, BatchItem, BatchResult } from "./batch.js";
import { batchStream, encoded, type SendBatch } from "./batch-stream.js";
import type { ConnectChannel } from "./connect-channel.js";

export type GatheringLimits = {
  /** How long a call waits for those under way, in milliseconds: one that hangs must not hold up the rest. */
  readonly patienceMs: number;
  /** Calls under way above which further ones wait and go together. */
  readonly inFlight: number;
  /** Items of one batch. */
  readonly items: number;
  /** Size of one batch, in bytes; below what the peer reads. */
  readonly bytes: number;
  /** Size of the largest answer, in bytes. */
  readonly readMaxBytes: number;
};

/** After a peer said that it has no such rpc, it is not asked for it again for this long, in milliseconds. */
const withoutMs = 60_000;

/** Said of a batch that is too large, or that one of its items spoils: its halves may fare better. */
const ofTheBatch: ReadonlySet<Code> = new Set([Code.InvalidArgument, Code.ResourceExhausted, Code.Internal]);

type Waiting = {
  readonly request: Message;
  readonly endMs: number;
  /** True once its caller was told that it is late; by the clock alone that may seem to be yet to come. */
  readonly isLate: () => boolean;
  readonly settle: (result: BatchResult) => void;
};

/** `batchOf` gives the batch rpc of a method, where there is one. */
export function gatheringTransport(
  channel: ConnectChannel,
  batchOf: (method: DescMethodUnary) => Batch | undefined,
  limits: GatheringLimits,
): Transport {
  const gatherers = new Map<DescMethodUnary, (request: Message, timeoutMs: number) => Promise<Message>>();

  async function alone(method: DescMethodUnary, request: Message, timeoutMs: number | undefined): Promise<Message> {
    const bytes = await channel.call(pathOf(method), encoderOf(method.input)(request), timeoutMs);
    return decode(method.output, bytes);
  }

  function gathererOf(method: DescMethodUnary, batch: Batch) {
    const encode = encoderOf(batch.method.input);
    const stream =
      batch.stream &&
      batchStream(channel, batch.stream, { writeMaxBytes: limits.bytes, readMaxBytes: limits.readMaxBytes });
    const waiting: Waiting[] = [];
    let inFlight = 0;
    let isScheduled = false;
    let patience: NodeJS.Timeout | undefined;
    let aloneUntilMs = 0;
    let streamlessUntilMs = 0;

    const isAlone = (): boolean => performance.now() < aloneUntilMs;

    const schedule = (): void => {
      if (inFlight >= limits.inFlight && !isAlone()) {
        patience ??= setTimeout(flush, limits.patienceMs);
        return;
      }
      if (isScheduled) return;
      isScheduled = true;
      // At the end of this round of the event loop, so that what came in with one poll goes out together.
      setImmediate(flush);
    };

    function flush(): void {
      isScheduled = false;
      clearTimeout(patience);
      patience = undefined;
      while (waiting.length > 0) {
        const taken = waiting.splice(0, isAlone() ? 1 : limits.items);
        inFlight += 1;
        sendAll(taken).finally(() => {
          inFlight -= 1;
          if (waiting.length > 0) schedule();
        });
      }
    }

    /** Settles every item, and never rejects. */
    async function sendAll(given: readonly Waiting[]): Promise<void> {
      const now = performance.now();
      // Whoever is late has been told so.
      const items = given.filter(({ endMs, isLate }) => endMs > now && !isLate());
      const [first, second] = items;
      if (first === undefined) return;
      const timeouts = items.map(({ endMs }) => Math.max(1, Math.floor(endMs - now)));
      const isStreamed = stream !== undefined && now >= streamlessUntilMs;
      if (second === undefined && !isStreamed) return sendAlone(first, timeouts[0]);
      const results = await settled(together(items, timeouts, isStreamed ? stream.send : unary));
      if (!(results instanceof ConnectError)) {
        for (const [index, result] of results.entries()) items[index]?.settle(result);
        return;
      }
      if (isStreamed && (results.code === Code.Unimplemented || stream.isHeldBack()))
        streamlessUntilMs = performance.now() + withoutMs;
      // An older peer: it did nothing with any of them.
      if (isStreamed && results.code === Code.Unimplemented) await sendAll(items);
      else if (second === undefined && ofTheBatch.has(results.code)) await sendAlone(first, timeouts[0]);
      else await withoutResults(items, results);
    }

    async function sendAlone({ request, settle }: Waiting, timeoutMs: number | undefined): Promise<void> {
      settle(await settled(alone(method, request, timeoutMs)));
    }

    async function together(
      items: readonly Waiting[],
      timeouts: readonly number[],
      send: SendBatch,
    ): Promise<BatchResult[]> {
      const given = items.map(({ request }, index): BatchItem => ({ request, timeoutMs: timeouts[index] ?? 1 }));
      return batch.resultsOf(await send(batch.requestOf(given), Math.max(...timeouts)), items.length);
    }

    async function unary(request: Message, timeoutMs: number): Promise<Message> {
      const bytes = encoded(encode, request, limits.bytes);
      return decode(batch.method.output, await channel.call(pathOf(batch.method), bytes, timeoutMs));
    }

    async function withoutResults(items: readonly Waiting[], error: ConnectError): Promise<void> {
      const { code, rawMessage, cause } = error;
      const middle = Math.ceil(items.length / 2);
      if (code === Code.Unimplemented) {
        // As above: it is older still.
        aloneUntilMs = performance.now() + withoutMs;
        await Promise.all(items.map((item) => sendAll([item])));
      } else if (ofTheBatch.has(code)) await Promise.all([items.slice(0, middle), items.slice(middle)].map(sendAll));
      // Its details speak of the batch: none of the items was decided.
      else for (const { settle } of items) settle(new ConnectError(rawMessage, code, undefined, undefined, cause));
    }

    return (request: Message, timeoutMs: number): Promise<Message> =>
      new Promise((resolve, reject) => {
        let isLate = false;
        const timer = setTimeout(() => {
          isLate = true;
          reject(new ConnectError(`no answer within ${timeoutMs} ms`, Code.DeadlineExceeded));
        }, timeoutMs);
        waiting.push({
          request,
          endMs: performance.now() + timeoutMs,
          isLate: () => isLate,
          settle(result) {
            clearTimeout(timer);
            if (result instanceof ConnectError) reject(result);
            else resolve(result);
          },
        });
        schedule();
      });
  }

  function call(method: DescMethodUnary, request: Message, timeoutMs: number | undefined): Promise<Message> {
    const known = gatherers.get(method);
    if (known && timeoutMs !== undefined) return known(request, timeoutMs);
    const batch = batchOf(method);
    if (batch === undefined || timeoutMs === undefined) return alone(method, request, timeoutMs);
    const gather = gathererOf(method, batch);
    gatherers.set(method, gather);
    return gather(request, timeoutMs);
  }

  return {
    async unary(method, _signal, timeoutMs, _header, input) {
      // Who calls gives the messages that the method takes.
      const message = await call(method, input as Message, timeoutMs);
      return {
        stream: false,
        service: method.parent,
        method,
        header: noHeaders,
        trailer: noHeaders,
        message,
      } as UnaryResponse<typeof method.input, typeof method.output> as never;
    },
    stream() {
      throw new ConnectError("this transport is for unary rpcs", Code.Unimplemented);
    },
  };
}

/** This peer sends none that anybody reads. */
const noHeaders = new Headers();

const pathOf = (method: DescMethodUnary): string => `/${method.parent.typeName}/${method.name}`;

const settled = <T>(promise: Promise<T>): Promise<T | ConnectError> =>
  promise.catch((error: unknown) => ConnectError.from(error));

function decode(desc: DescMessage, bytes: Buffer): Message {
  try {
    return decoderOf(desc)(bytes);
  } catch {
    // The write may have happened: nobody's decision is in these bytes.
    throw new ConnectError(`the response is no ${desc.name}`, Code.Internal);
  }
}
