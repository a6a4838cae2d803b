// Keeps a child process running: starts it, starts it again when it ends unasked, stops it.
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";

export type Supervised = {
  /** Process id of the child that runs now. */
  readonly pid: () => number | undefined;
  /** Sends SIGTERM, and SIGKILL after `graceMs`. Resolves when the child is gone. */
  readonly stop: (graceMs: number) => Promise<void>;
};

/** A child that is up. `ended` resolves when it is gone, with the words to tell why. */
export type Child = { readonly process: ChildProcess; readonly ended: Promise<string> };

/** Starts once and throws when that fails; after that it starts again, at most every `pauseMs`, until stopped. */
export async function supervise(
  start: () => Promise<Child>,
  tell: (what: string) => void,
  pauseMs = 250,
): Promise<Supervised> {
  let child = await start();
  let stopping = false;
  const watch = async (): Promise<void> => {
    while (!stopping) {
      const why = await child.ended;
      if (stopping) return;
      tell(`ended (${why}), starting it again`);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      if (stopping) return;
      try {
        child = await start();
      } catch (error) {
        tell(`did not start: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  };
  void watch();
  return {
    pid: () => child.process.pid,
    async stop(graceMs) {
      stopping = true;
      await stopChild(child.process, graceMs);
    },
  };
}

export async function stopChild(child: ChildProcess, graceMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
  await gone;
  clearTimeout(timer);
}

/** Resolves with words such as "SIGKILL" or "exit code 1". */
export function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ?? `exit code ${code}`));
    child.once("error", (error) => resolve(error.message));
  });
}
