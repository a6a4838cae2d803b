import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { builtVersion, hasAll, previousVersions, whyMissing } from "../../tools/previous.js";
import { buildOrSkip } from "../support/versions.js";

const lockOf = (packages: Record<string, { version: string; integrity: string }>): string =>
  JSON.stringify({ packages });

describe("the versions before this one", () => {
  it("are named by whole commit ids, each once", () => {
    const commits = previousVersions.map(({ commit }) => commit);
    expect(commits.filter((commit) => !/^[0-9a-f]{40}$/.test(commit))).to.deep.equal([]);
    expect(new Set(commits).size).to.equal(commits.length);
  });

  it("are said to be missing where the clone lacks them, with the commit and what to do", () => {
    const commit = "0123456789abcdef0123456789abcdef01234567";
    const missing = whyMissing({ ...previousVersions[0], commit });
    expect(missing).to.include(`commit ${commit}, is not in this clone; git fetch --unshallow`);
  });

  for (const version of previousVersions)
    it(`are built from git, as the one of ${version.name}, and kept`, function () {
      const product = buildOrSkip(this, version);
      for (const main of ["gateway/main.js", "services/token-lifecycle/main.js"])
        expect(existsSync(join(product, main)), main).to.equal(true);
      expect(builtVersion(version)).to.equal(product);
    });

  it("share our packages only when each of theirs is among them with the same content", () => {
    const a = { version: "1.0.0", integrity: "sha512-a" };
    const b = { version: "2.0.0", integrity: "sha512-b" };
    const ours = lockOf({ "node_modules/a": a, "node_modules/b": b });
    expect(hasAll(ours, lockOf({ "node_modules/b": b }))).to.equal(true);
    for (const other of [
      { ...b, version: "2.0.1" },
      { ...b, integrity: "sha512-c" },
    ])
      expect(hasAll(ours, lockOf({ "node_modules/b": other }))).to.equal(false);
    expect(hasAll(ours, lockOf({ "node_modules/c": b }))).to.equal(false);
  });
});
