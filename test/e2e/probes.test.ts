// /livez and /readyz of the gateway, and how both parts leave: first the word that they go, then the going.
import { Agent } from "node:http";
import { expect } from "chai";
import { expectResult } from "../support/expectations.js";
import { writeClient } from "../support/keys.js";
import { notification, notify } from "../support/notification.js";
import {
  startTestBackEnd,
  startTestPart,
  type TestBackEnd,
  type TestPart,
  temporaryFolder,
  until,
} from "../support/processes.js";
import { freePort } from "../support/programs.js";

const askOf = async (part: TestPart, path: string): Promise<{ status: number; text: string }> => {
  const answer = await fetch(`${part.adminUrl}${path}`);
  return { status: answer.status, text: await answer.text() };
};

describe("the probes of the gateway", () => {
  const folder = temporaryFolder();
  let backEnd: TestBackEnd;
  let gateway: TestPart | undefined;
  before(async () => {
    writeClient(`${folder.path}/keys`);
    backEnd = await startTestBackEnd({ service: { DRAIN_MS: "300" } });
  });
  afterEach(async () => {
    await gateway?.stop();
    gateway = undefined;
  });
  after(async () => {
    await backEnd?.stop();
    folder.remove();
  });

  const start = async (settings: Record<string, string>): Promise<TestPart> => {
    const common = { DATA_DIR: folder.path, KEYS_RELOAD_MS: "50", TOKEN_SERVICE_PROBE_MS: "100" };
    gateway = await startTestPart("gateway", { ...common, ...settings }, `${folder.path}/gateway.log`);
    return gateway;
  };

  it("say ready at once when the token service serves", async () => {
    const part = await start({ TOKEN_SERVICE_URL: backEnd.service.url });
    expect(await askOf(part, "/readyz")).to.deep.equal({ status: 200, text: "ok\n" });
    expect(await askOf(part, "/livez")).to.deep.equal({ status: 200, text: "ok\n" });
  });

  it("name the addresses while no token service was reached, and then say ready", async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const part = await start({ TOKEN_SERVICE_URL: url });
    expect(await askOf(part, "/readyz")).to.deep.equal({
      status: 503,
      text: `the token service was not reached since the start\nthe token service does not serve at ${url}\n`,
    });
    expect((await askOf(part, "/livez")).status).to.equal(200);
    expectResult(await notify(part.url, notification()), "UNKNOWN_EXCEPTION");

    const settings = { DATA_DIR: backEnd.folder, REDIS_URL: backEnd.redis.url, TOKEN_SERVICE_PORT: String(port) };
    const service = await startTestPart("service", settings, `${folder.path}/late.log`);
    try {
      await until("ready", async () => (await askOf(part, "/readyz")).status === 200);
      expect((await askOf(part, "/metrics")).text).to.include(`gateway_token_service_up{address="${url}"} 1`);
    } finally {
      await service.stop();
    }
    // A closed door would be worse than U.
    await until("noted", async () => (await askOf(part, "/readyz")).text.includes("note: "));
    expect(await askOf(part, "/readyz")).to.deep.equal({
      status: 200,
      text: `ok\nnote: the token service does not serve at ${url}\n`,
    });
  });

  it("say draining before the door closes, and connections end with their answer", async () => {
    const part = await start({ TOKEN_SERVICE_URL: backEnd.service.url, DRAIN_MS: "400" });
    const agent = new Agent({ keepAlive: true });
    try {
      const before = await notify(part.url, notification(), { agent });
      expect(before.headers.connection).to.equal("keep-alive");
      const stopping = part.stop();
      await until("draining", async () => (await askOf(part, "/readyz")).text === "draining\n");
      const during = await notify(part.url, notification(), { agent });
      expectResult(during, "SUCCESS");
      expect(during.headers.connection).to.equal("close");
      await stopping;
    } finally {
      agent.destroy();
    }
  });

  it("of the token service say draining too, while it still serves", async () => {
    const part = await start({ TOKEN_SERVICE_URL: backEnd.service.url });
    const stopping = backEnd.service.stop();
    await until("draining", async () => (await askOf(backEnd.service, "/readyz")).text === "draining\n");
    expect((await askOf(backEnd.service, "/metrics")).text).to.match(/^token_service_ready 0$/m);
    expectResult(await notify(part.url, notification()), "SUCCESS");
    await stopping;
    await backEnd.service.start();
    await until("serving", async () => (await askOf(backEnd.service, "/readyz")).status === 200);
  });
});
