// The command line program as a whole: it is found, explains itself, and ends as it says.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { exitCodes } from "../../../tools/cli/output.js";
import { temporaryFolder } from "../../support/processes.js";
import { runProgram } from "../../support/programs.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const run = (...args: string[]) => runProgram("tools/cli/main.js", args);

/** The lines of --help that name a command, its arguments left out. */
const commandsIn = (help: string): string[] =>
  (help.split("\nCommands:\n")[1] ?? "")
    .split("\n")
    .map((line) => /^ {2}([a-z]+)/.exec(line)?.[1] ?? "")
    .filter((name) => name !== "" && name !== "help");

describe("token-gateway", () => {
  it("is what npx runs in a checkout", () => {
    // npx links the package into its cache.
    const cache = temporaryFolder();
    const printed = execFileSync("npx", ["token-gateway", "--version"], {
      cwd: root,
      env: { ...process.env, npm_config_cache: cache.path, npm_config_update_notifier: "false" },
    });
    cache.remove();
    expect(printed.toString()).to.match(/^\d+\.\d+\.\d+\n$/);
  });

  it("explains every command and every command below it", async () => {
    const { code, stdout } = await run("--help");
    expect(code).to.equal(0);
    for (const exit of exitCodes) expect(stdout).to.include(`${exit.code} ${exit.meaning}`);
    const names = commandsIn(stdout);
    expect(names).to.include("keys");
    const guide = readFileSync(join(root, "docs/tools.md"), "utf8");
    for (const name of names) {
      expect(guide).to.match(new RegExp(`^## token-gateway ${name}$`, "m"));
      const help = await run(name, "--help");
      expect([name, help.code, help.stderr]).to.deep.equal([name, 0, ""]);
      for (const below of commandsIn(help.stdout)) {
        const { code, stdout } = await run(name, below, "--help");
        expect([below, code]).to.deep.equal([below, 0]);
        expect(stdout, `${name} ${below}`).to.include("--json");
      }
    }
  });

  it("says in one line what is wrong with a command line, and ends with 2", async () => {
    for (const args of [["frob"], ["keys", "frob"], ["keys", "show"], ["keys", "show", "--frob"]]) {
      const { code, stdout, stderr } = await run(...args);
      expect([args, code, stdout]).to.deep.equal([args, 2, ""]);
      expect(stderr).to.match(/^token-gateway: [^\n]+\n$/);
    }
  });
});
