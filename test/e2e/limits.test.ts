import { expect } from "chai";
import { privateKey } from "../support/keys.js";
import { apiPath, notification, notify } from "../support/notification.js";
import { startTestStack, until } from "../support/processes.js";
import { startTestGateway, type TestGateway } from "../support/stand-in-service.js";
import {
  headBytes,
  isSignedFor,
  openWire,
  requestBytes,
  sendBytes,
  signedHeaders,
  type WireAnswer,
  withHeader,
} from "../support/wire.js";

const shed = "REQUEST_TRAFFIC_EXCEED_LIMIT";

async function withGateway(
  settings: Record<string, string>,
  use: (stack: TestGateway) => Promise<void>,
): Promise<void> {
  const stack = await startTestGateway(settings);
  try {
    await use(stack);
  } finally {
    await stack.stop();
  }
}

const expectShed = (answer: WireAnswer | "closed"): void => {
  if (answer === "closed") throw new Error("closed without an answer");
  expect(answer.status).to.equal(200);
  expect(answer.result.resultCode).to.equal(shed);
  expect(answer.result.resultStatus).to.equal("U");
  expect(isSignedFor(answer)).to.equal(true);
};

describe("limits", () => {
  it("MAX_IN_FLIGHT: one more is told to try again, before its body is read", () =>
    withGateway({ MAX_IN_FLIGHT: "2" }, async ({ gateway, service }) => {
      const release = service.hold();
      const waiting = [notify(gateway.url, notification()), notify(gateway.url, notification())];
      await until("both are under way", () => service.arrived.length === 2);
      const wire = openWire(gateway.url);
      wire.write(headBytes(apiPath, [...signedHeaders("{}"), ["Content-Length", "2"]]));
      expectShed(await wire.answer(2_000));
      wire.close();
      release();
      for (const answer of await Promise.all(waiting)) expect(answer.result.resultCode).to.equal("SUCCESS");
      expect((await notify(gateway.url, notification())).result.resultCode).to.equal("SUCCESS");
      expect(service.arrived).to.have.length(3);
    }));

  it("CLIENT_MAX_IN_FLIGHT: one more of that client is told to try again", () =>
    withGateway({ CLIENT_MAX_IN_FLIGHT: "2" }, async ({ gateway, service }) => {
      const release = service.hold();
      const waiting = [notify(gateway.url, notification()), notify(gateway.url, notification())];
      await until("both are under way", () => service.arrived.length === 2);
      expectShed(await sendBytes(gateway.url, requestBytes(apiPath, signedHeaders("{}"), "{}")));
      release();
      for (const answer of await Promise.all(waiting)) expect(answer.result.resultCode).to.equal("SUCCESS");
      expect((await notify(gateway.url, notification())).result.resultCode).to.equal("SUCCESS");
    }));

  it("CLIENT_RATE_PER_S: what is beyond is told to try again, and the next second is free", () =>
    withGateway({ CLIENT_RATE_PER_S: "5" }, async ({ gateway, service }) => {
      const bytes = requestBytes(apiPath, signedHeaders("{}"), "{}");
      const answers = await Promise.all(Array.from({ length: 30 }, () => sendBytes(gateway.url, bytes)));
      const refused = answers.filter((answer) => answer !== "closed" && answer.result.resultCode === shed);
      for (const answer of refused) expectShed(answer);
      expect(refused).to.have.length.within(5, 25);
      expect(service.arrived).to.have.length(30 - refused.length);
      await until(
        "there is room again",
        async () => (await notify(gateway.url, notification())).result.resultCode === "SUCCESS",
        3_000,
      );
    }));

  it("REFUSAL_SIGNATURES_PER_S: garbage buys no more signatures, and no part of an honest client's quota", () =>
    withGateway({ REFUSAL_SIGNATURES_PER_S: "10", CLIENT_RATE_PER_S: "60" }, async ({ gateway, service }) => {
      const wrong = { key: privateKey("other") };
      const garbage = [
        () => requestBytes(apiPath, signedHeaders("{}", wrong), "{}"),
        () => requestBytes(apiPath, signedHeaders("{}"), "[]"),
        () => requestBytes(apiPath, withHeader(signedHeaders("{}"), "Client-Id", `X${number++}`), "{}"),
        () => requestBytes(`/other/${number++}`, signedHeaders("{}"), "{}"),
        () => requestBytes(`${apiPath}/${number++}`, [["Host", "a"]], ""),
        () => requestBytes(`/g/${number++}`, [["Host", "a"]], "", "GET"),
      ];
      let number = 0;
      const signaturesOfSecond = new Map<string, Set<string>>();
      let [signed, unsigned] = [0, 0];
      const until = Date.now() + 2_500;
      const flood = async (offset: number): Promise<void> => {
        const wire = openWire(gateway.url);
        for (let i = offset; Date.now() < until; i++) {
          wire.write((garbage[i % garbage.length] as () => Buffer)());
          const answer = await wire.answer();
          expect(answer.status).to.equal(200);
          expect(answer.result.resultStatus).to.equal("F");
          const { signature, "response-time": time = "" } = answer.headers;
          if (signature === undefined) unsigned += 1;
          else {
            signed += 1;
            signaturesOfSecond.set(time, (signaturesOfSecond.get(time) ?? new Set()).add(signature));
          }
        }
        wire.close();
      };
      const honest = async (): Promise<void> => {
        for (let i = 0; i < 25; i++) {
          const answer = await notify(gateway.url, notification());
          expect(answer.result.resultCode).to.equal("SUCCESS");
          expect(answer.isSigned).to.equal(true);
          await new Promise((resolve) => setTimeout(resolve, 60));
        }
      };
      await Promise.all([honest(), ...[0, 1, 2, 3, 4, 5].map(flood)]);
      expect(service.arrived).to.have.length(25);
      // More garbage under the honest Client-Id than that client's own quota.
      expect(signed + unsigned).to.be.above(360);
      expect(unsigned).to.be.above(100);
      for (const [second, signatures] of signaturesOfSecond) expect(signatures.size, second).to.be.at.most(10);
    }));
});

describe("a captured request", () => {
  it("changes nothing when it is sent again, and is refused past REQUEST_MAX_AGE_S", async () => {
    const stack = await startTestStack({
      appendfsync: "no",
      service: { DURABILITY: "memory" },
      gateway: { REQUEST_MAX_AGE_S: "3" },
    });
    try {
      const body = JSON.stringify(notification({ tokenReferenceId: "T-captured" }));
      const bytes = requestBytes(apiPath, signedHeaders(body), body);
      const send = async (): Promise<WireAnswer> => {
        const answer = await sendBytes(stack.gateway.url, bytes);
        if (answer === "closed") throw new Error("closed without an answer");
        expect(isSignedFor(answer)).to.equal(true);
        return answer;
      };
      const token = async (): Promise<string> => {
        const reply = await fetch(`${stack.service.url}/mpp.token.v1.TokenLifecycleService/GetToken`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: '{"tokenReferenceId":"T-captured"}',
        });
        expect(reply.status).to.equal(200);
        return reply.text();
      };
      expect((await send()).result.resultCode).to.equal("SUCCESS");
      const before = await token();
      for (const { result } of await Promise.all([send(), send(), send()]))
        expect(result.resultCode).to.equal("SUCCESS");
      expect(await token()).to.equal(before);
      await until("it is too old", async () => (await send()).result.resultCode === "ACCESS_DENIED", 8_000);
      expect(await token()).to.equal(before);
    } finally {
      await stack.stop();
    }
  });
});
