// What the generator can be told to do, and what it answers. Plain data: it crosses to a process of its own.
import type { Parts } from "../processes.js";

/** `first` sends each notification once, `repeat` those that the last `first` sent, `forged` those with a false signature. */
export type Scenario = "first" | "repeat" | "forged";

/** A closed loop sends when the last answer has come; an open one at a constant rate, whatever the answers do. */
export type Load = { readonly connections: number } | { readonly connections: number; readonly ratePerS: number };

export type LoadTask = {
  readonly kind: "load";
  readonly port: number;
  readonly scenario: Scenario;
  readonly load: Load;
  readonly warmMs: number;
  readonly windowMs: number;
  /**
   * Where notifications come from: those signed before, each once and from the first on (the default), or from where the last
   * load on this port ended; the same over and over, which only a server that keeps nothing may see; or new ones signed
   * meanwhile.
   */
  readonly supply?: "once" | "rest" | "cycle" | "endless";
  /** Check the signatures of some answers when the window is over. */
  readonly checksSignatures: boolean;
  /** Whose CPU time counts. */
  readonly parts: Parts;
};

/** Verifies notifications, one after the other, and nothing else. */
export type VerifyTask = { readonly kind: "verify"; readonly windowMs: number };

/** Calls one script on Redis, as many at once as said; the caller's CPU counts as part `caller`. */
export type ScriptTask = {
  readonly kind: "script";
  readonly socket: string;
  readonly atOnce: number;
  readonly warmMs: number;
  readonly windowMs: number;
  readonly parts: Parts;
};

export type Task = LoadTask | VerifyTask | ScriptTask;

/** What one window showed. */
export type Measured = {
  /** Answers within the window. */
  readonly answers: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  readonly cpuUsByPart: Readonly<Record<string, number>>;
  /** CPU time of the generator itself, which counts for nobody. */
  readonly generatorCpuUs: number;
};

export type TaskAnswer = { readonly measured: Measured } | { readonly failed: string };

/** What the generator is started with. */
export type Setup = { readonly folder: string; readonly count: number };
