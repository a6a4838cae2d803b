import { setMaxListeners } from "node:events";
import { readdirSync } from "node:fs";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { EventCursorSchema } from "../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import type { WatchTokenEventsResponse } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { Suspender, type TokenEvent, TokenEventSchema, TokenEventType } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { eventsKey, partitionOf, partitions } from "../../services/token-lifecycle/store/keys.js";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { until, untilServing } from "../support/processes.js";
import {
  allRights,
  connectTo,
  newReference,
  recordActivation,
  recordActivations,
  refusalIn,
  refusalOf,
  type ServiceStack,
  startServiceStack,
  type TokenClient,
  type Watch,
  watch,
} from "../support/token-client.js";

const fromBeginning = { start: { case: "fromBeginning", value: true } } as const;
const behind = (cursor: string) => ({ start: { case: "cursor", value: cursor } }) as const;
const idOf = ({ tokenReferenceId, version }: TokenEvent): string => `${tokenReferenceId} ${version}`;
const idsOf = (events: readonly TokenEvent[]): string[] => events.map(idOf);
const byPartition = (events: readonly TokenEvent[], partition: number): string[] =>
  idsOf(events.filter(({ tokenReferenceId }) => partitionOf(tokenReferenceId) === partition));
const heartbeatMs = 100;
const stallMs = 400;

