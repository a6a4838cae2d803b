// What holds for every answer of the gateway, checked without the product's own code.
import { verify } from "node:crypto";
import { expect } from "chai";
import { publicKey, testClientId } from "./keys.js";
import { apiPath, type TestAnswer } from "./notification.js";

/** Source: Alipay+ tokenActivationNotification, result codes. Written again here so that the product's table is checked. */
export const resultStatusOf = {
  SUCCESS: "S",
  ACCESS_DENIED: "F",
  INVALID_CLIENT: "F",
  INVALID_SIGNATURE: "F",
  KEY_NOT_FOUND: "F",
  MEDIA_TYPE_NOT_ACCEPTABLE: "F",
  METHOD_NOT_SUPPORTED: "F",
  NO_INTERFACE_DEF: "F",
  PARAM_ILLEGAL: "F",
  PROCESS_FAIL: "F",
  REQUEST_TRAFFIC_EXCEED_LIMIT: "U",
  UNKNOWN_EXCEPTION: "U",
} as const;

export type ResultCode = keyof typeof resultStatusOf;

export type AnswerTo = { readonly method?: string; readonly path?: string; readonly clientId?: string };

/** HTTP 200, and a signature with our key over exactly this answer to exactly this request. */
export function expectSigned(
  { status, headers, body }: Pick<TestAnswer, "status" | "headers" | "body">,
  { method = "POST", path = apiPath, clientId = testClientId }: AnswerTo = {},
): void {
  expect(status).to.equal(200);
  expect(headers["content-type"]).to.equal("application/json; charset=UTF-8");
  expect(headers["client-id"]).to.equal(clientId);
  const time = headers["response-time"] ?? "";
  expect(time).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$/);
  expect(Math.abs(Date.parse(time) - Date.now()), "age of Response-Time in ms").to.be.below(5_000);
  const [, , value = ""] =
    /^algorithm=RSA256,\s*keyVersion=(\d+),\s*signature=(\S+)$/.exec(headers.signature ?? "") ?? [];
  const signed = Buffer.concat([Buffer.from(`${method} ${path}\n${clientId}.${time}.`), body]);
  const isGood = verify("sha256", signed, publicKey("mpp"), Buffer.from(decodeURIComponent(value), "base64"));
  expect(isGood, `signature of the answer, header ${headers.signature}`).to.equal(true);
}

/** A signed answer that holds this result and nothing else. */
export function expectResult(answer: TestAnswer, resultCode: ResultCode, to: AnswerTo = {}): void {
  expect(answer.result, answer.body.toString()).to.include({
    resultCode,
    resultStatus: resultStatusOf[resultCode],
  });
  expect(JSON.parse(answer.body.toString())).to.have.all.keys("result");
  expect(answer.result).to.have.all.keys("resultCode", "resultStatus", "resultMessage");
  expect(answer.result.resultMessage.length).to.be.within(1, 256);
  expectSigned(answer, to);
}
