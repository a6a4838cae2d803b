// Runs a scenario: begins its stories in time, delivers their notifications, and keeps what came of them.
import { setTimeout as wait } from "node:timers/promises";
import type { Api } from "../apis.js";
import { type Random, seeded } from "../random.js";
import type { Members } from "../samples.js";
import type { Sender, SignedRequest } from "../sender.js";
import { type BodySpec, bodyMaker } from "./bodies.js";
import { type DeliverDeps, deliver } from "./deliver.js";
import type { Delivery, Told } from "./judge.js";
import { type Kind, kindNames, type RoleName, roles, storyOf } from "./kinds.js";
import { type Phase, type Scenario, ScenarioError } from "./scenario.js";
import { openWire } from "./wire.js";

export type RunOptions = {
  readonly scenario: Scenario;
  readonly apis: readonly { readonly api: Api; readonly url: URL }[];
  readonly seed: number;
  /** What the identities of this run begin with: a run with the same seed must not meet its own tokens. */
  readonly runId: string;
  readonly sender: Sender;
  /** Who signs after the key was rolled. */
  readonly next: Sender;
  readonly signal: AbortSignal;
  readonly onStory: () => void;
  readonly onDelivery: (request: SignedRequest, delivery: Delivery) => void;
};

/** How far before now events happen, so that a later one is not in the future. */
const eventsAgoMs = 10 * 60_000;

export const storyCount = ({ phases }: Scenario): number => phases.reduce((sum, { stories }) => sum + stories, 0);

/** Resolves when every story has ended; soon, with what is known, when the signal says so. */
export async function run(options: RunOptions): Promise<Told[]> {
  const { scenario, apis, seed, runId, signal, onDelivery } = options;
  const random = seeded(seed);
  const places = apis.map(({ api, url }) => ({ api, url, make: bodyMaker(api.body) }));
  const wires = new Map(places.map(({ url }) => [url, openWire(url, scenario.concurrency)]));
  const told: Told[] = [];
  const underWay = new Set<Promise<void>>();
  const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  let sender = options.sender;
  let failure: unknown;

  const begin = (kind: Kind, phase: Phase, number: number): void => {
    const { api, url, make } = places[number % places.length] as (typeof places)[number];
    const identity = `SIM-${runId}-${number}`;
    // Of its own, so that a story is the same whatever runs beside it.
    const bodyOf = bodiesOf(make, { ...phase, ...scenario, identity, random: seeded(seed + number + 1) }, api.name);
    const wire = wires.get(url) as ReturnType<typeof openWire>;
    const deps = { ...phase, ...scenario, wire, sender: () => sender, signal, onDelivery };
    const story = tell(kind, bodyOf, url, deps)
      .then((sent) => {
        const expect = phase.expect.get(kind) ?? storyOf(kind).expect;
        told.push({ api: api.name, kind, identity, expect, sent, isInterrupted: signal.aborted });
        options.onStory();
      })
      .catch((error: unknown) => {
        failure ??= error;
      })
      .finally(() => underWay.delete(story));
    underWay.add(story);
  };

  try {
    let number = 0;
    for (const phase of scenario.phases) {
      sender = phase.key === "next" ? options.next : options.sender;
      const started = performance.now();
      for (const [index, kind] of kindsOf(phase, random).entries()) {
        await pause(started + (index * 1000) / phase.perSecond - performance.now(), signal);
        while (underWay.size >= scenario.concurrency && !signal.aborted) await Promise.race([...underWay, stopped]);
        if (signal.aborted || failure) break;
        begin(kind, phase, number++);
      }
    }
    await Promise.all(underWay);
  } finally {
    for (const wire of wires.values()) wire.close();
  }
  if (failure) throw failure;
  return told;
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  ms <= 0 ? Promise.resolve() : wait(ms, undefined, { signal }).catch(() => {});

/** As many of each kind as the mix says, none of them left out, in an order of chance. */
export function kindsOf({ stories, mix }: Pick<Phase, "stories" | "mix">, random: Random): Kind[] {
  const special: Kind[] = kindNames
    .filter((kind) => kind !== "plain")
    .flatMap((kind) => Array.from({ length: Math.ceil((stories * (mix.get(kind) ?? 0)) / 100) }, () => kind));
  const all = special.concat(Array.from({ length: Math.max(0, stories - special.length) }, (): Kind => "plain"));
  for (let at = all.length - 1; at > 0; at--) {
    const other = random.between(0, at);
    [all[at], all[other]] = [all[other] as Kind, all[at] as Kind];
  }
  return all.slice(0, stories);
}

type Spec = Omit<BodySpec, "timeMs">;

/** The body of each role of a story: the same each time, and with other content than any other of its time. */
function bodiesOf(make: (spec: BodySpec) => Members, spec: Spec, api: string): (role: RoleName) => Buffer {
  const now = Date.now() - eventsAgoMs;
  const bodies = new Map<RoleName, string>();
  const newBody = (role: RoleName): string => {
    for (let tries = 0; tries < 20; tries++) {
      const text = JSON.stringify(make({ ...spec, timeMs: now + roles[role].offsetMs }));
      if (![...bodies.values()].includes(text)) return text;
    }
    throw new ScenarioError(`${api} has nothing that could differ: leave conflicts out`);
  };
  return (role) => {
    const text = bodies.get(role) ?? newBody(role);
    bodies.set(role, text);
    return Buffer.from(text);
  };
}

async function tell(
  kind: Kind,
  bodyOf: (role: RoleName) => Buffer,
  url: URL,
  deps: DeliverDeps,
): Promise<Told["sent"]> {
  const { rounds, manner = "plain" } = storyOf(kind);
  const sent: { role: RoleName; deliveries: Delivery[] }[] = [];
  for (const round of rounds)
    sent.push(
      ...(await Promise.all(
        round.map(async (role) => ({ role, deliveries: await deliver(url, bodyOf(role), manner, deps) })),
      )),
    );
  return sent;
}
