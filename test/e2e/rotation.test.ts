// Every key and certificate is changed under load and without a restart, and nobody who calls notices.
import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { expect } from "chai";
import { isAnswerSigned, type Sender } from "../../tools/sender.js";
import { type Authority, createAuthority, writeTlsFolder } from "../support/certificates.js";
import { privateKey, publicKey, publicPem, testSender, writeClient } from "../support/keys.js";
import { notification, notify, type TestAnswer } from "../support/notification.js";
import {
  startTestBackEnd,
  startTestPart,
  type TestBackEnd,
  type TestPart,
  temporaryFolder,
  until,
} from "../support/processes.js";
import { isRunning } from "../support/programs.js";
import { storedToken } from "../support/store.js";
import { type ClientTls, connectTo, refusalOf, type TokenClient } from "../support/token-client.js";

const uri = (name: string): string => `URI:spiffe://test/${name}`;
const by = { reason: "a rotation is checked", actor: "agent 7" };

/** Puts a file in place as a whole, as the runbook says. */
function put(folder: string, name: string, content: string | Buffer): void {
  const draft = join(folder, `.${name}`);
  writeFileSync(draft, content);
  renameSync(draft, join(folder, name));
}

/** The connections of a process to a port, each by its inode. */
function connectionsOf(pid: number, port: number): Set<string> {
  const lines = readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1);
  const hexPort = port.toString(16).toUpperCase().padStart(4, "0");
  const all = lines.map((line) => line.trim().split(/\s+/));
  const open = new Set(
    all.flatMap(([, , remote, , , , , , , inode]) => (remote?.endsWith(`:${hexPort}`) ? inode : [])),
  );
  const own = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
    } catch {
      // It was closed meanwhile.
      return [];
    }
  });
  return new Set(own.filter((inode) => open.has(inode)));
}

