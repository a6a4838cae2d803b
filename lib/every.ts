// A job at intervals.

/** Runs a job at intervals, never twice at once; failures go to `onFailure`. */
export function every(
  ms: number,
  job: () => Promise<unknown>,
  onFailure: (error: unknown) => void,
): { stop: () => void } {
  let running = false;
  const timer = setInterval(async () => {
    if (running) return;
    running = true;
    await job().catch(onFailure);
    running = false;
  }, ms);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
