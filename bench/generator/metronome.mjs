// A thread that wakes the generator's loop at exact times; timers of Node's own are late by up to 2 ms.
// Plain JavaScript, because threads of Node 20 do not take the loader that runs the TypeScript around it.
import { parentPort, workerData } from "node:worker_threads";

/** A `Beat`, see load.ts. */
const { firstNs, everyNs, stop } = workerData;
for (let dueNs = firstNs; Atomics.load(stop, 0) === 0; ) {
  const leftMs = Number(dueNs - process.hrtime.bigint()) / 1e6;
  if (leftMs > 0) Atomics.wait(stop, 0, 0, leftMs);
  else {
    parentPort?.postMessage(0);
    // A late thread beats once for all that it missed: the receiver looks at the clock itself.
    const now = process.hrtime.bigint();
    while (dueNs <= now) dueNs += everyNs;
  }
}
