// What the product's admin ports tell about the runtime of a process.
import { once } from "node:events";
import { createServer } from "node:net";

export type RuntimeFigures = { readonly heapMb: number; readonly loopLagP99Ms: number; readonly openHandles: number };

/** Reads the metrics of an admin port. */
export async function runtimeFigures(port: number): Promise<RuntimeFigures> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const figure = (name: string): number => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1] ?? Number.NaN);
  return {
    heapMb: figure("nodejs_heap_size_used_bytes") / 2 ** 20,
    loopLagP99Ms: figure("nodejs_eventloop_lag_p99_seconds") * 1000,
    openHandles: figure("nodejs_active_resources_total"),
  };
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address ? address.port : 0;
}
