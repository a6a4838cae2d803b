// A Transport for unary rpcs that gathers calls while the peer has a backlog, where the rpc has a batch rpc beside it. A call goes
// out at once, and alone, while fewer than `inFlight` are under way; none waits longer than `patienceMs` for company.
import type { DescMessage, DescMethodUnary, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport, type UnaryResponse } from "@connectrpc/connect";
import { decoderOf } from "../protobuf/decoder.js";
import { encoderOf } from "../protobuf/encoder.js";
import type { Batch, BatchItem, BatchResult } from "./batch.js";
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
};

/** After a peer said that it has no such batch rpc, calls go alone for this long, in milliseconds. */
const aloneMs = 60_000;

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
    const waiting: Waiting[] = [];
    let inFlight = 0;
    let isScheduled = false;
    let patience: NodeJS.Timeout | undefined;
    let aloneUntilMs = 0;

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
      if (second === undefined) return first.settle(await settled(alone(method, first.request, timeouts[0])));
      const results = await settled(together(items, timeouts));
      if (results instanceof ConnectError) await withoutResults(items, results);
      else for (const [index, result] of results.entries()) items[index]?.settle(result);
    }

    async function together(items: readonly Waiting[], timeouts: readonly number[]): Promise<BatchResult[]> {
      const bytes = encoded(items.map(({ request }, index) => ({ request, timeoutMs: timeouts[index] ?? 1 })));
      if (bytes.length > limits.bytes) throw new ConnectError("the batch is too large", Code.ResourceExhausted);
      const answer = await channel.call(pathOf(batch.method), bytes, Math.max(...timeouts));
      return batch.resultsOf(decode(batch.method.output, answer), items.length);
    }

    function encoded(items: readonly BatchItem[]): Buffer {
      try {
        return encode(batch.requestOf(items));
      } catch (error) {
        throw new ConnectError("the batch cannot be encoded", Code.Internal, undefined, undefined, error);
      }
    }

    async function withoutResults(items: readonly Waiting[], error: ConnectError): Promise<void> {
      const { code, rawMessage, cause } = error;
      const middle = Math.ceil(items.length / 2);
      if (code === Code.Unimplemented) {
        // An older peer: it did nothing with any of them.
        aloneUntilMs = performance.now() + aloneMs;
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
