// The load: connections over raw sockets that send prepared bytes, in a closed or an open loop, and time the answers.
import { connect, type Socket } from "node:net";
import { Worker } from "node:worker_threads";
import { isAnswerSigned, type Sender } from "../../tools/sender.js";
import { apiPath } from "../corpus.js";
import { cpuUsOfParts } from "../processes.js";
import { percentile } from "../statistics.js";
import { type Answer, answerReader, headersIn } from "./answers.js";
import type { LoadTask, Measured, Scenario } from "./tasks.js";

/** What an answer to each scenario must hold. */
const expected: Readonly<Record<Scenario, readonly [code: string, status: string]>> = {
  first: ['"resultCode":"SUCCESS"', '"resultStatus":"S"'],
  repeat: ['"resultCode":"SUCCESS"', '"resultStatus":"S"'],
  forged: ['"resultCode":"INVALID_SIGNATURE"', '"resultStatus":"F"'],
};

/** Longest wait for an answer, and for those still missing at the end. */
const answerLimitMs = 8_000;
/** Every so many answers one is kept, to have its signature checked when nothing is measured. */
const sampleEvery = 101;

export type Source = {
  /** The next request to send; undefined when there is none left. */
  readonly next: () => Buffer | undefined;
};

/** Runs the load; throws when any answer is not what it must be. */
export async function runLoad(task: LoadTask, source: Source, sender: Sender): Promise<Measured> {
  const { load, scenario } = task;
  const failure = trap();
  const samples: Answer[] = [];
  const [code, status] = expected[scenario];
  let seen = 0;
  const check = (answer: Answer): void => {
    if (answer.status !== 200 || !answer.body.includes(code) || !answer.body.includes(status))
      failure.set(`wanted ${code}, got HTTP ${answer.status} ${answer.body.slice(0, 200)}`);
    if (seen++ % sampleEvery === 0) samples.push(answer);
  };
  const connections = await Promise.all(
    Array.from({ length: load.connections }, () => openConnection(task.port, check, failure.set)),
  );
  const watchdog = setInterval(() => {
    const now = performance.now();
    if (connections.some(({ sentAt }) => sentAt() > 0 && now - sentAt() > answerLimitMs))
      failure.set(`no answer within ${answerLimitMs} ms`);
  }, 500);
  try {
    const measured =
      "ratePerS" in load
        ? await openLoop(task, load.ratePerS, connections, source, failure)
        : await closedLoop(task, connections, source, failure);
    if (task.checksSignatures)
      for (const { head, body } of samples)
        if (!isAnswerSigned(sender, "POST", apiPath, headersIn(head), Buffer.from(body)))
          throw new Error(`an answer without a good signature: ${head}`);
    return measured;
  } finally {
    clearInterval(watchdog);
    for (const connection of connections) connection.close();
  }
}

type Trap = { readonly set: (why: string) => void; readonly caught: Promise<never>; readonly isSet: () => boolean };

/** The first failure ends the run: a figure of a system that answers wrongly is worth nothing. */
function trap(): Trap {
  let reject: (error: Error) => void = () => {};
  let isSet = false;
  const caught = new Promise<never>((_, fail) => {
    reject = fail;
  });
  caught.catch(() => {});
  return {
    caught,
    isSet: () => isSet,
    set(why) {
      isSet = true;
      reject(new Error(why));
    },
  };
}

type Connection = {
  /** Sends; `onAnswer` is called when its answer is there. */
  readonly send: (request: Buffer, onAnswer: () => void) => void;
  /** When the request that is under way was sent; 0 when none is. */
  readonly sentAt: () => number;
  readonly close: () => void;
};

function openConnection(
  port: number,
  check: (answer: Answer) => void,
  fail: (why: string) => void,
): Promise<Connection> {
  let waiting: (() => void) | undefined;
  let sentAt = 0;
  let closed = false;
  const reader = answerReader();
  const socket: Socket = connect({ host: "127.0.0.1", port, noDelay: true });
  socket.on("data", (chunk: Buffer) => {
    try {
      for (const answer of reader.read(chunk)) {
        const onAnswer = waiting;
        waiting = undefined;
        sentAt = 0;
        if (onAnswer === undefined) return fail("an answer to no request");
        check(answer);
        onAnswer();
      }
    } catch (error) {
      fail(error instanceof Error ? error.message : String(error));
    }
  });
  socket.on("close", () => {
    if (!closed) fail("a connection was closed");
  });
  return new Promise((resolve, reject) => {
    socket.once("error", (error) => {
      reject(error);
      fail(error.message);
    });
    socket.once("connect", () =>
      resolve({
        send(request, onAnswer) {
          waiting = onAnswer;
          sentAt = performance.now();
          socket.write(request);
        },
        sentAt: () => sentAt,
        close() {
          closed = true;
          socket.destroy();
        },
      }),
    );
  });
}

