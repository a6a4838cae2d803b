// The gateway stops for a new version every day: what is in flight gets its signed answer, and nobody waits for idlers.
import { once } from "node:events";
import { Agent } from "node:http";
import { connect } from "node:net";
import { expect } from "chai";
import { expectResult } from "../support/expectations.js";
import { writeClient } from "../support/keys.js";
import { notification, notify } from "../support/notification.js";
import { startTestPart, type TestPart, temporaryFolder, until } from "../support/processes.js";
import { answering, startUpstream, type Upstream } from "../support/upstream.js";

/** Whether nothing takes a connection; one that is taken is dropped again. */
function isRefused(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  return once(socket, "connect")
    .then(
      () => false,
      () => true,
    )
    .finally(() => socket.destroy());
}

describe("the gateway on SIGTERM", () => {
  const folder = temporaryFolder();
  let upstream: Upstream;
  let gateway: TestPart;
  before(async () => {
    writeClient(`${folder.path}/keys`);
    upstream = await startUpstream();
    gateway = await startTestPart(
      "gateway",
      { DATA_DIR: folder.path, TOKEN_SERVICE_URL: upstream.url },
      `${folder.path}/gateway.log`,
    );
  });
  after(async () => {
    await gateway?.stop();
    await upstream?.stop();
    folder.remove();
  });

  it("answers what is in flight, takes no more, and does not wait for connections that idle", async () => {
    const idle = new Agent({ keepAlive: true });
    const held: (() => void)[] = [];
    try {
      upstream.behave(answering(() => ({ version: 1n })));
      expectResult(await notify(gateway.url, notification(), { agent: idle }), "SUCCESS");
      upstream.behave(answering(() => new Promise((resolve) => held.push(() => resolve({ version: 1n })))));
      const inFlight = Array.from({ length: 8 }, () => notify(gateway.url, notification()));
      await until("all are in flight", () => held.length === inFlight.length);

      const started = performance.now();
      const stopped = gateway.stop();
      await until("no new connection is taken", () => isRefused(gateway.url));
      for (const answer of held.splice(0)) answer();
      for (const answer of await Promise.all(inFlight)) expectResult(answer, "SUCCESS");
      await stopped;
      expect(performance.now() - started, "ms to the end").to.be.below(2_000);
    } finally {
      for (const answer of held) answer();
      idle.destroy();
    }
  });
});
