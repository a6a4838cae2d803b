// Scenarios: what Alipay+ sends in a run, read from YAML with all mistakes told together.
import { parse, YAMLParseError } from "yaml";
import { type Expectation, expectations, type Kind, kindNames } from "./kinds.js";

export type Phase = {
  readonly name: string;
  readonly stories: number;
  readonly perSecond: number;
  /** How many in a hundred stories are of each kind; what is left is plain. */
  readonly mix: ReadonlyMap<Kind, number>;
  /** What comes of a kind, where that is not the usual. */
  readonly expect: ReadonlyMap<Kind, Expectation>;
  /** How many in a hundred optional members are there. */
  readonly optionalMembers: number;
  /** How far the sender's clock is off. */
  readonly clockSkewMs: number;
  /** Which key signs from here on. */
  readonly key: "first" | "next";
  /** How long a slow body takes. */
  readonly slowBodyMs: number;
};

export type Scenario = {
  readonly about: string;
  readonly seed: number | undefined;
  /** How many times faster than published repeats come. */
  readonly timeScale: number;
  /** How long the sender waits for an answer. */
  readonly timeoutMs: number;
  /** Stories under way at once. */
  readonly concurrency: number;
  /** APIs by name; all when there are none. */
  readonly apis: readonly string[];
  /** Members that every body has, in place of made-up ones. */
  readonly members: Readonly<Record<string, string>>;
  readonly phases: readonly Phase[];
};

export class ScenarioError extends Error {}

/** Throws ScenarioError that names every mistake. */
export function readScenario(text: string, name: string): Scenario {
  const mistakes: string[] = [];
  const value = yamlIn(text, name);
  const top = reading(value, "the scenario", mistakes, scenarioKeys);
  const phases = reading(value, "", [], scenarioKeys)
    .list("phases")
    .map((phase, index) => phaseOf(phase, `phases[${index}]`, mistakes));
  const scenario = {
    about: top.read("about", textOf, ""),
    seed: top.read("seed", numberOf(0, 2 ** 32 - 1), undefined),
    timeScale: top.read("timeScale", numberOf(1, 1e9), 1),
    timeoutMs: top.read("timeout", durationOf, 5_000),
    concurrency: top.read("concurrency", numberOf(1, 1_000), 64),
    apis: top.read("apis", listOfTexts, []),
    members: top.read("members", textsByName, {}),
    phases,
  };
  if (phases.length === 0) mistakes.push("phases must be a list with one phase or more");
  if (mistakes.length > 0) throw new ScenarioError(`${name}: ${mistakes.join("; ")}`);
  return scenario;
}

export const scenarioKeys = ["about", "seed", "timeScale", "timeout", "concurrency", "apis", "members", "phases"];
export const phaseKeys = [
  "name",
  "for",
  "count",
  "rate",
  "mix",
  "expect",
  "optionalMembers",
  "clockSkew",
  "key",
  "slowBody",
];

function yamlIn(text: string, name: string): unknown {
  try {
    return parse(text) as unknown;
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error;
    throw new ScenarioError(`${name}: ${error.message.split("\n", 1)[0]?.replace(/:$/, "")}`);
  }
}

function phaseOf(value: unknown, at: string, mistakes: string[]): Phase {
  const phase = reading(value, at, mistakes, phaseKeys);
  const perSecond = phase.read("rate", numberOf(0.001, 100_000), 10);
  const count = phase.read("count", numberOf(1, 10_000_000), undefined);
  const forMs = phase.read("for", durationOf, undefined);
  if ((count === undefined) === (forMs === undefined)) mistakes.push(`${at} must have either for or count`);
  const mix = phase.read("mix", byKind(numberOf(0, 100)), new Map<Kind, number>());
  const shares = [...mix].filter(([kind]) => kind !== "plain").reduce((sum, [, share]) => sum + share, 0);
  if (shares > 100) mistakes.push(`${at}.mix comes to more than 100`);
  return {
    name: phase.read("name", textOf, at),
    stories: Math.max(1, Math.round(count ?? (perSecond * (forMs ?? 0)) / 1000)),
    perSecond,
    mix,
    expect: phase.read(
      "expect",
      byKind(oneOf(Object.keys(expectations) as Expectation[])),
      new Map<Kind, Expectation>(),
    ),
    optionalMembers: phase.read("optionalMembers", numberOf(0, 100), 80),
    clockSkewMs: phase.read("clockSkew", signedDurationOf, 0),
    key: phase.read("key", oneOf(["first", "next"]), "first"),
    slowBodyMs: phase.read("slowBody", durationOf, 1_000),
  };
}

type Read<T> = (value: unknown) => T;

/** Reads a map; a mistake is kept, and the fallback stands in. */
function reading(value: unknown, at: string, mistakes: string[], known: readonly string[]) {
  const map = isMap(value) ? value : {};
  if (!isMap(value)) mistakes.push(`${at} must be a map`);
  for (const name of Object.keys(map))
    if (!known.includes(name)) mistakes.push(`${at} has ${name}, which is none of ${known.join(", ")}`);
  return {
    list: (name: string): unknown[] => (Array.isArray(map[name]) ? map[name] : []),
    read<T, F>(name: string, read: Read<T>, fallback: F): T | F {
      const member = map[name];
      if (member === undefined || member === null) return fallback;
      try {
        return read(member);
      } catch (error) {
        mistakes.push(`${at === "the scenario" ? name : `${at}.${name}`} ${(error as Error).message}`);
        return fallback;
      }
    },
  };
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function textOf(value: unknown): string {
  if (typeof value !== "string") throw new Error("must be a text");
  return value;
}

const numberOf =
  (from: number, to: number): Read<number> =>
  (value) => {
    if (typeof value !== "number" || !(value >= from && value <= to))
      throw new Error(`must be a number from ${from} to ${to}`);
    return value;
  };

const oneOf =
  <T extends string>(words: readonly T[]): Read<T> =>
  (value) => {
    const word = words.find((each) => each === value);
    if (word === undefined) throw new Error(`must be one of ${words.join(", ")}`);
    return word;
  };

function listOfTexts(value: unknown): string[] {
  if (!Array.isArray(value)) throw new Error("must be a list");
  return value.map(textOf);
}

function textsByName(value: unknown): Record<string, string> {
  if (!isMap(value)) throw new Error("must be a map");
  return Object.fromEntries(Object.entries(value).map(([name, text]) => [name, textOf(text)]));
}

const byKind =
  <T>(read: Read<T>): Read<Map<Kind, T>> =>
  (value) => {
    if (!isMap(value)) throw new Error("must be a map");
    return new Map(Object.entries(value).map(([name, each]) => [oneOf(kindNames)(name), read(each)]));
  };

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, min: 60_000, h: 3_600_000 };

function signedDurationOf(value: unknown): number {
  const [, number, unit = ""] = /^(-?\d+(?:\.\d+)?)\s*(ms|s|min|h)$/.exec(String(value)) ?? [];
  const unitMs = unitsMs[unit];
  if (number === undefined || unitMs === undefined) throw new Error("must be a time such as 500ms, 10s, 2min or 1h");
  return Number(number) * unitMs;
}

function durationOf(value: unknown): number {
  const ms = signedDurationOf(value);
  if (ms <= 0) throw new Error("must be a time above 0");
  return ms;
}
