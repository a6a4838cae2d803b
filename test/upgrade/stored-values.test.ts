// What one version of the token service stored, another one reads, repeats and moves: each way, over one Redis and one keyring.
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { type StoredToken, StoredTokenSchema } from "../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { Outcome, Suspender, type TokenEvent, TokenState } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { tokenKey } from "../../services/token-lifecycle/store/keys.js";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { previousVersions, type Version } from "../../tools/previous.js";
import { startTestPart, until, untilServing } from "../support/processes.js";
import { allEvents, contentOf, storedToken } from "../support/store.js";
import {
  type ActivationMembers,
  allRights,
  connectTo,
  newReference,
  recordActivation,
  refusalOf,
  type ServiceStack,
  startServiceStack,
  type TokenClient,
  watch,
} from "../support/token-client.js";
import { buildOrSkip } from "../support/versions.js";

const settings = { LOOPBACK_RIGHTS: allRights, WATCH_HEARTBEAT_MS: "100" };
const present = "this version";

const move = (tokenReferenceId: string, requestId: string, suspender = Suspender.CARDHOLDER) => ({
  ...{ tokenReferenceId, requestId, suspender },
  ...{ reason: "lost", actor: "agent 7" },
});
const why = { reason: "court order", actor: "agent 7" };

type Past = { readonly name: string; readonly reference: string; readonly said: Required<ActivationMembers> };

/** Tokens of one customer in every state that callers can bring about, each with the activation that they began with. */
async function record(service: TokenClient, customerId: string): Promise<Past[]> {
  const all = new Map<string, (reference: string, again: ActivationMembers) => Promise<unknown>>([
    ["active", async () => {}],
    ["activated again later", (_, again) => recordActivation(service, { ...again, activatedS: 3_000 })],
    ["with late news", (_, again) => recordActivation(service, { ...again, activatedS: 1_000 })],
    ["repeated", (_, again) => recordActivation(service, again)],
    ["in conflict", (_, again) => refusalOf(recordActivation(service, { ...again, customerId: "another" }))],
    ["suspended", (reference) => service.suspendToken(move(reference, "suspend-1"))],
    [
      "resumed",
      async (reference) => {
        await service.suspendToken(move(reference, "suspend-1"));
        await service.resumeToken(move(reference, "resume-1"));
      },
    ],
    ["deactivated", (reference) => service.deactivateToken(move(reference, "deactivate-1"))],
    ["erased", (reference) => service.eraseToken({ tokenReferenceId: reference, ...why })],
  ]);
  const tokens: Past[] = [];
  for (const [name, happen] of all) {
    const said = {
      ...{ tokenReferenceId: newReference(), customerId, clientId: "TEST_CLIENT", deliveryId: randomUUID() },
      ...{ activatedS: 2_000, tokenData: { token: "5345678901234521", expiryMonth: "10", expiryYear: "28" } },
    };
    await recordActivation(service, said);
    await happen(said.tokenReferenceId, said);
    tokens.push({ name, reference: said.tokenReferenceId, said });
  }
  // Notes of deliveries that changed nothing are written behind the answer.
  for (const name of ["repeated", "in conflict"]) {
    const { reference = "" } = tokens.find((token) => token.name === name) ?? {};
    await until("the note is there", async () => {
      const { uneventfulDeliveries } = await service.getTokenHistory({ tokenReferenceId: reference });
      return uneventfulDeliveries.length > 0;
    });
  }
  return tokens;
}

/** Everything that the reading rpcs tell of a customer's tokens. */
async function readAll(service: TokenClient, tokens: readonly Past[], customerId: string) {
  const references = tokens.map(({ reference }) => reference);
  const each = tokens.map(async ({ name, reference: tokenReferenceId }) => ({
    name,
    token: await service.getToken({ tokenReferenceId }),
    history: await service.getTokenHistory({ tokenReferenceId }),
    clear: await service
      .revealTokenData({ tokenReferenceId, ...why })
      .catch((error) => refusalOf(Promise.reject(error))),
  }));
  const list = await service.listTokens({ customerId });
  list.tokens.sort((a, b) => a.tokenReferenceId.localeCompare(b.tokenReferenceId));
  return {
    each: await Promise.all(each),
    list,
    batch: await service.batchGetTokens({ tokenReferenceIds: references }),
  };
}

const idOf = ({ tokenReferenceId, version }: TokenEvent): string => `${tokenReferenceId} ${version}`;

const byId = (a: TokenEvent, b: TokenEvent): number => idOf(a).localeCompare(idOf(b));
type StartOfWatch = NonNullable<Parameters<typeof watch>[1]["start"]>;

