// A backup of Redis taken under load, together with the keyring, gives back every token that had been answered for.
import { execFile } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { secretsIn } from "../../services/token-lifecycle/vault/key-source.js";
import { keyringOf } from "../../services/token-lifecycle/vault/keyring.js";
import { open } from "../../services/token-lifecycle/vault/seal.js";
import { writeClient, writeKeyring } from "../support/keys.js";
import { notification, notify } from "../support/notification.js";
import {
  startTestPart,
  startTestRedis,
  startTestStack,
  type TestPart,
  type TestRedis,
  temporaryFolder,
  until,
  untilServing,
} from "../support/processes.js";
import { allEvents, storedToken } from "../support/store.js";
import { connectTo, refusalOf, watch } from "../support/token-client.js";

const run = promisify(execFile);
const script = fileURLToPath(new URL("../../deploy/backup-redis.sh", import.meta.url));
const backups = 4;
/** Answers between two backups. */
const apart = 150;
const concurrency = 16;

const referenceOf = (index: number): string => `T-backup-${index}`;
const numberOf = (index: number): string => `53456789${String(index).padStart(8, "0")}`;
const bodyOf = (index: number) =>
  notification({
    tokenReferenceId: referenceOf(index),
    tokenData: { token: numberOf(index), expiryMonth: "10", expiryYear: "28" },
  });

