// token-gateway refusals: what is lost for good is found in the log, and nothing else.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { notification, notify } from "../../support/notification.js";
import { startTestStack, type TestStack, temporaryFolder, until } from "../../support/processes.js";
import { runProgram } from "../../support/programs.js";

const run = (...args: string[]) => runProgram("tools/cli/main.js", ["refusals", ...args]);

const line = (change: Record<string, unknown> = {}): string =>
  JSON.stringify({
    ...{ level: "warn", time: "2026-01-02T03:04:05.000Z", part: "gateway", deliveryId: "d-1", clientId: "C1" },
    ...{ api: "tokenActivationNotification", tokenReferenceId: "T-1", resultCode: "PARAM_ILLEGAL" },
    ...{ resultMessage: "m", field: "walletId", rule: "STRING_MAX_LEN", msg: "refusal", ...change },
  });

describe("token-gateway refusals", () => {
  const folder = temporaryFolder();
  after(() => folder.remove());
  const fileOf = (name: string, ...lines: string[]): string => {
    const file = join(folder.path, name);
    writeFileSync(file, `${lines.join("\n")}\n`);
    return file;
  };

  it("finds them among other lines, in several files, in the order of time", async () => {
    const one = fileOf(
      "one.log",
      line({ time: "2026-01-02T03:04:07.000Z", deliveryId: "d-3" }),
      line({ msg: "answer" }),
      '{"msg":"refusal","part":"gateway"',
      "Error: refusal",
      line({ part: "audit", deliveryId: "d-9" }),
    );
    const two = fileOf(
      "two.log",
      `2026-01-02T03:04:06Z stdout F ${line({ time: "2026-01-02T03:04:06.000Z", deliveryId: "d-2" })}`,
    );
    const { code, stdout } = await run("--json", one, two);
    expect(code).to.equal(1);
    const listed = JSON.parse(stdout) as Record<string, string>[];
    expect(listed.map(({ deliveryId }) => deliveryId)).to.deep.equal(["d-2", "d-3"]);
    expect(listed[0]).to.deep.equal({
      ...{ time: "2026-01-02T03:04:06.000Z", clientId: "C1", api: "tokenActivationNotification" },
      ...{ tokenReferenceId: "T-1", field: "walletId", rule: "STRING_MAX_LEN" },
      ...{ resultCode: "PARAM_ILLEGAL", deliveryId: "d-2" },
    });
  });

  it("shows a line for each and how many there are of each kind, and nothing that moves a cursor", async () => {
    const file = fileOf(
      "three.log",
      line(),
      line({ deliveryId: "d-2" }),
      line({ field: "", rule: "CLIENT_CONFLICT", tokenReferenceId: "T\u001b[2J" }),
    );
    const { code, stdout } = await run(file);
    expect(code).to.equal(1);
    expect(stdout).to.not.match(/[^\x20-\x7e\n]/);
    expect(stdout.match(/ d-\d$/gm)).to.have.length(3);
    expect(stdout)
      .to.match(/^ {5}2 {2}C1 walletId STRING_MAX_LEN$/m)
      .and.to.match(/^ {5}1 {2}C1 CLIENT_CONFLICT$/m);
  });

  it("leaves out what was before a time and what is of other clients", async () => {
    const file = fileOf(
      "four.log",
      line(),
      line({ time: "2026-01-03T00:00:00.000Z", clientId: "C2", deliveryId: "d-2" }),
    );
    const ids = async (...args: string[]) =>
      (JSON.parse((await run("--json", ...args, file)).stdout) as { deliveryId: string }[]).map(
        (each) => each.deliveryId,
      );
    expect(await ids("--since", "2026-01-02T12:00:00+08:00")).to.deep.equal(["d-2"]);
    expect(await ids("--client", "C1")).to.deep.equal(["d-1"]);
    expect(await ids("--client", "C3")).to.deep.equal([]);
  });

  it("ends well when there is none", async () => {
    expect(await run(fileOf("five.log", line({ msg: "answer" })))).to.deep.equal({
      ...{ code: 0, stdout: "no genuine notification was refused\n", stderr: "" },
    });
  });

  it("says in one line which file or time is wrong", async () => {
    for (const args of [["/no/such.log"], ["--since", "yesterday", fileOf("six.log")]]) {
      const { code, stdout, stderr } = await run(...args);
      expect([code, stdout]).to.deep.equal([2, ""]);
      expect(stderr).to.match(/^token-gateway: [^\n]+\n$/);
    }
  });

  describe("from a gateway", () => {
    let stack: TestStack;
    before(async () => {
      stack = await startTestStack();
    });
    after(() => stack?.stop());

    it("reads its log from standard input", async () => {
      const sent = notification({ accountSource: "NEW" });
      await notify(stack.gateway.url, sent);
      await until("it is logged", () => stack.gateway.log().includes('"msg":"refusal"'));
      const program = fileURLToPath(new URL("../../../dist/tools/cli/main.js", import.meta.url));
      const child = spawn(process.execPath, [program, "refusals", "--json"], { stdio: ["pipe", "pipe", "inherit"] });
      let printed = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        printed += text;
      });
      child.stdin.end(stack.gateway.log());
      expect(await once(child, "close")).to.deep.equal([1, null]);
      const [refusal, ...others] = JSON.parse(printed);
      expect(others).to.deep.equal([]);
      expect(refusal).to.include({ tokenReferenceId: sent.tokenReferenceId, field: "accountSource" });
    });
  });
});
