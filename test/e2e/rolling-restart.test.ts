import { Agent } from "node:http";
import { join } from "node:path";
import { expect } from "chai";
import { notification, notify } from "../support/notification.js";
import { startTestPart, startTestStack, type TestPart, type TestStack, untilServing } from "../support/processes.js";

describe("a rolling restart of two instances of the token service, under load", () => {
  let stack: TestStack;
  let second: TestPart;
  let gateway: TestPart;
  before(async () => {
    stack = await startTestStack();
    const settings = { DATA_DIR: stack.folder, DURABILITY_CHECK_MS: "100" };
    second = await startTestPart(
      "service",
      { ...settings, REDIS_URL: stack.redis.url },
      join(stack.folder, "second.log"),
    );
    await untilServing(second);
    gateway = await startTestPart(
      "gateway",
      { ...settings, TOKEN_SERVICE_URL: `${stack.service.url},${second.url}` },
      join(stack.folder, "second-gateway.log"),
    );
  });
  after(async () => {
    await gateway?.stop();
    await second?.stop();
    await stack?.stop();
  });

  it("fails no answer beyond U, and answers 99 % with SUCCESS on the first try", async () => {
    const agent = new Agent({ keepAlive: true });
    const counts: Record<string, number> = {};
    let running = true;
    const worker = async (): Promise<void> => {
      while (running) {
        const { result, isSigned, status } = await notify(gateway.url, notification(), { agent });
        expect([status, isSigned]).to.deep.equal([200, true]);
        counts[result.resultStatus] = (counts[result.resultStatus] ?? 0) + 1;
      }
    };
    const workers = Promise.all(Array.from({ length: 8 }, worker));
    const answered = (): number => Object.values(counts).reduce((sum, count) => sum + count, 0);
    try {
      for (const instance of [stack.service, second, stack.service, second]) {
        const before = answered();
        await instance.stop();
        await instance.start();
        await untilServing(instance);
        // The next one goes only when this one has taken load again.
        while (answered() < before + 50) await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      running = false;
      await workers;
      agent.destroy();
    }
    expect(Object.keys(counts)).to.have.members(counts.U ? ["S", "U"] : ["S"]);
    expect((counts.S ?? 0) / answered(), JSON.stringify(counts)).to.be.at.least(0.99);
  });
});