describe("WatchTokenEvents", () => {
  let stack: ServiceStack;
  let client: TokenClient;
  let redis: RedisClient;
  let open: Watch[] = [];
  before(async () => {
    stack = await startServiceStack({
      LOOPBACK_RIGHTS: allRights,
      WATCH_HEARTBEAT_MS: `${heartbeatMs}`,
      WATCH_STALL_MS: `${stallMs}`,
      EVENTS_MAX_AGE_H: "1",
      RETENTION_EVERY_MS: "200",
    });
    client = stack.connect();
    redis = await stack.redis.connect();
  });
  after(() => stack.stop());
  afterEach(async () => {
    for (const each of open) await each.stop();
    open = [];
  });

  const watching = (request: Parameters<typeof watch>[1] = {}, by = client): Watch => {
    const started = watch(by, request);
    open.push(started);
    return started;
  };
  /** A watch that has begun: it brought a sign of life. */
  async function begun(request: Parameters<typeof watch>[1] = {}, by = client): Promise<Watch> {
    const started = watching(request, by);
    await until("the watch begins", () => started.messages.length > 0);
    return started;
  }
  const brings = (each: Watch, count: number): Promise<void> =>
    until(`${count} events come`, () => each.events.length >= count);
  /** Resolves when the watch has nothing more to send now. */
  async function quiet(each: Watch): Promise<void> {
    const seen = each.messages.length;
    await until("two heartbeats come", () => each.messages.slice(seen).filter(({ event }) => !event).length >= 2);
  }
  let requests = 0;
  const moveRequest = (tokenReferenceId: string) => ({
    ...{ tokenReferenceId, suspender: Suspender.ISSUER },
    ...{ reason: "lost", actor: "agent 7", requestId: `r-${++requests}` },
  });
  const activate = async (customerId?: string): Promise<string> => {
    const tokenReferenceId = newReference();
    await recordActivation(client, { tokenReferenceId, ...(customerId !== undefined && { customerId }) });
    return tokenReferenceId;
  };
  const activateMany = async (count: number): Promise<string[]> => {
    const references = Array.from({ length: count }, newReference);
    await recordActivations(
      client,
      references.map((tokenReferenceId) => ({ tokenReferenceId })),
    );
    return references.map((reference) => `${reference} 1`);
  };
  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`${stack.service.adminUrl}/metrics`)).text();
    return Number(new RegExp(`^${name} (.*)$`, "m").exec(text)?.[1]);
  }
  const watchers = () => metric("token_service_watchers");
  const restart = async (): Promise<void> => {
    await stack.service.kill();
    await stack.service.start();
    await untilServing(stack.service);
  };
  const emptyStreams = async (): Promise<void> => {
    for (let partition = 0; partition < partitions; partition++) await redis.xtrim(eventsKey(partition), "MAXLEN", 0);
  };

  it("costs Redis nothing while nobody watches, and misses nothing when somebody does", async () => {
    const reads = async (): Promise<number> =>
      Number(/cmdstat_xread:calls=(\d+)/.exec(await redis.info("commandstats"))?.[1] ?? 0);
    // A read that waits is over when it has brought the event that it waits for.
    const resting = async (): Promise<boolean> => {
      const before = await reads();
      await activate();
      await activate();
      return (await reads()) === before;
    };
    await until("nobody reads events", resting);
    const watched = await begun();
    const expected = await activateMany(20);
    await brings(watched, 20);
    expect(idsOf(watched.events)).to.have.members(expected);
    await watched.stop();
    await until("nobody reads events again", resting);
    const again = await begun({ start: { case: "cursor", value: watched.messages.at(-1)?.cursor ?? "" } });
    const reference = await activate();
    await until("it comes", () => idsOf(again.events).includes(`${reference} 1`));
  });

  describe("starts", () => {
    it("from now when nothing is said", async () => {
      await activate();
      const watched = await begun();
      const reference = await activate();
      await brings(watched, 1);
      expect(idsOf(watched.events)).to.deep.equal([`${reference} 1`]);
    });

    it("from now when from_beginning is false", async () => {
      const watched = await begun({ start: { case: "fromBeginning", value: false } });
      const reference = await activate();
      await brings(watched, 1);
      expect(idsOf(watched.events)).to.deep.equal([`${reference} 1`]);
    });

    it("with a sign of life and a cursor at once, so that a break before the first event loses nothing", async () => {
      const first = await begun();
      await first.stop();
      expect(first.messages[0]?.event).to.equal(undefined);
      const reference = await activate();
      const second = watching(behind(first.cursor()));
      await brings(second, 1);
      expect(idsOf(second.events)).to.deep.equal([`${reference} 1`]);
    });

    it("from the oldest event that is kept", async () => {
      const ids = await activateMany(40);
      const watched = watching(fromBeginning);
      await until("they come", () => ids.every((id) => idsOf(watched.events).includes(id)));
      const kept = await redis.xlen(eventsKey(0));
      expect(byPartition(watched.events, 0)).to.have.length(kept);
    });

    it("behind a cursor, with the very next event, at each event of a story", async () => {
      const start = await begun();
      const reference = await activate();
      await client.suspendToken(moveRequest(reference));
      await client.resumeToken(moveRequest(reference));
      await client.deactivateToken(moveRequest(reference));
      await brings(start, 4);
      const ids = idsOf(start.events);
      expect(ids).to.deep.equal([1, 2, 3, 4].map((version) => `${reference} ${version}`));
      const cursors = start.messages.filter(({ event }) => event).map(({ cursor }) => cursor);
      for (const [index, cursor] of cursors.entries()) {
        const again = watching(behind(cursor));
        await quiet(again);
        expect(idsOf(again.events)).to.deep.equal(ids.slice(index + 1));
      }
    });
  });

  describe("filters", () => {
    it("by type and by customer, and moves its cursor past what it leaves out", async () => {
      const all = await begun();
      const [byType, byCustomer, byBoth] = [
        await begun({ types: [TokenEventType.SUSPENDED, TokenEventType.DEACTIVATED] }),
        await begun({ customerId: "watched" }),
        await begun({ types: [TokenEventType.SUSPENDED], customerId: "watched" }),
      ];
      const [mine, other] = [await activate("watched"), await activate("else")];
      for (const reference of [mine, other]) {
        await client.suspendToken(moveRequest(reference));
        await client.resumeToken(moveRequest(reference));
        await client.deactivateToken(moveRequest(reference));
      }
      await brings(all, 8);
      for (const each of [byType, byCustomer, byBoth]) await quiet(each);
      expect(idsOf(byType.events)).to.have.members([`${mine} 2`, `${mine} 4`, `${other} 2`, `${other} 4`]);
      expect(idsOf(byCustomer.events)).to.deep.equal([1, 2, 3, 4].map((version) => `${mine} ${version}`));
      expect(idsOf(byBoth.events)).to.deep.equal([`${mine} 2`]);
      expect(byCustomer.events.every(({ customerId }) => customerId === "watched")).to.equal(true);

      const unfiltered = watching(behind(byBoth.cursor()));
      await quiet(unfiltered);
      expect(idsOf(unfiltered.events), "behind everything left out").to.deep.equal([]);
    });

    const refused = [
      { what: "an unspecified type", request: { types: [TokenEventType.UNSPECIFIED] }, field: "types[0]" },
      { what: "an unknown type", request: { types: [99 as TokenEventType] }, field: "types[0]" },
      { what: "an empty customer", request: { customerId: "" }, field: "customer_id" },
      { what: "a customer of 65 characters", request: { customerId: "x".repeat(65) }, field: "customer_id" },
      { what: "an empty cursor", request: behind(""), field: "cursor" },
      { what: "a cursor of 1025 characters", request: behind("x".repeat(1025)), field: "cursor" },
    ];
    for (const { what, request, field } of refused)
      it(`refuses ${what}`, async () => {
        const refusal = await watching(request).ended;
        expect(refusal).to.deep.include({ code: "InvalidArgument", reason: "FIELD_VIOLATION", fields: [field] });
      });
  });

  describe("heartbeats", () => {
    it("come when there is nothing to send, each with a cursor that goes on", async () => {
      const watched = await begun();
      await until("five come", () => watched.messages.length >= 5);
      expect(watched.events).to.have.length(0);
      const reference = await activate();
      const again = watching(behind(watched.messages[2]?.cursor ?? ""));
      await brings(again, 1);
      expect(idsOf(again.events)).to.deep.equal([`${reference} 1`]);
    });

    it("come to a watch that leaves every event out", async () => {
      const watched = await begun({ customerId: "nobody" });
      const seen = watched.messages.length;
      let isEnough = false;
      const busy = (async () => {
        while (!isEnough) await activate();
      })();
      await until("three heartbeats come", () => watched.messages.length >= seen + 3);
      isEnough = true;
      await busy;
    });
  });

  describe("a cursor", () => {
    it("survives a restart of client and service", async () => {
      const ids = await activateMany(30);
      const first = watching(fromBeginning);
      await until("they come", () => ids.every((id) => idsOf(first.events).includes(id)));
      const cursor = first.cursor();
      await first.stop();
      const later = await activateMany(30);
      await restart();
      const fresh = stack.connect();
      const second = watching(behind(cursor), fresh);
      await brings(second, 30);
      await quiet(second);
      expect(idsOf(second.events)).to.have.members(later);
    });

    it("from the middle of what is kept goes on, although older events are gone", async () => {
      await emptyStreams();
      const ids = await activateMany(100);
      for (let partition = 0; partition < partitions; partition++) await redis.xtrim(eventsKey(partition), "MAXLEN", 1);
      await restart();
      const whole = watching(fromBeginning);
      await quiet(whole);
      expect(ids).to.include.members(idsOf(whole.events));
      const messages = whole.messages.filter(({ event }) => event);
      expect(messages.length).to.be.above(8);
      await Promise.all(
        messages.map(async ({ cursor }, index) => {
          const rest = watching(behind(cursor));
          await Promise.race([rest.ended, quiet(rest)]);
          expect(idsOf(rest.events)).to.have.members(idsOf(whole.events).slice(index + 1));
        }),
      );
    });

    const cursorOf = (positions: number, more: Uint8Array = new Uint8Array()): string =>
      Buffer.concat([
        toBinary(EventCursorSchema, create(EventCursorSchema, { positions: Array(positions).fill({ ms: 1n }) })),
        more,
      ]).toString("base64url");
    const malformed = [
      { what: "is no base64", cursor: "!!!!" },
      { what: "is no message", cursor: Buffer.from([0x0a, 0x7f, 1]).toString("base64url") },
      { what: "has 15 positions", cursor: cursorOf(15) },
      { what: "has 17 positions", cursor: cursorOf(17) },
      { what: "has a field that no cursor has", cursor: cursorOf(16, Buffer.from([0x78, 1])) },
    ];
    for (const { what, cursor } of malformed)
      it(`that ${what} is CURSOR_INVALID`, async () => {
        const refusal = await watching(behind(cursor)).ended;
        expect(refusal).to.deep.include({ code: "InvalidArgument", reason: "CURSOR_INVALID", domain: "token.mpp" });
      });

    it("whose events are gone is CURSOR_EXPIRED, with one that starts at what is kept", async () => {
      const first = await begun();
      await first.stop();
      await activateMany(64);
      await emptyStreams();
      const kept = await activateMany(20);
      await restart();
      const refusal = await watching(behind(first.cursor())).ended;
      expect(refusal).to.deep.include({ code: "OutOfRange", reason: "CURSOR_EXPIRED", domain: "token.mpp" });
      const second = watching(behind(refusal?.metadata.oldest_cursor ?? ""));
      await brings(second, kept.length);
      await quiet(second);
      expect(idsOf(second.events)).to.have.members(kept);
    });

    it("whose events were read before they were gone still goes on", async () => {
      const first = await begun();
      await activateMany(64);
      await brings(first, 64);
      const cursor = first.cursor();
      await emptyStreams();
      await restart();
      const second = watching(behind(cursor));
      await quiet(second);
      const reference = await activate();
      await brings(second, 1);
      expect(idsOf(second.events)).to.deep.equal([`${reference} 1`]);
    });

    it("older than EVENTS_MAX_AGE_H is CURSOR_EXPIRED", async () => {
      await emptyStreams();
      await redis.del(eventsKey(3));
      const bytes = Buffer.from(toBinary(TokenEventSchema, create(TokenEventSchema, { tokenReferenceId: "T-old" })));
      // Redis drops whole nodes of a hundred entries.
      for (let ms = 1_000; ms < 1_250; ms++) await redis.xadd(eventsKey(3), `${ms}-0`, "e", bytes);
      await until("old events are gone", async () => (await redis.xlen(eventsKey(3))) < 150);
      const start = fromBinary(EventCursorSchema, Buffer.from((await begun()).cursor(), "base64url"));
      const old = create(EventCursorSchema, {
        positions: start.positions.map((each, partition) => (partition === 3 ? { ms: 1_010n } : each)),
      });
      const refusal = await watching(behind(Buffer.from(toBinary(EventCursorSchema, old)).toString("base64url"))).ended;
      expect(refusal).to.deep.include({ code: "OutOfRange", reason: "CURSOR_EXPIRED" });
    });
  });

  it("tells nothing of a token's past once the token is erased", async () => {
    const tokenReferenceId = newReference();
    // Something older stays in its partition, so that the cursor below is not older than everything that is kept.
    let elder = newReference();
    while (partitionOf(elder) !== partitionOf(tokenReferenceId)) elder = newReference();
    await recordActivation(client, { tokenReferenceId: elder });
    const start = await begun();
    await recordActivation(client, { tokenReferenceId, customerId: "customer-who-goes" });
    await client.suspendToken(moveRequest(tokenReferenceId));
    await brings(start, 2);
    await client.eraseToken({ tokenReferenceId, reason: "asked for", actor: "agent 7" });
    const later = watching(behind(start.messages[0]?.cursor ?? ""));
    await quiet(later);
    expect(later.events.map(({ type, customerId }) => [type, customerId])).to.deep.equal([
      [TokenEventType.ERASED, undefined],
    ]);
  });

  it("goes on after Redis went away and came back", async () => {
    const watched = await begun();
    await stack.redis.kill();
    await stack.redis.start();
    await untilServing(stack.service);
    const reference = await activate();
    await brings(watched, 1);
    expect(idsOf(watched.events)).to.deep.equal([`${reference} 1`]);
  });

  it("ends a consumer that is too slow, with a cursor that goes on without a gap, and holds up nobody else", async () => {
    const slow = stack.connect();
    const other = await begun({}, stack.connect());
    const messages = slow.watchTokenEvents({}, { timeoutMs: 0 })[Symbol.asyncIterator]();
    const first = await messages.next();
    expect(first.done).to.equal(false);
    const ids = await activateMany(800);
    await brings(other, ids.length);
    // Its buffers are full by now; it takes nothing for as long as the service is patient, and longer.
    const seen = other.messages.length;
    await until("time passes", () => other.messages.length > seen + Math.ceil((2 * stallMs) / heartbeatMs));

    const taken: TokenEvent[] = [];
    const takeAll = async (): Promise<void> => {
      for (let next = await messages.next(); !next.done; next = await messages.next())
        if (next.value.event) taken.push(next.value.event);
    };
    const refusal = await refusalOf(takeAll());
    expect(refusal).to.deep.include({ code: "ResourceExhausted", reason: "CONSUMER_TOO_SLOW", domain: "token.mpp" });
    expect(taken.length, "cut off before the end").to.be.below(ids.length);
    const rest = watching(behind(refusal.metadata.cursor ?? ""));
    await brings(rest, ids.length - taken.length);
    await quiet(rest);
    expect([...idsOf(taken), ...idsOf(rest.events)]).to.have.members(ids);
  });

  it("ends at once when the service is told to stop, with a cursor that goes on", async () => {
    const watched = await Promise.all(Array.from({ length: 5 }, () => begun()));
    const before = await activate();
    for (const each of watched) await brings(each, 1);
    const started = performance.now();
    const stopped = stack.service.kill("SIGTERM");
    const refusals = await Promise.all(watched.map(({ ended }) => ended));
    expect(performance.now() - started, "streams end").to.be.below(1_000);
    await stopped;
    expect(performance.now() - started, "the process ends").to.be.below(1_500);
    await stack.service.start();
    await untilServing(stack.service);
    const after = await activate();
    for (const refusal of refusals) {
      expect(refusal).to.deep.include({ code: "Unavailable", reason: "STOPPING", domain: "token.mpp" });
      const next = watching(behind(refusal?.metadata.cursor ?? ""));
      await brings(next, 1);
      expect(idsOf(next.events))
        .to.deep.equal([`${after} 1`])
        .and.not.include(`${before} 1`);
    }
  });

  it("leaves nothing behind of a thousand streams that were opened and dropped", async function () {
    this.timeout(30_000);
    const descriptors = (): number => readdirSync(`/proc/${stack.service.pid()}/fd`).length;
    const openAndDrop = async (isDroppedWhole: boolean): Promise<void> => {
      const own = connectTo(stack.service.url);
      const some = Array.from({ length: 100 }, () => watch(own, {}));
      await until("all are open", async () => (await watchers()) === 100);
      if (isDroppedWhole) own.close();
      await Promise.all(some.map((each) => each.stop()));
      own.close();
      await until("all are gone", async () => (await watchers()) === 0);
    };
    // The heap grows until it has its size; what is left behind goes on growing.
    for (let round = 0; round < 4; round++) await openAndDrop(round % 2 === 0);
    const [fds, rss] = [descriptors(), await metric("process_resident_memory_bytes")];
    for (let round = 0; round < 6; round++) await openAndDrop(round % 2 === 0);
    await until("connections are closed", () => descriptors() <= fds + 2);
    expect((await metric("process_resident_memory_bytes")) - rss).to.be.below(64 * 1024 * 1024);
  });

  it("leaves nothing behind of a consumer that stopped reading and went away", async () => {
    const slow = stack.connect();
    const abort = new AbortController();
    const iterators = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const messages = slow.watchTokenEvents({}, { timeoutMs: 0, signal: abort.signal })[Symbol.asyncIterator]();
        await messages.next();
        return messages;
      }),
    );
    await activateMany(1_000);
    expect(await watchers()).to.equal(3);
    abort.abort();
    await until("they are gone", async () => (await watchers()) === 0);
    for (const each of iterators) await each.return?.();
  });

  // WATCH_SCALE=10 makes it 200 watchers and 10,000 activations instead of 20 and 1,000, for a run by hand.
  const scale = Number(process.env.WATCH_SCALE ?? 1);
  const total = 1_000 * scale;

  it("brings each of many watchers every event in order, through load and a kill of the service", async function () {
    this.timeout(40_000 * scale);
    const abort = new AbortController();
    setMaxListeners(0, abort.signal);
    type Follower = { events: TokenEvent[]; breaks: string[]; cursor: string };
    const clients: TokenClient[] = [];
    /** Goes on with its last cursor whenever the stream breaks. */
    const follow = async (follower: Follower): Promise<void> => {
      const own = connectTo(stack.service.url);
      clients.push(own);
      while (!abort.signal.aborted)
        try {
          const options = { signal: abort.signal, timeoutMs: 0 };
          const start = follower.cursor === "" ? {} : behind(follower.cursor);
          for await (const message of own.watchTokenEvents(start, options)) take(follower, message);
        } catch (error) {
          if (abort.signal.aborted) return;
          follower.breaks.push(refusalIn(error).reason);
          await until("the service answers", () =>
            fetch(`${stack.service.adminUrl}/readyz`).then(
              ({ ok }) => ok,
              () => false,
            ),
          );
        }
    };
    const take = (follower: Follower, { event, cursor }: WatchTokenEventsResponse): void => {
      if (event) follower.events.push(event);
      follower.cursor = cursor;
    };
    const followers: Follower[] = Array.from({ length: 20 * scale }, () => ({ events: [], breaks: [], cursor: "" }));
    const following = followers.map(follow);
    await until("all have begun", () => followers.every(({ cursor }) => cursor !== ""));

    const references = Array.from({ length: total / 5 }, newReference);
    const left = references.values();
    let done = 0;
    const send = async (): Promise<void> => {
      for (const tokenReferenceId of left)
        for (let version = 1; version <= 5; version++) {
          const deliveryId = `${tokenReferenceId}-v${version}`.slice(-64);
          const members = { tokenReferenceId, activatedS: 2_000 + version, deliveryId };
          // As Alipay+ does: again until there is an answer.
          await until("an activation is recorded", () =>
            recordActivation(client, members, { timeoutMs: 2_000 }).then(
              () => true,
              () => false,
            ),
          );
          done += 1;
        }
    };
    const sending = Array.from({ length: 16 }, send);
    await until("some are recorded", () => done >= total * 0.4, 30_000 * scale);
    await stack.service.kill("SIGKILL");
    expect(done, "killed in the middle").to.be.below(total);
    await stack.service.start();
    await Promise.all(sending);

    const expected = references.flatMap((reference) => [1, 2, 3, 4, 5].map((version) => `${reference} ${version}`));
    for (const [index, follower] of followers.entries()) {
      await until(
        `watcher ${index} has everything`,
        () => new Set(idsOf(follower.events)).size >= expected.length,
        10_000 * scale,
      );
      // A transport that breaks has no reason of ours, a service that starts may not have found Redis yet, and on a busy
      // machine a watcher may be too slow.
      expect(follower.breaks, "the kill broke its stream").to.have.length.at.least(1);
      expect(["", "STORE_UNAVAILABLE", "CONSUMER_TOO_SLOW"], "why streams broke").to.include.members(follower.breaks);
      // What comes a second time was before; what comes for the first time is the next one of its token.
      const versions = new Map<string, bigint>();
      for (const { tokenReferenceId, version } of follower.events) {
        const last = versions.get(tokenReferenceId) ?? 0n;
        if (version > last + 1n)
          throw new Error(`watcher ${index} has ${version} of ${tokenReferenceId} behind ${last}`);
        if (version === last + 1n) versions.set(tokenReferenceId, version);
      }
      expect([...new Set(idsOf(follower.events))]).to.have.members(expected);
    }
    abort.abort();
    await Promise.all(following);
    for (const own of clients) own.close();
  });
});
