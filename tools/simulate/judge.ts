// Which promises of an MPP were kept in a run, judged by what came of each delivery. Pure.
import type { Expectation, Kind, Manner, RoleName } from "./kinds.js";

/** What came of one delivery. */
export type Delivery = {
  /** Of the result; "none" when no answer came that Alipay+ would read. */
  readonly status: "S" | "F" | "U" | "none";
  /** resultCode, or why there is no answer. */
  readonly code: string;
  readonly isSigned: boolean;
  readonly ms: number;
  readonly manner: Manner;
  /** True for an answer with HTTP 200 whose result is missing or contradicts itself. */
  readonly isWrong?: boolean;
};

/** What came of one notification: the deliveries of each time that the story sent it. */
export type Sent = { readonly role: RoleName; readonly deliveries: readonly Delivery[] };

/** What came of a story. */
export type Told = {
  readonly api: string;
  readonly kind: Kind;
  readonly identity: string;
  readonly expect: Expectation;
  readonly sent: readonly Sent[];
  /** The run was interrupted, so that repeats are missing. */
  readonly isInterrupted: boolean;
};

export const promises = {
  signed: "every answer is signed",
  wellFormed: "every answer with HTTP 200 has a result, and a published code has its published status",
  sameResult: "the same notification always gets the same result",
  decided: "every notification is decided before Alipay+ gives up",
  notRefused: "what is right is not refused with F",
  refused: "what must be refused is refused with F",
  oneOfTwo: "of two contents at one event time exactly one is taken",
} as const;
export type PromiseName = keyof typeof promises;

/** Promises that show only where something is expected; all others show in every story. */
const showsIn: Partial<Record<PromiseName, readonly Expectation[]>> = {
  decided: ["S", "F", "first", "one", "any"],
  notRefused: ["S", "first"],
  refused: ["F", "U"],
  oneOfTwo: ["first", "one"],
};

/** Whether the story can show that the promise is broken. */
export const isTried = (promise: PromiseName, { expect }: Told): boolean => showsIn[promise]?.includes(expect) ?? true;

export type Broken = { readonly promise: PromiseName; readonly identity: string; readonly what: string };

/** Every promise that the story shows broken, each once. */
export function judge(told: Told): Broken[] {
  const { identity, expect, sent, isInterrupted } = told;
  const all = sent.flatMap(({ deliveries }) => deliveries);
  const broken: Broken[] = [];
  const breaks = (promise: PromiseName, what: string): void => {
    if (!broken.some((each) => each.promise === promise)) broken.push({ promise, identity, what });
  };
  for (const delivery of all) {
    if (delivery.isWrong) breaks("wellFormed", wordOf(delivery));
    if (delivery.status !== "none" && !delivery.isSigned) breaks("signed", wordOf(delivery));
  }
  const finals = new Map<RoleName, "S" | "F" | undefined>();
  for (const role of new Set(sent.map((each) => each.role))) {
    const times = sent.filter((each) => each.role === role).map(({ deliveries }) => deliveries);
    const seen = times.flat().filter(({ status, isSigned }) => isSigned && (status === "S" || status === "F"));
    if (new Set(seen.map(({ status }) => status)).size > 1) breaks("sameResult", seen.map(wordOf).join(", then "));
    const undecided = times.find((deliveries) => !deliveries.some((each) => seen.includes(each)));
    if (undecided && !isInterrupted && expect !== "U")
      breaks(
        seen.length > 0 ? "sameResult" : "decided",
        [...new Set([...seen, ...undecided].map(wordOf))].join(", then "),
      );
    finals.set(role, seen[0]?.status as "S" | "F" | undefined);
  }
  const decided = [...finals.values()].filter((status) => status !== undefined);
  const words = [...finals].map(([role, status]) => `${role} ${status ?? "undecided"}`).join(", ");
  const taken = decided.filter((status) => status === "S").length;
  const isComplete = decided.length === finals.size;
  switch (expect) {
    case "S":
      if (decided.includes("F")) breaks("notRefused", refusalIn(all));
      break;
    case "F":
    case "U":
      if (taken > 0 || (expect === "U" && decided.length > 0)) breaks("refused", words);
      break;
    case "first":
      if (finals.get(sent[0]?.role ?? "event") === "F") breaks("notRefused", refusalIn(all));
      else if (isComplete && taken !== 1) breaks("oneOfTwo", words);
      break;
    case "one":
      if (isComplete && taken !== 1) breaks("oneOfTwo", words);
      break;
    case "any":
  }
  return broken;
}

const refusalIn = (all: readonly Delivery[]): string => wordOf(all.find(({ status }) => status === "F") as Delivery);

/** "S SUCCESS", "no answer: ECONNRESET". */
export const wordOf = ({ status, code, isSigned }: Delivery): string =>
  status === "none" ? `no answer: ${code}` : `${status} ${code}${isSigned ? "" : " (not signed)"}`;
