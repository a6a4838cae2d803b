// What the answers of a case mean: a pass, a failure, or something to know where no published rule is broken.
import { type ResultCode, resultCodes } from "../../gateway/alipayplus/result.js";
import type { AnswerCase, Case, ExchangeCase, Expectation, Seen } from "./case.js";
import { isStrict } from "./rules.js";

export type Verdict = "pass" | "fail" | "notice";

export type Judged = {
  readonly verdict: Verdict;
  readonly expected: string;
  readonly observed: string;
};

/** What came back for one copy of an exchange. */
export type Received = { readonly status: number; readonly result: unknown } | { readonly trouble: string };

export function judgeExchanges(each: ExchangeCase, received: readonly (readonly Received[])[]): Judged {
  const grades = each.exchanges.map(({ expect }, index) => gradeOf(expect, received[index] ?? []));
  const broken = isStrict(each.rule) ? "fail" : "notice";
  const verdict = grades.includes("broken") ? broken : grades.includes("tolerated") ? "notice" : "pass";
  return { verdict, expected: expectedOf(each), observed: received.map(groupOf).join(", then ") };
}

export function judgeAnswers(each: AnswerCase, seen: readonly Seen[]): Judged {
  const asked = seen.filter(each.among);
  const wrong = asked.flatMap((one) => {
    const what = each.check(one);
    return what === undefined ? [] : [`${what} (${one.caseName})`];
  });
  const [first] = wrong;
  const expected = expectedOf(each);
  if (first === undefined)
    return {
      verdict: "pass",
      expected,
      observed: asked.length === 0 ? "no answer to look at" : `${asked.length} answers keep it`,
    };
  return {
    verdict: isStrict(each.rule) ? "fail" : "notice",
    expected,
    observed: `${wrong.length} of ${asked.length} answers do not: ${first}`,
  };
}

/** What a case asks for, in words. */
export const expectedOf = (each: Case): string =>
  "exchanges" in each
    ? each.exchanges.map(({ expect }) => codesText(expect.codes)).join(", then ")
    : "every answer keeps the rule";

const codesText = (codes: readonly ResultCode[]): string =>
  codes.map((code) => `${resultCodes[code][0]} ${code}`).join(" or ");

type Grade = "right" | "tolerated" | "broken";

function gradeOf({ codes, tolerated = [] }: Expectation, received: readonly Received[]): Grade {
  const isAmong = (list: readonly string[]) => (one: Received) => list.includes(codeOf(one) ?? "");
  if (received.every(isAmong(codes))) return "right";
  return received.every(isAmong([...codes, ...tolerated])) ? "tolerated" : "broken";
}

const memberOf = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;

function codeOf(received: Received): string | undefined {
  const code = "result" in received ? memberOf(memberOf(received.result, "result"), "resultCode") : undefined;
  return typeof code === "string" ? code : undefined;
}

function textOf(received: Received): string {
  if ("trouble" in received) return `no answer (${received.trouble})`;
  const code = codeOf(received);
  if (code === undefined) return `HTTP ${received.status} without a result`;
  const status = memberOf(memberOf(received.result, "result"), "resultStatus");
  return `${typeof status === "string" ? status : "?"} ${code}`;
}

/** "8 x S SUCCESS" for copies that fared alike. */
function groupOf(received: readonly Received[]): string {
  const counts = new Map<string, number>();
  for (const text of received.map(textOf)) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].map(([text, count]) => (received.length === 1 ? text : `${count} x ${text}`)).join(" and ");
}
