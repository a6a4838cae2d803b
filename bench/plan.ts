// What is measured, in which order: rounds of steps, each step done by every system in turn.
import type { Scenario } from "./generator/tasks.js";
import type { Durability } from "./systems.js";

export type BenchOptions = {
  readonly systems: readonly string[];
  readonly durabilities: readonly Durability[];
  /** Connections of the closed loops. */
  readonly connections: readonly number[];
  readonly scenarios: readonly Scenario[];
  /** Also at a fixed 300/s and at half of what a system did in the closed loop with most connections up to 64. */
  readonly openLoops: boolean;
  readonly rounds: number;
  readonly windowMs: number;
  readonly warmMs: number;
  /** How many notifications each system answers, crowded and alone, before anything is measured. */
  readonly warmUp: { readonly crowded: number; readonly alone: number };
};

/** How requests come: by connections in a closed loop, at a fixed rate, or at half of the measured throughput. */
export type Arrival = "closed" | "300/s" | "half";

export type Step = {
  readonly scenario: Scenario;
  readonly arrival: Arrival;
  readonly connections: number;
};

/** Connections that an open loop may use; a request that finds none free waits, and its wait counts. */
export const openLoopConnections = 64;

/** The load at which systems are compared: 64 connections, or the most below that are measured. */
export const mainConnections = (connections: readonly number[]): number =>
  Math.max(...connections.filter((each) => each <= 64), Math.min(...connections));

/** The steps of one round. Repeats come right behind the first deliveries that they repeat. */
export function stepsOf({ connections, scenarios, openLoops }: BenchOptions): Step[] {
  const main = mainConnections(connections);
  const closed = connections.flatMap((each): Step[] => [
    { scenario: "first", arrival: "closed", connections: each },
    ...(each === main ? scenarios : [])
      .filter((scenario) => scenario !== "first")
      .map((scenario): Step => ({ scenario, arrival: "closed", connections: each })),
  ]);
  const open = (openLoops ? (["300/s", "half"] as const) : []).map(
    (arrival): Step => ({ scenario: "first", arrival, connections: openLoopConnections }),
  );
  return [...closed, ...open];
}

/** How many signed notifications no window will use up: more than any system here answers. */
export const notificationsFor = ({ windowMs, warmMs }: BenchOptions, mostPerS: number): number =>
  Math.ceil(((windowMs + warmMs) / 1000) * mostPerS);
