// The signature vectors through the HTTP door: what official SDKs sign is taken, what they refuse is refused.
import { expect } from "chai";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { expectResult } from "../support/expectations.js";
import { type Vector, type VectorKey, vectors, writeClient } from "../support/keys.js";
import { sendRaw } from "../support/notification.js";
import { startTestPart, startTestStack, type TestPart, type TestStack, temporaryFolder } from "../support/processes.js";

/** These two differ in what HTTP itself settles: its methods are upper case here, and its path has no host. */
const notForHttp = ["neg-method-lower", "neg-uri-absolute"];
const requests = vectors.filter(({ direction, id }) => direction.startsWith("request") && !notForHttp.includes(id));
const [{ clientId, uri }] = requests as [Vector];

describe("a request of the signature vectors", () => {
  let stack: TestStack;
  let gatewayOfOther: TestPart;
  let redis: RedisClient;
  const keys = temporaryFolder();

  before(async () => {
    for (const key of ["aplus", "other"] as const) writeClient(`${keys.path}/${key}`, clientId, { 0: key, 1: key });
    const settings = (key: VectorKey) => ({
      KEYS_DIR: `${keys.path}/${key}`,
      REQUEST_MAX_AGE_S: "1000000000",
      ALIPAYPLUS_PATHS: `tokenActivationNotification=${uri}`,
    });
    stack = await startTestStack({ gateway: settings("aplus") });
    gatewayOfOther = await startTestPart(
      "gateway",
      { ...settings("other"), TOKEN_SERVICE_URL: stack.service.url },
      `${stack.folder}/gateway-of-other.log`,
    );
    redis = await stack.redis.connect();
  });
  after(async () => {
    await gatewayOfOther?.stop();
    await stack?.stop();
    keys.remove();
  });
  beforeEach(() => redis.flushall());

  for (const { id, key, method, time, bodyBase64, signatureHeader, expect: expected } of requests) {
    const resultCode = expected === "invalid" ? "INVALID_SIGNATURE" : "SUCCESS";
    it(`is answered with a signed ${resultCode}: ${id}`, async () => {
      const gateway = key === "other" ? gatewayOfOther : stack.gateway;
      const answer = await sendRaw(gateway.url + uri, {
        method,
        headers: {
          "Content-Type": "application/json; charset=UTF-8",
          "Client-Id": clientId,
          "Request-Time": time,
          Signature: signatureHeader,
        },
        body: Buffer.from(bodyBase64, "base64"),
      });
      expectResult(answer, resultCode, { path: uri, clientId });
      expect((await redis.keys("token:*")).length).to.equal(resultCode === "SUCCESS" ? 1 : 0);
    });
  }

  it("is one of at least a dozen, some good and some bad", () => {
    expect(requests.length).to.be.at.least(12);
    expect(new Set(requests.map((vector) => vector.expect))).to.deep.equal(new Set(["valid", "lenient", "invalid"]));
  });
});
