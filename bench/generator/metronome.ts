// A thread that wakes the generator's loop at exact times; timers of Node's own are late by up to 2 ms.
import { parentPort, workerData } from "node:worker_threads";

export type Beat = {
  /** Time of the first beat on the monotonic clock, in nanoseconds, and time between two. */
  readonly firstNs: bigint;
  readonly everyNs: bigint;
  /** Set to 1 and notified to end it. */
  readonly stop: Int32Array;
};

const { firstNs, everyNs, stop } = workerData as Beat;
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
