// What the product tells of itself, on the real parts: counts, stages, one log line for each answer, and what is lost for good.
import { spawnSync } from "node:child_process";
import { expect } from "chai";
import { expectResult } from "../support/expectations.js";
import { testClientId } from "../support/keys.js";
import { notification, notify } from "../support/notification.js";
import { startTestStack, type TestPart, type TestStack, until } from "../support/processes.js";
import { sendChanged } from "../support/sending.js";

type Line = Record<string, unknown> & { msg: string };
const linesOf = (part: TestPart, msg: string): Line[] =>
  part
    .log()
    .split("\n")
    .flatMap((line): Line[] => (line.startsWith("{") ? [JSON.parse(line)] : []))
    .filter((line) => line.msg === msg);

/** The lines about a token. They are written behind the answer. */
async function linesAbout(part: TestPart, msg: string, tokenReferenceId: unknown): Promise<Line[]> {
  const lines = () => linesOf(part, msg).filter((line) => line.tokenReferenceId === tokenReferenceId);
  await until(`"${msg}" is logged`, () => lines().length > 0);
  return lines();
}

const metricsOf = async (part: TestPart): Promise<string> => (await fetch(`${part.adminUrl}/metrics`)).text();

/** The value of a series, as it stands there, by name and labels. */
async function seriesValue(part: TestPart, series: string): Promise<number | undefined> {
  const line = (await metricsOf(part)).split("\n").find((each) => each.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

describe("what the product tells of itself", () => {
  let stack: TestStack;
  before(async () => {
    stack = await startTestStack({ gateway: { REPEAT_HORIZON_S: "3" } });
  });
  after(() => stack?.stop());

  const api = "tokenActivationNotification";
  const answers = (code: string, client = testClientId): string =>
    `gateway_answers_total{api="${api}",client_id="${client}",result_code="${code}"}`;

  it("is one line for each answer, with the token's reference", async () => {
    const sent = notification();
    expectResult(await notify(stack.gateway.url, sent), "SUCCESS");
    const lines = await linesAbout(stack.gateway, "answer", sent.tokenReferenceId);
    expect(lines).to.have.length(1);
    expect(lines[0]).to.include({ part: "gateway", level: "info", clientId: testClientId, api, resultCode: "SUCCESS" });
    expect(lines[0]?.ms).to.be.a("number");
  });

  it("is a count for each result, client and API, and the time of each stage", async () => {
    const before = (await seriesValue(stack.gateway, answers("SUCCESS"))) ?? 0;
    const stages = async () => {
      const names = ["read", "verify", "decode", "rpc", "sign"];
      return Promise.all(
        names.map((stage) => seriesValue(stack.gateway, `gateway_stage_duration_seconds_count{stage="${stage}"}`)),
      );
    };
    const stagesBefore = await stages();
    expectResult(await notify(stack.gateway.url, notification()), "SUCCESS");
    expect(await seriesValue(stack.gateway, answers("SUCCESS"))).to.equal(before + 1);
    expect(await stages()).to.deep.equal(stagesBefore.map((count) => (count ?? 0) + 1));
  });

  it("is what the token service made of it, and how often it waited for Redis", async () => {
    const counts = async () => {
      const series = [
        'token_service_activations_total{outcome="APPLIED"}',
        'token_service_activations_total{outcome="REPEATED"}',
        'token_service_calls_total{method="BatchRecordActivations",code="ok"}',
        'token_service_redis_duration_seconds_count{operation="swap"}',
        'token_service_redis_round_trips_total{operation="swap"}',
        // The repeat is of a token that it has met.
        'token_service_redis_duration_seconds_count{operation="read"}',
        'token_service_redis_round_trips_total{operation="read"}',
      ];
      return Promise.all(series.map(async (each) => (await seriesValue(stack.service, each)) ?? 0));
    };
    const before = await counts();
    const sent = notification();
    for (let time = 0; time < 2; time++) expectResult(await notify(stack.gateway.url, sent), "SUCCESS");
    expect((await counts()).map((count, index) => count - (before[index] ?? 0))).to.deep.equal([1, 1, 2, 1, 1, 1, 1]);
    expect(await seriesValue(stack.service, 'token_service_durability_met{durability="fsync"}')).to.equal(1);
  });

  const lost: { name: string; members: () => Record<string, unknown>; field: string; rule: string; label?: string }[] =
    [
      {
        name: "a member in another form",
        members: () => ({ walletId: 103 }),
        field: "walletId",
        rule: "MUST_BE_A_JSON_STRING",
      },
      {
        name: "a member that is too long",
        members: () => ({ walletId: "1".repeat(17) }),
        field: "walletId",
        rule: "STRING_MAX_LEN",
      },
      {
        name: "a word that is not listed",
        members: () => ({ accountSource: "NEW" }),
        field: "accountSource",
        rule: "MUST_BE_ONE_OF_THE_WORDS_THE_API_LISTS",
      },
    ];
  for (const { name, members, field, rule } of lost)
    it(`is an event of its own for a genuine notification that is lost for ${name}`, async () => {
      const series = `gateway_refusals_total{api="${api}",client_id="${testClientId}",field="${field}",rule="${rule}"}`;
      const before = (await seriesValue(stack.gateway, series)) ?? 0;
      const sent = notification(members());
      const answer = await notify(stack.gateway.url, sent);
      expectResult(answer, "PARAM_ILLEGAL");
      expect(await seriesValue(stack.gateway, series)).to.equal(before + 1);
      const [line, ...others] = await linesAbout(stack.gateway, "refusal", sent.tokenReferenceId);
      expect(others).to.deep.equal([]);
      expect(line).to.include({ level: "warn", clientId: testClientId, api, field, rule, resultCode: "PARAM_ILLEGAL" });
      expect(line?.deliveryId).to.match(/^[0-9a-f-]{36}$/);
    });

  it("names every field that differs in the event of a conflict, and the first in its count", async () => {
    const sent = notification();
    expectResult(await notify(stack.gateway.url, sent), "SUCCESS");
    expectResult(await notify(stack.gateway.url, { ...sent, customerId: "other", walletId: "104" }), "PROCESS_FAIL");
    const [line] = await linesAbout(stack.gateway, "refusal", sent.tokenReferenceId);
    expect(line).to.include({ rule: "ACTIVATION_CONFLICT", field: "customerId,walletId" });
    const series = `gateway_refusals_total{api="${api}",client_id="${testClientId}",field="customerId and others",rule="ACTIVATION_CONFLICT"}`;
    expect(await seriesValue(stack.gateway, series)).to.equal(1);
  });

  it("counts a notification as lost that was signed well and is too old, and none that was not signed", async () => {
    const refusals = async () =>
      (await metricsOf(stack.gateway)).split("\n").filter((line) => line.startsWith("gateway_refusals_total"));
    const before = await refusals();
    expectResult(
      await sendChanged(stack.gateway.url, JSON.stringify(notification()), { headers: { Signature: undefined } }),
      "INVALID_SIGNATURE",
    );
    expect(await refusals()).to.deep.equal(before);
    expectResult(
      await sendChanged(stack.gateway.url, JSON.stringify(notification()), { nowMs: Date.now() - 48 * 3_600_000 }),
      "ACCESS_DENIED",
    );
    const series = `gateway_refusals_total{api="${api}",client_id="${testClientId}",field="Request-Time",rule="TOO_OLD"}`;
    expect(await seriesValue(stack.gateway, series)).to.equal(1);
  });

  it("remembers a U until its repeat, and tells of one that never came", async () => {
    const [again, never] = [notification(), notification()];
    await stack.redis.kill();
    try {
      const answers = await Promise.all([again, never].map((sent) => notify(stack.gateway.url, sent)));
      for (const answer of answers) expectResult(answer, "UNKNOWN_EXCEPTION");
      expect(await seriesValue(stack.gateway, "gateway_undecided_notifications")).to.equal(2);
    } finally {
      await stack.redis.start();
    }
    await until("serving", async () => (await fetch(`${stack.service.adminUrl}/readyz`)).ok);
    expectResult(await notify(stack.gateway.url, again), "SUCCESS");
    await until("given up", async () => (await seriesValue(stack.gateway, "gateway_undecided_notifications")) === 0);
    const counts = ["opened", "decided", "expired", "dropped"].map((end) => `gateway_undecided_${end}_total`);
    expect(await Promise.all(counts.map((each) => seriesValue(stack.gateway, each)))).to.deep.equal([2, 1, 1, 0]);
    const [line, ...others] = await linesAbout(stack.gateway, "never decided", never.tokenReferenceId);
    expect(others).to.deep.equal([]);
    expect(line).to.include({ tokenReferenceId: never.tokenReferenceId, clientId: testClientId, api });
  });

  it("is clean after Prometheus's own rules, where promtool is installed", async () => {
    if (spawnSync("promtool", ["--version"]).status !== 0) return;
    for (const part of [stack.gateway, stack.service]) {
      const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], {
        input: await metricsOf(part),
        encoding: "utf8",
      });
      expect(`${stdout}${stderr}`).to.equal("");
      expect(status).to.equal(0);
    }
  });
});

describe("what a limit turns away", () => {
  let stack: TestStack;
  before(async () => {
    stack = await startTestStack({ gateway: { CLIENT_RATE_PER_S: "1" } });
  });
  after(() => stack?.stop());

  it("is counted by the limit", async () => {
    const answers = await Promise.all([1, 2, 3, 4].map(() => notify(stack.gateway.url, notification())));
    const shed = answers.filter(({ result }) => result.resultCode === "REQUEST_TRAFFIC_EXCEED_LIMIT");
    expect(shed.length).to.be.above(0);
    expect(await seriesValue(stack.gateway, 'gateway_shed_requests_total{limit="client_rate"}')).to.equal(shed.length);
    expect(await seriesValue(stack.gateway, 'gateway_shed_requests_total{limit="in_flight"}')).to.equal(0);
  });
});
