// What explain tells about a token, from a real token service.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { Suspender } from "../../../proto/gen/mpp/token/v1/token_pb.js";
import { createAuthority, writeTlsFolder } from "../../support/certificates.js";
import { startTestPart, untilServing } from "../../support/processes.js";
import { freePort, runProgram } from "../../support/programs.js";
import { recordActivation, type ServiceStack, startServiceStack } from "../../support/token-client.js";

describe("token-gateway explain", () => {
  const tokenReferenceId = "T-explained";
  let stack: ServiceStack;
  const explain = (...args: string[]) =>
    runProgram("tools/cli/main.js", ["explain", "--url", stack.service.url, ...args]);

  before(async () => {
    stack = await startServiceStack();
    const client = stack.connect();
    const report = { tokenReferenceId, customerId: "customer-4711" };
    await recordActivation(client, { ...report, deliveryId: "first" });
    await recordActivation(client, { ...report, deliveryId: "again" });
    await recordActivation(client, {
      ...report,
      customerId: "customer-4712",
      tokenData: { token: "5345678901230000" },
      deliveryId: "other",
    }).catch(() => {});
    await client.suspendToken({
      tokenReferenceId,
      suspender: Suspender.CARDHOLDER,
      reason: "lost",
      actor: "desk 7",
      requestId: "r",
    });
  });
  after(() => stack?.stop());

  it("tells state, why, history, deliveries, and the names of the fields in which a conflict differs", async () => {
    let printed = await explain(tokenReferenceId);
    // Deliveries are written behind the answer.
    for (let tries = 0; !/other/.test(printed.stdout) && tries < 20; tries++) printed = await explain(tokenReferenceId);
    const { code, stdout, stderr } = printed;
    expect([code, stderr]).to.deep.equal([0, ""]);
    const lines = stdout.split("\n");
    expect(lines[0]).to.equal("T-explained is SUSPENDED, version 2");
    for (const line of [
      /^ {2}why +SUSPENDED because version 2 suspended it as CARDHOLDER\.$/,
      /^ {2}suspended by +CARDHOLDER$/,
      /^ {2}customerId +\*{9}4711$/,
      /^ {2}tokenData\.token +\*{12}4521$/,
      /^ {2}1 +1970-01-01T00:33:20Z .* ACTIVATED +APPLIED +unknown -> ACTIVE +TEST_CLIENT +first$/,
      /^ {2}2 \* .* SUSPENDED as CARDHOLDER "lost" by desk 7 +APPLIED +ACTIVE -> SUSPENDED /,
      /TEST_CLIENT +again +repeat of the activation of 1970-01-01T00:33:20Z$/,
      /TEST_CLIENT +other +refused, ACTIVATION_CONFLICT with the activation of 1970-01-01T00:33:20Z: customerId \(on record \*{9}4711\), tokenData\.token \(on record \*{12}4521\)/,
    ])
      expect(
        lines.some((each) => line.test(each)),
        `${line} in\n${stdout}`,
      ).to.equal(true);
    expect(stdout).to.not.match(/customer-471|5345678901/);
  });

  it("tells the same as JSON", async () => {
    const { stdout } = await explain(tokenReferenceId, "--json");
    const told = JSON.parse(stdout);
    expect(told.token).to.include({ tokenReferenceId, state: "TOKEN_STATE_SUSPENDED", customerId: "*********4711" });
    expect(told.events.map(({ outcome }: { outcome: string }) => outcome)).to.deep.equal([
      "OUTCOME_APPLIED",
      "OUTCOME_APPLIED",
    ]);
    expect(stdout).to.not.match(/customer-471|5345678901/);
  });

  it("reaches a token service over mutual TLS", async () => {
    const authority = createAuthority(stack.folder, "authority");
    const tlsDir = writeTlsFolder(
      join(stack.folder, "tls"),
      authority.issue("IP:127.0.0.1", "DNS:reader"),
      authority.ca,
    );
    const policy = join(stack.folder, "policy.json");
    writeFileSync(policy, JSON.stringify({ callers: [{ san: "DNS:reader", rights: ["read"] }] }));
    const part = await startTestPart(
      "service",
      {
        DATA_DIR: stack.folder,
        REDIS_URL: stack.redis.url,
        TOKEN_SERVICE_TLS_DIR: tlsDir,
        TOKEN_SERVICE_POLICY_FILE: policy,
      },
      join(stack.folder, "tls.log"),
    );
    try {
      await untilServing(part);
      const url = part.url.replace("http:", "https:");
      expect((await explain(tokenReferenceId, "--url", url, "--tls-dir", tlsDir)).stdout).to.match(
        /^T-explained is SUSPENDED/,
      );
    } finally {
      await part.stop();
    }
  });

  const failed: [name: string, args: () => string[] | Promise<string[]>, code: number, says: RegExp][] = [
    ["there is no such token", () => ["T-none"], 1, /no token has the reference T-none/],
    ["the reference is too long", () => ["x".repeat(65)], 2, /token_reference_id/],
    [
      "nothing listens",
      async () => ["T", "--url", `http://127.0.0.1:${await freePort()}`],
      3,
      /the token service at .* answers Unavailable/,
    ],
    ["the address is none", () => ["T", "--url", "x"], 2, /--url is x, and must be/],
    ["there are no TLS files", () => ["T", "--url", "https://127.0.0.1:1"], 2, /go together/],
    [
      "the TLS files are not there",
      () => ["T", "--url", "https://127.0.0.1:1", "--tls-dir", "/nowhere"],
      2,
      /\/nowhere\/tls\.crt cannot be read \(ENOENT\)/,
    ],
  ];
  for (const [name, args, code, says] of failed)
    it(`says so in one line and ends with ${code} when ${name}`, async () => {
      const ended = await explain(...(await args()));
      expect([ended.code, ended.stdout]).to.deep.equal([code, ""]);
      expect(ended.stderr).to.match(/^token-gateway: [^\n]+\n$/);
      expect(ended.stderr).to.match(says);
    });
});
