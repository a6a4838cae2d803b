// The conformance suite of an API: every case, each name once.
import type { Api } from "../apis.js";
import type { AnswerCase, Case, ExchangeCase } from "./case.js";
import { answerCases } from "./cases/answers.js";
import { bodyCases, writingCases } from "./cases/bodies.js";
import { fieldCases } from "./cases/fields.js";
import { repeatCases } from "./cases/repeats.js";
import { requestCases } from "./cases/requests.js";
import { signatureCases } from "./cases/signatures.js";

export type Suite = { readonly exchanges: readonly ExchangeCase[]; readonly answers: readonly AnswerCase[] };

/** `identity` begins the values that must be the only ones of their kind. */
export function suiteOf(api: Api, identity: string): Suite {
  return {
    exchanges: [
      ...requestCases,
      ...signatureCases,
      ...writingCases,
      ...bodyCases,
      ...fieldCases(api, identity),
      ...repeatCases(api),
    ],
    answers: answerCases,
  };
}

export const casesOf = (api: Api, identity: string): Case[] => {
  const { exchanges, answers } = suiteOf(api, identity);
  return [...exchanges, ...answers];
};
