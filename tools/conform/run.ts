// Runs a suite against an endpoint: several cases at once, the exchanges of each one after the other.
import { randomBytes } from "node:crypto";
import type { Json } from "../../gateway/alipayplus/json.js";
import type { Api } from "../apis.js";
import { identityOf, type Members, sampleOf, secretsOf } from "../samples.js";
import { isAnswerSigned, type ReceivedAnswer } from "../sender.js";
import type { Case, Exchange, ExchangeCase, Seen } from "./case.js";
import { type Judged, judgeAnswers, judgeExchanges, type Received } from "./judge.js";
import { type Desk, requestOf } from "./request.js";
import { isStrict, type RuleName } from "./rules.js";
import { suiteOf } from "./suite.js";
import { openWire } from "./wire.js";

export type RunOptions = Desk & {
  readonly api: Api;
  /** Members in place of the sample's. */
  readonly members?: Members;
  /** How many cases at once. */
  readonly concurrency: number;
  readonly timeoutMs: number;
  readonly wants?: (name: string) => boolean;
  readonly onCase?: () => void;
};

export type CaseResult = Judged & {
  readonly name: string;
  readonly what: string;
  readonly rule: RuleName;
  readonly ms: number;
};

/** Nothing answers at the address. */
export class Unreachable extends Error {}

const plain: Exchange = { expect: { codes: ["SUCCESS"] } };

/** Every case that is wanted, in the order of the suite. Throws Unreachable before the first when nothing answers. */
export async function run(options: RunOptions): Promise<CaseResult[]> {
  const { api, sender, url, concurrency, timeoutMs, wants = () => true, onCase = () => {} } = options;
  const runId = randomBytes(4).toString("hex");
  const timeMs = Date.now() - 60_000;
  const suite = suiteOf(api, `${runId}-`);
  const exchanges = suite.exchanges.filter(({ name }) => wants(name));
  const answers = suite.answers.filter(({ name }) => wants(name));
  const identityName = identityOf(api.body)?.path[0];
  const wire = openWire(url, sender, Math.max(concurrency, 8), timeoutMs);
  const seen: Seen[] = [];

  const send = async (
    exchange: Exchange,
    identity: string,
    of?: { case: ExchangeCase; number: number },
  ): Promise<Received> => {
    const sample = { ...sampleOf(api.body, { identity, timeMs }), ...options.members };
    if (identityName !== undefined) sample[identityName] = identity;
    const { request, answer, sentMs } = await patiently(async () => {
      const sentMs = Date.now();
      const request = await requestOf(exchange, sample, options, sentMs);
      return { request, answer: await wire.send(request), sentMs };
    });
    const result = jsonIn(answer.body);
    const { method, path, clientId, isAuthentic } = request;
    if (of && isStrict(of.case.rule))
      seen.push({
        ...{ caseName: of.case.name, number: of.number, method, path, clientId, isAuthentic, sentMs, answer, result },
        secrets: secretsOf(api.body, sample),
        holdsFor: (by) => isAnswerSigned(sender, by, path, answer.headers, answer.body),
      });
    return { status: answer.status, result };
  };

  const runCase = async (each: ExchangeCase, number: number): Promise<CaseResult> => {
    const started = performance.now();
    const received: Received[][] = [];
    for (const exchange of each.exchanges) {
      const identity = `${runId}-${number}${exchange.about ? `-${exchange.about}` : ""}`;
      const copies = Array.from({ length: exchange.copies ?? 1 }, () =>
        send(exchange, identity, { case: each, number }).catch((error) => ({ trouble: reasonOf(error) })),
      );
      received.push(await Promise.all(copies));
    }
    onCase();
    return resultOf(each, judgeExchanges(each, received), performance.now() - started);
  };

  try {
    await send(plain, `${runId}-plain`).catch((error) => {
      throw new Unreachable(`no answer from ${url.origin} (${reasonOf(error)})`);
    });
    const results = await inTurns(exchanges, concurrency, runCase);
    // In the order of the suite, so that a report names the same answer each time.
    seen.sort((a, b) => a.number - b.number);
    return [...results, ...answers.map((each) => resultOf(each, judgeAnswers(each, seen), 0))];
  } finally {
    wire.close();
  }
}

/** Pauses before further tries when the endpoint says that it has too much to do, which says nothing of the case. */
const pausesMs = [100, 300, 900];

async function patiently<T extends { answer: ReceivedAnswer }>(send: () => Promise<T>): Promise<T> {
  for (const pauseMs of pausesMs) {
    const sent = await send();
    if (!sent.answer.body.includes('"REQUEST_TRAFFIC_EXCEED_LIMIT"')) return sent;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return send();
}

const resultOf = ({ name, what, rule }: Case, judged: Judged, ms: number): CaseResult => ({
  ...{ name, what, rule },
  ...judged,
  ms,
});

/** Does the work on every item, so many at once; what comes out is in the order of the items. */
async function inTurns<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const left = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of left) results[index] = await work(item, index);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return results;
}

const reasonOf = (error: NodeJS.ErrnoException): string => error.code ?? error.message;

/** Undefined for what is no JSON. */
function jsonIn(body: Buffer): Json | undefined {
  try {
    return JSON.parse(body.toString("utf8")) as Json;
  } catch {
    return undefined;
  }
}
