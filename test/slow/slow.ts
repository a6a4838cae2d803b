// Honest traffic at a fixed rate, alone and beside slow senders in turn, and how long it waits for its answers.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { Agent } from "node:http";
import { fileURLToPath } from "node:url";
import { type SignedRequest, send, signRequest } from "../../tools/sender.js";
import { testSender } from "../support/keys.js";
import { apiPath, notification } from "../support/notification.js";
import { startTestStack, until } from "../support/processes.js";

export const kinds = ["headers", "body", "read"] as const;
export type Kind = (typeof kinds)[number];

/** What the process of the slow senders is told, and what it tells ten times a second. */
export type Order = { readonly kind: Kind; readonly url: string; readonly sockets: number };
export type Count = { readonly open: number; readonly opened: number };

export type SlowOptions = {
  readonly kinds: readonly Kind[];
  /** Slow connections of one kind at a time. */
  readonly sockets: number;
  /** Honest notifications a second. */
  readonly rate: number;
  readonly warmUpSeconds: number;
  /** Rounds of each kind. Each lasts this long alone, and as long again beside the slow senders. */
  readonly rounds: number;
  readonly seconds: number;
  readonly progress?: (what: string) => void;
};

/** Each the median of the rounds: what else runs on the machine comes in bursts, which spoil a round and not all. */
export type Times = { readonly p50: number; readonly p99: number };
export type SlowReport = {
  readonly kind: Kind;
  readonly alone: Times;
  readonly beside: Times;
  readonly answers: number;
  /** Slow connections that stood, at least, and how often one was opened. */
  readonly leastOpen: number;
  readonly opened: number;
  /** Everything that was not a signed SUCCESS. */
  readonly failures: readonly string[];
};

export async function besideSlowSenders(options: SlowOptions): Promise<SlowReport[]> {
  const { progress = () => {} } = options;
  const stack = await startTestStack({ service: { LOG_LEVEL: "info" }, gateway: { LOG_LEVEL: "info" } });
  const url = new URL(stack.gateway.url + apiPath);
  const agent = new Agent({ keepAlive: true });
  try {
    progress("warming up");
    await honest(url, agent, options.rate, options.warmUpSeconds);
    const reports: SlowReport[] = [];
    for (const kind of options.kinds) {
      const alone: Answer[][] = [];
      const beside: Answer[][] = [];
      let [leastOpen, opened] = [options.sockets, 0];
      for (let round = 1; round <= options.rounds; round++) {
        progress(`${kind}, round ${round}: alone`);
        alone.push(await honest(url, agent, options.rate, options.seconds));
        progress(`${kind}, round ${round}: beside ${options.sockets} slow connections`);
        const senders = await startSenders(kind, stack.gateway.url, options.sockets);
        beside.push(await honest(url, agent, options.rate, options.seconds));
        leastOpen = Math.min(leastOpen, senders.leastOpen());
        opened += senders.opened();
        await senders.stop();
      }
      const all = [...alone, ...beside].flat();
      const failures = all.flatMap(({ result }) => (result === "S SUCCESS" ? [] : [result]));
      const times = { alone: timesOf(alone), beside: timesOf(beside) };
      reports.push({ kind, answers: all.length, ...times, leastOpen, opened, failures });
    }
    return reports;
  } finally {
    agent.destroy();
    await stack.stop();
  }
}

type Answer = { readonly ms: number; readonly result: string };

/** Sends at fixed times whatever becomes of the answers, and counts from the time when each was due. */
async function honest(url: URL, agent: Agent, rate: number, seconds: number): Promise<Answer[]> {
  const requests = await Promise.all(
    Array.from({ length: rate * seconds }, () =>
      signRequest(testSender, url, Buffer.from(JSON.stringify(notification()))),
    ),
  );
  const started = performance.now();
  return Promise.all(
    requests.map(async (request, index) => {
      const due = started + (index * 1_000) / rate;
      await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
      const result = await resultOf(request, agent);
      return { ms: performance.now() - due, result };
    }),
  );
}

async function resultOf(request: SignedRequest, agent: Agent): Promise<string> {
  try {
    const { body, isSigned } = await send(testSender, request, agent);
    const { resultStatus, resultCode } = JSON.parse(body.toString()).result;
    return isSigned ? `${resultStatus} ${resultCode}` : "not signed";
  } catch (error) {
    return String(error);
  }
}

async function startSenders(kind: Kind, url: string, sockets: number) {
  const file = fileURLToPath(new URL("senders.ts", import.meta.url));
  const child: ChildProcess = fork(file, {
    execArgv: ["--import", "tsx"],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  let [isUp, leastOpen, opened] = [false, sockets, 0];
  child.on("message", (count: Count) => {
    opened = count.opened;
    // Those that the gateway has cut off are away until they are back.
    if (isUp) leastOpen = Math.min(leastOpen, count.open);
    isUp ||= count.open >= sockets * 0.9;
  });
  child.send({ kind, url, sockets } satisfies Order);
  await until("the slow connections stand", () => isUp, 30_000);
  return {
    leastOpen: () => leastOpen,
    opened: () => opened,
    async stop() {
      const ended = once(child, "exit");
      child.kill();
      await ended;
    },
  };
}

function timesOf(rounds: readonly (readonly Answer[])[]): Times {
  const median = (share: number): number =>
    quantile(
      rounds.map((round) =>
        quantile(
          round.map(({ ms }) => ms),
          share,
        ),
      ),
      0.5,
    );
  return { p50: median(0.5), p99: median(0.99) };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(place)] ?? 0, sorted[Math.ceil(place)] ?? 0];
  return low + (high - low) * (place - Math.floor(place));
}
