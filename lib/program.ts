// The life of a process: start or say in one line why not, be ready, stop in order on a signal.
import type { Server } from "node:net";

/** A reason not to start that a person can act on: one line that says what is wrong and what to do. */
export class StartError extends Error {}

export type Running = {
  /** Where the parts answer, by name; told to the parent process and logged. */
  addresses: Record<string, string>;
  /** Before stopping: says that no traffic should come any more, and goes on serving for a time. */
  drain?: { ms: number; begin: () => void };
  /** How long stopping in order may take, where that is not what the program says. */
  stopLimitMs?: number;
  /** Stops in order. Called once. */
  stop: () => Promise<void>;
};

/** What a child process tells its parent over the IPC channel. */
export type ChildMessage = { ready: Record<string, string> } | { failed: string };

/** Runs until a signal, then drains and stops. After `stopLimitMs` of stopping in order the process ends anyway. */
export async function runProgram(name: string, start: () => Promise<Running>, stopLimitMs = 4_000): Promise<void> {
  let running: Running | undefined;
  let stopping = false;
  const stop = async (): Promise<void> => {
    if (stopping) return;
    stopping = true;
    if (running?.drain) {
      running.drain.begin();
      await new Promise((resolve) => setTimeout(resolve, running?.drain?.ms));
    }
    setTimeout(() => process.exit(1), running?.stopLimitMs ?? stopLimitMs).unref();
    await running?.stop();
    process.exit(0);
  };
  // A terminal signals the whole group and npm forwards the signal too, so a second one is not an order to hurry.
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  // The parent is gone, perhaps without a word.
  process.on("disconnect", stop);
  try {
    running = await start();
    if (stopping) await running.stop();
    else tellParent({ ready: running.addresses });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (process.send) tellParent({ failed: reason });
    else process.stderr.write(`${name}: ${reason}\n`);
    if (!(error instanceof StartError) && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    process.exitCode = 1;
    // Leaving the parent is the event on which a program stops with success.
    stopping = true;
    process.disconnect?.();
    setTimeout(() => process.exit(1), 100);
  }
}

function tellParent(message: ChildMessage): void {
  process.send?.(message);
}

export type ListenOptions = { what: string; host: string; port: number; hostSetting: string; portSetting: string };

/** Listens and returns "host:port" with the real port, or throws a StartError that names the setting to change. */
export function listen(server: Server, options: ListenOptions): Promise<string> {
  const { what, host, port, hostSetting, portSetting } = options;
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const reasons: Record<string, string> = {
        EADDRINUSE: `the port is taken. Stop the program that holds it, or set ${portSetting} to a free port`,
        EACCES: `this user may not use the port. Set ${portSetting} to 1024 or more`,
        EADDRNOTAVAIL: `this machine has no such address. Set ${hostSetting} to one of its own`,
        ENOTFOUND: `the host name is not known. Set ${hostSetting} to an address of this machine`,
      };
      const reason = reasons[error.code ?? ""] ?? error.message;
      reject(new StartError(`${what} cannot listen on ${host}:${port}: ${reason}.`));
    });
    server.listen(port, host, () => {
      const address = server.address();
      const bound = typeof address === "object" && address ? address.port : port;
      resolve(`${host.includes(":") ? `[${host}]` : host}:${bound}`);
    });
  });
}
