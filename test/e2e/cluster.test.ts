// Everything works on a Redis Cluster too: three masters with a replica each, moved and killed under load.
import { Agent } from "node:http";
import { join } from "node:path";
import { expect } from "chai";
import { Suspender, TokenEventType, TokenState } from "../../proto/gen/mpp/token/v1/token_pb.js";
import {
  customerKey,
  deactivatedKey,
  eventsKey,
  partitionOf,
  partitions,
} from "../../services/token-lifecycle/store/keys.js";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { startTestCluster, type TestCluster } from "../support/cluster.js";
import { writeClient, writeKeyring } from "../support/keys.js";
import { notification, notify } from "../support/notification.js";
import { startTestPart, type TestPart, temporaryFolder, until, untilServing } from "../support/processes.js";
import { runProgram } from "../support/programs.js";
import { storedToken } from "../support/store.js";
import {
  allRights,
  connectTo,
  eventsInRedis,
  newReference,
  recordActivation,
  refusalOf,
  type TokenClient,
  type Watch,
  watch,
} from "../support/token-client.js";

const by = { reason: "a check", actor: "agent 7" };
const day = 86_400_000;

/** A reference in this partition. */
function referenceIn(partition: number): string {
  for (;;) {
    const reference = newReference();
    if (partitionOf(reference) === partition) return reference;
  }
}

