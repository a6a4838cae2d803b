// Notifications without end, for loads that no prepared ones would last: each that is taken has another one signed.
import { randomUUID } from "node:crypto";
import type { Sender } from "../../tools/sender.js";
import { bodyOf, requestOf } from "../corpus.js";
import type { Source } from "./load.js";

/** Signed in advance, so that a busy second does not find none. */
const ahead = 2_000;

/** Signing takes 0.3 to 0.8 ms of a core each, beside the system that is measured. */
export async function endlessSource(sender: Sender): Promise<Source> {
  const run = randomUUID().slice(0, 8);
  const ready: Buffer[] = [];
  let index = 0;
  const signOne = async (): Promise<void> => {
    ready.push(await requestOf(sender, bodyOf(index++, run)));
  };
  await Promise.all(Array.from({ length: ahead }, signOne));
  return {
    next() {
      void signOne();
      return ready.shift();
    },
  };
}
