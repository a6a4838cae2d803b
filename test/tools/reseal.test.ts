import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { expect } from "chai";
import { writeKeyring } from "../support/keys.js";
import { notification, notify } from "../support/notification.js";
import { startTestStack, type TestStack } from "../support/processes.js";
import { runProgram, startProgram } from "../support/programs.js";
import { storedToken } from "../support/store.js";
import { connectTo, type TokenClient } from "../support/token-client.js";

describe("npm run reseal", () => {
  const references = Array.from({ length: 300 }, () => `T-${randomUUID()}`);
  const body = (tokenReferenceId: string) => notification({ tokenReferenceId });
  let stack: TestStack;
  let tokens: TokenClient;
  before(async () => {
    stack = await startTestStack({ service: { LOOPBACK_RIGHTS: "read,record,reveal" } });
    tokens = connectTo(stack.service.url);
    for (let i = 0; i < references.length; i += 32)
      await Promise.all(references.slice(i, i + 32).map((each) => notify(stack.gateway.url, body(each))));
    writeKeyring(join(stack.folder, "keyring"), 2);
  });
  after(async () => {
    tokens?.close();
    await stack?.stop();
  });
  const environment = () => ({ REDIS_URL: stack.redis.url, DATA_DIR: stack.folder });
  const keyVersions = async (): Promise<(number | undefined)[]> => {
    const redis = await stack.redis.connect();
    const stored = await Promise.all(references.map((each) => storedToken(redis, each)));
    return stored.map((token) => token?.tokenData?.keyVersion);
  };

  it("can be interrupted, and goes on where there is something left", async () => {
    const interrupted = startProgram("tools/reseal.js", [], environment());
    interrupted.process.kill("SIGINT");
    await interrupted.ended;
    const again = await runProgram("tools/reseal.js", [], environment());
    expect(again.code, again.stderr).to.equal(0);
    expect(again.stdout).to.match(/^300 tokens seen, \d+ sealed anew, 0 left/);
    expect(new Set(await keyVersions())).to.deep.equal(new Set([2]));
  });

  it("finds nothing to do a second time", async () => {
    expect((await runProgram("tools/reseal.js", [], environment())).stdout).to.include(
      "300 tokens seen, 0 sealed anew",
    );
  });

  it("leaves tokens as they were: readable, recognised, and without an event", async () => {
    const [reference = ""] = references;
    const { tokenData } = await tokens.revealTokenData({ tokenReferenceId: reference, reason: "test", actor: "test" });
    expect(tokenData).to.include({ token: "5345678901234521", expiryMonth: "10" });
    expect((await notify(stack.gateway.url, body(reference))).result.resultCode).to.equal("SUCCESS");
    expect((await tokens.getToken({ tokenReferenceId: reference })).token?.version).to.equal(1n);
  });

  it("says in one line when Redis is not there", async () => {
    const { code, stderr } = await runProgram("tools/reseal.js", [], {
      ...environment(),
      REDIS_URL: "redis://127.0.0.1:1",
    });
    expect(code).to.equal(1);
    expect(stderr.trim())
      .to.match(/^reseal: Redis does not answer/)
      .and.not.include("\n");
  });
});
