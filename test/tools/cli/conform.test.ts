// token-gateway conform against the product, as a person at a shell and a script meet it.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { devClientId, makeDevKeys } from "../../../tools/dev-keys.js";
import { privatePem, publicPem, testClientId } from "../../support/keys.js";
import { startTestStack, type TestStack } from "../../support/processes.js";
import { freePort, runProgram } from "../../support/programs.js";
import { type SmallMpp, startSmallMpp } from "../../support/small-mpp.js";

describe("token-gateway conform", () => {
  let stack: TestStack;
  let broken: SmallMpp;
  let keys: string[];
  before(async () => {
    stack = await startTestStack();
    broken = await startSmallMpp("does not look at Accept");
    const [senderKey, receiverKey] = [join(stack.folder, "sender.pem"), join(stack.folder, "receiver.pem")];
    writeFileSync(senderKey, privatePem("aplus"));
    writeFileSync(receiverKey, publicPem("mpp"));
    keys = ["--client", testClientId, "--sender-key", senderKey, "--receiver-key", receiverKey];
  });
  after(async () => {
    await broken?.stop();
    await stack?.stop();
  });
  const run = (args: readonly string[], env?: Record<string, string>) =>
    runProgram("tools/cli/main.js", ["conform", ...args], env);
  const ours = (): string => `${stack.gateway.url}/aps/api/v1`;
  const brokenArgs = (...more: string[]): string[] => [broken.url, ...keys, ...more];

  it("finds nothing wrong with the product, not even where nothing is published", async () => {
    const { code, stdout, stderr } = await run([ours(), ...keys, "--json"]);
    const { counts, results } = JSON.parse(stdout);
    expect(results.filter(({ verdict }: { verdict: string }) => verdict !== "pass")).to.deep.equal([]);
    expect(counts).to.deep.equal({ pass: results.length, fail: 0, notice: 0 });
    expect(results.length).to.be.at.least(120);
    expect([code, stderr]).to.deep.equal([0, ""]);
    for (const { rule } of results) expect(rule.says).to.not.equal("");
  });

  it("ends with 1 for an endpoint that fails, and names the case, the rule and its place", async () => {
    const { code, stdout } = await run(brokenArgs("--only", "accept/"));
    expect(code).to.equal(1);
    expect(stdout).to.include("FAIL  accept/xml: Accept: application/xml");
    expect(stdout).to.include("expected: F MEDIA_TYPE_NOT_ACCEPTABLE; got: S SUCCESS");
    expect(stdout).to.include("API page, result codes (documented)");
    expect(stdout).to.match(/4 cases in [\d.]+ s: 3 passed, 1 failed\n$/);
    expect(stdout).to.not.include("\u001b");
  });

  it("writes TAP that says ok and not ok with their reasons", async () => {
    const { code, stdout } = await run(brokenArgs("--only", "accept/", "body/byte", "--format", "tap"));
    const lines = stdout.split("\n");
    expect(lines.slice(0, 2)).to.deep.equal(["TAP version 14", "1..5"]);
    expect(lines.filter((line) => /^(?:not )?ok \d+ - /.test(line)).map((line) => line.split(":")[0])).to.deep.equal([
      "ok 1 - accept/anything",
      "ok 2 - accept/json",
      "ok 3 - accept/browser",
      "not ok 4 - accept/xml",
      "ok 5 - body/byte-order-mark",
    ]);
    const [failed, noticed] = stdout.split("  ---\n").slice(1);
    expect(failed).to.match(/^ {2}severity: "fail"\n {2}expected: "F MEDIA[^\n]*\n {2}observed: "S SUCCESS"\n/);
    expect(failed).to.match(/\n {2}standing: "documented"\n {2}\.\.\.\n/);
    expect(noticed).to.include('severity: "notice"');
    expect(code).to.equal(1);
  });

  it("writes JUnit XML that counts what failed", async () => {
    const file = join(stack.folder, "report.xml");
    const args = ["--only", "accept/", "body/byte", "--format", "junit", "--out", file];
    const { code, stdout } = await run(brokenArgs(...args));
    const xml = readFileSync(file, "utf8");
    expect(xml).to.match(
      /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<testsuites name="conform" tests="5" failures="1"/,
    );
    expect(xml).to.include(
      '<testsuite name="tokenActivationNotification" tests="5" failures="1" errors="0" skipped="0"',
    );
    expect(xml).to.match(
      /<testcase classname="conform\.accept" name="accept\/xml" time="[\d.]+">\n {6}<failure type="media-type"/,
    );
    expect(xml).to.match(/name="body\/byte-order-mark" time="[\d.]+">\n {6}<system-out>/);
    expect(xml.match(/<testcase /g)).to.have.length(5);
    for (const name of ["testsuites", "testsuite", "testcase", "failure", "system-out"])
      expect(xml.match(new RegExp(`<${name}[ >](?:(?!/>)[^>])*[^/]>|<${name}>`, "g"))?.length, name).to.equal(
        xml.match(new RegExp(`</${name}>`, "g"))?.length,
      );
    expect(stdout).to.include("FAIL  accept/xml");
    expect(code).to.equal(1);
  });

  it("writes a Markdown table with a row for each case", async () => {
    const { stdout } = await run(brokenArgs("--only", "accept/", "--format", "md"));
    const rows = stdout.split("\n").filter((line) => /^\| (?:pass|\*\*FAIL\*\*|to know) \|/.test(line));
    expect(rows).to.have.length(4);
    expect(rows[3]).to.match(
      /^\| \*\*FAIL\*\* \| `accept\/xml` \| Accept: application\/xml \| F MEDIA[^|]* \| S SUCCESS \|/,
    );
    for (const row of rows) expect(row.match(/(?<!\\)\|/g)).to.have.length(7);
  });

  it("needs no option beside npm start: keys below DATA_DIR, the address from the settings", async () => {
    const keysDir = join(stack.folder, "keys", devClientId);
    await makeDevKeys(stack.folder, keysDir);
    const port = new URL(stack.gateway.url).port;
    const list = await run(["--list"]);
    expect([list.code, list.stdout.split("\n").length > 120]).to.deep.equal([0, true]);
    const { code, stdout } = await run(["--only", "header/unknown-client-id"], {
      DATA_DIR: stack.folder,
      GATEWAY_PORT: port,
    });
    expect([code, /1 passed, 0 failed/.test(stdout)]).to.deep.equal([0, true]);
  });

  it("takes the address of the API itself, under whatever path it stands", async () => {
    const elsewhere = `${stack.gateway.url}/elsewhere`;
    const { code, stdout } = await run([elsewhere, "--exact", ...keys, "--only", "request/", "--json"]);
    expect(code).to.equal(1);
    expect(JSON.parse(stdout).results[0].observed).to.equal("F NO_INTERFACE_DEF");
  });

  it("sends the members that an endpoint needs in place of made-up ones", async () => {
    const file = join(stack.folder, "members.json");
    writeFileSync(file, JSON.stringify({ customerId: 12 }));
    const { code, stdout } = await run([ours(), ...keys, "--members", file, "--only", "request/"]);
    expect([code, stdout.includes("got: F PARAM_ILLEGAL")]).to.deep.equal([1, true]);
    expect(stdout).to.include("The plain request was not accepted, so the rest says little");
  });

  const refused: { name: string; args: () => Promise<string[]> | string[]; code: number; stderr: RegExp }[] = [
    {
      name: "nothing listens there",
      args: async () => [`http://127.0.0.1:${await freePort()}/aps`, ...keys],
      code: 3,
      stderr: /no answer from http:\/\/127\.0\.0\.1:\d+ \(ECONNREFUSED\): is it the right address/,
    },
    { name: "there are no keys", args: () => [ours()], code: 2, stderr: /there is no key in .* Run npm start once/ },
    {
      name: "the sender's key is a public one",
      args: () => [ours(), "--sender-key", join(stack.folder, "receiver.pem")],
      code: 2,
      stderr: /holds a public key where a private one is needed/,
    },
    {
      name: "the address is none",
      args: () => ["gateway"],
      code: 2,
      stderr: /must be an http:\/\/ or https:\/\/ address/,
    },
    {
      name: "no case has the name",
      args: () => ["--only", "frob"],
      code: 2,
      stderr: /no case begins with frob: see --list/,
    },
    {
      name: "the format is none",
      args: () => ["--format", "csv"],
      code: 2,
      stderr: /Allowed choices are text, tap, junit, md, json/,
    },
    {
      name: "the members are none",
      args: () => [ours(), ...keys, "--members", join(stack.folder, "sender.pem")],
      code: 2,
      stderr: /sender\.pem is not JSON/,
    },
  ];
  for (const { name, args, code, stderr } of refused)
    it(`says so in one line and ends with ${code} when ${name}`, async () => {
      const ended = await run(await args());
      expect([ended.code, ended.stdout]).to.deep.equal([code, ""]);
      expect(ended.stderr)
        .to.match(/^token-gateway: [^\n]+\n$/)
        .and.to.match(stderr);
    });
});
