import { create, fromBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import { ErrorReason } from "../../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import {
  type TokenEvent,
  TokenEventSchema,
  UneventfulDeliverySchema,
} from "../../../../proto/gen/mpp/token/v1/token_pb.js";
import { decideActivation } from "../../../../services/token-lifecycle/core/decide-activation.js";
import { StoreError, type TokenStore } from "../../../../services/token-lifecycle/core/ports.js";
import type { Current, Decision } from "../../../../services/token-lifecycle/core/token.js";
import { durabilityOf } from "../../../../services/token-lifecycle/store/durability.js";
import { deliveriesKey, eventsKey, partitions, tokenKey } from "../../../../services/token-lifecycle/store/keys.js";
import type { RedisClient } from "../../../../services/token-lifecycle/store/redis.js";
import { redisTokenStore } from "../../../../services/token-lifecycle/store/redis-token-store.js";
import { activation, anyCommand } from "../../../support/commands.js";
import { memoryStore } from "../../../support/memory-store.js";
import { startTestRedis, type TestRedis, temporaryFolder, until } from "../../../support/processes.js";

const options = { durability: durabilityOf("fsync"), replicaTimeoutMs: 100, eventsMaxLen: 1_000, attempts: 16 };
const durable = { reasons: () => [], reasonsAt: () => [], stop: () => {} };

