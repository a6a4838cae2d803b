// Compiled programs as children of a test: what they print, and how they end.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { until } from "./processes.js";

export type Program = {
  readonly process: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Resolves when it is gone and everything it printed is here. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
};

/** Starts a compiled program, named by its path below dist. Nothing of the caller's environment but PATH reaches it. */
export function startProgram(name: string, args: readonly string[], env: Record<string, string> = {}): Program {
  const file = fileURLToPath(new URL(`../../dist/${name}`, import.meta.url));
  const child = spawn(process.execPath, [file, ...args], {
    env: { PATH: process.env.PATH ?? "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const printed = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const)
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      printed[stream] += text;
    });
  return {
    process: child,
    stdout: () => printed.stdout,
    stderr: () => printed.stderr,
    ended: once(child, "close").then(([code, signal]) => ({ code, signal })),
  };
}

/** Runs a compiled program to its end. */
export async function runProgram(name: string, args: readonly string[], env?: Record<string, string>) {
  const program = startProgram(name, args, env);
  const { code } = await program.ended;
  return { code, stdout: program.stdout(), stderr: program.stderr() };
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

/** The processes that a process started and that still run. */
export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.trim().split(/\s+/).filter(Boolean).map(Number);
}

export function isRunning(pid: number): boolean {
  try {
    // A zombie answers signals too, but does nothing any more.
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

export const untilGone = (pids: readonly number[], limitMs?: number): Promise<void> =>
  until(`${pids.join(", ")} are gone`, () => !pids.some(isRunning), limitMs);