/** The messages with events that a watch brings until there are so many. */
async function eventsAt(service: TokenClient, start: StartOfWatch, count: number) {
  const watching = watch(service, { start });
  await until(`${count} events have come`, () => watching.events.length >= count);
  await watching.stop();
  return watching.messages.flatMap(({ event, cursor }) => (event ? [{ event, cursor, id: idOf(event) }] : []));
}

type Pair = {
  readonly redis: RedisClient;
  readonly writer: TokenClient;
  readonly reader: TokenClient;
  readonly knowsFingerprints: boolean;
};

function storedValuesPass(name: string, pair: () => Pair): void {
  describe(name, () => {
    const customerId = `C-${randomUUID()}`;
    let redis: RedisClient;
    let writer: TokenClient;
    let reader: TokenClient;
    let knowsFingerprints: boolean;
    let tokens: Past[];
    before(async () => {
      ({ redis, writer, reader, knowsFingerprints } = pair());
      tokens = await record(writer, customerId);
    });
    const token = (name: string): Past => {
      const found = tokens.find((each) => each.name === name);
      if (!found) throw new Error(`no token is ${name}`);
      return found;
    };

    it("reads tokens, histories, token data in clear and the customer's list alike", async () => {
      expect(await readAll(reader, tokens, customerId)).to.deep.equal(await readAll(writer, tokens, customerId));
    });

    it("goes on with the other's pages and cursors, and sees the same events", async () => {
      const page = await writer.listTokens({ customerId, pageSize: 3 });
      const next = { customerId, pageSize: 3, pageToken: page.nextPageToken };
      expect(await reader.listTokens(next)).to.deep.equal(await writer.listTokens(next));

      const beginning = { case: "fromBeginning", value: true } as const;
      const count = (await allEvents(redis)).length;
      const its = await eventsAt(writer, beginning, count);
      const mine = await eventsAt(reader, beginning, count);
      const sorted = (messages: typeof its) => messages.map(({ event }) => event).sort(byId);
      expect(sorted(mine)).to.deep.equal(sorted(its));

      const [first, rest] = [its.slice(0, count / 2), its.slice(count / 2)];
      const cursor = { case: "cursor", value: first.at(-1)?.cursor ?? "" } as const;
      const onward = await eventsAt(reader, cursor, rest.length);
      expect(onward.map(({ id }) => id)).to.have.members(rest.map(({ id }) => id));
    });

    it("answers a repeat as the writer does, or not at all", async () => {
      for (const { name, said } of tokens) {
        const mine = await recordActivation(writer, said);
        expect(mine.outcome, name).to.equal(Outcome.REPEATED);
        // A tombstone has no fingerprint to compare.
        if (knowsFingerprints || name === "erased")
          expect(await recordActivation(reader, said), name).to.deep.equal(mine);
        else expect((await refusalOf(recordActivation(reader, said))).code, name).to.equal("Internal");
      }
    });

    it("refuses other content as the writer does, or does not answer", async () => {
      const other = { ...token("active").said, customerId: "another" };
      const mine = await refusalOf(recordActivation(writer, other));
      expect([mine.reason, mine.metadata.fields]).to.deep.equal(["ACTIVATION_CONFLICT", "customerId"]);
      const its = await refusalOf(recordActivation(reader, other));
      if (knowsFingerprints) expect(its).to.deep.equal(mine);
      else expect(its.code).to.equal("Internal");
    });

    it("knows an answered move by its request_id", async () => {
      const again = move(token("suspended").reference, "suspend-1");
      expect(await reader.suspendToken(again)).to.deep.include({ state: TokenState.SUSPENDED, repeated: true });
      const ended = move(token("deactivated").reference, "deactivate-1");
      expect(await reader.deactivateToken(ended)).to.deep.include({ state: TokenState.DEACTIVATED, repeated: true });
    });

    it("moves what the writer stored, and the writer goes on from there", async () => {
      const { reference, said } = token("activated again later");
      const changes: [by: TokenClient, act: (by: TokenClient) => Promise<{ version: bigint }>][] = [
        [reader, (by) => by.suspendToken(move(reference, "s-1"))],
        [writer, (by) => by.suspendToken(move(reference, "s-2", Suspender.ISSUER))],
        [reader, (by) => recordActivation(by, { ...said, activatedS: 4_000 })],
        [writer, (by) => by.resumeToken(move(reference, "r-1"))],
        [reader, (by) => by.resumeToken(move(reference, "r-2", Suspender.ISSUER))],
        [writer, (by) => recordActivation(by, { ...said, activatedS: 5_000 })],
        [reader, (by) => by.deactivateToken(move(reference, "d-1"))],
      ];
      let version = 2n;
      for (const [by, act] of changes) expect((await act(by)).version).to.equal(++version);
      for (const by of [reader, writer]) {
        const { token, events } = await by.getTokenHistory({ tokenReferenceId: reference });
        expect([token?.state, token?.version]).to.deep.equal([TokenState.DEACTIVATED, version]);
        expect(events.map((event) => event.version)).to.deep.equal([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n]);
      }
      // One record now has fingerprints of both: each is compared under the version that it was made with.
      expect((await recordActivation(writer, said)).outcome).to.equal(Outcome.REPEATED);
    });

    it("erases what the writer stored, and leaves a tombstone that the writer knows", async () => {
      const { reference, said } = token("with late news");
      await reader.eraseToken({ tokenReferenceId: reference, ...why });
      const clear = writer.revealTokenData({ tokenReferenceId: reference, ...why });
      expect((await refusalOf(clear)).reason).to.equal("TOKEN_ERASED");
      expect((await recordActivation(writer, said)).outcome).to.equal(Outcome.REPEATED);
    });
  });
}