/** Figures of a window that begins with `open` and ends with `close`. */
function window(task: LoadTask) {
  const times: number[] = [];
  let startedAt = 0;
  let before: Record<string, number> = {};
  let ownBefore = process.cpuUsage();
  return {
    times,
    open(): void {
      before = cpuUsOfParts(task.parts);
      ownBefore = process.cpuUsage();
      startedAt = performance.now();
    },
    close(answers: number): (finalTimes: readonly number[]) => Measured {
      const seconds = (performance.now() - startedAt) / 1000;
      const after = cpuUsOfParts(task.parts);
      const own = process.cpuUsage(ownBefore);
      return (finalTimes) => {
        const ascending = Float64Array.from(finalTimes).sort();
        return {
          answers,
          seconds,
          p50Ms: percentile(ascending, 0.5),
          p99Ms: percentile(ascending, 0.99),
          p999Ms: percentile(ascending, 0.999),
          maxMs: ascending.at(-1) ?? Number.NaN,
          cpuUsByPart: Object.fromEntries(Object.entries(after).map(([name, us]) => [name, us - (before[name] ?? 0)])),
          generatorCpuUs: own.user + own.system,
        };
      };
    },
  };
}

/** Each connection sends its next request when it has the answer to its last. */
async function closedLoop(
  task: LoadTask,
  connections: readonly Connection[],
  source: Source,
  failure: Trap,
): Promise<Measured> {
  const { times, open, close } = window(task);
  const warmUntil = performance.now() + task.warmMs;
  let opened = false;
  let ends = Number.POSITIVE_INFINITY;
  let result: Measured | undefined;
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let underWay = 0;
  const shut = (): void => {
    result ??= close(times.length)(times);
  };
  const sendOn = (connection: Connection): void => {
    const request = result === undefined ? source.next() : undefined;
    if (request === undefined) {
      shut();
      if (underWay === 0) finish();
      return;
    }
    underWay += 1;
    const sentAt = performance.now();
    connection.send(request, () => {
      underWay -= 1;
      const now = performance.now();
      if (!opened && now >= warmUntil) {
        opened = true;
        open();
        ends = performance.now() + task.windowMs;
      } else if (opened && result === undefined) {
        times.push(now - sentAt);
        if (now >= ends) shut();
      }
      sendOn(connection);
    });
  };
  for (const connection of connections) sendOn(connection);
  await Promise.race([finished, failure.caught]);
  return measuredOf(task, result, "the notifications ran out: sign more of them");
}

/** What the metronome is told: its first beat on the monotonic clock, the time between two, and a word that ends it at 1. */
type Beat = { readonly firstNs: bigint; readonly everyNs: bigint; readonly stop: Int32Array };

/** Requests start at a constant rate; a late answer makes those behind it wait, and their wait counts from when they should have started. */
async function openLoop(
  task: LoadTask,
  ratePerS: number,
  connections: readonly Connection[],
  source: Source,
  failure: Trap,
): Promise<Measured> {
  const { times, open, close } = window(task);
  const everyMs = 1000 / ratePerS;
  const startNs = process.hrtime.bigint() + 100_000_000n;
  // Both clocks are the monotonic one.
  const startMs = performance.now() + Number(startNs - process.hrtime.bigint()) / 1e6;
  const warmUntil = startMs + task.warmMs;
  const ends = warmUntil + task.windowMs;
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const beat: Beat = { firstNs: startNs, everyNs: BigInt(Math.round(everyMs * 1e6)), stop };
  const metronome = new Worker(new URL("./metronome.mjs", import.meta.url), { workerData: beat });
  const idle = [...connections];
  const late: number[] = [];
  let due = startMs;
  let count = 0;
  let answers = 0;
  let underWay = 0;
  let opened = false;
  let figures: ((times: readonly number[]) => Measured) | undefined;
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const sendDue = (): void => {
    const now = performance.now();
    if (!opened && now >= warmUntil) {
      opened = true;
      open();
    }
    for (; due <= now && due < ends; count += 1, due = startMs + count * everyMs) late.push(due);
    if (now - (late[0] ?? now) > answerLimitMs) failure.set(`it cannot keep up with ${ratePerS.toFixed(0)}/s`);
    while (late.length > 0 && idle.length > 0) {
      const connection = idle.shift();
      const dueAt = late.shift();
      const request = source.next();
      if (request === undefined) failure.set("there are too few signed notifications for this rate");
      if (connection === undefined || dueAt === undefined || request === undefined) return;
      underWay += 1;
      connection.send(request, () => {
        underWay -= 1;
        idle.push(connection);
        const answered = performance.now();
        if (opened && figures === undefined) answers += 1;
        if (dueAt >= warmUntil) times.push(answered - dueAt);
        sendDue();
      });
    }
    if (now < ends) return;
    figures ??= close(answers);
    if (underWay === 0 && late.length === 0) finish();
  };
  metronome.on("message", sendDue);
  metronome.on("error", (error) => failure.set(error.message));
  try {
    await Promise.race([finished, failure.caught]);
  } finally {
    Atomics.store(stop, 0, 1);
    Atomics.notify(stop, 0);
    await metronome.terminate();
  }
  return measuredOf(task, figures?.(times), "this machine is too busy to keep time");
}

/** `why` says what makes a window short. */
function measuredOf(task: LoadTask, measured: Measured | undefined, why: string): Measured {
  if (measured === undefined || measured.answers === 0) throw new Error("there was no answer within the window");
  if (measured.seconds * 1000 < task.windowMs / 2)
    throw new Error(`only ${measured.seconds.toFixed(1)} s of the window were measured: ${why}`);
  return measured;
}
