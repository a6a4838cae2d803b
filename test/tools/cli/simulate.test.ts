// The simulator against the product, which keeps every promise, and against small receivers that break one each.
import { randomUUID, sign } from "node:crypto";
import { once } from "node:events";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { contentToSign, formatSignatureHeader } from "../../../gateway/alipayplus/signature.js";
import { wholeSecond } from "../../../gateway/alipayplus/time.js";
import { knownApis } from "../../../tools/apis.js";
import { isClean, type Report, reportOf } from "../../../tools/simulate/report.js";
import { run } from "../../../tools/simulate/run.js";
import { readScenario } from "../../../tools/simulate/scenario.js";
import { createAuthority, writeTlsFolder } from "../../support/certificates.js";
import { privateKey, privatePem, publicPem, testClientId, testSender, writeClient } from "../../support/keys.js";
import { startTestPart, startTestStack, type TestStack, until } from "../../support/processes.js";
import { freePort, runProgram, startProgram } from "../../support/programs.js";

describe("token-gateway simulate", () => {
  let stack: TestStack;
  let args: string[];
  let file: string;
  before(async () => {
    stack = await startTestStack();
    const keys = { sender: privatePem("aplus"), next: privatePem("other"), receiver: publicPem("mpp") };
    for (const [name, pem] of Object.entries(keys)) writeFileSync(join(stack.folder, `${name}.pem`), pem);
    const [sender, receiver] = ["sender", "receiver"].map((name) => join(stack.folder, `${name}.pem`)) as [
      string,
      string,
    ];
    args = ["--client", testClientId, "--sender-key", sender, "--receiver-key", receiver, "--seed", "1"];
    file = join(stack.folder, "scenario.yaml");
  });
  after(() => stack?.stop());

  const program = (base: string, scenario: string, ...more: string[]): string[] => {
    writeFileSync(file, scenario);
    return ["simulate", `${base}/aps/api/v1`, "--scenario", file, ...args, ...more];
  };
  const simulate = async (scenario: string, base = stack.gateway.url, ...more: string[]) => {
    const { code, stdout, stderr } = await runProgram("tools/cli/main.js", program(base, scenario, "--json", ...more));
    expect(stderr).to.equal("");
    return { code, report: JSON.parse(stdout) as Report };
  };
  /** The same in this process, which is faster. */
  const simulateHere = async (scenario: string, base = stack.gateway.url) => {
    const sender = testSender;
    const apis = knownApis.map((api) => ({ api, url: new URL(`${base}/aps/api/v1/${api.name}`) }));
    const told = await run({
      scenario: readScenario(scenario, "here"),
      apis,
      seed: 1,
      runId: `here-${randomUUID()}`,
      sender,
      next: sender,
      signal: new AbortController().signal,
      onStory: () => {},
      onDelivery: () => {},
    });
    return reportOf(told, { scenario: "here", seed: 1, runId: "here", seconds: 1, isInterrupted: false });
  };
  const brokenIn = ({ promises }: Report): string[] =>
    promises.filter(({ broken }) => broken > 0).map(({ promise }) => promise);

  const everything = `
    timeScale: 100000
    phases:
      - count: 40
        rate: 200
        slowBody: 200ms
        mix: { duplicates: 10, overlaps: 10, outOfOrder: 10, late: 10, conflicts: 10, conflictsAtOnce: 10, tornRequests: 5, tornAnswers: 5, slowBodies: 5 }`;

  it("finds that the product keeps every promise, whatever the scenario holds", async () => {
    const { code, report } = await simulate(everything);
    expect(brokenIn(report), JSON.stringify(report)).to.deep.equal([]);
    expect(code).to.equal(0);
    expect(report).to.include({ stories: 40, seed: 1, isInterrupted: false });
    for (const kind of [
      "plain",
      "duplicates",
      "overlaps",
      "outOfOrder",
      "late",
      "conflicts",
      "conflictsAtOnce",
      "slowBodies",
    ])
      expect(report.kinds[kind]?.kept, kind).to.be.above(0);
    expect(report.results["F PROCESS_FAIL"]).to.equal(8);
    expect(report.results["no answer: connection cut by the scenario"]).to.equal(4);
    expect(Object.values(report.results).reduce((a, b) => a + b)).to.equal(report.deliveries);
    expect(report.latencyMs?.p50).to.be.above(0);
  });

  it("prints the same for people", async () => {
    const { code, stdout, stderr } = await runProgram(
      "tools/cli/main.js",
      program(stack.gateway.url, "phases: [{count: 3, rate: 100}]"),
    );
    expect([code, stderr]).to.deep.equal([0, ""]);
    expect(stdout).to.match(/^.*scenario\.yaml, seed 1\n {2}3 stories, 3 notifications, 3 deliveries in /);
    expect(stdout).to.match(/\n {6}3 {2}S SUCCESS\n {2}latency of answers: p50 [\d.]+ ms, /);
    expect(stdout).to.match(/\n {2}plain {2}3 of 3 as they should be\n/);
    expect(stdout.match(/\n {2}kept {4}/g)).to.have.length(5);
    expect(stdout.match(/\n {2}- {7}.*: no story shows it/g)).to.have.length(2);
  });

  it("repeats until the product is back when its token service is killed", async () => {
    const running = startProgram(
      "tools/cli/main.js",
      program(stack.gateway.url, "timeScale: 100\nphases: [{count: 60, rate: 60, mix: {duplicates: 30}}]", "--json"),
    );
    await until("some tokens are there", () => (stack.gateway.log().match(/SIM|SUCCESS/g) ?? []).length > 50);
    await stack.service.kill();
    await stack.service.start();
    await running.ended;
    const report = JSON.parse(running.stdout()) as Report;
    expect(brokenIn(report), JSON.stringify(report)).to.deep.equal([]);
    expect(report.stories).to.equal(60);
  });

  it("rolls the sender's key in the middle", async () => {
    writeClient(stack.keysDir, testClientId, { 2: "other" });
    const rolled = "timeScale: 1000\nphases: [{count: 10, rate: 100}, {count: 10, rate: 100, key: next}]";
    await until("the key is known", async () => {
      const { code } = await simulate(rolled, stack.gateway.url, "--next-key", join(stack.folder, "next.pem"));
      return code === 0;
    });
    const wrong = await simulate(
      rolled,
      stack.gateway.url,
      "--next-key",
      join(stack.folder, "next.pem"),
      "--next-key-version",
      "9",
      "--captures",
      join(stack.folder, "captured"),
    );
    expect(wrong.report.results).to.include({ "S SUCCESS": 10, "F KEY_NOT_FOUND": 10 });
    expect(brokenIn(wrong.report)).to.deep.equal(["notRefused"]);
    const [capture = ""] = readdirSync(join(stack.folder, "captured"));
    const seen = await runProgram("tools/cli/main.js", [
      "doctor",
      join(stack.folder, "captured", capture),
      "--keys-dir",
      stack.keysDir,
    ]);
    expect(seen.stdout).to.match(/^key-version: .*keyVersion="9", and alipayplus\.2 of TEST_CLIENT made it/);
  });

  it("is told what to expect of a clock that is off", async () => {
    const skewed = (skew: string, expectation: string) =>
      simulateHere(
        `timeScale: 1000000\nphases: [{count: 2, rate: 100, clockSkew: ${skew}, expect: {plain: ${expectation}}}]`,
      );
    expect(brokenIn(await skewed("-1h", "S"))).to.deep.equal([]);
    expect(brokenIn(await skewed("-27h", "F"))).to.deep.equal([]);
    const ahead = await skewed("10min", "U");
    expect(brokenIn(ahead)).to.deep.equal([]);
    // The first delivery of each and eight repeats.
    expect(ahead.results).to.deep.equal({ "U UNKNOWN_EXCEPTION": 18 });
    expect(brokenIn(await skewed("10min", "S"))).to.deep.equal(["decided"]);
  });

  describe("against a receiver that", () => {
    type Told = { status?: number; result?: unknown; isSigned?: boolean };
    /** Answers each arrival of a body, which is its number from 0 among those of its token. */
    const receivers: [
      does: string,
      scenario: string,
      answer: (number: number, isNew: boolean) => Told,
      broken: string[],
    ][] = [
      ["does not sign", "{count: 2}", () => ({ isSigned: false }), ["signed", "decided"]],
      [
        "forgets what it said",
        "{count: 2, mix: {duplicates: 100}}",
        (number) => (number === 0 ? {} : { result: result("F", "PROCESS_FAIL") }),
        ["sameResult"],
      ],
      ["takes whatever comes", "{count: 4, mix: {conflicts: 50, conflictsAtOnce: 50}}", () => ({}), ["oneOfTwo"]],
      [
        "refuses late events",
        "{count: 2, mix: {late: 100}}",
        (_, isNew) => (isNew ? {} : { result: result("F", "PROCESS_FAIL") }),
        ["notRefused"],
      ],
      ["is never ready", "{count: 1}", () => ({ result: result("U", "UNKNOWN_EXCEPTION") }), ["decided"]],
      ["answers with error pages", "{count: 1}", () => ({ status: 502 }), ["decided"]],
      [
        "says success and failure at once",
        "{count: 1}",
        () => ({ result: result("F", "SUCCESS") }),
        ["wellFormed", "notRefused"],
      ],
      ["answers without a result", "{count: 1}", () => ({ result: undefined }), ["wellFormed", "decided"]],
      ["takes what it must refuse", "{count: 1, expect: {plain: F}}", () => ({}), ["refused"]],
    ];
    const result = (resultStatus: string, resultCode: string) => ({ resultStatus, resultCode, resultMessage: "" });
    for (const [does, phase, answer, broken] of receivers)
      it(`${does} finds ${broken.join(" and ")} broken`, async () => {
        const server = await startReceiver(answer);
        const { port } = server.address() as AddressInfo;
        try {
          const report = await simulateHere(`timeScale: 1000000\nphases: [${phase}]`, `http://127.0.0.1:${port}`);
          expect(brokenIn(report), JSON.stringify(report)).to.have.members(broken);
          expect(isClean(report)).to.equal(false);
        } finally {
          server.close();
          server.closeAllConnections();
        }
      });

    async function startReceiver(answer: (number: number, isNew: boolean) => Told): Promise<Server> {
      const bodies = new Map<string, string[]>();
      const server = createServer(async (request, response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
        const text = Buffer.concat(chunks).toString();
        const token = JSON.parse(text).tokenReferenceId as string;
        const before = bodies.get(token) ?? [];
        bodies.set(token, [...before, text]);
        const told = {
          status: 200,
          result: result("S", "SUCCESS"),
          isSigned: true,
          ...answer(
            before.filter((each) => each === text).length,
            before.every((each) => each === text),
          ),
        };
        const body = JSON.stringify({ result: told.result });
        const time = wholeSecond(Date.now());
        const content = contentToSign({
          method: "POST",
          path: request.url ?? "",
          clientId: testClientId,
          time,
          body: Buffer.from(body),
        });
        const signature = formatSignatureHeader(1, sign("sha256", content, privateKey("mpp")));
        response.writeHead(told.status, {
          "Client-Id": testClientId,
          "Response-Time": time,
          ...(told.isSigned && { Signature: signature }),
        });
        response.end(body);
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }
  });

  it("reaches a receiver over HTTPS", async () => {
    const authority = createAuthority(stack.folder, "authority");
    const tlsDir = writeTlsFolder(join(stack.folder, "tls"), authority.issue("IP:127.0.0.1"), authority.ca);
    rmSync(join(tlsDir, "ca.crt"));
    const part = await startTestPart(
      "gateway",
      { DATA_DIR: stack.folder, GATEWAY_TLS_DIR: tlsDir, TOKEN_SERVICE_URL: stack.service.url },
      join(stack.folder, "https.log"),
    );
    try {
      const url = part.url.replace("http:", "https:");
      const trust = { NODE_EXTRA_CA_CERTS: join(stack.folder, "authority", "ca.crt") };
      const { code, stdout } = await runProgram(
        "tools/cli/main.js",
        program(url, "phases: [{count: 3, rate: 100}]"),
        trust,
      );
      expect([code, /3 {2}S SUCCESS/.test(stdout)], stdout).to.deep.equal([0, true]);
    } finally {
      await part.stop();
    }
  });

  it("reports what it has when it is interrupted", async () => {
    const running = startProgram(
      "tools/cli/main.js",
      program(stack.gateway.url, "phases: [{count: 1000, rate: 50}]", "--json"),
    );
    const answers = () => stack.gateway.log().split("\n").length;
    const before = answers();
    await until("some stories have ended", () => answers() > before + 10);
    running.process.kill("SIGINT");
    expect((await running.ended).code).to.equal(0);
    const report = JSON.parse(running.stdout()) as Report;
    expect(report.isInterrupted).to.equal(true);
    expect(report.stories).to.be.within(1, 999);
  });

  it("lists its scenarios", async () => {
    const { code, stdout } = await runProgram("tools/cli/main.js", ["simulate", "--list"]);
    expect(code).to.equal(0);
    expect(stdout).to.match(/^everyday +a usual day/m);
  });

  const failed: [name: string, more: () => string[] | Promise<string[]>, code: number, says: RegExp][] = [
    [
      "nothing listens",
      async () => [`http://127.0.0.1:${await freePort()}`, ...args],
      3,
      /nothing answers at 127\.0\.0\.1:\d+ \(ECONNREFUSED\)/,
    ],
    ["there is no such scenario", () => [...args, "--scenario", "none"], 2, /there is no scenario none: see --list/],
    [
      "there is no next key",
      () => [...args, "--scenario", "key-roll"],
      2,
      /name the one that comes next with --next-key/,
    ],
    ["there is no key", () => ["--sender-key", "/none.pem"], 2, /there is no key in \/none\.pem \(ENOENT\)/],
    [
      "there is no such API",
      () => [...args, "--api", "pay"],
      2,
      /there is no API pay; there is tokenActivationNotification/,
    ],
  ];
  for (const [name, more, code, says] of failed)
    it(`says so in one line and ends with ${code} when ${name}`, async () => {
      const ended = await runProgram("tools/cli/main.js", ["simulate", ...(await more())]);
      expect([ended.code, ended.stdout]).to.deep.equal([code, ""]);
      expect(ended.stderr).to.match(/^token-gateway: [^\n]+\n$/);
      expect(ended.stderr).to.match(says);
    });
});
