import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import { StoredTokenSchema } from "../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { Outcome, Suspender, TokenEventType, TokenState } from "../../proto/gen/mpp/token/v1/token_pb.js";
import {
  customerKey,
  deactivatedKey,
  deliveriesKey,
  eventsKey,
  partitionOf,
  tokenKey,
} from "../../services/token-lifecycle/store/keys.js";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { type TestPart, until } from "../support/processes.js";
import { contentOf } from "../support/store.js";
import {
  allRights,
  eventsInRedis,
  newReference,
  recordActivation,
  recordActivations,
  refusalOf,
  type ServiceStack,
  startServiceStack,
  type TokenClient,
} from "../support/token-client.js";

type AuditLine = Record<string, string> & { time: string };
const auditOf = (service: TestPart, tokenReferenceId: string): AuditLine[] =>
  service
    .log()
    .split("\n")
    .filter((line) => line.includes('"part":"audit"') && line.includes(tokenReferenceId))
    .map((line) => JSON.parse(line));

const by = { reason: "asked for in case 17", actor: "agent 7" };

describe("secret token data", () => {
  let stack: ServiceStack;
  let client: TokenClient;
  let redis: RedisClient;
  before(async () => {
    stack = await startServiceStack({ LOOPBACK_RIGHTS: allRights });
    client = stack.connect();
    redis = await stack.redis.connect();
  });
  after(() => stack.stop());

  const storedToken = async (reference: string) =>
    fromBinary(StoredTokenSchema, (await redis.getBuffer(tokenKey(reference))) ?? Buffer.alloc(0));
  let requests = 0;
  const suspend = (tokenReferenceId: string, words: { reason: string; actor: string }) =>
    client.suspendToken({ tokenReferenceId, suspender: Suspender.ISSUER, requestId: `r-${++requests}`, ...words });
  const erase = (tokenReferenceId: string) => client.eraseToken({ tokenReferenceId, ...by });

  describe("RevealTokenData", () => {
    it("shows it as it was reported, unknown members included", async () => {
      const tokenReferenceId = newReference();
      const tokenData = { token: "5345678901234521", sequenceNumber: "01", unknownMembers: { level: 3, list: ["x"] } };
      await recordActivation(client, { tokenReferenceId, tokenData });
      const revealed = (await client.revealTokenData({ tokenReferenceId, ...by })).tokenData;
      expect(revealed).to.deep.include(tokenData);
      expect(revealed?.expiryMonth).to.equal(undefined);
    });

    it("shows that of the activation that counts", async () => {
      const tokenReferenceId = newReference();
      await recordActivation(client, { tokenReferenceId, activatedS: 3_000, tokenData: { expiryYear: "30" } });
      await recordActivation(client, { tokenReferenceId, activatedS: 2_000, tokenData: { expiryYear: "28" } });
      const { tokenData } = await client.revealTokenData({ tokenReferenceId, ...by });
      expect(tokenData?.expiryYear).to.equal("30");
    });

    it("is in the audit log with who, what and why, and without the data", async () => {
      const tokenReferenceId = newReference();
      await recordActivation(client, { tokenReferenceId });
      await client.revealTokenData({ tokenReferenceId, ...by });
      const lines = () => auditOf(stack.service, tokenReferenceId);
      await until("the line is written", () => lines().length === 1);
      expect(lines()[0]).to.include({ call: "RevealTokenData", caller: "local", outcome: "allowed", ...by });
      expect(stack.service.log()).to.not.include("5345678901234521");
    });

    it("is in the audit log for a token that does not exist, too", async () => {
      const tokenReferenceId = newReference();
      const refusal = await refusalOf(client.revealTokenData({ tokenReferenceId, ...by }));
      expect(refusal).to.deep.include({ code: "NotFound", reason: "TOKEN_NOT_FOUND", domain: "token.mpp" });
      await until("the line is written", () => auditOf(stack.service, tokenReferenceId).length === 1);
    });

    it("is refused for a sealed value that was moved from another token", async () => {
      const [a, b] = [newReference(), newReference()];
      await recordActivation(client, { tokenReferenceId: a });
      await redis.set(tokenKey(b), (await redis.getBuffer(tokenKey(a))) ?? "");
      const refusal = await refusalOf(client.revealTokenData({ tokenReferenceId: b, ...by }));
      expect(refusal).to.deep.include({ code: "Internal", reason: "" });
    });
  });

  for (const rpc of ["revealTokenData", "eraseToken"] as const)
    for (const [field, change] of Object.entries({
      token_reference_id: { tokenReferenceId: "" },
      reason: { reason: "" },
      actor: { actor: "x".repeat(129) },
    }))
      it(`${rpc} names an illegal ${field}`, async () => {
        const refusal = await refusalOf(client[rpc]({ tokenReferenceId: "T-1", ...by, ...change }));
        expect(refusal).to.deep.include({ code: "InvalidArgument", reason: "FIELD_VIOLATION", fields: [field] });
      });

  describe("EraseToken", () => {
    it("leaves a tombstone: reference, client, state, version and times", async () => {
      const tokenReferenceId = newReference();
      await recordActivation(client, { tokenReferenceId, customerId: "customer-erased" });
      const { eraseTime } = await erase(tokenReferenceId);
      const { token } = await client.getToken({ tokenReferenceId });
      expect(token).to.deep.include({
        tokenReferenceId,
        state: TokenState.DEACTIVATED,
        suspenders: [],
        version: 2n,
        clientId: "TEST_CLIENT",
        eraseTime,
      });
      for (const member of ["customerId", "tokenData", "tokenActivatedTime", "serviceRequestTime"] as const)
        expect(token?.[member], member).to.equal(undefined);
      expect(eraseTime && Math.abs(Date.now() - timestampMs(eraseTime))).to.be.below(5_000);
      const refusal = await refusalOf(client.revealTokenData({ tokenReferenceId, ...by }));
      expect(refusal).to.deep.include({ code: "NotFound", reason: "TOKEN_ERASED", domain: "token.mpp" });
    });

    it("keeps the history without the words of people, and says that it was erased", async () => {
      const tokenReferenceId = newReference();
      await recordActivation(client, { tokenReferenceId });
      await suspend(tokenReferenceId, { reason: "Jane lost her phone", actor: "Jane's brother" });
      await erase(tokenReferenceId);
      const { events, explanation, uneventfulDeliveries } = await client.getTokenHistory({ tokenReferenceId });
      expect(events.map(({ type, reason, actor }) => [type, reason, actor])).to.deep.equal([
        [TokenEventType.ACTIVATED, "", ""],
        [TokenEventType.SUSPENDED, "", ""],
        [TokenEventType.ERASED, by.reason, by.actor],
      ]);
      expect(explanation).to.equal("DEACTIVATED because version 3 erased it.");
      expect(uneventfulDeliveries).to.deep.equal([]);
    });

    it("leaves no trace of customers, people's words or sealed data anywhere in Redis", async () => {
      const tokenReferenceId = newReference();
      const customers = ["customer-trace-1", "customer-trace-2"];
      const request = { tokenReferenceId, customerId: customers[0] ?? "", activatedS: 2_000 };
      await recordActivation(client, request);
      const firstSealed = (await storedToken(tokenReferenceId)).tokenData?.ciphertext ?? [];
      await recordActivation(client, { ...request, customerId: customers[1] ?? "", activatedS: 3_000 });
      await recordActivation(client, request);
      await refusalOf(recordActivation(client, { ...request, customerId: "customer-trace-3" }));
      await suspend(tokenReferenceId, { reason: "trace of Jane", actor: "trace of her brother" });
      const sealed = (await storedToken(tokenReferenceId)).tokenData?.ciphertext ?? [];
      await until("deliveries are written", async () => (await redis.llen(deliveriesKey(tokenReferenceId))) === 2);

      const traces = ["customer-trace", "trace of Jane", "trace of her brother", Buffer.from(sealed)];
      const before = await contentOf(redis);
      for (const trace of traces) expect(before.includes(trace), `${trace} before`).to.equal(true);
      await erase(tokenReferenceId);
      const after = await contentOf(redis);
      for (const trace of [...traces, Buffer.from(firstSealed)])
        expect(after.includes(trace), `${trace} after`).to.equal(false);
      expect(await redis.exists(deliveriesKey(tokenReferenceId), ...customers.map(customerKey))).to.equal(0);
      expect((await eventsInRedis(redis, tokenReferenceId)).map(({ type }) => TokenEventType[type])).to.deep.equal([
        "ERASED",
      ]);
    });

    it("leaves no list behind of a customer who never was the token's", async () => {
      const tokenReferenceId = newReference();
      await recordActivation(client, { tokenReferenceId, customerId: "customer-own", activatedS: 3_000 });
      await refusalOf(
        recordActivation(client, { tokenReferenceId, customerId: "customer-claimed", activatedS: 3_000 }),
      );
      await recordActivation(client, { tokenReferenceId, customerId: "customer-late", activatedS: 2_000 });
      expect(await redis.exists(customerKey("customer-claimed"), customerKey("customer-late"))).to.equal(0);
      expect(await redis.zrange(customerKey("customer-own"), "0", "-1")).to.deep.equal([tokenReferenceId]);
    });

    it("leaves no trace of a token without a customer either", async () => {
      const tokenReferenceId = newReference();
      await recordActivation(client, { tokenReferenceId });
      await suspend(tokenReferenceId, { reason: "John lost his phone", actor: "John's sister" });
      await erase(tokenReferenceId);
      const content = await contentOf(redis);
      for (const trace of ["John lost", "John's sister"]) expect(content.includes(trace), trace).to.equal(false);
    });

    it("leaves no trace while activations of the token come in", async () => {
      const tokenReferenceId = newReference();
      const activate = (i: number) =>
        recordActivation(client, { tokenReferenceId, customerId: `customer-race-${i}`, activatedS: 2_000 + i });
      await activate(0);
      const racing = Array.from({ length: 12 }, (_, i) => activate(i + 1).catch(refusalOfContention));
      const [erased] = await Promise.all([erase(tokenReferenceId).catch(refusalOfContention), ...racing]);
      if (erased === undefined) await erase(tokenReferenceId);
      expect((await contentOf(redis)).includes("customer-race")).to.equal(false);
    });
    const refusalOfContention = async (error: unknown): Promise<undefined> => {
      expect((await refusalOf(Promise.reject(error))).reason).to.equal("CONTENTION");
      return undefined;
    };

    it("leaves other tokens of the customer and of the partition alone", async () => {
      const customerId = "customer-of-two";
      const [gone, stays] = [newReference(), newReference()];
      let neighbour = newReference();
      while (partitionOf(neighbour) !== partitionOf(gone)) neighbour = newReference();
      for (const tokenReferenceId of [gone, stays, neighbour])
        await recordActivation(client, { tokenReferenceId, customerId });
      await erase(gone);
      const { tokens } = await client.listTokens({ customerId });
      expect(tokens.map(({ tokenReferenceId }) => tokenReferenceId)).to.have.members([stays, neighbour]);
      expect(await eventsInRedis(redis, neighbour)).to.have.length(1);
    });

    it("still recognises a late repeat, whatever its content, and makes no trace of it", async () => {
      const members = { tokenReferenceId: newReference(), customerId: "customer-repeat" };
      await recordActivation(client, members);
      await erase(members.tokenReferenceId);
      for (const tokenData of [{ token: "5345678901234521" }, { expiryYear: "31" }])
        expect(await recordActivation(client, { ...members, tokenData })).to.deep.include({
          outcome: Outcome.REPEATED,
          state: TokenState.DEACTIVATED,
          version: 2n,
        });
      expect((await contentOf(redis)).includes("customer-repeat")).to.equal(false);
    });

    it("is final: newer and older activations are recorded without effect and without content", async () => {
      const members = { tokenReferenceId: newReference(), customerId: "customer-revived" };
      await recordActivation(client, { ...members, activatedS: 2_000 });
      await erase(members.tokenReferenceId);
      const nowS = Math.floor(Date.now() / 1000);
      const newer = await recordActivation(client, { ...members, activatedS: nowS + 100 });
      expect(newer).to.deep.include({ outcome: Outcome.RECORDED_NO_EFFECT, state: TokenState.DEACTIVATED });
      const older = await recordActivation(client, { ...members, activatedS: 1_000 });
      expect(older).to.deep.include({ outcome: Outcome.RECORDED_LATE, state: TokenState.DEACTIVATED });
      const { token } = await client.getToken({ tokenReferenceId: members.tokenReferenceId });
      expect(token).to.deep.include({ version: 4n, state: TokenState.DEACTIVATED });
      expect(token?.tokenData).to.equal(undefined);
      expect((await contentOf(redis)).includes("customer-revived")).to.equal(false);
      expect(await recordActivation(client, { ...members, activatedS: nowS + 100 })).to.deep.include({
        outcome: Outcome.REPEATED,
      });
    });

    it("answers a repeat with the same time, makes no second event, and finishes what was cut off", async () => {
      const tokenReferenceId = newReference();
      await recordActivation(client, { tokenReferenceId, customerId: "customer-cut" });
      const stream = eventsKey(partitionOf(tokenReferenceId));
      const [entry] = await redis.xrevrangeBuffer(stream, "+", "-", "COUNT", 1);
      const first = await erase(tokenReferenceId);
      // As if the service had died behind the swap.
      await redis.xadd(stream, "*", "e", entry?.[1][1] ?? "");
      await redis.lpush(deliveriesKey(tokenReferenceId), "left");
      await redis.zadd(deactivatedKey, Date.now(), tokenReferenceId);
      const second = await erase(tokenReferenceId);
      expect(second.eraseTime).to.deep.equal(first.eraseTime);
      expect((await contentOf(redis)).includes("customer-cut")).to.equal(false);
      expect(await redis.exists(deliveriesKey(tokenReferenceId))).to.equal(0);
      expect(await redis.zscore(deactivatedKey, tokenReferenceId)).to.equal(null);
      expect((await client.getToken({ tokenReferenceId })).token?.version).to.equal(2n);
    });

    it("of an unknown token is TOKEN_NOT_FOUND and in the audit log", async () => {
      const tokenReferenceId = newReference();
      expect(await refusalOf(erase(tokenReferenceId))).to.deep.include({ code: "NotFound", reason: "TOKEN_NOT_FOUND" });
      await until("the line is written", () => auditOf(stack.service, tokenReferenceId).length === 1);
      expect(auditOf(stack.service, tokenReferenceId)[0]).to.include({ call: "EraseToken", outcome: "allowed", ...by });
    });
  });
});