describe("a backup taken under load", () => {
  const away = temporaryFolder();
  const at = (backup: number): string => join(away.path, `${backup}`);
  /** Tokens that had been answered with SUCCESS when each backup began. */
  const answeredBefore: number[][] = [];
  /** Tokens that were answered when the last backup was long done. */
  let answeredAfter: number[] = [];
  let cursorAfter = "";
  let rewrites = 0;

  before(async function () {
    this.timeout(60_000);
    const stack = await startTestStack();
    const agent = new Agent({ keepAlive: true, maxSockets: concurrency });
    const client = connectTo(stack.service.url);
    const answered: number[] = [];
    let next = 0;
    let done = false;
    const worker = async (): Promise<void> => {
      while (!done) {
        const index = next++;
        const { result } = await notify(stack.gateway.url, bodyOf(index), { agent });
        expect(result.resultCode).to.equal("SUCCESS");
        answered.push(index);
      }
    };
    const rewriter = async (redis: RedisClient): Promise<void> => {
      while (!done) {
        if (await redis.bgrewriteaof().catch(() => "")) rewrites++;
        await until("the rewrite ends", async () => /aof_rewrite_in_progress:0/.test(await redis.info("persistence")));
      }
    };
    const backUp = async (): Promise<void> => {
      for (let backup = 0; backup < backups; backup++) {
        const wanted = answered.length + apart;
        await until("enough are answered", () => answered.length >= wanted, 30_000);
        answeredBefore.push([...answered]);
        await run(script, [join(stack.folder, "redis"), at(backup)]);
      }
      cpSync(join(stack.folder, "keyring"), join(away.path, "keyring"), { recursive: true });
      const seen = answered.length;
      await until("more are answered", () => answered.length >= seen + 50, 30_000);
      done = true;
      answeredAfter = answered.slice(seen + 25);
      const watched = watch(client, {});
      await until("a cursor comes", () => watched.cursor() !== "");
      cursorAfter = watched.cursor();
      await watched.stop();
    };
    try {
      const redis = await stack.redis.connect();
      const work = Array.from({ length: concurrency }, worker);
      await Promise.all([backUp().finally(() => (done = true)), rewriter(redis), ...work]);
    } finally {
      agent.destroy();
      client.close();
      // The machine is lost, and everything on it.
      await stack.stop();
    }
  });
  after(away.remove);

  it("is one in which Redis rewrote its files all the time", () => {
    expect(rewrites).to.be.above(backups);
    expect(answeredBefore.map((each) => each.length >= apart)).to.deep.equal(Array(backups).fill(true));
  });

  for (let backup = 0; backup < backups; backup++)
    it(`holds every token that had been answered for, with its event, when it is restored elsewhere (${backup + 1})`, async () => {
      const keyring = keyringOf(secretsIn(join(away.path, "keyring")));
      const restored = await startTestRedis(at(backup));
      try {
        const redis = await restored.connect();
        const wanted = answeredBefore[backup] ?? [];
        const found = await Promise.all(wanted.map((index) => storedToken(redis, referenceOf(index))));
        const numbers = found.map((token) =>
          token?.tokenData ? open(token.tokenData, token.tokenReferenceId, keyring).token : "missing",
        );
        expect(numbers).to.deep.equal(wanted.map(numberOf));
        const events = (await allEvents(redis)).map(({ tokenReferenceId }) => tokenReferenceId);
        expect(events).to.include.members(wanted.map(referenceOf));
        expect(new Set(events).size).to.equal(events.length);
      } finally {
        await restored.stop();
      }
    });

  describe("and restored with the keyring", () => {
    const last = backups - 1;
    let redis: TestRedis;
    let service: TestPart;
    let gateway: TestPart;
    let look: RedisClient;
    const stops: (() => Promise<void>)[] = [];
    const startService = (keyringDir: string) =>
      startTestPart(
        "service",
        { REDIS_URL: redis.url, KEYRING_DIR: keyringDir, LOOPBACK_RIGHTS: "record,read,watch,reveal" },
        join(away.path, "service.log"),
      );
    before(async () => {
      redis = await startTestRedis(at(last));
      stops.push(redis.stop);
      look = await redis.connect();
      service = await startService(join(away.path, "keyring"));
      stops.push(service.stop);
      await untilServing(service);
      writeClient(join(away.path, "keys"));
      const settings = { KEYS_DIR: join(away.path, "keys"), TOKEN_SERVICE_URL: service.url };
      gateway = await startTestPart("gateway", settings, join(away.path, "gateway.log"));
      stops.push(gateway.stop);
    });
    after(async () => {
      for (const stop of stops.reverse()) await stop();
    });

    const first = 0;
    it("knows a repeat of what it holds", async () => {
      const { result } = await notify(gateway.url, bodyOf(first));
      expect(result.resultCode).to.equal("SUCCESS");
      expect((await storedToken(look, referenceOf(first)))?.version).to.equal(1n);
    });

    it("refuses other content as before, so the fingerprints are those of the keyring", async () => {
      const { result } = await notify(gateway.url, { ...bodyOf(first), walletId: "104" });
      expect(result.resultCode).to.equal("PROCESS_FAIL");
    });

    it("records again what was answered after the backup and is sent again", async () => {
      const [lost = 0] = answeredAfter;
      expect(await storedToken(look, referenceOf(lost))).to.equal(undefined);
      expect((await notify(gateway.url, bodyOf(lost))).result.resultCode).to.equal("SUCCESS");
      expect((await storedToken(look, referenceOf(lost)))?.version).to.equal(1n);
    });

    it("goes on with a cursor from after the backup", async () => {
      const client = connectTo(service.url);
      const watched = watch(client, { start: { case: "cursor", value: cursorAfter } });
      try {
        const [, lost = 0] = answeredAfter;
        await notify(gateway.url, bodyOf(lost));
        await until("the event comes", () =>
          watched.events.some((each) => each.tokenReferenceId === referenceOf(lost)),
        );
      } finally {
        await watched.stop();
        client.close();
      }
    });

    it("opens token data with that keyring and with no other", async () => {
      const request = { tokenReferenceId: referenceOf(first), reason: "restore", actor: "test" };
      const client = connectTo(service.url);
      expect((await client.revealTokenData(request)).tokenData?.token).to.equal(numberOf(first));
      client.close();
      const other = join(away.path, "other-keyring");
      rmSync(other, { recursive: true, force: true });
      writeKeyring(other);
      const blind = await startService(other);
      const blindClient = connectTo(blind.url);
      try {
        await untilServing(blind);
        expect((await refusalOf(blindClient.revealTokenData(request))).code).to.equal("Internal");
      } finally {
        blindClient.close();
        await blind.stop();
      }
    });
  });

  it("is refused where there is nothing to back up, and never overwrites another", async () => {
    const empty = temporaryFolder();
    try {
      const refusal = await run(script, [away.path, at(0)]).catch((error) => error.stderr);
      expect(refusal).to.include("is there already");
      const nothing = await run(script, [empty.path, join(empty.path, "out")]).catch((error) => error.stderr);
      expect(nothing).to.include("is no set of append-only files");
    } finally {
      empty.remove();
    }
  });
});
