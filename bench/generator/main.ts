// The generator's process: loads the signed notifications once, then does one task after the other.

import { createPublicKey } from "node:crypto";
import { forged, readCorpus, senderOf } from "../corpus.js";
import { measureScript } from "../floor/script.js";
import { measureVerify } from "../floor/verify.js";
import { endlessSource } from "./endless.js";
import { runLoad } from "./load.js";
import type { LoadTask, Measured, Setup, Task, TaskAnswer } from "./tasks.js";

const setup = JSON.parse(process.argv[2] ?? "{}") as Setup;
const requests = readCorpus(setup.folder, setup.count);
let falsified: readonly Buffer[] | undefined;
const sender = senderOf(setup.folder);
const publicKey = createPublicKey(sender.privateKey);
/** How many the last `first` on a port sent: what a `repeat` on it may send again. */
const sentOn = new Map<number, number>();

async function done(task: Task): Promise<Measured> {
  if (task.kind === "verify") return measureVerify(requests, publicKey, task.windowMs);
  if (task.kind === "script") return measureScript(task);
  return load(task);
}

async function load(task: LoadTask): Promise<Measured> {
  if (task.supply === "endless") return runLoad(task, await endlessSource(sender), sender);
  if (task.scenario === "forged") falsified ??= forged(requests.slice(0, 20_000));
  const all = (task.scenario === "forged" ? falsified : undefined) ?? requests;
  const count = task.scenario === "repeat" ? (sentOn.get(task.port) ?? 0) : all.length;
  const cycles = task.supply === "cycle" || task.scenario !== "first";
  let sent = task.supply === "rest" ? (sentOn.get(task.port) ?? 0) : 0;
  const next = (): Buffer | undefined => (sent < count || cycles ? all[sent++ % count] : undefined);
  try {
    return await runLoad(task, { next }, sender);
  } finally {
    if (task.scenario === "first") sentOn.set(task.port, Math.min(sent, count));
  }
}

process.on("message", async (task: Task) => {
  const answer: TaskAnswer = await done(task).then(
    (measured) => ({ measured }),
    (error: Error) => ({ failed: error.message }),
  );
  process.send?.(answer);
});
process.on("disconnect", () => process.exit(0));
process.send?.("ready");
