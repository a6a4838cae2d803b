// What counts as a broken promise, row by row.
import { expect } from "chai";
import {
  type Delivery,
  isTried,
  judge,
  type PromiseName,
  promises,
  type Sent,
  type Told,
} from "../../../tools/simulate/judge.js";
import type { Expectation, RoleName } from "../../../tools/simulate/kinds.js";

const word = (text: string): Delivery => {
  const [status = "none", code = "", ...marks] = text.split(" ") as [Delivery["status"], string, ...string[]];
  return {
    status,
    code,
    ms: 1,
    manner: "plain",
    isSigned: !marks.includes("unsigned"),
    isWrong: marks.includes("wrong"),
  };
};
/** "event: U X, S SUCCESS" for each time that a notification was sent. */
const sentOf = (text: string): Sent => {
  const [role, deliveries = ""] = text.split(": ") as [RoleName, string];
  return { role, deliveries: deliveries.split(", ").map(word) };
};
const told = (expectation: Expectation, sent: readonly string[], isInterrupted = false): Told => ({
  api: "a",
  kind: "plain",
  identity: "SIM-1",
  expect: expectation,
  sent: sent.map(sentOf),
  isInterrupted,
});

const rows: [expectation: Expectation, sent: string[], broken: PromiseName[]][] = [
  ["S", ["event: S SUCCESS"], []],
  ["S", ["event: U UNKNOWN_EXCEPTION, none HTTP_502, S SUCCESS"], []],
  ["S", ["event: S SUCCESS", "event: S SUCCESS"], []],
  ["S", ["event: S SUCCESS", "event: U BUSY, S SUCCESS"], []],
  ["S", ["event: S SUCCESS", "event: F PROCESS_FAIL"], ["sameResult"]],
  ["any", ["event: F PROCESS_FAIL", "event: S SUCCESS"], ["sameResult"]],
  ["S", ["event: S SUCCESS", "event: U BUSY, U BUSY"], ["sameResult"]],
  ["S", ["event: U BUSY, U BUSY"], ["decided"]],
  ["S", ["event: F PARAM_ILLEGAL"], ["notRefused"]],
  ["S", ["event: S SUCCESS unsigned, S SUCCESS"], ["signed"]],
  ["S", ["event: F PROCESS_FAIL unsigned, S SUCCESS"], ["signed"]],
  ["S", ["event: S SUCCESS unsigned, S SUCCESS unsigned"], ["signed", "decided"]],
  ["S", ["event: S PROCESS_FAIL wrong"], ["wellFormed"]],
  ["S", ["event: S SUCCESS", "daysBefore: F PROCESS_FAIL"], ["notRefused"]],
  ["F", ["event: F ACCESS_DENIED"], []],
  ["F", ["event: S SUCCESS"], ["refused"]],
  ["U", ["event: U UNKNOWN_EXCEPTION, U UNKNOWN_EXCEPTION"], []],
  ["U", ["event: U UNKNOWN_EXCEPTION, F PROCESS_FAIL"], ["refused"]],
  ["first", ["event: S SUCCESS", "other: F PROCESS_FAIL"], []],
  ["first", ["event: S SUCCESS", "other: S SUCCESS"], ["oneOfTwo"]],
  ["first", ["event: F PROCESS_FAIL", "other: S SUCCESS"], ["notRefused"]],
  ["one", ["event: F PROCESS_FAIL", "other: S SUCCESS"], []],
  ["one", ["event: S SUCCESS", "other: S SUCCESS"], ["oneOfTwo"]],
  ["one", ["event: F PROCESS_FAIL", "other: F PROCESS_FAIL"], ["oneOfTwo"]],
  ["one", ["event: S SUCCESS", "other: U BUSY"], ["decided"]],
  ["any", ["event: S SUCCESS", "other: S SUCCESS"], []],
];

describe("the judge", () => {
  for (const [expectation, sent, broken] of rows)
    it(`finds ${broken.join(" and ") || "nothing"} broken when ${expectation} is expected of ${sent.join(" | ")}`, () => {
      expect(judge(told(expectation, sent)).map(({ promise }) => promise)).to.have.members(broken);
    });

  it("calls a promise tried only by stories that can break it", () => {
    for (const [expectation, sent, broken] of rows)
      for (const promise of broken) expect(isTried(promise, told(expectation, sent)), promise).to.equal(true);
    expect(isTried("oneOfTwo", told("S", []))).to.equal(false);
  });

  it("has a row for every promise", () => {
    expect(new Set(rows.flatMap(([, , broken]) => broken))).to.deep.equal(new Set(Object.keys(promises)));
  });

  it("does not blame the receiver for repeats that an interruption left out", () => {
    expect(judge(told("S", ["event: U BUSY"], true))).to.deep.equal([]);
    expect(judge(told("one", ["event: S SUCCESS", "other: S SUCCESS"], true))).to.have.length(1);
  });

  it("says what came", () => {
    expect(judge(told("S", ["event: S SUCCESS", "event: F PROCESS_FAIL"]))[0]).to.deep.equal({
      promise: "sameResult",
      identity: "SIM-1",
      what: "S SUCCESS, then F PROCESS_FAIL",
    });
  });
});