describe("a rotation under load", () => {
  const folder = temporaryFolder();
  const [keysDir, keyringDir] = [join(folder.path, "keys"), join(folder.path, "keyring")];
  const [serviceTls, gatewayTls] = [join(folder.path, "service-tls"), join(folder.path, "gateway-tls")];
  const policyDir = join(folder.path, "policy");
  const newOwn = generateKeyPairSync("rsa", { modulusLength: 2048 });
  /** Our public keys by version. */
  const receiverKeys: Readonly<Record<string, KeyObject>> = {
    1: publicKey("mpp"),
    2: createPublicKey(newOwn.privateKey),
  };
  const oldSender = testSender;
  const newSender: Sender = { ...testSender, keyVersion: 2, privateKey: privateKey("other") };

  let oldAuthority: Authority;
  let newAuthority: Authority;
  let backEnd: TestBackEnd;
  let gateway: TestPart;
  let url: string;
  const clients: TokenClient[] = [];

  /** What the workers use from now on. */
  let sender = oldSender;
  let isOver = false;
  const failures: string[] = [];
  /** Answers that each worker has got, and versions of our key that signed lately. */
  const answered = Array.from({ length: 8 }, () => 0);
  let signedBy = new Set<string>();
  let lastReference = "";
  let workers: Promise<unknown> = Promise.resolve();

  const versionOf = (answer: TestAnswer): string => /keyVersion=(\d+)/.exec(answer.headers.signature ?? "")?.[1] ?? "";
  const isSigned = (answer: TestAnswer): boolean => {
    const receiverKey = receiverKeys[versionOf(answer)];
    const path = "/aps/api/v1/tokenActivationNotification";
    return (
      receiverKey !== undefined && isAnswerSigned({ ...sender, receiverKey }, "POST", path, answer.headers, answer.body)
    );
  };
  async function work(worker: number): Promise<void> {
    const agent = new Agent({ keepAlive: true });
    while (!isOver) {
      const members = notification();
      try {
        const answer = await notify(gateway.url, members, { sender, agent });
        if (answer.result.resultStatus !== "S" || answer.result.resultCode !== "SUCCESS" || !isSigned(answer))
          failures.push(`${JSON.stringify(answer.result)} ${answer.headers.signature}`);
        signedBy.add(versionOf(answer));
        lastReference = String(members.tokenReferenceId);
      } catch (error) {
        failures.push(String(error));
      }
      answered[worker] = (answered[worker] ?? 0) + 1;
    }
    agent.destroy();
  }
  /** Waits until each worker has begun a request from now on, and more than a few have been answered. */
  async function aWhile(): Promise<void> {
    const before = [...answered];
    await until("each worker goes on", () => answered.every((count, worker) => count >= (before[worker] ?? 0) + 10));
  }
  const resultFor = async (who: Sender): Promise<string> =>
    (await notify(gateway.url, notification(), { sender: who })).result.resultCode;
  const countInLog = (part: TestPart, text: string): number => part.log().split(text).length - 1;
  /** Changes the gateway's keys and waits until it has read them. */
  async function changeKeys(change: () => void): Promise<void> {
    const before = countInLog(gateway, "keys read again");
    change();
    await until("the keys are read again", () => countInLog(gateway, "keys read again") > before);
    await aWhile();
  }
  const connect = (tls: ClientTls): TokenClient => {
    const client = connectTo(url, tls);
    clients.push(client);
    return client;
  };
  const writePolicy = (...gateways: string[]): void =>
    put(
      policyDir,
      "policy.json",
      JSON.stringify({
        callers: [
          ...gateways.map((name) => ({ san: uri(name), rights: ["record"] })),
          { san: uri("auditor"), rights: ["reveal"] },
        ],
      }),
    );

  before(async () => {
    oldAuthority = createAuthority(folder.path, "old");
    newAuthority = createAuthority(folder.path, "new");
    writeTlsFolder(serviceTls, oldAuthority.issue("IP:127.0.0.1"), oldAuthority.ca);
    writeTlsFolder(gatewayTls, oldAuthority.issue(uri("gateway-1")), oldAuthority.ca);
    mkdirSync(policyDir);
    mkdirSync(keyringDir);
    put(keyringDir, "token-data.1.key", randomBytes(32).toString("base64"));
    writePolicy("gateway-1", "gateway-2");
    writeClient(keysDir);
    backEnd = await startTestBackEnd({
      service: {
        TOKEN_SERVICE_TLS_DIR: serviceTls,
        TOKEN_SERVICE_POLICY_FILE: join(policyDir, "policy.json"),
        KEYRING_DIR: keyringDir,
      },
    });
    url = backEnd.service.url.replace("http:", "https:");
    gateway = await startTestPart(
      "gateway",
      { KEYS_DIR: keysDir, KEYS_RELOAD_MS: "50", TOKEN_SERVICE_URL: url, TOKEN_CLIENT_TLS_DIR: gatewayTls },
      join(folder.path, "gateway.log"),
    );
    workers = Promise.all(answered.map((_, worker) => work(worker)));
    await aWhile();
  });
  afterEach(() => expect(failures).to.deep.equal([]));
  after(async () => {
    isOver = true;
    await workers;
    for (const client of clients) client.close();
    await gateway?.stop();
    await backEnd?.stop();
    folder.remove();
  });

  it("of Alipay+'s key fails no request: both versions count, until the old one goes", async () => {
    const client = join(keysDir, oldSender.clientId);
    expect(await resultFor(newSender)).to.equal("KEY_NOT_FOUND");
    await changeKeys(() => put(client, "alipayplus.2.public.pem", publicPem("other")));
    expect([await resultFor(oldSender), await resultFor(newSender)]).to.deep.equal(["SUCCESS", "SUCCESS"]);
    sender = newSender;
    await aWhile();
    await changeKeys(() => rmSync(join(client, "alipayplus.1.public.pem")));
    expect(await resultFor(oldSender)).to.equal("KEY_NOT_FOUND");
  });

  it("of our signing key fails no request: the newest signs from then on", async () => {
    const client = join(keysDir, oldSender.clientId);
    expect([...signedBy]).to.deep.equal(["1"]);
    const pem = newOwn.privateKey.export({ type: "pkcs8", format: "pem" });
    await changeKeys(() => put(client, "own.2.private.pem", pem));
    signedBy = new Set();
    await aWhile();
    expect([...signedBy]).to.deep.equal(["2"]);
    await changeKeys(() => rmSync(join(client, "own.1.private.pem")));
    expect([...signedBy]).to.deep.equal(["2"]);
  });

  it("of authority and certificates between gateway and service fails no request", async () => {
    const port = Number(new URL(url).port);
    const bothAuthorities = Buffer.concat([oldAuthority.ca, newAuthority.ca]);
    const isLetIn = async (issuer: Authority, trusted: Authority): Promise<boolean> => {
      const client = connect({ ...issuer.issue(uri("auditor")), ca: trusted.ca });
      const { reason } = await refusalOf(client.revealTokenData({ tokenReferenceId: "T-none", ...by }));
      return reason === "TOKEN_NOT_FOUND";
    };
    /** Replaces files on both sides, and waits until both use them. */
    const replace = async (
      files: Record<string, [service: Buffer, gateway: Buffer]>,
      isTaken: () => Promise<boolean>,
    ) => {
      const before = connectionsOf(gateway.pid(), port);
      expect(before.size).to.be.above(0);
      for (const [name, [forService, forGateway]] of Object.entries(files)) {
        put(serviceTls, name, forService);
        put(gatewayTls, name, forGateway);
      }
      await until("the service uses them", isTaken);
      await until("the gateway has a new connection", () =>
        [...connectionsOf(gateway.pid(), port)].some((each) => !before.has(each)),
      );
      await aWhile();
    };

    expect(await isLetIn(newAuthority, oldAuthority)).to.equal(false);
    await replace({ "ca.crt": [bothAuthorities, bothAuthorities] }, () => isLetIn(newAuthority, oldAuthority));
    const [ofService, ofGateway] = [newAuthority.issue("IP:127.0.0.1"), newAuthority.issue(uri("gateway-2"))];
    const changed: Record<string, [Buffer, Buffer]> = {
      "tls.crt": [ofService.cert, ofGateway.cert],
      "tls.key": [ofService.key, ofGateway.key],
    };
    await replace(changed, () => isLetIn(oldAuthority, newAuthority));
    // Only the new certificate of the gateway has this name.
    writePolicy("gateway-2");
    await replace(
      { "ca.crt": [newAuthority.ca, newAuthority.ca] },
      async () => !(await isLetIn(oldAuthority, newAuthority)),
    );
    expect(await isLetIn(newAuthority, newAuthority)).to.equal(true);
  });

  it("of the keyring fails no request: old values stay readable, new ones are sealed with the new key", async () => {
    const redis = await backEnd.redis.connect();
    const auditor = connect({ ...newAuthority.issue(uri("auditor")), ca: newAuthority.ca });
    const keyVersion = async (reference: string) => (await storedToken(redis, reference))?.tokenData?.keyVersion;
    const reveal = async (tokenReferenceId: string) =>
      (await auditor.revealTokenData({ tokenReferenceId, ...by })).tokenData?.token;
    const old = notification();
    const send = async (members: Record<string, unknown>) =>
      (await notify(gateway.url, members, { sender })).result.resultCode;
    const reference = String(old.tokenReferenceId);
    expect(await send(old)).to.equal("SUCCESS");
    expect(await keyVersion(reference)).to.equal(1);

    put(keyringDir, "token-data.2.key", randomBytes(32).toString("base64"));
    await until("the new key seals", async () => (await keyVersion(lastReference)) === 2);
    await aWhile();
    const fresh = lastReference;
    expect([await keyVersion(reference), await keyVersion(fresh)]).to.deep.equal([1, 2]);
    for (const each of [reference, fresh]) expect(await reveal(each)).to.equal("5345678901234521");
    expect(await send(old), "a repeat is recognised by a fingerprint under the old key").to.equal("SUCCESS");
    const changed = { ...old, tokenData: { token: "5345678901234521", expiryMonth: "11" } };
    expect(await send(changed), "so is a conflict").to.equal("PROCESS_FAIL");
    expect(await send({ ...changed, tokenActivatedTime: "2026-01-03T11:05:06Z" })).to.equal("SUCCESS");
    expect(await keyVersion(reference), "after a later activation").to.equal(2);
  });

  it("needs no restart", () => {
    for (const part of [gateway, backEnd.service]) {
      expect(isRunning(part.pid())).to.equal(true);
      expect(countInLog(part, '"msg":"listening"')).to.equal(1);
    }
    expect(answered.reduce((sum, count) => sum + count)).to.be.above(300);
  });
});
