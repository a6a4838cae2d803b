// The generator as its parent sees it: a process that is given one task at a time.
import { fork } from "node:child_process";
import { once } from "node:events";
import type { Measured, Setup, Task, TaskAnswer } from "./tasks.js";

export type Generator = {
  /** Throws when the system that was measured did not answer as it must. */
  readonly run: (task: Task) => Promise<Measured>;
  /** Also ends a task that runs, whose caller is told. */
  readonly stop: () => Promise<void>;
};

export async function startGenerator(setup: Setup): Promise<Generator> {
  const child = fork(new URL("./main.ts", import.meta.url), [JSON.stringify(setup)], { execArgv: ["--import", "tsx"] });
  const ended = once(child, "exit");
  await Promise.race([
    once(child, "message"),
    ended.then(() => {
      throw new Error("the generator did not start");
    }),
  ]);
  return {
    async run(task) {
      const answered = once(child, "message") as Promise<[TaskAnswer]>;
      child.send(task);
      const answer = await Promise.race([answered, ended.then(() => undefined)]);
      if (answer === undefined) throw new Error("the generator ended");
      if ("failed" in answer[0]) throw new Error(answer[0].failed);
      return answer[0].measured;
    },
    async stop() {
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}
