// The promise to every caller: applied once, and the same notification always gets the same result.
import { randomUUID } from "node:crypto";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { expect } from "chai";
import { Outcome, TokenState } from "../../proto/gen/mpp/token/v1/token_pb.js";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { expectResult } from "../support/expectations.js";
import { privateKey, publicPem, testSender, writeClient } from "../support/keys.js";
import { notification, notify } from "../support/notification.js";
import { startTestStack, type TestStack, until } from "../support/processes.js";
import { eventsOf, getToken, storedToken } from "../support/store.js";

const newReference = () => `T-${randomUUID()}`;

describe("a notification that comes again", () => {
  let stack: TestStack;
  let redis: RedisClient;
  before(async () => {
    stack = await startTestStack();
    redis = await stack.redis.connect();
  });
  after(() => stack?.stop());

  const send = (members: Record<string, unknown> | string) => notify(stack.gateway.url, members);

  it("is applied once when it comes a hundred times at once", async () => {
    const tokenReferenceId = newReference();
    const text = JSON.stringify(notification({ tokenReferenceId }));
    const agent = new Agent({ keepAlive: true, maxSockets: 32 });
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => notify(stack.gateway.url, text, { agent })),
    ).finally(() => agent.destroy());
    for (const answer of answers) expectResult(answer, "SUCCESS");
    expect((await storedToken(redis, tokenReferenceId))?.version).to.equal(1n);
    const events = await eventsOf(redis, tokenReferenceId);
    expect(events.map(({ version, outcome }) => ({ version, outcome }))).to.deep.equal([
      { version: 1n, outcome: Outcome.APPLIED },
    ]);
  });

  const reference = "T-written-in-many-ways";
  const original = notification({ tokenReferenceId: reference, secureElementId: undefined });
  const reversed = Object.fromEntries(Object.entries(original).reverse());
  const sameContent: { name: string; text: string }[] = [
    { name: "the same bytes", text: JSON.stringify(original) },
    { name: "its members in another order", text: JSON.stringify(reversed) },
    { name: "white space", text: JSON.stringify(original, undefined, "\t") },
    { name: "null for an absent member", text: JSON.stringify({ ...original, secureElementId: null }) },
    {
      name: "its times in UTC, with Z",
      text: JSON.stringify({
        ...original,
        serviceRequestTime: "2026-01-02T03:04:05Z",
        tokenActivatedTime: "2026-01-02T03:05:06.789Z",
      }),
    },
    {
      name: "its times in UTC, with +00:00",
      text: JSON.stringify({
        ...original,
        serviceRequestTime: "2026-01-02T03:04:05+00:00",
        tokenActivatedTime: "2026-01-02T03:05:06.789000+00:00",
      }),
    },
    {
      name: "escapes",
      text: JSON.stringify(original)
        .replace("customer-1", String.raw`\u0063ustomer-1`)
        .replace("walletId", "w\\u0061lletId"),
    },
    { name: "a member that no schema knows", text: JSON.stringify({ ...original, traceId: "abc" }) },
    {
      name: "a member of tokenData that no schema knows",
      text: JSON.stringify({ ...original, tokenData: { ...(original.tokenData as object), later: "x" } }),
    },
  ];
  for (const { name, text } of sameContent)
    it(`is a repeat when it is written with ${name}`, async () => {
      expectResult(await send(original), "SUCCESS");
      expectResult(await send(text), "SUCCESS");
      expect((await storedToken(redis, reference))?.version).to.equal(1n);
      expect(await eventsOf(redis, reference)).to.have.length(1);
    });

  const otherContent: { field: string; members: Record<string, unknown> }[] = [
    { field: "customerId", members: { customerId: "customer-2" } },
    { field: "customerId, absent", members: { customerId: undefined } },
    { field: "walletId", members: { walletId: "104" } },
    { field: "tokenRequestorId", members: { tokenRequestorId: "50110030274" } },
    { field: "secureElementId", members: { secureElementId: "04AABBCCDDEEFE" } },
    { field: "accountSource", members: { accountSource: "EXISTING_TOKEN_CREDENTIAL" } },
    { field: "serviceRequestTime", members: { serviceRequestTime: "2026-01-02T11:04:05.001+08:00" } },
    ...[{ token: "5345678901234520" }, { expiryMonth: "11" }, { expiryYear: "29" }, { sequenceNumber: "02" }].map(
      (child) => ({
        field: `tokenData.${Object.keys(child)[0]}`,
        members: { tokenData: { ...(notification().tokenData as object), ...child } },
      }),
    ),
  ];
  for (const { field, members } of otherContent)
    it(`is refused when the same time comes with other content in ${field}, and the first stays`, async () => {
      const tokenReferenceId = newReference();
      const first = notification({ tokenReferenceId });
      expectResult(await send(first), "SUCCESS");
      const before = await getToken(stack.service.url, tokenReferenceId);
      const answers = [await send({ ...first, ...members }), await send({ ...first, ...members })];
      for (const answer of answers) expectResult(answer, "PROCESS_FAIL");
      expect(await getToken(stack.service.url, tokenReferenceId)).to.deep.equal(before);
      expect(await eventsOf(redis, tokenReferenceId)).to.have.length(1);
      expectResult(await send(first), "SUCCESS");
    });

  it("is kept in history and changes nothing when it is older than what is on record", async () => {
    const tokenReferenceId = newReference();
    const newer = notification({ tokenReferenceId });
    const older = { ...newer, tokenActivatedTime: "2025-12-31T00:00:00Z", customerId: "customer-0" };
    expectResult(await send(newer), "SUCCESS");
    const before = await getToken(stack.service.url, tokenReferenceId);
    for (const answer of [await send(older), await send(older)]) expectResult(answer, "SUCCESS");
    const { version, updateTime: _, ...after } = await getToken(stack.service.url, tokenReferenceId);
    expect(version).to.equal("2");
    expect({ ...after, version: "1", updateTime: before.updateTime }).to.deep.equal(before);
    const stored = await storedToken(redis, tokenReferenceId);
    expect(stored?.activation?.customerId).to.equal("customer-1");
    expect(
      stored?.history.map(({ version, outcome, state, eventTime }) => [version, outcome, state, eventTime?.seconds]),
    ).to.deep.equal([
      [1n, Outcome.APPLIED, TokenState.ACTIVE, BigInt(Date.parse("2026-01-02T03:05:06Z") / 1000)],
      [2n, Outcome.RECORDED_LATE, TokenState.ACTIVE, BigInt(Date.parse("2025-12-31T00:00:00Z") / 1000)],
    ]);
    expect(await eventsOf(redis, tokenReferenceId)).to.have.length(2);
  });

  it("activates the token again when it is later than what is on record", async () => {
    const tokenReferenceId = newReference();
    const first = notification({ tokenReferenceId });
    const later = { ...first, tokenActivatedTime: "2026-02-01T00:00:00Z", walletId: "104" };
    for (const each of [first, later, later, first]) expectResult(await send(each), "SUCCESS");
    const token = await getToken(stack.service.url, tokenReferenceId);
    expect(token).to.include({
      state: "TOKEN_STATE_ACTIVE",
      version: "2",
      walletId: "104",
      tokenActivatedTime: "2026-02-01T00:00:00Z",
      stateTime: "2026-02-01T00:00:00Z",
    });
    const events = await eventsOf(redis, tokenReferenceId);
    expect(events.map(({ outcome }) => outcome)).to.deep.equal([Outcome.APPLIED, Outcome.APPLIED]);
  });

  it("ends the same whatever the order in which several activations arrive at once", async () => {
    const tokenReferenceId = newReference();
    const days = Array.from({ length: 12 }, (_, index) => `2026-03-${String(index + 1).padStart(2, "0")}T00:00:00Z`);
    const agent = new Agent({ keepAlive: true, maxSockets: 12 });
    const answers = await Promise.all(
      [...days, ...days].map((tokenActivatedTime) =>
        notify(stack.gateway.url, notification({ tokenReferenceId, tokenActivatedTime }), { agent }),
      ),
    ).finally(() => agent.destroy());
    // What lost the race too often is U, and is sent again.
    for (const answer of answers) expect(answer.result.resultStatus).to.be.oneOf(["S", "U"]);
    for (const tokenActivatedTime of days)
      expectResult(await send(notification({ tokenReferenceId, tokenActivatedTime })), "SUCCESS");
    const token = await getToken(stack.service.url, tokenReferenceId);
    expect(token).to.include({ version: "12", tokenActivatedTime: "2026-03-12T00:00:00Z" });
    expect(await eventsOf(redis, tokenReferenceId)).to.have.length(12);
  });

  it("is refused when another client reports the token, and the token stays with the first", async () => {
    const other = { ...testSender, clientId: "OTHER_CLIENT" };
    const tokenReferenceId = newReference();
    const first = notification({ tokenReferenceId });
    expectResult(await send(first), "SUCCESS");
    writeClient(stack.keysDir, other.clientId);
    await until("the new client is let in", async () => {
      const { result } = await notify(stack.gateway.url, notification(), { sender: other });
      return result.resultCode === "SUCCESS";
    });
    const before = await getToken(stack.service.url, tokenReferenceId);
    for (const members of [first, { ...first, tokenActivatedTime: "2026-06-01T00:00:00Z" }])
      expectResult(await notify(stack.gateway.url, members, { sender: other }), "PROCESS_FAIL", {
        clientId: other.clientId,
      });
    expect(await getToken(stack.service.url, tokenReferenceId)).to.deep.equal(before);
    expectResult(await send(first), "SUCCESS");
  });

  it("is taken under a new key that was added while the gateway runs, and the old key goes on", async () => {
    const rolled = { ...testSender, keyVersion: 2, privateKey: privateKey("other") };
    const members = notification();
    expectResult(await notify(stack.gateway.url, members, { sender: rolled }), "KEY_NOT_FOUND");
    const file = join(stack.keysDir, testSender.clientId, "alipayplus.2.public.pem");
    // Written beside and moved, as a careful operator does.
    writeFileSync(`${file}.new`, publicPem("other"));
    renameSync(`${file}.new`, file);
    await until("the new key is known", async () => {
      const { result } = await notify(stack.gateway.url, members, { sender: rolled });
      return result.resultCode === "SUCCESS";
    });
    expectResult(await notify(stack.gateway.url, members), "SUCCESS");
    expect((await storedToken(redis, String(members.tokenReferenceId)))?.version).to.equal(1n);
    rmSync(file);
    await until("the new key is forgotten", async () => {
      const { result } = await notify(stack.gateway.url, members, { sender: rolled });
      return result.resultCode === "KEY_NOT_FOUND";
    });
  });

  it("is turned away while a file `denied` lies beside the client's keys, without a restart", async () => {
    const denied = join(stack.keysDir, testSender.clientId, "denied");
    const members = notification();
    writeFileSync(denied, "");
    try {
      await until("the client is denied", async () => (await send(members)).result.resultCode === "ACCESS_DENIED");
      expectResult(await send(members), "ACCESS_DENIED");
      expectResult(await send(notification()), "ACCESS_DENIED");
    } finally {
      rmSync(denied);
    }
    await until("the client is let in again", async () => (await send(members)).result.resultCode === "SUCCESS");
  });
});
