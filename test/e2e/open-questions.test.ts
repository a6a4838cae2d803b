import { join } from "node:path";
import { expect } from "chai";
import { apiPath, notification, notify } from "../support/notification.js";
import { startTestPart, startTestStack, type TestPart, type TestStack } from "../support/processes.js";
import { isSignedFor, requestBytes, sendBytes, signedHeaders, type WireAnswer, withHeader } from "../support/wire.js";

describe("what Alipay+ leaves open", () => {
  let stack: TestStack;
  let other: TestPart;
  before(async () => {
    stack = await startTestStack({ appendfsync: "no", service: { DURABILITY: "memory" } });
    const settings = {
      LENIENT_ENUMS: "accountSource",
      CONFLICT_RESULT_CODE: "REPEAT_REQ_INCONSISTENT",
      SIGNED_URI: "path-or-query",
      SIGN_UNVERIFIED: "false",
    };
    const base = { DATA_DIR: stack.folder, TOKEN_SERVICE_URL: stack.service.url };
    other = await startTestPart("gateway", { ...base, ...settings }, join(stack.folder, "other.log"));
  });
  after(async () => {
    await other.stop();
    await stack.stop();
  });
  const gateways = { default: () => stack.gateway, other: () => other };
  const send = async (gateway: TestPart, bytes: Buffer): Promise<WireAnswer> => {
    const answer = await sendBytes(gateway.url, bytes);
    if (answer === "closed") throw new Error("closed without an answer");
    return answer;
  };

  for (const { setting, at, accountSource, resultCode } of [
    { setting: "LENIENT_ENUMS by default", at: "default", accountSource: "SOMETHING_NEW", resultCode: "PARAM_ILLEGAL" },
    { setting: "LENIENT_ENUMS=accountSource", at: "other", accountSource: "SOMETHING_NEW", resultCode: "SUCCESS" },
    { setting: "LENIENT_ENUMS=accountSource", at: "other", accountSource: "", resultCode: "PARAM_ILLEGAL" },
    { setting: "LENIENT_ENUMS=accountSource", at: "other", accountSource: 1, resultCode: "PARAM_ILLEGAL" },
    {
      setting: "LENIENT_ENUMS=accountSource",
      at: "other",
      accountSource: "EXISTING_TOKEN_CREDENTIAL",
      resultCode: "SUCCESS",
    },
  ] as const)
    it(`${setting}: accountSource ${JSON.stringify(accountSource)} is answered with ${resultCode}`, async () => {
      const answer = await notify(gateways[at]().url, notification({ accountSource }));
      expect(answer.result.resultCode).to.equal(resultCode);
      expect(answer.isSigned).to.equal(true);
    });

  for (const { setting, at, resultCode } of [
    { setting: "CONFLICT_RESULT_CODE by default", at: "default", resultCode: "PROCESS_FAIL" },
    { setting: "CONFLICT_RESULT_CODE=REPEAT_REQ_INCONSISTENT", at: "other", resultCode: "REPEAT_REQ_INCONSISTENT" },
  ] as const)
    it(`${setting}: a repeat with other content is answered with ${resultCode}`, async () => {
      const members = notification();
      expect((await notify(gateways[at]().url, members)).result.resultCode).to.equal("SUCCESS");
      const answer = await notify(gateways[at]().url, { ...members, customerId: "customer-2" });
      expect(answer.result).to.include({ resultCode, resultStatus: "F" });
      expect(answer.isSigned).to.equal(true);
    });

  for (const { setting, at, query, signed, resultCode } of [
    { setting: "by default", at: "default", query: "?a=b", signed: apiPath, resultCode: "SUCCESS" },
    { setting: "by default", at: "default", query: "?a=b", signed: `${apiPath}?a=b`, resultCode: "INVALID_SIGNATURE" },
    { setting: "=path-or-query", at: "other", query: "?a=b", signed: apiPath, resultCode: "SUCCESS" },
    { setting: "=path-or-query", at: "other", query: "?a=b", signed: `${apiPath}?a=b`, resultCode: "SUCCESS" },
    {
      setting: "=path-or-query",
      at: "other",
      query: "?a=b",
      signed: `${apiPath}?a=c`,
      resultCode: "INVALID_SIGNATURE",
    },
    { setting: "=path-or-query", at: "other", query: "?", signed: `${apiPath}?`, resultCode: "SUCCESS" },
    { setting: "=path-or-query", at: "other", query: "", signed: apiPath, resultCode: "SUCCESS" },
    { setting: "=path-or-query", at: "other", query: "", signed: `${apiPath}?`, resultCode: "INVALID_SIGNATURE" },
  ] as const)
    it(`SIGNED_URI ${setting}: ${apiPath}${query}, signed ${signed}: ${resultCode}`, async () => {
      const body = JSON.stringify(notification());
      const answer = await send(
        gateways[at](),
        requestBytes(apiPath + query, signedHeaders(body, { path: signed }), body),
      );
      expect(answer.result.resultCode).to.equal(resultCode);
      if (resultCode === "SUCCESS") expect(isSignedFor(answer)).to.equal(true);
    });

  describe("SIGN_UNVERIFIED", () => {
    const refused = [
      { resultCode: "INVALID_SIGNATURE", path: apiPath, bytes: () => requestBytes(apiPath, signedHeaders("[]"), "{}") },
      { resultCode: "NO_INTERFACE_DEF", path: "/x", bytes: () => requestBytes("/x", signedHeaders("{}"), "{}") },
      {
        resultCode: "INVALID_CLIENT",
        path: apiPath,
        bytes: () => requestBytes(apiPath, withHeader(signedHeaders("{}"), "Client-Id", "NOBODY"), "{}"),
      },
    ];
    for (const { resultCode, path, bytes } of refused) {
      it(`by default: ${resultCode} is signed`, async () => {
        const answer = await send(stack.gateway, bytes());
        expect(answer.result.resultCode).to.equal(resultCode);
        expect(isSignedFor(answer, path)).to.equal(true);
      });
      it(`=false: ${resultCode} is not signed, and complete without`, async () => {
        const answer = await send(other, bytes());
        expect(answer.status).to.equal(200);
        expect(answer.result.resultCode).to.equal(resultCode);
        expect(answer.headers).to.not.have.any.keys("signature", "client-id");
        expect(answer.headers).to.include.keys("response-time", "content-type");
      });
    }
    it("=false: what a client signed is answered signed, whatever the answer is", async () => {
      for (const members of [notification(), notification({ tokenReferenceId: "" }), "no JSON"])
        expect((await notify(other.url, members)).isSigned).to.equal(true);
    });
  });
});