describe("retention", () => {
  const everyMs = 600;
  let stack: ServiceStack;
  let client: TokenClient;
  let redis: RedisClient;
  before(async () => {
    stack = await startServiceStack({
      LOOPBACK_RIGHTS: allRights,
      RETENTION_DEACTIVATED_DAYS: "2",
      RETENTION_EVERY_MS: `${everyMs}`,
    });
    client = stack.connect();
    redis = await stack.redis.connect();
  });
  after(() => stack.stop());

  it("erases what was deactivated long ago, a few tokens at a time, and nothing else", async () => {
    const day = 86_400_000;
    const names = (what: string, count: number) => Array.from({ length: count }, (_, i) => `T-${what}-${i}`);
    const [due, notDue, active] = [names("due", 45), names("young", 3), names("active", 3)];
    await recordActivations(
      client,
      [...due, ...notDue, ...active].map((tokenReferenceId) => ({ tokenReferenceId, customerId: "retained" })),
    );
    const deactivation = { suspender: Suspender.ISSUER, reason: "closed", actor: "agent 7", requestId: "r" };
    for (const tokenReferenceId of [...due, ...notDue])
      await client.deactivateToken({ tokenReferenceId, ...deactivation });
    for (const reference of notDue) await redis.zadd(deactivatedKey, Date.now() - 1.9 * day, reference);
    // Entries may name tokens that were never deactivated: they go out with a swap that may fail.
    for (const reference of [...active, "T-unknown"]) await redis.zadd(deactivatedKey, 1, reference);
    for (const reference of due) await redis.zadd(deactivatedKey, Date.now() - 2.1 * day, reference);

    const statesOf = async (references: string[]) => {
      const { items } = await client.batchGetTokens({ tokenReferenceIds: references });
      return items.map(({ result }) =>
        result.case === "token"
          ? `${TokenState[result.value.state]}${result.value.eraseTime ? " erased" : ""}`
          : "none",
      );
    };
    await until("all that is due is erased", async () =>
      (await statesOf(due)).every((state) => state === "DEACTIVATED erased"),
    );
    expect(new Set(await statesOf(notDue))).to.deep.equal(new Set(["DEACTIVATED"]));
    expect(new Set(await statesOf(active))).to.deep.equal(new Set(["ACTIVE"]));
    await until("the list is tidy", async () => (await redis.zcard(deactivatedKey)) === notDue.length);
    expect(await redis.zrange(customerKey("retained"), "0", "-1")).to.have.members([...notDue, ...active]);

    const lines = auditOf(stack.service, "T-due");
    expect(lines).to.have.length(due.length);
    for (const line of lines) expect(line).to.include({ call: "EraseToken", caller: "retention", outcome: "allowed" });
    const times = lines.map(({ time }) => Date.parse(time));
    for (const [index, time] of times.entries())
      if (index >= 20) expect(time - (times[index - 20] ?? 0), "20 tokens take a round").to.be.above(everyMs / 2);
  });
});