describe("the store in Redis", () => {
  const folder = temporaryFolder();
  let server: TestRedis;
  let redis: RedisClient;
  let store: TokenStore;
  before(async () => {
    server = await startTestRedis(folder.path);
    redis = await server.connect();
    store = redisTokenStore(redis, durable, options);
  });
  beforeEach(() => redis.flushall());
  after(async () => {
    await server.stop();
    folder.remove();
  });

  async function events(): Promise<TokenEvent[]> {
    const streams = await Promise.all(
      Array.from({ length: partitions }, (_, partition) => redis.xrangeBuffer(eventsKey(partition), "-", "+")),
    );
    return streams.flat().map(([, fields]) => fromBinary(TokenEventSchema, fields[1] as Buffer));
  }

  const commands = async (): Promise<number> => {
    const stats = await redis.info("commandstats");
    return [...stats.matchAll(/cmdstat_(?:evalsha|eval|get):calls=(\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
  };

  const byToken = (all: readonly TokenEvent[], id: string) => all.filter((each) => each.tokenReferenceId === id);

  it("agrees with a model on every sequence of commands", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyCommand, { maxLength: 16 }), async (sequence) => {
        await redis.flushall();
        const model = memoryStore();
        for (const { reference, bet, decide } of sequence) {
          expect(await store.apply(reference, bet, decide)).to.deep.equal(await model.apply(reference, bet, decide));
          expect(await store.read(reference)).to.deep.equal(await model.read(reference));
        }
        const stored = await events();
        for (const id of ["T-1", "T-2"]) expect(byToken(stored, id)).to.deep.equal(byToken(model.events, id));
      }),
      { numRuns: 60 },
    );
  });

  it("ends, whatever came at once, as the same changes do one after the other", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyCommand, { minLength: 2, maxLength: 8 }), async (commands) => {
        await redis.flushall();
        const changes: { version: bigint; reference: string; decide: (current: Current) => Decision }[] = [];
        await Promise.all(
          commands.map(async ({ reference, bet, decide }) => {
            const decision = await store.apply(reference, bet, decide);
            if (decision.kind === "change") changes.push({ version: decision.next.version, reference, decide });
          }),
        );
        const model = memoryStore();
        changes.sort((a, b) => Number(a.version - b.version));
        for (const { reference, decide } of changes) await model.apply(reference, "new", decide);
        for (const id of ["T-1", "T-2"]) expect(await store.read(id)).to.deep.equal(await model.read(id));
      }),
      { numRuns: 60 },
    );
  });

  it("applies one of many at once, and the others as repeats", async () => {
    const command = activation();
    const decisions = await Promise.all(
      Array.from({ length: 50 }, () => store.apply("T-1", "new", (current) => decideActivation(current, command))),
    );
    expect(decisions.filter(({ kind }) => kind === "change")).to.have.length(1);
    expect(decisions.filter(({ kind }) => kind === "repeat")).to.have.length(49);
    expect(await events()).to.have.length(1);
  });

  it("loses none of many different ones at once", async () => {
    const times = Array.from({ length: 8 }, (_, i) => 2_000 + i);
    await Promise.all(
      times.map((activatedS) =>
        store.apply("T-1", "new", (current) => decideActivation(current, activation({ activatedS }))),
      ),
    );
    const token = await store.read("T-1");
    expect(token?.version).to.equal(8n);
    expect(token?.activations).to.have.length(8);
    expect((await events()).map(({ version }) => version)).to.deep.equal([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
  });

  it("asks Redis once for a new token, once for a repeat, twice for a change", async () => {
    const fresh = redisTokenStore(redis, durable, options);
    // So that the scripts are there, for bets and for reading.
    for (const _ of [1, 2])
      await fresh.apply("warm", "new", (current) => decideActivation(current, activation({ reference: "warm" })));
    const asked = async (activatedS: number): Promise<number> => {
      const before = await commands();
      await fresh.apply("T-1", "new", (current) => decideActivation(current, activation({ activatedS })));
      return (await commands()) - before - 1; // the script's own GET
    };
    expect(await asked(2_000)).to.equal(1);
    expect(await asked(2_000)).to.equal(1);
    expect(await asked(2_001)).to.equal(3); // two scripts, each with a GET of its own
  });

  it("lists the token under its customer", async () => {
    await store.apply("T-1", "new", (current) => decideActivation(current, activation({ customerId: "c-1" })));
    expect(await redis.zrange("customer:c-1", "0", "-1")).to.deep.equal(["T-1"]);
    await redis.del("customer:c-1");
    const other = redisTokenStore(redis, durable, options);
    await other.apply("T-1", "new", (current) => decideActivation(current, activation({ customerId: "c-1" })));
    expect(await redis.zrange("customer:c-1", "0", "-1"), "added again by a repeat").to.deep.equal(["T-1"]);
  });

  describe("that has met a token", () => {
    const record = (by: TokenStore, command = activation({ customerId: "c-1" })) =>
      by.apply("T-1", "new", (current) => decideActivation(current, command), command.activation.customerId);
    const calls = async (command: string): Promise<number> =>
      Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await redis.info("commandstats"))?.[1] ?? 0);

    it("makes and writes nothing for a repeat, and reads and lists those of a round with a command each", async () => {
      await record(store);
      await record(store);
      await redis.config("RESETSTAT");
      const command = activation({ customerId: "c-1" });
      const untouched = { ...command, sealedTokenData: () => expect.fail("sealed for a repeat") };
      const decisions = await Promise.all(Array.from({ length: 50 }, () => record(store, untouched)));
      expect(new Set(decisions.map(({ kind }) => kind))).to.deep.equal(new Set(["repeat"]));
      expect([await calls("evalsha"), await calls("get"), await calls("zadd")]).to.deep.equal([2, 50, 50]);
      expect([await calls("set"), await calls("xadd")]).to.deep.equal([0, 0]);
    });

    it("meets it by a repeat too", async () => {
      await record(store);
      const other = redisTokenStore(redis, durable, options);
      await record(other);
      const untouched = { ...activation({ customerId: "c-1" }), sealedTokenData: () => expect.fail("sealed") };
      expect((await record(other, untouched)).kind).to.equal("repeat");
    });

    it("records it as new when it is gone all the same", async () => {
      await record(store);
      await redis.flushall();
      expect(await record(store))
        .to.deep.include({ kind: "change" })
        .and.to.have.nested.property("next.version", 1n);
      expect(await redis.zrange("customer:c-1", "0", "-1")).to.deep.equal(["T-1"]);
    });

    const meetings: { name: string; meet: (by: TokenStore) => Promise<Decision> | undefined }[] = [
      { name: "nothing", meet: () => undefined },
      { name: "a report of another customer", meet: (by) => record(by, activation({ customerId: "c-2" })) },
      { name: "a report of another client", meet: (by) => record(by, activation({ clientId: "OTHER" })) },
      {
        name: "a call that knows it and changes nothing",
        meet: (by) =>
          by.apply("T-1", "known", (token) => ({ kind: "repeat", token: token ?? expect.fail("no token") })),
      },
    ];
    for (const { name, meet } of meetings)
      it(`lists it by a repeat when the first could not, and ${name} came in between`, async () => {
        await redis.set("customer:c-1", "no set");
        const other = redisTokenStore(redis, durable, options);
        const error = await record(other).catch((thrown: unknown) => thrown);
        expect(error).to.be.instanceOf(StoreError).with.property("trouble", "unavailable");
        await redis.del("customer:c-1");
        expect((await meet(other))?.kind).to.not.equal("change");
        expect((await record(other)).kind).to.equal("repeat");
        expect(await redis.zrange("customer:c-1", "0", "-1"), "listed by the repeat").to.deep.equal(["T-1"]);
      });

    it("lists it by a repeat at an instance that knew it under another customer", async () => {
      await record(store);
      await redis.set("customer:c-2", "no set");
      const later = activation({ customerId: "c-2", activatedS: 3_000 });
      // Written by another instance, which could not list it.
      const other = redisTokenStore(redis, durable, options);
      const error = await other
        .apply("T-1", "known", (current) => decideActivation(current, later))
        .catch((thrown: unknown) => thrown);
      expect(error).to.be.instanceOf(StoreError).with.property("trouble", "unavailable");
      await redis.del("customer:c-2");
      expect((await record(store, later)).kind).to.equal("repeat");
      expect(await redis.zrange("customer:c-2", "0", "-1")).to.deep.equal(["T-1"]);
    });

    it("takes it from the list of a customer that a refused report named", async () => {
      await record(store);
      await record(store);
      expect((await record(store, activation({ customerId: "c-2" }))).kind).to.equal("refuse");
      expect(await redis.exists("customer:c-2")).to.equal(0);
      expect(await redis.zrange("customer:c-1", "0", "-1")).to.deep.equal(["T-1"]);
    });

    it("does not take one for met that was asked for and is not there", async () => {
      const other = redisTokenStore(redis, durable, options);
      const nothing: Decision = { kind: "refuse", reason: ErrorReason.TOKEN_NOT_FOUND, fields: [] };
      await other.apply("T-1", "known", () => nothing);
      await redis.config("RESETSTAT");
      await record(other);
      // The script's own.
      expect(await calls("get")).to.equal(1);
    });
  });

  it("removes notes that still wait to be written, with all else that an erased token leaves", async () => {
    await store.apply("T-1", "new", (current) => decideActivation(current, activation()));
    const token = await store.read("T-1");
    store.noteDelivery("T-1", create(UneventfulDeliverySchema, { deliveryId: "d-1" }));
    await store.removeTraces(token ?? expect.fail("no token"));
    await store.settle();
    expect(await redis.exists(deliveriesKey("T-1"))).to.equal(0);
  });

  it("takes a token from the list of a customer that a refused report named", async () => {
    const first = activation({ customerId: "c-1" });
    await store.apply("T-1", "new", (current) => decideActivation(current, first));
    const other = activation({ customerId: "c-2" });
    expect((await store.apply("T-1", "new", (current) => decideActivation(current, other))).kind).to.equal("refuse");
    await until("the stray entry is gone", async () => (await redis.exists("customer:c-2")) === 0);
    expect(await redis.zrange("customer:c-1", "0", "-1")).to.deep.equal(["T-1"]);
  });

  it("gives up after its attempts when others always change the token first", async () => {
    let n = 0;
    const rival = async (current: Parameters<typeof decideActivation>[0]): Promise<Decision> =>
      store.apply("T-1", "new", (now) => decideActivation(now ?? current, activation({ activatedS: 3_000 + n++ })));
    const impatient = redisTokenStore(redis, durable, { ...options, attempts: 3 });
    await rival(undefined);
    let calls = 0;
    const decide = (current: Parameters<typeof decideActivation>[0]): Decision => {
      calls += 1;
      // Queued before the swap on the same connection, so it always comes first.
      void rival(current);
      return decideActivation(current, activation({ activatedS: 2_000, customerId: "c" }));
    };
    const error = await impatient.apply("T-1", "new", decide).catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(StoreError).with.property("trouble", "contention");
    expect(calls).to.equal(3);
  });

  it("writes nothing while Redis does not keep what DURABILITY promises", async () => {
    const weak = redisTokenStore(
      redis,
      { reasons: () => ["too weak"], reasonsAt: () => ["too weak"], stop: () => {} },
      options,
    );
    const error = await weak
      .apply("T-1", "new", (current) => decideActivation(current, activation()))
      .catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(StoreError).with.property("trouble", "not-durable");
    expect(await redis.dbsize()).to.equal(0);
  });

  it("does not count a write that too few replicas have", async () => {
    const replicated = redisTokenStore(redis, durable, { ...options, durability: durabilityOf("replicated:1") });
    const error = await replicated
      .apply("T-1", "new", (current) => decideActivation(current, activation()))
      .catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(StoreError).with.property("trouble", "unavailable");
  });

  it("says unavailable when Redis goes away, and goes on when it is back", async () => {
    const own = await startTestRedis(temporaryFolder().path);
    const connection = await own.connect();
    const away = redisTokenStore(connection, durable, options);
    const record = () => away.apply("T-1", "new", (current) => decideActivation(current, activation()));
    await record();
    await own.kill();
    const error = await record().catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(StoreError).with.property("trouble", "unavailable");
    await own.start();
    await new Promise((resolve) => connection.once("ready", resolve));
    expect((await record()).kind).to.equal("repeat");
    await own.stop();
  });

  it("refuses a value that is another token, and does not decide on it", async () => {
    await store.apply("T-2", "new", (current) => decideActivation(current, activation({ reference: "T-2" })));
    await redis.rename(tokenKey("T-2"), tokenKey("T-1"));
    const other = activation({ token: "5345678901234520" });
    const error = await store
      .apply("T-1", "new", (current) => decideActivation(current, other))
      .catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(Error).with.property("message", "Redis answered with another token");
  });

  it("refuses a value that is no token, and does not replace it", async () => {
    await redis.set(tokenKey("T-1"), "not a token");
    const error = await store
      .apply("T-1", "new", (current) => decideActivation(current, activation()))
      .catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(Error).and.not.instanceOf(StoreError);
    expect(await redis.get(tokenKey("T-1"))).to.equal("not a token");
  });
});
