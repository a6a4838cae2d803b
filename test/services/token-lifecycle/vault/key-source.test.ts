import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { StartError } from "../../../../lib/program.js";
import { type KeySource, openKeySource } from "../../../../services/token-lifecycle/vault/key-source.js";
import { keyringOf, loadKeyring } from "../../../../services/token-lifecycle/vault/keyring.js";
import { temporaryFolder, until } from "../../../support/processes.js";

const secret = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

describe("a key source of the operator's own", () => {
  const folder = temporaryFolder();
  after(() => folder.remove());
  let modules = 0;
  const open = (source: string): Promise<KeySource> => {
    const file = join(folder.path, `source-${++modules}.mjs`);
    writeFileSync(file, source);
    return openKeySource(file, folder.path);
  };
  const sourceWith = (secrets: string): string =>
    `export const createKeySource = () => ({ stamp: () => "", secrets: () => ${secrets} });`;

  it("may answer at once or later, and is told the folder", async () => {
    const source = await open(
      "export const createKeySource = async ({ keyringDir }) => ({" +
        "stamp: async () => keyringDir, secrets: async () => new Map([[7, new Uint8Array(32)]]) });",
    );
    expect(await source.stamp()).to.equal(folder.path);
    expect(keyringOf(await source.secrets()).newest.version).to.equal(7);
  });

  const mistakes: { name: string; source: string; words: RegExp }[] = [
    { name: "does not parse", source: "export const = 1;", words: /Unexpected token/ },
    { name: "exports something else", source: "export default 1;", words: /exports no function createKeySource/ },
    {
      name: "throws words of several lines",
      source: 'export function createKeySource() { throw new Error("no\\n  way"); }',
      words: /no way$/,
    },
    { name: "throws no error", source: sourceWith("Promise.reject('gone')"), words: /gone$/ },
    { name: "gives no Map", source: sourceWith("({ 1: new Uint8Array(32) })"), words: /no Map/ },
    { name: "gives no version", source: sourceWith("new Map()"), words: /no Map with a version/ },
    {
      name: "gives a word as version",
      source: sourceWith('new Map([["1", new Uint8Array(32)]])'),
      words: /version that/,
    },
    { name: "gives half a version", source: sourceWith("new Map([[1.5, new Uint8Array(32)]])"), words: /version that/ },
    { name: "gives a short secret", source: sourceWith("new Map([[1, new Uint8Array(31)]])"), words: /version 1 as/ },
    { name: "gives text as secret", source: sourceWith('new Map([[1, "x".repeat(32)]])'), words: /version 1 as/ },
  ];
  for (const { name, source, words } of mistakes)
    it(`is refused in one line when it ${name}`, async () => {
      const failed = await open(source)
        .then((opened) => opened.secrets())
        .then(
          () => new Error("it was taken"),
          (error: Error) => error,
        );
      expect(failed).to.be.instanceOf(StartError);
      expect(failed.message)
        .to.match(words)
        .and.match(/^the key source \S+ \(KEYRING_SOURCE\) gave no keys: /)
        .and.not.include("\n");
    });

  it("is refused in one line when there is no such module", async () => {
    const failed = await openKeySource(join(folder.path, "none.mjs"), folder.path).catch((error: Error) => error);
    expect(failed)
      .to.be.instanceOf(StartError)
      .with.property("message")
      .match(/none\.mjs.*Cannot find module/);
  });
});

describe("loadKeyring", () => {
  it("asks for secrets when the stamp changes alone, keeps what it has when that fails, and tries again", async () => {
    let [stamp, asked, isAway] = ["a", 0, false];
    let secrets = new Map([[1, secret(1)]]);
    const source: KeySource = {
      stamp: () => stamp,
      secrets() {
        asked += 1;
        if (isAway) throw new Error("away");
        return secrets;
      },
    };
    const changes: number[] = [];
    const failures: unknown[] = [];
    const keyring = await loadKeyring(
      source,
      2,
      ({ newest }) => changes.push(newest.version),
      (error) => failures.push(error),
    );
    try {
      secrets = new Map([...secrets, [2, secret(2)]]);
      isAway = true;
      expect([keyring.current().newest.version, asked]).to.deep.equal([1, 1]);
      stamp = "b";
      await until("it failed twice", () => failures.length >= 2);
      expect(keyring.current().newest.version).to.equal(1);
      isAway = false;
      await until("the new key is there", () => keyring.current().newest.version === 2);
      expect(keyring.current().ofVersion(1).version).to.equal(1);
      expect(changes).to.deep.equal([2]);
    } finally {
      keyring.stop();
    }
  });
});
