import { create, toBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { expect } from "chai";
import { ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import { StoredTokenSchema } from "../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { ListTokensRequestSchema } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { Outcome, Suspender, TokenEventType, TokenState } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { customerKey, tokenKey } from "../../services/token-lifecycle/store/keys.js";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { at } from "../support/commands.js";
import { startTestPart, until, untilServing } from "../support/processes.js";
import {
  connectTo,
  newReference,
  recordActivation,
  recordActivations,
  refusalOf,
  type ServiceStack,
  startServiceStack,
  type TokenClient,
} from "../support/token-client.js";

const numbered = (customer: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${customer}-${String(i).padStart(4, "0")}`);

describe("reading tokens", () => {
  let stack: ServiceStack;
  let client: TokenClient;
  let redis: RedisClient;
  before(async () => {
    stack = await startServiceStack({ REDIS_TIMEOUT_MS: "500" });
    client = stack.connect();
    redis = await stack.redis.connect();
  });
  after(() => stack.stop());

  let requests = 0;
  const requestOf = (tokenReferenceId: string, suspender: Suspender) => ({
    ...{ tokenReferenceId, suspender },
    ...{ reason: "lost", actor: "agent 7", requestId: `r-${++requests}` },
  });
  const suspend = (reference: string, suspender = Suspender.ISSUER) =>
    client.suspendToken(requestOf(reference, suspender));
  const resume = (reference: string, suspender = Suspender.ISSUER) =>
    client.resumeToken(requestOf(reference, suspender));
  const deactivate = (reference: string) => client.deactivateToken(requestOf(reference, Suspender.CARDHOLDER));

  describe("GetToken", () => {
    it("shows what was reported, with the token number masked", async () => {
      const tokenReferenceId = newReference();
      await recordActivation(client, {
        tokenReferenceId,
        customerId: "customer-1",
        activatedS: 2_500,
        tokenData: { token: "5345678901234521", expiryMonth: "10", unknownMembers: { assuranceLevel: 3, x: "y" } },
      });
      const { token } = await client.getToken({ tokenReferenceId });
      expect(token).to.deep.include({
        tokenReferenceId,
        state: TokenState.ACTIVE,
        suspenders: [],
        version: 1n,
        clientId: "TEST_CLIENT",
        customerId: "customer-1",
        stateTime: at(2_500),
        serviceRequestTime: at(1_000),
        tokenActivatedTime: at(2_500),
      });
      expect(token?.tokenData).to.deep.include({ token: "************4521", unknownMemberCount: 2 });
    });

    it("shows the content of the activation that counts, not of a late one", async () => {
      const tokenReferenceId = newReference();
      await recordActivation(client, { tokenReferenceId, customerId: "new", activatedS: 3_000 });
      await recordActivation(client, { tokenReferenceId, customerId: "old", activatedS: 2_000 });
      const { token } = await client.getToken({ tokenReferenceId });
      expect(token).to.deep.include({ customerId: "new", tokenActivatedTime: at(3_000), version: 2n });
    });

    const refused = [
      { what: "an unknown reference", reference: "T-none", code: "NotFound", reason: "TOKEN_NOT_FOUND", fields: [] },
      {
        what: "an empty reference",
        reference: "",
        code: "InvalidArgument",
        reason: "FIELD_VIOLATION",
        fields: ["token_reference_id"],
      },
      {
        what: "a reference of 65 characters",
        reference: "x".repeat(65),
        code: "InvalidArgument",
        reason: "FIELD_VIOLATION",
        fields: ["token_reference_id"],
      },
    ];
    for (const rpc of ["getToken", "getTokenHistory"] as const)
      for (const { what, reference, ...expected } of refused)
        it(`refuses ${what} with ${expected.reason} (${rpc})`, async () => {
          const refusal = await refusalOf(client[rpc]({ tokenReferenceId: reference }));
          expect(refusal).to.deep.include({ ...expected, domain: "token.mpp" });
        });
  });

  describe("BatchGetTokens", () => {
    it("answers 500 references in their order, each with a token or a status of its own", async () => {
      const known = numbered("B", 250);
      await recordActivations(
        client,
        known.map((tokenReferenceId) => ({ tokenReferenceId })),
      );
      const asked = known.flatMap((reference) => [reference, `${reference}-unknown`]);
      const { items } = await client.batchGetTokens({ tokenReferenceIds: asked });
      expect(items.map(({ tokenReferenceId }) => tokenReferenceId)).to.deep.equal(asked);
      for (const [index, { tokenReferenceId, result }] of items.entries())
        if (index % 2 === 0)
          expect(result.case === "token" && result.value.tokenReferenceId, tokenReferenceId).to.equal(tokenReferenceId);
        else {
          if (result.case !== "error") throw new Error(`${tokenReferenceId} has no error`);
          expect(result.value.code).to.equal(Code.NotFound);
          const info = result.value.details[0] && anyUnpack(result.value.details[0], ErrorInfoSchema);
          expect(info).to.deep.include({ reason: "TOKEN_NOT_FOUND", domain: "token.mpp" });
        }
    });

    it("says of one item that it cannot be opened and answers the others", async () => {
      const [good, bad] = [newReference(), newReference()];
      await recordActivation(client, { tokenReferenceId: good });
      await redis.set(tokenKey(bad), Buffer.from([0xff]));
      const { items } = await client.batchGetTokens({ tokenReferenceIds: [bad, good] });
      const [first, second] = items.map(({ result }) => result);
      expect(first?.case === "error" && first.value.code).to.equal(Code.Internal);
      expect(second?.case).to.equal("token");
    });

    const refused = [
      { what: "no reference", references: [], field: "token_reference_ids" },
      { what: "501 references", references: numbered("C", 501), field: "token_reference_ids" },
      { what: "an empty reference", references: ["a", ""], field: "token_reference_ids[1]" },
      { what: "a reference of 65 characters", references: ["x".repeat(65), "a"], field: "token_reference_ids[0]" },
    ];
    for (const { what, references, field } of refused)
      it(`refuses ${what}`, async () => {
        const refusal = await refusalOf(client.batchGetTokens({ tokenReferenceIds: references }));
        expect(refusal).to.deep.include({ code: "InvalidArgument", reason: "FIELD_VIOLATION", fields: [field] });
      });
  });

  describe("ListTokens", () => {
    const references = numbered("L", 120);
    const customerId = "list-customer";
    const list = async (members: { states?: TokenState[]; pageSize?: number; customerId?: string } = {}) => {
      const pages: string[][] = [];
      let pageToken = "";
      do {
        const page = await client.listTokens({ customerId, ...members, pageToken });
        pages.push(page.tokens.map(({ tokenReferenceId }) => tokenReferenceId));
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      return pages;
    };
    before(async () => {
      // In another order than that of the list.
      await recordActivations(
        client,
        references.toReversed().map((tokenReferenceId) => ({ tokenReferenceId, customerId })),
      );
      await recordActivation(client, { tokenReferenceId: "L-0000-other", customerId: "list-other" });
      for (const reference of references.slice(0, 100)) await suspend(reference);
    });

    it("brings 120 tokens in pages of 50, in order, without gap or repeat", async () => {
      const pages = await list({ pageSize: 50 });
      expect(pages.map((page) => page.length)).to.deep.equal([50, 50, 20]);
      expect(pages.flat()).to.deep.equal(references);
    });

    it("brings every token once when the last page is full", async () => {
      expect((await list({ pageSize: 40 })).flat()).to.deep.equal(references);
    });

    it("brings every token once in pages of 1", async () => {
      expect((await list({ pageSize: 1, states: [TokenState.ACTIVE] })).flat()).to.deep.equal(references.slice(100));
    });

    it("brings 50 tokens when no page size is given", async () => {
      const { tokens, nextPageToken } = await client.listTokens({ customerId });
      expect(tokens).to.have.length(50);
      expect(nextPageToken).to.not.equal("");
    });

    it("brings everything in one page of 500", async () => {
      expect(await list({ pageSize: 500 })).to.deep.equal([references]);
    });

    it("brings only tokens in the states asked for, however far apart they are", async () => {
      expect((await list({ states: [TokenState.ACTIVE], pageSize: 10 })).flat()).to.deep.equal(references.slice(100));
      expect((await list({ states: [TokenState.SUSPENDED], pageSize: 10 })).flat()).to.deep.equal(
        references.slice(0, 100),
      );
      expect((await list({ states: [TokenState.DEACTIVATED] })).flat()).to.deep.equal([]);
      expect((await list({ states: [TokenState.SUSPENDED, TokenState.ACTIVE] })).flat()).to.deep.equal(references);
    });

    it("goes on behind a token that went away between two pages", async () => {
      const customer = { customerId: "list-moving" };
      const own = numbered("M", 6);
      await recordActivations(
        client,
        own.map((tokenReferenceId) => ({ tokenReferenceId, ...customer })),
      );
      const first = await client.listTokens({ ...customer, pageSize: 3 });
      await recordActivation(client, { tokenReferenceId: "M-0002", customerId: "list-elsewhere", activatedS: 5_000 });
      const second = await client.listTokens({ ...customer, pageSize: 3, pageToken: first.nextPageToken });
      expect(second.tokens.map(({ tokenReferenceId }) => tokenReferenceId)).to.deep.equal(own.slice(3));
    });

    it("names a token under its present customer only", async () => {
      const tokenReferenceId = newReference();
      await recordActivation(client, { tokenReferenceId, customerId: "list-before", activatedS: 2_000 });
      await recordActivation(client, { tokenReferenceId, customerId: "list-after", activatedS: 3_000 });
      expect(await redis.zrange(customerKey("list-before"), "0", "-1"), "a stale entry").to.deep.equal([
        tokenReferenceId,
      ]);
      expect(await list({ customerId: "list-before" })).to.deep.equal([[]]);
      expect(await list({ customerId: "list-after" })).to.deep.equal([[tokenReferenceId]]);
    });

    it("leaves out entries of tokens that do not exist, and comes to the ones behind them", async () => {
      const customer = "list-stale";
      for (const reference of numbered("S", 300)) await redis.zadd(customerKey(customer), 0, reference);
      await recordActivation(client, { tokenReferenceId: "S-9999", customerId: customer });
      expect((await list({ customerId: customer, pageSize: 20 })).flat()).to.deep.equal(["S-9999"]);
    });

    it("lists a token again that only a repeat could index", async () => {
      const members = { tokenReferenceId: newReference(), customerId: "list-lost" };
      await recordActivation(client, members);
      await redis.del(customerKey("list-lost"));
      expect((await recordActivation(client, members)).outcome).to.equal(Outcome.REPEATED);
      expect(await list({ customerId: "list-lost" })).to.deep.equal([[members.tokenReferenceId]]);
    });

    it("is empty for a customer without tokens", async () => {
      expect(await list({ customerId: "nobody" })).to.deep.equal([[]]);
    });

    describe("refuses a page token", () => {
      let pageToken = "";
      before(async () => {
        pageToken = (await client.listTokens({ customerId, pageSize: 1 })).nextPageToken;
      });
      const cases: { what: string; request: () => Parameters<TokenClient["listTokens"]>[0] }[] = [
        { what: "of another customer", request: () => ({ customerId: "list-other", pageToken }) },
        { what: "of other states", request: () => ({ customerId, states: [TokenState.ACTIVE], pageToken }) },
        { what: "that is cut", request: () => ({ customerId, pageToken: pageToken.slice(0, 10) }) },
        { what: "that is no base64", request: () => ({ customerId, pageToken: `${pageToken}!` }) },
        { what: "that somebody made up", request: () => ({ customerId, pageToken: "bmV4dA" }) },
      ];
      for (const { what, request } of cases)
        it(what, async () => {
          expect(await refusalOf(client.listTokens(request()))).to.deep.include({
            code: "InvalidArgument",
            reason: "PAGE_TOKEN_INVALID",
            domain: "token.mpp",
          });
        });

      it("no more when only the page size differs", async () => {
        const { tokens } = await client.listTokens({ customerId, pageSize: 2, pageToken });
        expect(tokens.map(({ tokenReferenceId }) => tokenReferenceId)).to.deep.equal(references.slice(1, 3));
      });
    });

    const refused = [
      { what: "no customer", request: {}, field: "customer_id" },
      { what: "a customer of 65 characters", request: { customerId: "x".repeat(65) }, field: "customer_id" },
      { what: "a page size of -1", request: { customerId, pageSize: -1 }, field: "page_size" },
      { what: "a page size of 501", request: { customerId, pageSize: 501 }, field: "page_size" },
      {
        what: "a page token of 513 characters",
        request: { customerId, pageToken: "x".repeat(513) },
        field: "page_token",
      },
      { what: "an unspecified state", request: { customerId, states: [TokenState.UNSPECIFIED] }, field: "states[0]" },
    ];
    for (const { what, request, field } of refused)
      it(`refuses ${what}`, async () => {
        const refusal = await refusalOf(client.listTokens(create(ListTokensRequestSchema, request)));
        expect(refusal).to.deep.include({ code: "InvalidArgument", reason: "FIELD_VIOLATION", fields: [field] });
      });
  });

  describe("GetTokenHistory", () => {
    it("tells what happened, in order, with who caused it and by which delivery", async () => {
      const tokenReferenceId = newReference();
      await recordActivation(client, { tokenReferenceId, customerId: "c", activatedS: 3_000, deliveryId: "first" });
      await recordActivation(client, { tokenReferenceId, activatedS: 2_500, deliveryId: "late" });
      await suspend(tokenReferenceId, Suspender.CARDHOLDER);
      const { token, events, stateVersion } = await client.getTokenHistory({ tokenReferenceId });
      expect(token).to.deep.include({ tokenReferenceId, state: TokenState.SUSPENDED, version: 3n });
      expect(stateVersion).to.equal(3n);
      const story = events.map((event) => [
        event.version,
        TokenEventType[event.type],
        Outcome[event.outcome],
        TokenState[event.state],
        event.clientId,
      ]);
      expect(story).to.deep.equal([
        [1n, "ACTIVATED", "APPLIED", "ACTIVE", "TEST_CLIENT"],
        [2n, "ACTIVATED", "RECORDED_LATE", "ACTIVE", "TEST_CLIENT"],
        [3n, "SUSPENDED", "APPLIED", "SUSPENDED", "local"],
      ]);
      expect(events.slice(0, 2).map(({ deliveryId }) => deliveryId)).to.deep.equal(["first", "late"]);
      expect(events[2]).to.deep.include({ suspender: Suspender.CARDHOLDER, reason: "lost", actor: "agent 7" });
    });

    it("shows repeats and refused deliveries, newest first, with the names of the fields that differ", async () => {
      const tokenReferenceId = newReference();
      const members = { tokenReferenceId, customerId: "c-1" };
      await recordActivation(client, { ...members, deliveryId: "first" });
      await recordActivation(client, { ...members, deliveryId: "again" });
      const conflict = recordActivation(client, {
        tokenReferenceId,
        customerId: "c-2",
        tokenData: { token: "5345678901234521", expiryMonth: "11", expiryYear: "28" },
        deliveryId: "other",
      });
      expect(await refusalOf(conflict)).to.deep.include({ code: "AlreadyExists", reason: "ACTIVATION_CONFLICT" });
      const stranger = recordActivation(client, { ...members, clientId: "STRANGER", deliveryId: "strange" });
      expect(await refusalOf(stranger)).to.deep.include({ code: "AlreadyExists", reason: "CLIENT_CONFLICT" });

      const history = () => client.getTokenHistory({ tokenReferenceId });
      await until("the deliveries are written", async () => (await history()).uneventfulDeliveries.length === 3);
      const { uneventfulDeliveries, events } = await history();
      expect(events).to.have.length(1);
      expect(
        uneventfulDeliveries.map((each) => [each.deliveryId, each.clientId, each.refusedFor, each.differingFields]),
      ).to.deep.equal([
        ["strange", "STRANGER", "CLIENT_CONFLICT", []],
        ["other", "TEST_CLIENT", "ACTIVATION_CONFLICT", ["customerId", "tokenData.expiryMonth"]],
        ["again", "TEST_CLIENT", "", []],
      ]);
      expect(uneventfulDeliveries[0]?.eventTime).to.deep.equal(at(2_000));
    });

    it("keeps the last 32 deliveries that changed nothing", async () => {
      const tokenReferenceId = newReference();
      for (let i = 0; i <= 40; i++) await recordActivation(client, { tokenReferenceId, deliveryId: `d-${i}` });
      const deliveries = async () => (await client.getTokenHistory({ tokenReferenceId })).uneventfulDeliveries;
      await until("the last one is written", async () => (await deliveries())[0]?.deliveryId === "d-40");
      expect((await deliveries()).map(({ deliveryId }) => deliveryId)).to.deep.equal(
        Array.from({ length: 32 }, (_, i) => `d-${40 - i}`),
      );
    });

    it("shows what an instance noted right before it stopped", async () => {
      const tokenReferenceId = newReference();
      const other = await startTestPart(
        "service",
        { DATA_DIR: stack.folder, REDIS_URL: stack.redis.url },
        `${stack.folder}/other.log`,
      );
      const there = connectTo(other.url);
      try {
        await untilServing(other);
        await recordActivation(there, { tokenReferenceId, deliveryId: "first" });
        await recordActivation(there, { tokenReferenceId, deliveryId: "again" });
      } finally {
        await other.stop();
        there.close();
      }
      const { uneventfulDeliveries } = await client.getTokenHistory({ tokenReferenceId });
      expect(uneventfulDeliveries.map(({ deliveryId }) => deliveryId)).to.deep.equal(["again"]);
    });

    it("keeps the last 32 events, and still explains the state", async () => {
      const tokenReferenceId = newReference();
      await recordActivation(client, { tokenReferenceId, activatedS: 9_000 });
      for (let i = 1; i <= 34; i++) await recordActivation(client, { tokenReferenceId, activatedS: 8_900 + i });
      const { events, explanation, stateVersion } = await client.getTokenHistory({ tokenReferenceId });
      expect(events.map(({ version }) => version)).to.deep.equal(Array.from({ length: 32 }, (_, i) => BigInt(i + 4)));
      expect(stateVersion).to.equal(1n);
      expect(explanation).to.match(/^ACTIVE because of a version no longer kept\. Changed nothing: version 4 is older/);
    });

    const explanations: { after: string; act: (reference: string) => Promise<unknown>; text: string }[] = [
      {
        after: "an activation",
        act: async () => {},
        text: "ACTIVE because version 1 reported the activation of the latest event time, from TEST_CLIENT.",
      },
      {
        after: "a late activation",
        act: (tokenReferenceId) => recordActivation(client, { tokenReferenceId, activatedS: 1_999 }),
        text:
          "ACTIVE because version 1 reported the activation of the latest event time, from TEST_CLIENT. " +
          "Changed nothing: version 2 is older by its event time.",
      },
      {
        after: "two suspensions",
        act: async (reference) => {
          await suspend(reference, Suspender.CARDHOLDER);
          await suspend(reference, Suspender.ISSUER);
        },
        text: "SUSPENDED because version 3 suspended it as ISSUER and version 2 suspended it as CARDHOLDER.",
      },
      {
        after: "one of two was resumed",
        act: async (reference) => {
          await suspend(reference, Suspender.CARDHOLDER);
          await suspend(reference, Suspender.ISSUER);
          await resume(reference, Suspender.ISSUER);
        },
        text: "SUSPENDED because version 2 suspended it as CARDHOLDER.",
      },
      {
        after: "a resumption",
        act: async (reference) => {
          await suspend(reference);
          await resume(reference);
        },
        text: "ACTIVE because version 3 resumed it as ISSUER.",
      },
      {
        after: "a deactivation and newer news",
        act: async (tokenReferenceId) => {
          await deactivate(tokenReferenceId);
          await recordActivation(client, { tokenReferenceId, activatedS: Math.floor(Date.now() / 1000) + 100 });
        },
        text:
          "DEACTIVATED because version 2 deactivated it as CARDHOLDER, and nothing leaves that state. " +
          "Changed nothing: version 3 does not move a token out of this state.",
      },
    ];
    for (const { after, act, text } of explanations)
      it(`explains the state after ${after}`, async () => {
        const tokenReferenceId = newReference();
        await recordActivation(client, { tokenReferenceId });
        await act(tokenReferenceId);
        expect((await client.getTokenHistory({ tokenReferenceId })).explanation).to.equal(text);
      });
  });

  it("answers INTERNAL, without a word of the content, for a token that cannot be opened", async () => {
    const tokenReferenceId = newReference();
    const sealed = { keyVersion: 77, nonce: Buffer.alloc(12), ciphertext: Buffer.alloc(24) };
    const stored = create(StoredTokenSchema, { tokenReferenceId, version: 1n, tokenData: sealed });
    await redis.set(tokenKey(tokenReferenceId), Buffer.from(toBinary(StoredTokenSchema, stored)));
    const refusal = await refusalOf(client.getToken({ tokenReferenceId }));
    expect(refusal).to.deep.include({ code: "Internal", reason: "" });
  });

  describe("while Redis is away", () => {
    const tokenReferenceId = newReference();
    const [fresh, customerId] = [newReference(), "away"];
    before(async () => {
      await recordActivation(client, { tokenReferenceId, customerId });
      await stack.redis.kill();
    });
    after(async () => {
      await stack.redis.start();
      await untilServing(stack.service);
      const [known, unknown] = (await client.batchGetTokens({ tokenReferenceIds: [tokenReferenceId, fresh] })).items;
      expect(known?.result.case === "token" && known.result.value.version, "nothing was written").to.equal(1n);
      expect(unknown?.result.case, "nothing was written").to.equal("error");
      expect((await client.listTokens({ customerId })).tokens).to.have.length(1);
    });

    const calls: { rpc: string; call: () => Promise<unknown>; reason: string }[] = [
      { rpc: "GetToken", call: () => client.getToken({ tokenReferenceId }), reason: "STORE_UNAVAILABLE" },
      { rpc: "ListTokens", call: () => client.listTokens({ customerId }), reason: "STORE_UNAVAILABLE" },
      { rpc: "GetTokenHistory", call: () => client.getTokenHistory({ tokenReferenceId }), reason: "STORE_UNAVAILABLE" },
      { rpc: "SuspendToken", call: () => suspend(tokenReferenceId), reason: "DURABILITY_NOT_MET" },
      {
        rpc: "RecordActivation",
        call: () => recordActivation(client, { tokenReferenceId: fresh, customerId }),
        reason: "DURABILITY_NOT_MET",
      },
      {
        rpc: "WatchTokenEvents",
        call: async () => {
          for await (const _ of client.watchTokenEvents({})) throw new Error("a message came");
        },
        reason: "STORE_UNAVAILABLE",
      },
    ];
    for (const { rpc, call, reason } of calls)
      it(`${rpc} is UNAVAILABLE within a second, for ${reason}`, async () => {
        const started = performance.now();
        expect(await refusalOf(call())).to.deep.include({ code: "Unavailable", reason, domain: "token.mpp" });
        expect(performance.now() - started).to.be.below(1_000);
      });

    it("BatchGetTokens says it of each item", async () => {
      const { items } = await client.batchGetTokens({ tokenReferenceIds: [tokenReferenceId, fresh] });
      for (const { result } of items) {
        if (result.case !== "error") throw new Error("there is a token");
        expect(result.value.code).to.equal(Code.Unavailable);
        const info = result.value.details[0] && anyUnpack(result.value.details[0], ErrorInfoSchema);
        expect(info?.reason).to.equal("STORE_UNAVAILABLE");
      }
    });
  });
});
