// The keyring behind a KMS: no key lies in clear on a disk, and the KMS may be away once the service runs.
import { readdirSync, readFileSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { expect } from "chai";
import { kmsKeySource, startKms, type TestKms } from "../support/kms.js";
import { notification, notify } from "../support/notification.js";
import { startTestPart, startTestStack, type TestStack, temporaryFolder, until } from "../support/processes.js";
import { runProgram } from "../support/programs.js";
import { storedToken } from "../support/store.js";
import { connectTo, type TokenClient } from "../support/token-client.js";

describe("a keyring behind a KMS", () => {
  const folder = temporaryFolder();
  const keyringDir = join(folder.path, "wrapped");
  const secrets: Buffer[] = [];
  let kms: TestKms;
  let stack: TestStack;
  let tokens: TokenClient;
  const settings = () => ({ KEYRING_SOURCE: kmsKeySource, KMS_URL: kms.url, KEYRING_DIR: keyringDir });

  // Honest traffic all the time: whatever happens to KMS and keys, nobody notices.
  const failures: string[] = [];
  const references: string[] = [];
  let isOver = false;
  let load: Promise<unknown> = Promise.resolve();
  async function work(): Promise<void> {
    const agent = new Agent({ keepAlive: true });
    while (!isOver) {
      const members = notification();
      const code = await notify(stack.gateway.url, members, { agent }).then(
        ({ result }) => result.resultCode,
        (error: Error) => error.message,
      );
      if (code !== "SUCCESS") failures.push(code);
      references.push(String(members.tokenReferenceId));
    }
    agent.destroy();
  }
  const aWhile = (): Promise<void> => {
    const before = references.length;
    return until("the load goes on", () => references.length > before + 20);
  };
  const sealedUnder = async (reference: string | undefined) =>
    (await storedToken(await stack.redis.connect(), reference ?? ""))?.tokenData?.keyVersion;
  const reveal = async (reference: string | undefined) => {
    const by = { reason: "a check", actor: "agent 7" };
    return (await tokens.revealTokenData({ tokenReferenceId: reference ?? "", ...by })).tokenData?.token;
  };
  const reseal = () =>
    runProgram("tools/reseal.js", [], { REDIS_URL: stack.redis.url, DATA_DIR: stack.folder, ...settings() });

  before(async () => {
    kms = await startKms();
    secrets.push(kms.writeKey(keyringDir, 1));
    stack = await startTestStack({ service: { ...settings(), LOOPBACK_RIGHTS: "record,read,reveal" } });
    tokens = connectTo(stack.service.url);
    load = Promise.all([work(), work(), work()]);
    await aWhile();
  });
  afterEach(() => expect(failures).to.deep.equal([]));
  after(async () => {
    isOver = true;
    await load;
    tokens?.close();
    await stack?.stop();
    await kms?.stop();
    folder.remove();
  });

  it("seals and opens token data", async () => {
    const [first] = references;
    expect([await sealedUnder(first), await reveal(first)]).to.deep.equal([1, "5345678901234521"]);
  });

  it("is asked at start and not with each look", async () => {
    expect(kms.unwrapped()).to.equal(1);
  });

  it("rolls to a new version without a failed request", async () => {
    secrets.push(kms.writeKey(keyringDir, 2));
    await until("the new key seals", async () => (await sealedUnder(references.at(-1))) === 2);
    await aWhile();
    expect(await reveal(references.at(-1))).to.equal("5345678901234521");
    expect(await reveal(references[0])).to.equal("5345678901234521");
  });

  it("goes on with the keys at hand while the KMS is away, and takes the new ones when it is back", async () => {
    await kms.stop();
    secrets.push(kms.writeKey(keyringDir, 3));
    await until("the service notices", () => stack.service.log().includes("the keyring cannot be read"));
    expect(stack.service.log()).to.match(/the KMS at \S+ does not answer \(ECONNREFUSED\)/);
    await aWhile();
    expect([await sealedUnder(references.at(-1)), await reveal(references[0])]).to.deep.equal([2, "5345678901234521"]);
    await kms.start();
    await until("the new key seals", async () => (await sealedUnder(references.at(-1))) === 3);
  });

  it("is what reseal uses too", async () => {
    const [first] = references;
    const { code, stdout, stderr } = await reseal();
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(/[1-9]\d* sealed anew, 0 left/);
    expect([await sealedUnder(first), await reveal(first)]).to.deep.equal([3, "5345678901234521"]);
  });

  it("keeps every key off the disk and out of the logs", () => {
    const files = [folder.path, stack.folder].flatMap((root) =>
      readdirSync(root, { recursive: true, withFileTypes: true }).flatMap((entry) =>
        entry.isFile() ? [join(entry.parentPath, entry.name)] : [],
      ),
    );
    expect(files.filter((file) => file.endsWith(".wrapped"))).to.have.length(3);
    for (const file of files) {
      const content = readFileSync(file);
      for (const secret of secrets)
        for (const form of [secret, secret.toString("base64"), secret.toString("hex")])
          expect(content.includes(form), file).to.equal(false);
    }
  });

  it("says in one line why nothing starts when the KMS is away", async () => {
    const inOneLine =
      /^(reseal: )?the key source \S+kms-key-source\.mjs \(KEYRING_SOURCE\) gave no keys: the KMS at \S+ does not answer \(ECONNREFUSED\)$/;
    await kms.stop();
    const second = startTestPart(
      "service",
      { DATA_DIR: folder.path, REDIS_URL: stack.redis.url, ...settings() },
      join(folder.path, "second.log"),
    );
    const failed = await second.then(
      async (part) => {
        await part.stop();
        return "it started";
      },
      (error: Error) => error.message,
    );
    expect(failed).to.match(inOneLine);
    const { code, stderr } = await reseal();
    expect([code, stderr.trim()]).to.satisfy(
      ([ended, words]: [number, string]) => ended === 1 && inOneLine.test(words),
    );
  });
});
