// What the product's admin ports tell about the runtime of a process.

export type RuntimeFigures = { readonly heapMb: number; readonly loopLagP99Ms: number; readonly openHandles: number };

/** Reads the metrics of an admin port. */
export async function runtimeFigures(port: number): Promise<RuntimeFigures> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const figure = (name: string): number => {
    const series = [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, "gm"))];
    if (series.length === 0) throw new Error(`there is no metric ${name}`);
    return series.reduce((sum, [, value]) => sum + Number(value), 0);
  };
  return {
    heapMb: figure("nodejs_heap_size_used_bytes") / 2 ** 20,
    loopLagP99Ms: figure("nodejs_eventloop_lag_p99_seconds") * 1000,
    openHandles: figure("nodejs_active_resources"),
  };
}
