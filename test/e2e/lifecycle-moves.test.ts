import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import { StoredTokenSchema } from "../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { Outcome, Suspender, TokenEventType, TokenState } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { tokenKey } from "../../services/token-lifecycle/store/keys.js";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { at } from "../support/commands.js";
import {
  allRights,
  eventsInRedis,
  newReference,
  recordActivation,
  refusalOf,
  type ServiceStack,
  startServiceStack,
  type TokenClient,
} from "../support/token-client.js";

type Move = "suspendToken" | "resumeToken" | "deactivateToken";
type Party = "ISSUER" | "CARDHOLDER" | "TOKEN_REQUESTOR" | "MOBILE_PIN_LOCKED";
type Members = { requestId?: string; reason?: string; actor?: string; expectedVersion?: bigint };

describe("suspend, resume and deactivate", () => {
  let stack: ServiceStack;
  let client: TokenClient;
  let redis: RedisClient;
  before(async () => {
    stack = await startServiceStack({ LOOPBACK_RIGHTS: allRights });
    client = stack.connect();
    redis = await stack.redis.connect();
  });
  after(() => stack.stop());

  let requests = 0;
  const requestOf = (tokenReferenceId: string, party: Party, members: Members = {}) => ({
    tokenReferenceId,
    suspender: Suspender[party],
    reason: "lost",
    actor: "agent 7",
    requestId: `request-${++requests}`,
    ...members,
  });
  const move = (name: Move, reference: string, party: Party = "ISSUER", members: Members = {}) =>
    client[name](requestOf(reference, party, members));

  /** A new token that is ACTIVE. */
  async function activeToken(): Promise<string> {
    const tokenReferenceId = newReference();
    await recordActivation(client, { tokenReferenceId });
    return tokenReferenceId;
  }
  async function present(tokenReferenceId: string) {
    const { token } = await client.getToken({ tokenReferenceId });
    return {
      state: TokenState[token?.state ?? 0],
      suspenders: (token?.suspenders ?? []).map((each) => Suspender[each]),
      version: token?.version ?? 0n,
    };
  }

  describe("from each state", () => {
    const states: Record<string, (reference: string) => Promise<unknown>> = {
      UNKNOWN: async () => {},
      // No rpc makes an INACTIVE token today, but one may be on record.
      INACTIVE: (tokenReferenceId) =>
        redis.set(
          tokenKey(tokenReferenceId),
          Buffer.from(
            toBinary(
              StoredTokenSchema,
              create(StoredTokenSchema, {
                tokenReferenceId,
                clientId: "TEST_CLIENT",
                state: TokenState.INACTIVE,
                stateTime: at(1_000),
                version: 1n,
                stateVersion: 1n,
              }),
            ),
          ),
        ),
      ACTIVE: (tokenReferenceId) => recordActivation(client, { tokenReferenceId }),
      "SUSPENDED by the issuer": async (tokenReferenceId) => {
        await recordActivation(client, { tokenReferenceId });
        await move("suspendToken", tokenReferenceId, "ISSUER");
      },
      "SUSPENDED by issuer and cardholder": async (tokenReferenceId) => {
        await recordActivation(client, { tokenReferenceId });
        await move("suspendToken", tokenReferenceId, "CARDHOLDER");
        await move("suspendToken", tokenReferenceId, "ISSUER");
      },
      DEACTIVATED: async (tokenReferenceId) => {
        await recordActivation(client, { tokenReferenceId });
        await move("deactivateToken", tokenReferenceId);
      },
      erased: async (tokenReferenceId) => {
        await recordActivation(client, { tokenReferenceId });
        await client.eraseToken({ tokenReferenceId, reason: "asked for", actor: "agent 7" });
      },
    };
    const moves: [Move, Party][] = [
      ["suspendToken", "ISSUER"],
      ["suspendToken", "CARDHOLDER"],
      ["resumeToken", "ISSUER"],
      ["resumeToken", "CARDHOLDER"],
      ["deactivateToken", "CARDHOLDER"],
    ];
    const codes: Record<string, string> = {
      TOKEN_NOT_FOUND: "NotFound",
      STATE_FORBIDS: "FailedPrecondition",
      ALREADY_SUSPENDED: "FailedPrecondition",
      NOT_SUSPENDED_BY_CALLER: "FailedPrecondition",
    };
    const [no, gone] = ["STATE_FORBIDS", "TOKEN_NOT_FOUND"];
    const [already, notMine] = ["ALREADY_SUSPENDED", "NOT_SUSPENDED_BY_CALLER"];
    // One row for each state, one cell for each move above: what the token becomes, or the reason that it does not.
    const table: Record<string, readonly [string, string, string, string, string]> = {
      UNKNOWN: [gone, gone, gone, gone, gone],
      INACTIVE: [no, no, no, no, "DEACTIVATED"],
      ACTIVE: ["SUSPENDED ISSUER", "SUSPENDED CARDHOLDER", no, no, "DEACTIVATED"],
      "SUSPENDED by the issuer": [already, "SUSPENDED ISSUER CARDHOLDER", "ACTIVE", notMine, "DEACTIVATED"],
      "SUSPENDED by issuer and cardholder": [
        already,
        already,
        "SUSPENDED CARDHOLDER",
        "SUSPENDED ISSUER",
        "DEACTIVATED",
      ],
      DEACTIVATED: [no, no, no, no, no],
      erased: [no, no, no, no, no],
    };

    for (const [state, cells] of Object.entries(table))
      for (const [index, expected] of cells.entries()) {
        const [name, party] = moves[index] ?? ["suspendToken", "ISSUER"];
        it(`answers ${name} as ${party} on a token that is ${state} with ${expected}`, async () => {
          const reference = newReference();
          await states[state]?.(reference);
          const code = codes[expected];
          if (code !== undefined) {
            const before = await redis.getBuffer(tokenKey(reference));
            const refusal = await refusalOf(move(name, reference, party));
            expect(refusal).to.deep.include({ code, reason: expected, domain: "token.mpp" });
            expect(await redis.getBuffer(tokenKey(reference)), "the token on record").to.deep.equal(before);
            if (expected === no) expect(refusal.metadata.state).to.equal((await present(reference)).state);
            return;
          }
          const { version } = await present(reference);
          const answer = await move(name, reference, party);
          const after = await present(reference);
          expect([after.state, ...after.suspenders].join(" ")).to.equal(expected);
          expect(after.version).to.equal(version + 1n);
          expect(answer).to.deep.include({
            state: TokenState[after.state as keyof typeof TokenState],
            version: after.version,
            repeated: false,
          });
        });
      }
  });

  it("keeps a token suspended until each of its four suspenders has resumed it", async () => {
    const parties: Party[] = ["MOBILE_PIN_LOCKED", "ISSUER", "CARDHOLDER", "TOKEN_REQUESTOR"];
    const reference = await activeToken();
    for (const party of parties) await move("suspendToken", reference, party);
    const seen: string[] = [];
    for (const party of parties) {
      const { state } = await move("resumeToken", reference, party);
      seen.push([TokenState[state], ...(await present(reference)).suspenders].join(" "));
    }
    expect(seen).to.deep.equal([
      "SUSPENDED ISSUER TOKEN_REQUESTOR CARDHOLDER",
      "SUSPENDED TOKEN_REQUESTOR CARDHOLDER",
      "SUSPENDED TOKEN_REQUESTOR",
      "ACTIVE",
    ]);
  });

  it("records who did it, as which party and why", async () => {
    const tokenReferenceId = newReference();
    await recordActivation(client, { tokenReferenceId, customerId: "customer-1" });
    await move("suspendToken", tokenReferenceId, "CARDHOLDER", { reason: "phone lost", actor: "agent 12" });
    const [, event] = await eventsInRedis(redis, tokenReferenceId);
    expect(event).to.deep.include({
      version: 2n,
      type: TokenEventType.SUSPENDED,
      outcome: Outcome.APPLIED,
      previousState: TokenState.ACTIVE,
      state: TokenState.SUSPENDED,
      suspender: Suspender.CARDHOLDER,
      reason: "phone lost",
      actor: "agent 12",
      clientId: "local",
      customerId: "customer-1",
    });
  });

  describe("an activation", () => {
    for (const [name, state] of [
      ["suspendToken", "SUSPENDED"],
      ["deactivateToken", "DEACTIVATED"],
    ] as const)
      it(`that comes after ${name} is recorded without effect`, async () => {
        const reference = await activeToken();
        await move(name, reference);
        // Later than the move, by as much as the service lets an event time order.
        const later = { tokenReferenceId: reference, activatedS: Math.floor(Date.now() / 1000) + 100 };
        const answer = await recordActivation(client, later);
        expect(answer).to.deep.include({ outcome: Outcome.RECORDED_NO_EFFECT, state: TokenState[state], version: 3n });
        expect(await present(reference)).to.deep.include({ state, version: 3n });
      });

    it("that is older than a move is recorded late", async () => {
      const reference = await activeToken();
      await move("suspendToken", reference);
      const answer = await recordActivation(client, { tokenReferenceId: reference, activatedS: 3_000 });
      expect(answer).to.deep.include({ outcome: Outcome.RECORDED_LATE, state: TokenState.SUSPENDED });
    });
  });

  describe("a repeated request", () => {
    it("gets the answer of then and makes no second event", async () => {
      const reference = await activeToken();
      const first = await move("suspendToken", reference, "ISSUER", { requestId: "again" });
      await move("resumeToken", reference, "ISSUER");
      await move("deactivateToken", reference);
      const repeat = await move("suspendToken", reference, "ISSUER", { requestId: "again" });
      expect(repeat).to.deep.include({ state: first.state, version: first.version, repeated: true });
      expect(await present(reference)).to.deep.include({ state: "DEACTIVATED", version: 4n });
      expect(await eventsInRedis(redis, reference)).to.have.length(4);
    });

    it("is answered although the version it expected has passed", async () => {
      const reference = await activeToken();
      const members = { requestId: "again", expectedVersion: 1n };
      await move("suspendToken", reference, "ISSUER", members);
      expect(await move("suspendToken", reference, "ISSUER", members)).to.deep.include({ version: 2n, repeated: true });
    });

    it("is recognised behind 31 others", async () => {
      const reference = await activeToken();
      await move("suspendToken", reference, "CARDHOLDER", { requestId: "again" });
      for (let i = 0; i < 31; i++) await move(i % 2 === 0 ? "suspendToken" : "resumeToken", reference);
      const repeat = await move("suspendToken", reference, "CARDHOLDER", { requestId: "again" });
      expect(repeat).to.deep.include({ version: 2n, repeated: true });
    });

    it("is another request on another token", async () => {
      const [a, b] = [await activeToken(), await activeToken()];
      await move("suspendToken", a, "ISSUER", { requestId: "same" });
      expect(await move("suspendToken", b, "ISSUER", { requestId: "same" })).to.deep.include({ repeated: false });
    });

    const others: { what: string; again: (reference: string) => Promise<unknown> }[] = [
      { what: "reason", again: (r) => move("suspendToken", r, "ISSUER", { requestId: "taken", reason: "found" }) },
      { what: "actor", again: (r) => move("suspendToken", r, "ISSUER", { requestId: "taken", actor: "agent 8" }) },
      { what: "suspender", again: (r) => move("suspendToken", r, "CARDHOLDER", { requestId: "taken" }) },
      { what: "move", again: (r) => move("resumeToken", r, "ISSUER", { requestId: "taken" }) },
    ];
    for (const { what, again } of others)
      it(`with another ${what} is a REQUEST_ID_CONFLICT`, async () => {
        const reference = await activeToken();
        await move("suspendToken", reference, "ISSUER", { requestId: "taken" });
        const refusal = await refusalOf(again(reference));
        expect(refusal).to.deep.include({
          code: "AlreadyExists",
          reason: "REQUEST_ID_CONFLICT",
          domain: "token.mpp",
        });
        expect(await present(reference)).to.deep.include({ state: "SUSPENDED", version: 2n });
      });

    it("after a refusal is decided anew", async () => {
      const reference = await activeToken();
      await refusalOf(move("resumeToken", reference, "ISSUER", { requestId: "r" }));
      await move("suspendToken", reference, "ISSUER");
      expect(await move("resumeToken", reference, "ISSUER", { requestId: "r" })).to.deep.include({
        state: TokenState.ACTIVE,
        repeated: false,
      });
    });
  });

  describe("an expected version", () => {
    it("that the token has lets the request through", async () => {
      const reference = await activeToken();
      const answer = await move("suspendToken", reference, "ISSUER", { expectedVersion: 1n });
      expect(answer.version).to.equal(2n);
    });

    for (const expectedVersion of [1n, 3n, 2n ** 64n - 1n])
      it(`of ${expectedVersion} on a token of version 2 is a VERSION_MISMATCH that tells the present one`, async () => {
        const reference = await activeToken();
        await move("suspendToken", reference, "ISSUER");
        const refusal = await refusalOf(move("suspendToken", reference, "CARDHOLDER", { expectedVersion }));
        expect(refusal).to.deep.include({ code: "Aborted", reason: "VERSION_MISMATCH", domain: "token.mpp" });
        expect(refusal.metadata.version).to.equal("2");
      });
  });

  describe("at the same time", () => {
    it("20 equal requests make one event and get one answer", async () => {
      const reference = await activeToken();
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => move("suspendToken", reference, "ISSUER", { requestId: "same" })),
      );
      expect(new Set(answers.map(({ state, version }) => `${state} ${version}`)).size).to.equal(1);
      expect(answers.filter(({ repeated }) => !repeated)).to.have.length(1);
      expect(await eventsInRedis(redis, reference)).to.have.length(2);
    });

    it("of 20 requests that expect the same version one wins", async () => {
      const reference = await activeToken();
      const results = await Promise.allSettled(
        Array.from({ length: 20 }, (_, i) =>
          move(i % 2 === 0 ? "suspendToken" : "deactivateToken", reference, "ISSUER", { expectedVersion: 1n }),
        ),
      );
      expect(results.filter(({ status }) => status === "fulfilled")).to.have.length(1);
      expect((await present(reference)).version).to.equal(2n);
    });

    it("four parties suspend without losing one another", async () => {
      const reference = await activeToken();
      const parties: Party[] = ["ISSUER", "CARDHOLDER", "TOKEN_REQUESTOR", "MOBILE_PIN_LOCKED"];
      await Promise.all(parties.map((party) => move("suspendToken", reference, party)));
      expect((await present(reference)).suspenders).to.have.members(parties);
      expect((await eventsInRedis(redis, reference)).map(({ version }) => version)).to.deep.equal([1n, 2n, 3n, 4n, 5n]);
    });
  });

  describe("an illegal field", () => {
    type Request = ReturnType<typeof requestOf>;
    const cases: { what: string; change: Partial<Request>; field: string }[] = [
      { what: "an empty reference", change: { tokenReferenceId: "" }, field: "token_reference_id" },
      {
        what: "a reference of 65 characters",
        change: { tokenReferenceId: "x".repeat(65) },
        field: "token_reference_id",
      },
      { what: "no suspender", change: { suspender: Suspender.UNSPECIFIED }, field: "suspender" },
      { what: "an unknown suspender", change: { suspender: 99 as Suspender }, field: "suspender" },
      { what: "an empty reason", change: { reason: "" }, field: "reason" },
      { what: "a reason of 129 characters", change: { reason: "x".repeat(129) }, field: "reason" },
      { what: "an empty actor", change: { actor: "" }, field: "actor" },
      { what: "an actor of 129 characters", change: { actor: "x".repeat(129) }, field: "actor" },
      { what: "an empty request_id", change: { requestId: "" }, field: "request_id" },
      { what: "a request_id of 65 characters", change: { requestId: "x".repeat(65) }, field: "request_id" },
      { what: "a request_id with a space", change: { requestId: "a b" }, field: "request_id" },
      { what: "a request_id with a line end", change: { requestId: "ab\n" }, field: "request_id" },
      { what: "an expected_version of 0", change: { expectedVersion: 0n }, field: "expected_version" },
    ];
    for (const name of ["suspendToken", "resumeToken", "deactivateToken"] as const)
      for (const { what, change, field } of cases)
        it(`of ${name} is named: ${what}`, async () => {
          const refusal = await refusalOf(client[name]({ ...requestOf("T-fields", "ISSUER"), ...change }));
          expect(refusal).to.deep.include({
            code: "InvalidArgument",
            reason: "FIELD_VIOLATION",
            domain: "token.mpp",
            fields: [field],
          });
        });

    it("names every one of them", async () => {
      const refusal = await refusalOf(client.suspendToken({}));
      expect(refusal.fields).to.have.members(["token_reference_id", "suspender", "reason", "actor", "request_id"]);
    });

    it("is none at its longest, counted in characters", async () => {
      const reference = await activeToken();
      const answer = await move("suspendToken", reference, "ISSUER", {
        reason: "\u{1F512}".repeat(128),
        actor: "ж".repeat(128),
        requestId: "A.z_0:-".padEnd(64, "x"),
      });
      expect(answer.state).to.equal(TokenState.SUSPENDED);
    });
  });
});
