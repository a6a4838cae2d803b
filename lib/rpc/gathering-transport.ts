// A Transport for unary rpcs that gathers calls while the peer has a backlog, where the rpc has a batch rpc beside it. A call goes
// out at once, and alone, while fewer than `inFlight` are under way; none waits longer than `patienceMs` for company.
import { type DescMessage, type DescMethodUnary, fromBinary, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport, type UnaryResponse } from "@connectrpc/connect";
import { encoderOf } from "../protobuf/encoder.js";
import type { Batch, BatchResult } from "./batch.js";
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

type Waiting = {
  readonly request: Message;
  readonly endMs: number;
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

    const schedule = (): void => {
      if (inFlight >= limits.inFlight) {
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
        const taken = waiting.splice(0, performance.now() < aloneUntilMs ? 1 : limits.items);
        inFlight += 1;
        sendAll(taken).finally(() => {
          inFlight -= 1;
          if (waiting.length > 0) schedule();
        });
      }
    }

    async function sendAll(items: readonly Waiting[]): Promise<void> {
      const [first] = items;
      if (first === undefined) return;
      const now = performance.now();
      const timeouts = items.map(({ endMs }) => Math.max(1, Math.floor(endMs - now)));
      if (items.length === 1) return first.settle(await settled(alone(method, first.request, timeouts[0])));
      const bytes = encode(
        batch.requestOf(items.map(({ request }, index) => ({ request, timeoutMs: timeouts[index] ?? 1 }))),
      );
      if (bytes.length > limits.bytes) {
        const middle = Math.ceil(items.length / 2);
        await Promise.all([sendAll(items.slice(0, middle)), sendAll(items.slice(middle))]);
        return;
      }
      const results = await settled(
        channel
          .call(pathOf(batch.method), bytes, Math.max(...timeouts))
          .then((answer) => batch.resultsOf(decode(batch.method.output, answer), items.length)),
      );
      if (results instanceof ConnectError) await fail(items, results);
      else for (const [index, result] of results.entries()) items[index]?.settle(result);
    }

    async function fail(items: readonly Waiting[], { code, rawMessage, cause }: ConnectError): Promise<void> {
      if (code === Code.Unimplemented) {
        // An older peer: it did nothing with any of them.
        aloneUntilMs = performance.now() + aloneMs;
        await Promise.all(items.map((item) => sendAll([item])));
        return;
      }
      // Its details speak of the batch: none of the items was decided.
      for (const { settle } of items) settle(new ConnectError(rawMessage, code, undefined, undefined, cause));
    }

    return (request: Message, timeoutMs: number): Promise<Message> =>
      new Promise((resolve, reject) => {
        const late = (): void => reject(new ConnectError(`no answer within ${timeoutMs} ms`, Code.DeadlineExceeded));
        const timer = setTimeout(late, timeoutMs);
        waiting.push({
          request,
          endMs: performance.now() + timeoutMs,
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
    return fromBinary(desc, bytes);
  } catch {
    // The write may have happened: nobody's decision is in these bytes.
    throw new ConnectError(`the response is no ${desc.name}`, Code.Internal);
  }
}
