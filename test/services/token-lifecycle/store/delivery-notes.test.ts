import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { UneventfulDeliverySchema } from "../../../../proto/gen/mpp/token/v1/token_pb.js";
import { type DeliveryNotes, deliveryNotes } from "../../../../services/token-lifecycle/store/delivery-notes.js";
import { deliveriesKey } from "../../../../services/token-lifecycle/store/keys.js";
import type { RedisClient } from "../../../../services/token-lifecycle/store/redis.js";
import { startTestRedis, type TestRedis, temporaryFolder, until } from "../../../support/processes.js";

describe("notes of deliveries", () => {
  const folder = temporaryFolder();
  let server: TestRedis;
  let redis: RedisClient;
  let notes: DeliveryNotes;
  before(async () => {
    server = await startTestRedis(folder.path);
    redis = await server.connect();
    notes = deliveryNotes(redis);
    // So that the script is there, and each call after this one is one command.
    notes.note("warm", delivery("d"));
    await notes.flush();
  });
  beforeEach(async () => {
    await redis.flushall();
    await redis.config("RESETSTAT");
  });
  afterEach(() => notes.flush());
  after(async () => {
    await server.stop();
    folder.remove();
  });

  const delivery = (deliveryId: string) => create(UneventfulDeliverySchema, { clientId: "CLIENT", deliveryId });
  const kept = async (by: DeliveryNotes, id: string) => (await by.read(id)).map(({ deliveryId }) => deliveryId);
  const calls = async (command: string): Promise<number> =>
    Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await redis.info("commandstats"))?.[1] ?? 0);
  const rounds = async (count: number, each: (i: number) => void): Promise<void> => {
    for (let i = 0; i < count; i++) {
      each(i);
      await new Promise(setImmediate);
    }
  };

  it("of many rounds of the event loop go out as one command", async () => {
    await rounds(20, (i) => notes.note(`T-${i}`, delivery("d")));
    expect(await calls("evalsha"), "before they have waited").to.equal(0);
    await notes.flush();
    expect([await calls("evalsha"), await calls("lpush")]).to.deep.equal([1, 20]);
  });

  it("go out by themselves", async () => {
    notes.note("T-1", delivery("d"));
    await until("it is there", async () => (await redis.llen(deliveriesKey("T-1"))) === 1);
  });

  it("go out at once when 128 wait", async () => {
    for (let i = 0; i < 129; i++) notes.note(`T-${i}`, delivery("d"));
    await new Promise(setImmediate);
    expect(await calls("lpush")).to.equal(128);
  });

  it("are read while they still wait, newest first, and only the last 32", async () => {
    await rounds(40, (i) => notes.note("T-1", delivery(`d-${i}`)));
    expect(await kept(notes, "T-1")).to.deep.equal(Array.from({ length: 32 }, (_, i) => `d-${39 - i}`));
    expect(await redis.llen(deliveriesKey("T-1"))).to.equal(32);
    expect(await calls("ltrim"), "trimmed only beyond the limit").to.equal(8);
  });

  it("are read while they are under way", async () => {
    notes.note("T-1", delivery("d-1"));
    void notes.flush();
    expect(await kept(notes, "T-1")).to.deep.equal(["d-1"]);
  });

  it("are lost one by one: a key that holds something else keeps no other from its note", async () => {
    await redis.set(deliveriesKey("T-1"), "no list");
    for (const id of ["T-0", "T-1", "T-2"]) notes.note(id, delivery("d"));
    await notes.flush();
    expect(await kept(notes, "T-0")).to.deep.equal(["d"]);
    expect(await kept(notes, "T-2")).to.deep.equal(["d"]);
  });

  it("are lost without a word when Redis is gone, and kept again when it is back", async () => {
    const other = temporaryFolder();
    const own = await startTestRedis(other.path);
    try {
      const connection = await own.connect();
      const notesThere = deliveryNotes(connection);
      await own.kill();
      notesThere.note("T-1", delivery("lost"));
      await notesThere.flush();
      await own.start();
      if (connection.status !== "ready") await new Promise((resolve) => connection.once("ready", resolve));
      notesThere.note("T-1", delivery("kept"));
      expect(await kept(notesThere, "T-1")).to.deep.equal(["kept"]);
    } finally {
      await own.stop();
      other.remove();
    }
  });
});