function storedValuesPassBothWays(version: Version): void {
  describe(`stored values and the version of ${version.name}`, () => {
    let stack: ServiceStack;
    let stop = async (): Promise<void> => {};
    let here: TokenClient;
    let there: TokenClient;
    let redis: RedisClient;
    before(async function () {
      const product = buildOrSkip(this, version);
      stack = await startServiceStack(settings);
      const other = await startTestPart(
        "service",
        { ...settings, DATA_DIR: stack.folder, REDIS_URL: stack.redis.url, DURABILITY_CHECK_MS: "100" },
        join(stack.folder, "other.log"),
        product,
      );
      stop = other.stop;
      await untilServing(other);
      redis = await stack.redis.connect();
      here = stack.connect();
      there = connectTo(other.url);
    });
    after(async () => {
      there?.close();
      await stop();
      await stack?.stop();
    });

    storedValuesPass(`written there and read by ${present}`, () => ({
      ...{ redis, writer: there, reader: here, knowsFingerprints: true },
    }));
    // Fingerprints of version 2 came after the first of them.
    storedValuesPass(`written by ${present} and read there`, () => ({
      ...{ redis, writer: here, reader: there, knowsFingerprints: version.fingerprints >= 2 },
    }));
  });
}

for (const version of previousVersions) storedValuesPassBothWays(version);

describe("stored values of a version to come", () => {
  let stack: ServiceStack;
  let redis: RedisClient;
  let client: TokenClient;
  before(async () => {
    stack = await startServiceStack(settings);
    redis = await stack.redis.connect();
    client = stack.connect();
  });
  after(() => stack.stop());

  /** Changes what is stored of a token, as a later version might. */
  async function rewrite(tokenReferenceId: string, change: (stored: StoredToken) => void): Promise<void> {
    const stored = await storedToken(redis, tokenReferenceId);
    if (!stored) throw new Error("no such token");
    change(stored);
    await redis.set(tokenKey(tokenReferenceId), Buffer.from(toBinary(StoredTokenSchema, stored)));
  }

  it("keep the fields that this version does not know, through every change", async () => {
    const said = { tokenReferenceId: newReference(), customerId: "C-1" };
    await recordActivation(client, said);
    await rewrite(said.tokenReferenceId, (stored) => {
      for (const message of [stored, stored.activation, stored.tokenData, stored.activations[0], stored.history[0]])
        if (message) message.$unknown = [{ no: 900, wireType: 2, data: Buffer.from("\x04news") }];
    });
    const news = async (): Promise<number> => (await contentOf(redis)).toString("latin1").split("news").length - 1;
    expect(await news()).to.equal(5);
    await client.suspendToken(move(said.tokenReferenceId, "s-1"));
    await recordActivation(client, { ...said, activatedS: 1_000 });
    expect(await news()).to.equal(5);
  });

  it("with fingerprints that this version does not know are not answered, neither S nor F", async () => {
    const said = { tokenReferenceId: newReference(), customerId: "C-1" };
    await recordActivation(client, said);
    await rewrite(said.tokenReferenceId, ({ activations }) => {
      for (const fingerprint of activations) fingerprint.fieldsVersion = 900;
    });
    for (const members of [said, { ...said, customerId: "another" }])
      expect((await refusalOf(recordActivation(client, members))).code).to.equal("Internal");
    expect((await recordActivation(client, { ...said, activatedS: 3_000 })).outcome).to.equal(Outcome.APPLIED);
  });
});
