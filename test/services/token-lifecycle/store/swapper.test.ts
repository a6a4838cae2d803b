import { expect } from "chai";
import { eventsKey, partitionOf, tokenKey } from "../../../../services/token-lifecycle/store/keys.js";
import type { RedisClient } from "../../../../services/token-lifecycle/store/redis.js";
import { type Swap, type Swapped, swapperOf } from "../../../../services/token-lifecycle/store/swapper.js";
import { startTestRedis, type TestRedis, temporaryFolder } from "../../../support/processes.js";

describe("the swapper", () => {
  const folder = temporaryFolder();
  let server: TestRedis;
  let redis: RedisClient;
  let swap: (swap: Swap) => Promise<Swapped>;
  before(async () => {
    server = await startTestRedis(folder.path);
    redis = await server.connect();
    swap = swapperOf(redis, 1_000);
    // So that the script is there, and each call after this one is one command.
    await swap(swapOf("warm", "", "1"));
  });
  beforeEach(async () => {
    await redis.flushall();
    await redis.config("RESETSTAT");
  });
  after(async () => {
    await server.stop();
    folder.remove();
  });

  const swapOf = (tokenReferenceId: string, expected: string, replacement: string): Swap => ({
    tokenReferenceId,
    expected: Buffer.from(expected),
    replacement: Buffer.from(replacement),
    event: Buffer.from(`${tokenReferenceId} becomes ${replacement}`),
  });
  const done = { done: true };
  const current = (value: string) => ({ done: false, current: Buffer.from(value) });
  const calls = async (command: string): Promise<number> =>
    Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await redis.info("commandstats"))?.[1] ?? 0);
  const storedIn = (tokenReferenceId: string) => redis.get(tokenKey(tokenReferenceId));
  const eventsOf = async (tokenReferenceId: string): Promise<string[]> =>
    (await redis.xrange(eventsKey(partitionOf(tokenReferenceId)), "-", "+"))
      .map(([, fields]) => fields[1] ?? "")
      .filter((event) => event.startsWith(`${tokenReferenceId} `));
  const ids = (count: number) => Array.from({ length: count }, (_, i) => `T-${i}`);

  it("sends everything of one round of the event loop as one command", async () => {
    expect(await Promise.all(ids(100).map((id) => swap(swapOf(id, "", id))))).to.deep.equal(ids(100).map(() => done));
    expect([await calls("evalsha"), await calls("eval"), await calls("set"), await calls("xadd")]).to.deep.equal([
      ...[1, 0, 100, 100],
    ]);
    for (const id of ["T-0", "T-57", "T-99"]) {
      expect(await storedIn(id)).to.equal(id);
      expect(await eventsOf(id)).to.deep.equal([`${id} becomes ${id}`]);
    }
  });

  for (const [count, commands] of [
    [1, 1],
    [128, 1],
    [129, 2],
    [300, 3],
  ] as const)
    it(`sends ${count} of them as ${commands}`, async () => {
      const all = await Promise.all(ids(count).map((id) => swap(swapOf(id, "", "1"))));
      expect(all).to.deep.equal(ids(count).map(() => done));
      expect(await calls("evalsha")).to.equal(commands);
      expect(await redis.keys("token:*")).to.have.length(count);
    });

  it("sends those of the next round as another", async () => {
    const first = swap(swapOf("T-0", "", "1"));
    await new Promise(setImmediate);
    expect(await Promise.all([first, swap(swapOf("T-1", "", "1"))])).to.deep.equal([done, done]);
    expect(await calls("evalsha")).to.equal(2);
  });

  it("gives a stale one the value that is there, and does the others", async () => {
    await swap(swapOf("T-1", "", "old"));
    const all = ["T-0", "T-1", "T-2"].map((id) => swap(swapOf(id, "", "new")));
    expect(await Promise.all(all)).to.deep.equal([done, current("old"), done]);
    expect(await storedIn("T-1")).to.equal("old");
    expect(await eventsOf("T-1")).to.deep.equal(["T-1 becomes old"]);
  });

  it("does one of two of the same token in one call, and gives the other its value", async () => {
    const all = [swapOf("T-0", "", "first"), swapOf("T-0", "", "second"), swapOf("T-0", "first", "third")].map(swap);
    expect(await Promise.all(all)).to.deep.equal([done, current("first"), done]);
    expect(await storedIn("T-0")).to.equal("third");
    expect(await eventsOf("T-0")).to.deep.equal(["T-0 becomes first", "T-0 becomes third"]);
  });

  it("keeps every byte", async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const same = { tokenReferenceId: "T-0", replacement: bytes, event: bytes };
    await swap({ ...same, expected: Buffer.alloc(0) });
    expect(await redis.getBuffer(tokenKey("T-0"))).to.deep.equal(bytes);
    expect(await swap({ ...same, expected: bytes })).to.deep.equal(done);
    expect(await swap(swapOf("T-0", "other", "x"))).to.deep.equal({ done: false, current: bytes });
  });

  it("rejects the one whose key holds something else, and does the others", async () => {
    await redis.lpush(tokenKey("T-1"), "a list");
    const [first, second, third] = await Promise.allSettled(
      ["T-0", "T-1", "T-2"].map((id) => swap(swapOf(id, "", "new"))),
    );
    expect([first, third]).to.deep.equal([0, 1].map(() => ({ status: "fulfilled", value: done })));
    expect(second).to.have.property("status", "rejected");
    expect(await storedIn("T-2")).to.equal("new");
  });

  it("rejects all of them when Redis is gone, and goes on when it is back", async () => {
    const other = temporaryFolder();
    const own = await startTestRedis(other.path);
    try {
      const connection = await own.connect();
      const swapThere = swapperOf(connection, 1_000);
      await swapThere(swapOf("T-0", "", "1"));
      await own.kill();
      const all = await Promise.allSettled(ids(200).map((id) => swapThere(swapOf(id, "", "2"))));
      expect(new Set(all.map(({ status }) => status))).to.deep.equal(new Set(["rejected"]));
      await own.start();
      if (connection.status !== "ready") await new Promise((resolve) => connection.once("ready", resolve));
      expect(await swapThere(swapOf("T-0", "", "2"))).to.deep.equal(current("1"));
    } finally {
      await own.stop();
      other.remove();
    }
  });
});
