// Hints in the log of why a signature does not hold: only where they are wanted, once a second, without secrets.
import { join } from "node:path";
import { expect } from "chai";
import { resultOf } from "../../gateway/alipayplus/result.js";
import { createHints } from "../../gateway/hints.js";
import { publicKey } from "../support/keys.js";
import { notification } from "../support/notification.js";
import { until } from "../support/processes.js";
import { type SignedParts, signedRequest } from "../support/requests.js";
import { sendChanged } from "../support/sending.js";
import { startTestGateway, type TestGateway } from "../support/stand-in-service.js";

describe("hints", () => {
  const keys = new Map([
    [join("keys", "TEST_CLIENT", "alipayplus.1.public.pem"), publicKey("aplus")],
    [join("keys", "TEST_CLIENT", "own.1.private.pem"), publicKey("mpp")],
  ]);
  let now = 1_000;
  const hint = createHints(
    () => keys,
    [],
    () => now,
  );
  const refused = async (resultCode: Parameters<typeof resultOf>[0], parts: SignedParts = { key: "other" }) =>
    hint(await signedRequest(parts), resultOf(resultCode));

  it("are given once a second", async () => {
    expect(await refused("INVALID_SIGNATURE")).to.match(/^wrong-key: /);
    now += 999;
    expect(await refused("INVALID_SIGNATURE")).to.equal(undefined);
    now += 1;
    expect(await refused("KEY_NOT_FOUND", { keyVersion: 7 })).to.match(
      /^key-version: .*alipayplus\.1 of TEST_CLIENT made it/,
    );
  });

  it("are not given for what has nothing to do with signatures, and that uses up no second", async () => {
    now += 1_000;
    expect(await refused("REQUEST_TRAFFIC_EXCEED_LIMIT")).to.equal(undefined);
    expect(await refused("INVALID_CLIENT", { clientId: "test_client" })).to.match(
      /^unknown-client: .*alipayplus\.1 of TEST_CLIENT/,
    );
  });
});

describe("a gateway with DOCTOR_HINTS", () => {
  let gateway: TestGateway;
  const body = JSON.stringify(notification({ customerId: "somebody" }));
  const send = async () => {
    const answer = await sendChanged(gateway.gateway.url, body.replaceAll('":"', '": "'), { signed: body });
    expect(answer.result.resultCode).to.equal("INVALID_SIGNATURE");
    await until("the answer is logged", () => gateway.gateway.log().includes("INVALID_SIGNATURE"));
  };
  afterEach(() => gateway?.stop());

  it("logs the cause beside the answer, and nothing of the body", async () => {
    gateway = await startTestGateway({ DOCTOR_HINTS: "true" });
    await send();
    expect(gateway.gateway.log()).to.match(/"resultCode":"INVALID_SIGNATURE",[^\n]*"hint":"whitespace: white space /);
    expect(gateway.gateway.log()).to.not.match(/5345678901234521|somebody|signature=/);
  });

  it("logs no cause by default", async () => {
    gateway = await startTestGateway();
    await send();
    expect(gateway.gateway.log()).to.not.include("hint");
  });
});