describe("on a Redis Cluster", function () {
  this.timeout(60_000);
  const folder = temporaryFolder();
  let cluster: TestCluster;
  let redis: RedisClient;
  let service: TestPart;
  let gateway: TestPart;
  let client: TokenClient;
  let watching: Watch;
  const environment = () => ({ DATA_DIR: folder.path, REDIS_URL: cluster.url, DURABILITY: "replicated:1" });

  before(async () => {
    writeKeyring(join(folder.path, "keyring"));
    writeClient(join(folder.path, "keys"));
    cluster = await startTestCluster(folder.path);
    redis = await cluster.connect();
    const common = { DATA_DIR: folder.path, KEYS_RELOAD_MS: "50", LOG_LEVEL: "debug" };
    service = await startTestPart(
      "service",
      {
        ...{ ...common, ...environment(), DURABILITY_CHECK_MS: "100", LOOPBACK_RIGHTS: allRights },
        ...{ RETENTION_DEACTIVATED_DAYS: "2", RETENTION_EVERY_MS: "200", WATCH_HEARTBEAT_MS: "200" },
      },
      join(folder.path, "service.log"),
    );
    await untilServing(service);
    gateway = await startTestPart(
      "gateway",
      { ...common, TOKEN_SERVICE_URL: service.url },
      join(folder.path, "gateway.log"),
    );
    client = connectTo(service.url);
    // The connections for watchers may come up later than the one that serves.
    let hasEnded = true;
    await until("a watch has begun", () => {
      if (hasEnded) {
        hasEnded = false;
        watching = watch(client, {});
        void watching.ended.then(() => {
          hasEnded = true;
        });
      }
      return watching.messages.length > 0;
    });
  });
  after(async () => {
    // A test that fails leaves its load behind.
    [isLoaded, isOver] = [false, true];
    await watching?.stop();
    client?.close();
    await gateway?.stop();
    await service?.stop();
    await cluster?.stop();
    folder.remove();
  });

  // The load: every notification is sent until it is settled, as Alipay+ does.
  const settled: string[] = [];
  const wrong: string[] = [];
  let [firstTry, isLoaded, isOver] = [0, false, false];
  let load: Promise<unknown> = Promise.resolve();
  async function work(): Promise<void> {
    const agent = new Agent({ keepAlive: true });
    while (isLoaded) {
      const members = notification({ customerId: `customer-${settled.length % 7}` });
      for (let tries = 0; !isOver; tries++) {
        const status = await notify(gateway.url, members, { agent }).then(
          ({ result }) => result.resultStatus,
          () => "none",
        );
        if (status === "S") {
          settled.push(String(members.tokenReferenceId));
          if (tries === 0) firstTry += 1;
          break;
        }
        if (status === "F") {
          wrong.push(String(members.tokenReferenceId));
          break;
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    agent.destroy();
  }
  function startLoad(): void {
    isLoaded = true;
    firstTry = 0;
    load = Promise.all(Array.from({ length: 6 }, work));
  }
  async function stopLoad(): Promise<void> {
    isLoaded = false;
    await load;
  }
  /** Every answered SUCCESS is there, listed, and has its one event, which watchers have seen. */
  async function checkSettled(references: readonly string[]): Promise<void> {
    expect(wrong).to.deep.equal([]);
    const missing: string[] = [];
    for (const reference of references) {
      const token = await storedToken(redis, reference);
      const listed = await redis.zscore(customerKey(token?.activation?.customerId ?? ""), reference);
      const events = await eventsInRedis(redis, reference);
      if (token?.version !== 1n || listed === null || events.length !== 1) missing.push(reference);
    }
    expect(missing).to.deep.equal([]);
    await until("the watcher has seen all", () => {
      const seen = new Set(watching.events.map(({ tokenReferenceId }) => tokenReferenceId));
      return references.every((reference) => seen.has(reference));
    });
  }

  /** A partition that this master does not have. */
  async function elsewhere(master: number): Promise<number> {
    const owners = await Promise.all(Array.from({ length: partitions }, (_, each) => cluster.masterOf(each)));
    return owners.findIndex((each) => each !== master);
  }

  it("records, reads, lists, moves, watches, reveals and erases tokens of every partition", async () => {
    const references = Array.from({ length: partitions }, (_, partition) => referenceIn(partition));
    for (const tokenReferenceId of references)
      await recordActivation(client, { tokenReferenceId, customerId: "customer-of-all" });
    const { items } = await client.batchGetTokens({ tokenReferenceIds: references });
    expect(items.map(({ result }) => result.case === "token" && TokenState[result.value.state])).to.deep.equal(
      references.map(() => "ACTIVE"),
    );
    const listed = await client.listTokens({ customerId: "customer-of-all", pageSize: 100 });
    expect(listed.tokens.map(({ tokenReferenceId }) => tokenReferenceId)).to.have.members(references);

    const move = { suspender: Suspender.ISSUER, ...by };
    for (const [i, tokenReferenceId] of references.entries()) {
      await client.suspendToken({ tokenReferenceId, requestId: `s-${i}`, ...move });
      await client.resumeToken({ tokenReferenceId, requestId: `r-${i}`, ...move });
      await client.deactivateToken({ tokenReferenceId, requestId: `d-${i}`, ...move });
    }
    const [first = "", second = ""] = references;
    expect((await client.getTokenHistory({ tokenReferenceId: first })).events).to.have.length(4);
    const { tokenData } = await client.revealTokenData({ tokenReferenceId: first, ...by });
    expect(tokenData?.token).to.be.a("string").and.not.equal("");
    await until("the watcher has seen all", () => watching.events.length >= 4 * partitions);
    for (const reference of references) {
      const own = watching.events.filter(({ tokenReferenceId }) => tokenReferenceId === reference);
      expect(own.map(({ version }) => version)).to.deep.equal([1n, 2n, 3n, 4n]);
    }

    await client.eraseToken({ tokenReferenceId: first, ...by });
    expect((await refusalOf(client.revealTokenData({ tokenReferenceId: first, ...by }))).reason).to.equal(
      "TOKEN_ERASED",
    );
    expect((await client.listTokens({ customerId: "customer-of-all", pageSize: 100 })).tokens).to.have.length(15);
    // Deactivated long ago.
    await redis.zadd(deactivatedKey, Date.now() - 3 * day, second);
    await until("retention has erased it", async () => {
      const { token } = await client.getToken({ tokenReferenceId: second });
      return token?.eraseTime !== undefined;
    });
    expect(watching.events.at(-1)?.type).to.equal(TokenEventType.ERASED);
  });

  it("goes on from a cursor", async () => {
    const cursor = watching.cursor();
    const reference = referenceIn(5);
    await recordActivation(client, { tokenReferenceId: reference });
    const later = watch(client, { start: { case: "cursor", value: cursor } });
    await until("it comes", () => later.events.some(({ tokenReferenceId }) => tokenReferenceId === reference));
    await later.stop();
  });

  it("loses nothing and says no F while partitions move", async () => {
    startLoad();
    const before = settled.length;
    const cursor = watching.cursor();
    await until("there is something to move", () => settled.length > before + 30);
    for (const partition of [0, 5, 11]) {
      const from = await cluster.masterOf(partition);
      await cluster.movePartition(partition);
      expect(await cluster.masterOf(partition)).to.not.equal(from);
    }
    const moved = settled.length;
    await until("the load goes on", () => settled.length > moved + 30);
    await stopLoad();
    expect(firstTry / (settled.length - before)).to.be.above(0.9);
    await checkSettled(settled);
    const behind = watch(client, { start: { case: "cursor", value: cursor } });
    await until("one who goes on from before sees all too", () => {
      const seen = new Set(behind.events.map(({ tokenReferenceId }) => tokenReferenceId));
      return settled.every((reference) => seen.has(reference));
    });
    await behind.stop();
  });

  it("loses nothing and says no F when a master is added and gets partitions", async () => {
    startLoad();
    const before = settled.length;
    const cursor = watching.cursor();
    const added = await cluster.addMaster();
    for (const partition of [1, 6]) {
      await cluster.movePartition(partition, added);
      expect(await cluster.masterOf(partition)).to.equal(added);
    }
    const moved = settled.length;
    const isThere = (partition: number) => settled.slice(moved).some((each) => partitionOf(each) === partition);
    await until("the load reaches what it got", () => isThere(1) && isThere(6));
    await stopLoad();
    await checkSettled(settled);
    const behind = watch(client, { start: { case: "cursor", value: cursor } });
    await until("one who goes on from before sees all too", () => {
      const seen = new Set(behind.events.map(({ tokenReferenceId }) => tokenReferenceId));
      return settled.slice(before).every((reference) => seen.has(reference));
    });
    await behind.stop();
  });

  it("seals everything anew with the newest key", async () => {
    writeKeyring(join(folder.path, "keyring"), 2);
    const { code, stdout, stderr } = await runProgram("tools/reseal.js", [], environment());
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(/, 0 left because/);
    const versions = await Promise.all(
      settled.map(async (each) => (await storedToken(redis, each))?.tokenData?.keyVersion),
    );
    expect(new Set(versions)).to.deep.equal(new Set([2]));
  });

  it("holds up the tokens of a master that is too weak, and no others", async () => {
    const other = await elsewhere(await cluster.masterOf(0));
    await cluster.configure(other, "appendfsync", "everysec");
    const record = (partition: number) => recordActivation(client, { tokenReferenceId: referenceIn(partition) });
    await until("it is noticed", async () => {
      const refused = await record(other).then(
        () => undefined,
        () => refusalOf(record(other)),
      );
      return refused?.reason === "DURABILITY_NOT_MET";
    });
    await record(0);
    expect((await fetch(`${service.adminUrl}/readyz`)).status).to.equal(200);
    expect(service.log()).to.match(/127\.0\.0\.1:\d+: Redis has appendfsync everysec.*serving in part/);
    await cluster.configure(other, "appendfsync", "always");
    await until("it is noticed", () =>
      record(other).then(
        () => true,
        () => false,
      ),
    );
  });

  it("promises nothing that no replica has, and settles it when one has", async () => {
    const settle = (partition: number, tokenReferenceId = referenceIn(partition)) =>
      recordActivation(client, { tokenReferenceId });
    const reference = referenceIn(0);
    const other = await elsewhere(await cluster.masterOf(0));
    const thaw = await cluster.freezeReplicaOf(0);
    try {
      expect((await refusalOf(settle(0, reference))).reason).to.equal("STORE_UNAVAILABLE");
      // It is there, and no replica has it: nor may a repeat be promised.
      expect((await storedToken(redis, reference))?.version).to.equal(1n);
      expect((await refusalOf(settle(0, reference))).reason).to.equal("STORE_UNAVAILABLE");
      await settle(other);
    } finally {
      thaw();
    }
    await until("the repeat is promised", () =>
      settle(0, reference).then(
        () => true,
        () => false,
      ),
    );
    expect(await eventsInRedis(redis, reference)).to.have.length(1);
  });

  it("loses nothing and says no F when a master is killed, and serves the other partitions meanwhile", async () => {
    const before = settled.length;
    startLoad();
    await until("the load runs", () => settled.length > before + 20);
    const comeBack = await cluster.killMasterOf(3);
    // What the promoted one takes has no replica yet, so it is not promised.
    const alone = { tokenReferenceId: referenceIn(3) };
    expect((await refusalOf(recordActivation(client, alone))).code).to.equal("Unavailable");
    await recordActivation(client, { tokenReferenceId: referenceIn(await elsewhere(await cluster.masterOf(3))) });
    await comeBack();
    await until(
      "its tokens are taken again",
      () =>
        recordActivation(client, alone).then(
          () => true,
          () => false,
        ),
      15_000,
    );
    await stopLoad();
    await checkSettled(settled.slice(before));
    await checkSettled(settled.slice(0, before).slice(-50));
    expect(await redis.exists(eventsKey(3))).to.equal(1);
  });
});
