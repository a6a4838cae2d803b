// Notifications under way all the time, each sent again until it is settled, and every answer told to the ledger.
import { randomUUID } from "node:crypto";
import { Agent } from "node:http";
import { send, signRequest } from "../../tools/sender.js";
import { testSender } from "../support/keys.js";
import { apiPath, notification } from "../support/notification.js";
import { pause } from "./faults.js";
import type { Entry, Ledger } from "./ledger.js";

export type Load = {
  /** Requests that left so far. */
  readonly sent: () => number;
  /** How often each answer came. */
  readonly answers: Readonly<Record<string, number>>;
  /** Begins nothing new; resolves when everything under way is settled. */
  readonly settle: () => Promise<void>;
  /** Drops everything under way. */
  readonly end: () => void;
};

export type LoadOptions = {
  /** Notifications under way at once. */
  readonly workers: number;
  /** How long a worker rests between two tokens; not at all by default. */
  readonly restMs?: number;
};

/** `gatewayUrl` is asked before each request, so that tries of one notification may go to several gateways. */
export function startLoad(ledger: Ledger, { workers, restMs }: LoadOptions, gatewayUrl: () => string): Load {
  const agent = new Agent({ keepAlive: true });
  const answers: Record<string, number> = {};
  let sent = 0;
  let running = true;
  let ended = false;

  async function sendOnce(entry: Entry): Promise<boolean> {
    const url = new URL(gatewayUrl() + apiPath);
    const request = await signRequest(testSender, url, Buffer.from(JSON.stringify(entry.body)));
    sent += 1;
    const result = await send(testSender, request, agent).then(
      (answer) => {
        if (answer.status !== 200) return `HTTP ${answer.status}`;
        if (!answer.isSigned) return "not signed";
        const { resultStatus, resultCode } = JSON.parse(answer.body.toString()).result;
        return `${resultStatus} ${resultCode}`;
      },
      () => "none",
    );
    answers[result] = (answers[result] ?? 0) + 1;
    return ledger.answer(entry, result);
  }

  async function untilSettled(entry: Entry): Promise<void> {
    for (let tries = 0; !ended && !(await sendOnce(entry)); tries++) {
      if (tries > 2_000) return ledger.miss("no answer ended it", entry.reference);
      await pause(25);
    }
  }

  /** The content of this notification, or as often of one that was settled before. */
  function settledBefore(body: Entry["body"]): Entry["body"] {
    const other = ledger.entries[Math.floor(Math.random() * ledger.entries.length)];
    return Math.random() < 0.5 && other?.kind === "first" && other.done ? other.body : body;
  }

  async function work(): Promise<void> {
    const settle = (kind: Entry["kind"], body: Entry["body"]) =>
      untilSettled(ledger.add({ reference: String(body.tokenReferenceId), kind, body }));
    while (running) {
      const body = notification({
        tokenReferenceId: `T-${randomUUID()}`,
        customerId: `C-${Math.floor(Math.random() * 1_000)}`,
        tokenActivatedTime: "2026-01-02T11:05:06Z",
      });
      await settle("first", body);
      const dice = Math.random();
      if (dice < 0.15) await settle("repeat", settledBefore(body));
      else if (dice < 0.2) await settle("conflict", { ...body, customerId: "another" });
      else if (dice < 0.25) await settle("late", { ...body, tokenActivatedTime: "2025-01-02T11:05:06Z" });
      if (restMs !== undefined) await pause(restMs);
    }
  }

  const all = Promise.all(Array.from({ length: workers }, work));
  return {
    sent: () => sent,
    answers,
    async settle() {
      running = false;
      await all;
      agent.destroy();
    },
    end() {
      running = false;
      ended = true;
      agent.destroy();
    },
  };
}
