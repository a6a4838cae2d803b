// The doctor as people run it: on what a gateway refused, in the forms in which they have it.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { captureFormat } from "../../../tools/captures.js";
import { publicPem } from "../../support/keys.js";
import { apiPath } from "../../support/notification.js";
import { runProgram } from "../../support/programs.js";
import { startTestGateway, type TestGateway } from "../../support/stand-in-service.js";
import { type Headers, requestBytes, sendBytes, signedHeaders, withHeader } from "../../support/wire.js";

describe("token-gateway doctor", () => {
  const body = '{"tokenReferenceId":"T-1","tokenData":{"token":"5345678901234521"}}';
  let gateway: TestGateway;
  let file: string;
  before(async () => {
    gateway = await startTestGateway();
    file = join(gateway.folder, "captured.http");
  });
  after(() => gateway?.stop());

  const doctor = (...args: string[]) =>
    runProgram("tools/cli/main.js", ["doctor", "--keys-dir", gateway.keysDir, ...args]);

  const refused: [cause: string, says: RegExp, headers: Headers, sent: string, target: string][] = [
    ["whitespace", /let no proxy format it/, signedHeaders(body), body.replaceAll('":', '": '), apiPath],
    [
      "clock",
      /read the clock once/,
      withHeader(signedHeaders(body, { time: "2026-01-02T03:04:05Z" }), "Request-Time", "2026-01-02T03:04:06Z"),
      body,
      apiPath,
    ],
    ["key-version", /and alipayplus\.1 of TEST_CLIENT made it/, signedHeaders(body, { keyVersion: 2 }), body, apiPath],
    [
      "query-included",
      /SIGNED_URI=path-or-query/,
      signedHeaders(body, { path: `${apiPath}?a=1` }),
      body,
      `${apiPath}?a=1`,
    ],
  ];
  for (const [cause, says, headers, sent, target] of refused)
    it(`says in one line that ${cause} is why the gateway refused a request`, async () => {
      const bytes = requestBytes(target, headers, sent);
      const answer = await sendBytes(gateway.gateway.url, bytes);
      expect(answer === "closed" ? answer : answer.result.resultCode).to.match(/^(?:INVALID_SIGNATURE|KEY_NOT_FOUND)$/);
      writeFileSync(file, bytes);
      const { code, stdout, stderr } = await doctor(file);
      expect([code, stderr]).to.deep.equal([1, ""]);
      expect(stdout).to.match(/^[^\n]+\n$/);
      expect(stdout.split(":")[0]).to.equal(cause);
      expect(stdout).to.match(says);
      expect(stdout).to.not.include("5345678901234521");
    });

  it("says that the signature of an accepted request holds, and ends with 0", async () => {
    writeFileSync(file, requestBytes(apiPath, signedHeaders(body), body));
    expect(await doctor(file)).to.deep.equal({
      code: 0,
      stdout: "the signature holds, by alipayplus.1 of TEST_CLIENT\n",
      stderr: "",
    });
  });

  it("compares requests with each other, and tells it as JSON", async () => {
    const headers = signedHeaders(body);
    const command = `curl http://h${apiPath} ${headers.map(([name, value]) => `-H '${name}: ${value}'`).join(" ")} -d '{"tokenReferenceId":"T-2"}'`;
    const capture = {
      format: captureFormat,
      method: "POST",
      target: apiPath,
      headers: {},
      bodyBase64: Buffer.from(body).toString("base64"),
    };
    writeFileSync(file, JSON.stringify(capture));
    const { stdout } = await doctor("--json", command, file);
    expect(JSON.parse(stdout).map(({ causes }: { causes: string[] }) => causes)).to.deep.equal([
      ["body-of-another-request"],
      ["header-missing"],
    ]);
  });

  it("takes single keys, and says which one made the signature", async () => {
    const [own, theirs] = ["own.pem", "theirs.pem"].map((name) => join(gateway.folder, name)) as [string, string];
    writeFileSync(own, publicPem("mpp"));
    writeFileSync(theirs, publicPem("aplus"));
    writeFileSync(file, requestBytes(apiPath, signedHeaders(body), body));
    expect((await doctor(file, "--key", theirs)).stdout).to.equal(`the signature holds, by ${theirs}\n`);
    expect((await doctor(file, "--key", own, "--key", theirs)).stdout).to.match(/^wrong-key: .*theirs\.pem made it/);
    expect((await doctor(file, "--key", own)).stdout).to.match(/^wrong-key: .*none of the 1 at hand/);
  });

  const wrong: [name: string, args: () => string[], says: RegExp][] = [
    ["there is no file", () => [join(gateway.folder, "none")], /none cannot be read \(ENOENT\)/],
    [
      "the file is no request",
      () => [join(gateway.folder, "gateway.log")],
      /gateway\.log starts like JSON, but is none/,
    ],
    [
      "there is no key",
      () => [file, "--keys-dir", join(gateway.folder, "none")],
      /there are no keys: .*none does not exist/,
    ],
    ["a key is none", () => [file, "--key", file], /there is no key in /],
  ];
  for (const [name, args, says] of wrong)
    it(`says so in one line and ends with 2 when ${name}`, async () => {
      const { code, stdout, stderr } = await doctor(...args());
      expect([code, stdout]).to.deep.equal([2, ""]);
      expect(stderr).to.match(/^token-gateway: [^\n]+\n$/);
      expect(stderr).to.match(says);
    });
});
