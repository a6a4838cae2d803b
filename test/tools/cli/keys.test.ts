// token-gateway keys, as a person at a shell meets it.
import { createHash, createPublicKey, generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { readClientsAtStart } from "../../../gateway/keys.js";
import { privatePem, publicKey, publicPem, testClientId, writeClient } from "../../support/keys.js";
import { temporaryFolder } from "../../support/processes.js";
import { runProgram } from "../../support/programs.js";

const spki = publicKey("mpp").export({ type: "spki", format: "der" });
const fingerprint = createHash("sha256").update(spki).digest("hex");

describe("token-gateway keys", () => {
  const folder = temporaryFolder();
  after(() => folder.remove());
  const fileOf = (name: string, text: string): string => {
    const file = join(folder.path, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const run = (args: string[], env: Record<string, string> = {}) =>
    runProgram("tools/cli/main.js", ["keys", ...args], env);
  const modeOf = (file: string): number => statSync(file).mode & 0o777;

  describe("make", () => {
    it("writes a pair in all forms, and never over what is there", async () => {
      const out = join(folder.path, "made");
      const { code, stdout, stderr } = await run(["make", "--out", out, "--name", "alipayplus.1"]);
      expect([code, stderr]).to.deep.equal([0, ""]);
      const [line, secret, open] = ["public.base64", "private.pem", "public.pem"].map((end) =>
        readFileSync(join(out, `alipayplus.1.${end}`), "utf8"),
      );
      expect(secret).to.match(/^-----BEGIN PRIVATE KEY-----\n/);
      expect(open).to.match(/^-----BEGIN PUBLIC KEY-----\n/);
      const der = Buffer.from(line ?? "", "base64");
      expect(createPublicKey(secret ?? "").export({ type: "spki", format: "der" })).to.deep.equal(der);
      expect(createPublicKey(open ?? "").export({ type: "spki", format: "der" })).to.deep.equal(der);
      expect(line).to.match(/^[A-Za-z0-9+/=]+\n$/);
      expect(modeOf(join(out, "alipayplus.1.private.pem"))).to.equal(0o600);
      expect(stdout).to.include(createHash("sha256").update(der).digest("hex"));

      const again = await run(["make", "--out", out, "--name", "alipayplus.1"]);
      expect([again.code, again.stdout]).to.deep.equal([2, ""]);
      expect(again.stderr).to.match(/alipayplus\.1\.private\.pem is there already: nothing was written\n$/);
      expect(readFileSync(join(out, "alipayplus.1.private.pem"), "utf8")).to.equal(secret);
    });
  });

  describe("show", () => {
    const pkcs1 = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    const small = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey;
    const curve = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey;
    const pem = (key: { export: (options: never) => unknown }, type: string): string =>
      String(key.export({ type, format: "pem" } as never));
    const rows = [
      { name: "own.pem", text: privatePem("mpp"), kind: "private", form: "PKCS#8", findings: [] },
      { name: "own.public.pem", text: publicPem("mpp"), kind: "public", form: "SPKI", findings: [] },
      { name: "line.txt", text: spki.toString("base64"), kind: "public", form: "SPKI", findings: [] },
      { name: "noted.pem", text: `Notes of mine\n${publicPem("mpp")}`, kind: "public", form: "SPKI", findings: [] },
      { name: "old.pem", text: pem(pkcs1, "pkcs1"), kind: "private", form: "PKCS#1", findings: [/^PKCS#1: /] },
      { name: "small.pem", text: pem(small, "spki"), kind: "public", form: "SPKI", findings: [/2048 bits/] },
      { name: "curve.pem", text: pem(curve, "spki"), kind: "public", form: "SPKI", findings: [/^not RSA/] },
    ];
    for (const { name, text, kind, form, findings } of rows)
      it(`tells of ${name}: ${kind}, ${form}, ${findings.length} findings`, async () => {
        const { code, stdout } = await run(["show", "--json", fileOf(name, text)]);
        const [shown] = JSON.parse(stdout);
        expect(shown).to.include({ kind, form });
        expect(shown.findings).to.have.length(findings.length);
        for (const finding of findings) expect(shown.findings[0]).to.match(finding);
        expect(code).to.equal(findings.length === 0 ? 0 : 1);
        if (text.includes("PUBLIC") && name !== "small.pem" && name !== "curve.pem")
          expect(shown).to.include({ fingerprint, publicKey: spki.toString("base64"), bits: 2048 });
      });

    it("warns of a private key that others may read", async () => {
      const file = fileOf("open.pem", privatePem("mpp"));
      chmodSync(file, 0o644);
      const { code, stdout } = await run(["show", file]);
      expect([code, stdout.includes("chmod 600")]).to.deep.equal([1, true]);
    });

    it("prints no private key, and no colours where there is no terminal", async () => {
      const { stdout } = await run(["show", fileOf("secret.pem", privatePem("mpp"))]);
      expect(stdout).to.include(fingerprint).and.to.not.include("\u001b");
      for (const line of privatePem("mpp").trim().split("\n").slice(1, -1)) expect(stdout).to.not.include(line);
    });

    for (const { name, file } of [
      { name: "a file that is not there", file: () => join(folder.path, "nowhere") },
      { name: "a file without a key", file: () => fileOf("note.txt", "hello, world") },
      { name: "base64 of something else", file: () => fileOf("other.txt", "aGVsbG8=") },
      {
        name: "an encrypted key",
        file: () =>
          fileOf("locked.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII=\n-----END ENCRYPTED PRIVATE KEY-----\n"),
      },
    ])
      it(`says in one line that there is no key in ${name}, and ends with 2`, async () => {
        const { code, stdout, stderr } = await run(["show", file()]);
        expect([code, stdout]).to.deep.equal([2, ""]);
        expect(stderr).to.match(/^token-gateway: [^\n]*key[^\n]*\n$/);
      });
  });

  describe("match", () => {
    it("knows a pair in any form, and ends with 1 for another", async () => {
      const ours = fileOf("match.pem", privatePem("mpp"));
      for (const text of [publicPem("mpp"), spki.toString("base64"), privatePem("mpp")])
        expect((await run(["match", ours, fileOf("half.pem", text)])).stdout).to.equal(
          `a pair, fingerprint ${fingerprint}\n`,
        );
      const other = await run(["match", "--json", ours, fileOf("other.pem", publicPem("aplus"))]);
      expect([other.code, JSON.parse(other.stdout).isPair]).to.deep.equal([1, false]);
      expect((await run(["match", fileOf("half.pem", publicPem("mpp")), ours])).code).to.equal(2);
    });
  });

  describe("roll", () => {
    let number = 0;
    const keysFolder = (): string => join(folder.path, `keys-${number++}`);

    it("makes the next version, which the gateway takes, and says what to upload", async () => {
      const keysDir = keysFolder();
      const client = writeClient(keysDir, testClientId, { 1: "aplus" }, { 1: "mpp", 9: "mpp", 10: "mpp" });
      const { code, stdout } = await run(["roll", "--keys-dir", keysDir], { OWN_KEY_VERSION: "10" });
      expect(code).to.equal(0);
      const file = join(client, "own.11.private.pem");
      expect(modeOf(file)).to.equal(0o600);
      expect(readdirSync(client).filter((name) => name.startsWith("."))).to.deep.equal([]);
      const upload = createPublicKey(readFileSync(file)).export({ type: "spki", format: "der" }).toString("base64");
      expect(stdout.split("\n")).to.include(upload);
      expect(stdout).to.include(`version 11 of the key of ${testClientId}`);
      expect(stdout).to.include("set OWN_KEY_VERSION=11");
      const clients = readClientsAtStart({ folder: keysDir, defaultClientId: undefined, ownKeyVersion: undefined });
      expect(clients.clientOf(testClientId)?.signatory?.keyVersion).to.equal(11);
    });

    it("does not let a gateway sign with what Alipay+ does not have yet, unless it is told to", async () => {
      const keysDir = keysFolder();
      const client = writeClient(keysDir);
      const refused = await run(["roll", "--keys-dir", keysDir]);
      expect([refused.code, refused.stdout]).to.deep.equal([2, ""]);
      expect(refused.stderr).to.include("OWN_KEY_VERSION=1").and.to.include("--at-once");
      expect(readdirSync(client)).to.not.include("own.2.private.pem");
      expect((await run(["roll", "--keys-dir", keysDir, "--at-once"])).code).to.equal(0);
      expect(readdirSync(client)).to.include("own.2.private.pem");
    });

    it("makes the first version of a new client without a question", async () => {
      const keysDir = keysFolder();
      mkdirSync(join(keysDir, "NEW_CLIENT"), { recursive: true });
      const { code, stdout } = await run(["roll", "--keys-dir", keysDir, "--client", "NEW_CLIENT", "--json"]);
      expect(code).to.equal(0);
      expect(JSON.parse(stdout)).to.include({ clientId: "NEW_CLIENT", keyVersion: 1 });
    });

    it("never overwrites: of several at once each gets a version of its own or writes nothing", async () => {
      const keysDir = keysFolder();
      const client = writeClient(keysDir);
      const runs = await Promise.all(
        Array.from({ length: 4 }, () => run(["roll", "--keys-dir", keysDir, "--at-once", "--json"])),
      );
      const made = runs.filter(({ code }) => code === 0).map(({ stdout }) => JSON.parse(stdout));
      for (const { file, fingerprint: of } of made) {
        const der = createPublicKey(readFileSync(file)).export({ type: "spki", format: "der" });
        expect(createHash("sha256").update(der).digest("hex")).to.equal(of);
      }
      expect(new Set(made.map(({ keyVersion }) => keyVersion)).size)
        .to.equal(made.length)
        .and.to.be.above(0);
      for (const { code, stderr } of runs)
        if (code !== 0) expect(stderr).to.match(/is there already: nothing was written/);
      expect(readdirSync(client).filter((name) => name.startsWith("own."))).to.have.length(made.length + 1);
    });

    for (const { name, clients, stderr } of [
      { name: "there is no folder of keys", clients: [], stderr: /cannot be read \(ENOENT\)/ },
      { name: "there are two clients", clients: ["A", "B"], stderr: /holds A, B: say which with --client/ },
    ])
      it(`says so in one line when ${name}`, async () => {
        const keysDir = keysFolder();
        for (const each of clients) writeClient(keysDir, each);
        const ended = await run(["roll", "--keys-dir", keysDir]);
        expect(ended.code).to.equal(2);
        expect(ended.stderr)
          .to.match(stderr)
          .and.to.match(/^[^\n]+\n$/);
      });
  });
});
