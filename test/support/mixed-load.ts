// A little of everything that comes to the product, so that every figure of it has something to tell.
import { Agent } from "node:http";
import { Suspender } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { notification, notify } from "./notification.js";
import type { TestStack } from "./processes.js";
import { sendChanged } from "./sending.js";
import { connectTo } from "./token-client.js";

export type MixedLoad = { readonly stop: () => Promise<void> };

/**
 * Rounds of notifications, `pauseMs` apart: new ones, repeats, late ones, conflicts, wrong signatures, broken bodies and unknown
 * members; and calls of other services, a refused one among them, and a watcher.
 */
export function startMixedLoad(stack: Pick<TestStack, "service" | "gateway">, pauseMs: number): MixedLoad {
  const agent = new Agent({ keepAlive: true });
  const client = connectTo(stack.service.url);
  const ended = new AbortController();
  /** What was answered U, and comes again. */
  const undecided: (Record<string, unknown> | string)[] = [];
  async function send(members: Record<string, unknown> | string): Promise<void> {
    const { result } = await notify(stack.gateway.url, members, { agent });
    if (result.resultStatus === "U") undecided.push(members);
  }
  const ago = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString();

  async function watch(): Promise<void> {
    for await (const _ of client.watchTokenEvents({}, { signal: ended.signal, timeoutMs: 0 }))
      if (ended.signal.aborted) return;
  }

  async function round(number: number): Promise<void> {
    for (const members of undecided.splice(0)) await send(members);
    const burst = 3 + Math.round(2 * Math.sin(number / 25));
    const one = notification({ tokenActivatedTime: ago(0) });
    await Promise.all(Array.from({ length: burst }, () => send(notification({ tokenActivatedTime: ago(0) }))));
    await send(one);
    const tokenReferenceId = String(one.tokenReferenceId);
    const move = { tokenReferenceId, suspender: Suspender.CARDHOLDER, reason: "lost", actor: "agent 7" };
    if (number % 2 === 0) await send(one);
    if (number % 3 === 0) await client.getToken({ tokenReferenceId });
    if (number % 4 === 0) await send({ ...one, tokenActivatedTime: ago(45) });
    if (number % 5 === 0) await client.suspendToken({ ...move, requestId: `s-${number}` });
    if (number % 31 === 0) await send({ ...one, walletId: "999" });
    if (number % 21 === 0) await send("{}");
    if (number % 43 === 0) await sendChanged(stack.gateway.url, "{}", { signed: "{ }" });
    if (number % 7 === 0)
      await send(notification({ surprise: true, tokenData: { token: "not-a-number", expiryMonth: "1" } }));
    if (number % 10 === 0) await client.revealTokenData({ tokenReferenceId, reason: "none", actor: "agent 7" });
  }

  async function run(): Promise<void> {
    for (let number = 0; !ended.signal.aborted; number++) {
      // A refusal is part of the load, and an outage that a test makes is no matter of it.
      await round(number).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  const work = Promise.all([run(), watch().catch(() => {})]);
  return {
    async stop() {
      ended.abort();
      await work;
      agent.destroy();
      client.close();
    },
  };
}
