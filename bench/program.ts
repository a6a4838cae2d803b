// A program as a child: started, awaited until it prints its line `ready`, stopped.
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { type Child, endOf, stopChild } from "../tools/supervise.js";

export type Program = {
  readonly pid: number;
  /** The line that begins with `ready`. */
  readonly ready: string;
  readonly stop: () => Promise<void>;
};

const startLimitMs = 20_000;

/** Starts it with this environment and PATH. What it writes to standard error goes into a file. */
export async function startProgram(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  errorFile: string,
): Promise<Program> {
  const errors = openSync(errorFile, "a");
  const process_ = spawn(file, args, {
    env: { PATH: process.env.PATH ?? "", ...env },
    stdio: ["ignore", "pipe", errors],
  });
  closeSync(errors);
  const child: Child = { process: process_, ended: endOf(process_) };
  const stop = (): Promise<void> => stopChild(process_, 6_000);
  let timer: NodeJS.Timeout | undefined;
  try {
    const ready = await new Promise<string>((resolve, reject) => {
      let printed = "";
      process_.stdout?.setEncoding("utf8").on("data", (text: string) => {
        printed += text;
        const line = /^ready.*$/m.exec(printed)?.[0];
        if (line !== undefined && printed.includes(`${line}\n`)) resolve(line);
      });
      timer = setTimeout(() => reject(new Error("it says nothing")), startLimitMs);
      void child.ended.then((why) => reject(new Error(why)));
    });
    return { pid: process_.pid ?? 0, ready, stop };
  } catch (error) {
    await stop();
    const words = error instanceof Error ? error.message : String(error);
    throw new Error(
      `${file} ${args.join(" ")} did not start (${words}): ${readFileSync(errorFile, "utf8").slice(-500)}`,
    );
  } finally {
    clearTimeout(timer);
  }
}

/** The port of the last http:// address in a line. */
export const portIn = (line: string): number => Number(/.*http:\/\/[^\s/]*:(\d+)/.exec(line)?.[1] ?? 0);
