// A TCP proxy in this process that makes a hop slow, silent or short.
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

type Direction = "up" | "down";
type Pair = { readonly up: Socket; readonly down: Socket };

export type FaultProxy = {
  readonly port: number;
  /** Delays every chunk. */
  readonly slow: (latencyMs: number, jitterMs: number) => void;
  /** Swallows everything in these directions. */
  readonly silence: (...directions: Direction[]) => void;
  /** Ends every connection with a reset. */
  readonly reset: () => void;
  /** Ends every connection after this many more bytes towards the caller, in the middle of whatever that is. */
  readonly cutAfter: (bytes: number) => void;
  readonly heal: () => void;
  readonly close: () => Promise<void>;
};

export async function startFaultProxy(target: { path: string } | { port: number }): Promise<FaultProxy> {
  const pairs = new Set<Pair>();
  const silent = new Set<Direction>();
  let [latency, jitter] = [0, 0];
  let cut: number | undefined;

  function forward(from: Socket, to: Socket, direction: Direction, pair: Pair): void {
    // Bytes of a connection never overtake each other: TCP does not do that, so a test must not either.
    let last = Promise.resolve();
    from.on("data", (chunk: Buffer) => {
      if (silent.has(direction)) return;
      let bytes = chunk;
      if (direction === "down" && cut !== undefined) {
        bytes = chunk.subarray(0, cut);
        cut -= bytes.length;
        if (bytes.length < chunk.length) {
          last = last.then(() => void to.write(bytes, () => end(pair)));
          return;
        }
      }
      const due = performance.now() + latency + Math.random() * jitter;
      last = last.then(async () => {
        const wait = due - performance.now();
        if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
        if (!to.destroyed) to.write(bytes);
      });
    });
    from.on("end", () => {
      last = last.then(() => void to.end());
    });
    from.on("error", () => end(pair));
    from.on("close", () => end(pair));
  }

  function end(pair: Pair): void {
    pairs.delete(pair);
    pair.up.destroy();
    pair.down.destroy();
  }

  const server = createServer((down) => {
    const pair = { down, up: connect(target) };
    pairs.add(pair);
    forward(pair.down, pair.up, "up", pair);
    forward(pair.up, pair.down, "down", pair);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    slow(latencyMs, jitterMs) {
      [latency, jitter] = [latencyMs, jitterMs];
    },
    silence(...directions) {
      for (const direction of directions) silent.add(direction);
    },
    reset() {
      for (const pair of pairs) {
        pair.down.resetAndDestroy();
        end(pair);
      }
    },
    cutAfter(bytes) {
      cut = bytes;
    },
    heal() {
      // What was swallowed is gone for good, so a connection that lost bytes cannot go on.
      const spoiled = silent.size > 0 || cut !== undefined;
      silent.clear();
      cut = undefined;
      [latency, jitter] = [0, 0];
      if (spoiled) for (const pair of pairs) end(pair);
    },
    close() {
      for (const pair of pairs) end(pair);
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
