// The parts of the product as processes: how each is started and says that it is ready.
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type ChildMessage, StartError } from "../lib/program.js";
import { type Child, endOf } from "./supervise.js";

export const parts = {
  service: { name: "token service", main: "services/token-lifecycle/main.js" },
  gateway: { name: "gateway", main: "gateway/main.js" },
} as const;
export type Part = keyof typeof parts;

/**
 * How Node runs a part: half of the usual young generation, and an old one that is looked through when it has grown by 60 % instead of
 * by more than twice. Both keep memory small at no cost that could be measured, see docs/performance.md. deploy/Dockerfile says the same.
 */
export const nodeFlags: readonly string[] = [
  "--enable-source-maps",
  "--max-semi-space-size=8",
  "--heap-growing-percent=60",
];

/** The folder of the compiled product, whether this file runs compiled or not. */
export const thisProduct = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "../dist/" : "../", import.meta.url),
);

/** A part that is up, and the "host:port" of each of its doors by name. */
export type RunningPart = Child & { readonly ready: Readonly<Record<string, string>> };

/**
 * Starts a part and waits until it says that it is ready; throws StartError with its own words when it does not. `product` is the
 * folder of another build, of another version for instance.
 */
export function startPart(
  part: Part,
  env: NodeJS.ProcessEnv,
  logFile: string,
  product: string = thisProduct,
): Promise<RunningPart> {
  const log = openSync(logFile, "a");
  // Ctrl-C reaches the whole process group; the parts stop when they are told, in order.
  const child: ChildProcess = spawn(process.execPath, [...nodeFlags, product + parts[part].main], {
    env,
    detached: true,
    stdio: ["ignore", log, log, "ipc"],
  });
  closeSync(log);
  const ended = endOf(child);
  return new Promise((resolve, reject) => {
    child.once("message", (message: ChildMessage) => {
      if ("ready" in message) resolve({ process: child, ended, ready: message.ready });
      else reject(new StartError(message.failed));
    });
    void ended.then((why) => reject(new StartError(`the ${parts[part].name} did not start (${why}): see ${logFile}.`)));
  });
}
