import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { type Clients, readClients, readClientsAtStart } from "../../gateway/keys.js";
import { StartError } from "../../lib/program.js";
import { publicKey, publicPem, testClientId, type VectorKey, writeClient } from "../support/keys.js";
import { temporaryFolder } from "../support/processes.js";

describe("the key files", () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let keysDir: string;
  beforeEach(() => {
    folder = temporaryFolder();
    keysDir = join(folder.path, "keys");
    mkdirSync(keysDir);
  });
  afterEach(() => folder.remove());

  type Options = { ownKeyVersion?: number; defaultClientId?: string };
  const settings = ({ ownKeyVersion, defaultClientId }: Options = {}) => ({
    folder: keysDir,
    ownKeyVersion,
    defaultClientId,
  });
  const start = (options?: Options): Clients => readClientsAtStart(settings(options));
  const complaintOf = (options?: Options): string => {
    try {
      start(options);
    } catch (error) {
      if (error instanceof StartError) return error.message;
      throw error;
    }
    return "none";
  };
  const file = (name: string, client = testClientId): string => join(keysDir, client, name);

  const isKey = (key: KeyObject | "unreadable" | undefined, name: VectorKey): boolean =>
    key !== undefined && key !== "unreadable" && createPublicKey(key as never).equals(publicKey(name));
  const verifies = (clients: Clients, version: string | undefined, name: VectorKey): boolean => {
    const key = clients.clientOf(testClientId)?.verifyingKey(version);
    return key !== undefined && key !== "unreadable" && key.equals(publicKey(name));
  };
  const signsWith = (clients: Clients, client = testClientId): number | undefined =>
    clients.clientOf(client)?.signatory?.keyVersion;

  it("hold Alipay+'s keys and our own for each client", () => {
    writeClient(keysDir);
    writeClient(keysDir, "OTHER", { 5: "other" }, { 6: "mpp" });
    const clients = start();
    expect(verifies(clients, "1", "aplus")).to.equal(true);
    expect(clients.clientOf("OTHER")?.verifyingKey("1")).to.equal(undefined);
    const signatory = clients.clientOf("OTHER")?.signatory;
    expect(signatory).to.include({ clientId: "OTHER", keyVersion: 6 });
    expect(isKey(signatory?.key, "mpp")).to.equal(true);
    expect(clients.clientOf("NOBODY")).to.equal(undefined);
    expect(clients.clientOf("__proto__")).to.equal(undefined);
  });

  it("lie side by side in several versions, of which the highest number is the latest", () => {
    writeClient(keysDir, testClientId, { 2: "other", 9: "mpp", 10: "aplus" }, { 2: "mpp", 10: "mpp" });
    const clients = start();
    expect(verifies(clients, "2", "other")).to.equal(true);
    expect(verifies(clients, "9", "mpp")).to.equal(true);
    expect(verifies(clients, undefined, "aplus")).to.equal(true);
    expect(signsWith(clients)).to.equal(10);
  });

  for (const version of ["1", "01", "000000001"])
    it(`are found by the version "${version}", compared as a number`, () => {
      writeClient(keysDir);
      expect(verifies(start(), version, "aplus")).to.equal(true);
    });

  for (const version of ["", "0", "2", "1.0", "+1", " 1", "1x", "1e0", "0x1", "9".repeat(10), "latest", "NaN"])
    it(`are not found by the version "${version}"`, () => {
      writeClient(keysDir);
      expect(start().clientOf(testClientId)?.verifyingKey(version)).to.equal(undefined);
    });

  it("may have the version 0, which Alipay+'s documents show too", () => {
    writeClient(keysDir, testClientId, { 0: "aplus" }, { 0: "mpp" });
    const clients = start();
    expect(verifies(clients, "0", "aplus")).to.equal(true);
    expect(verifies(clients, undefined, "aplus")).to.equal(true);
    expect(signsWith(clients)).to.equal(0);
  });

  it("sign with the version of OWN_KEY_VERSION where it is set", () => {
    writeClient(keysDir, testClientId, { 1: "aplus" }, { 1: "mpp", 2: "other" });
    expect(signsWith(start())).to.equal(2);
    const { signatory } = start({ ownKeyVersion: 1 }).clientOf(testClientId) ?? {};
    expect(signatory?.keyVersion).to.equal(1);
    expect(isKey(signatory?.key, "mpp")).to.equal(true);
  });

  it("mark a client as denied by a file of that name", () => {
    const client = writeClient(keysDir);
    expect(start().clientOf(testClientId)?.denied).to.equal(false);
    writeFileSync(join(client, "denied"), "");
    expect(start().clientOf(testClientId)?.denied).to.equal(true);
  });

  it("let the only client's key sign for strangers", () => {
    writeClient(keysDir);
    expect(start().defaultSignatory?.clientId).to.equal(testClientId);
  });

  it("let DEFAULT_CLIENT_ID's key sign for strangers where there are several clients, and nobody's without it", () => {
    writeClient(keysDir);
    writeClient(keysDir, "OTHER");
    expect(start().defaultSignatory).to.equal(undefined);
    expect(start({ defaultClientId: "OTHER" }).defaultSignatory?.clientId).to.equal("OTHER");
  });

  it("may lie beside files and folders that are none of ours", () => {
    const client = writeClient(keysDir);
    writeFileSync(join(keysDir, "README"), "");
    mkdirSync(join(keysDir, ".git"));
    for (const name of ["alipayplus.public.pem", "alipayplus.x.public.pem", "own.1.private.pem.bak", "notes.txt"])
      writeFileSync(join(client, name), "no key");
    expect(start().troubles).to.deep.equal([]);
    expect(start().defaultSignatory?.clientId).to.equal(testClientId);
  });

  it("may lie behind symbolic links, as containers mount them", () => {
    const real = join(folder.path, "mounted");
    mkdirSync(real);
    const client = writeClient(real);
    symlinkSync(client, join(keysDir, "LINKED"));
    expect(start().clientOf("LINKED")?.signatory?.keyVersion).to.equal(1);
  });

  it("may lie beside a symbolic link that leads to a file or to nothing", () => {
    writeClient(keysDir);
    writeFileSync(join(folder.path, "file"), "");
    symlinkSync(join(folder.path, "file"), join(keysDir, "LINK_TO_FILE"));
    symlinkSync(join(folder.path, "nothing"), join(keysDir, "LINK_TO_NOTHING"));
    expect(start().clientOf(testClientId)?.denied).to.equal(false);
    expect(start().defaultSignatory?.clientId).to.equal(testClientId);
  });

  describe("at start", () => {
    const pem = (pair: { publicKey: KeyObject }): string =>
      pair.publicKey.export({ type: "spki", format: "pem" }) as string;
    const noRsa = "no PEM with an RSA key of 2048 bits or more";
    const badFiles: { name: string; content: () => string }[] = [
      { name: "an empty file", content: () => "" },
      { name: "a text", content: () => "5345678901234521" },
      { name: "a cut key", content: () => publicPem("aplus").slice(0, 200) },
      { name: "a short RSA key", content: () => pem(generateKeyPairSync("rsa", { modulusLength: 1024 })) },
      { name: "a key of another kind", content: () => pem(generateKeyPairSync("ec", { namedCurve: "P-256" })) },
    ];
    for (const { name, content } of badFiles)
      it(`stop at ${name} in one line that names it`, () => {
        writeClient(keysDir);
        writeFileSync(file("alipayplus.2.public.pem"), content());
        expect(complaintOf()).to.equal(`wrong keys: ${file("alipayplus.2.public.pem")} cannot be read: ${noRsa}.`);
      });

    it("stop at a public key where our private one belongs", () => {
      writeClient(keysDir);
      writeFileSync(file("own.1.private.pem"), publicPem("mpp"));
      const complaint = complaintOf();
      expect(complaint).to.include(`${file("own.1.private.pem")} cannot be read: ${noRsa}`);
      expect(complaint).not.to.include("\n");
    });

    it("tell all that is wrong at once", () => {
      writeClient(keysDir, "FIRST", {});
      writeClient(keysDir, "SECOND", { 1: "aplus" }, {});
      const complaint = complaintOf({ defaultClientId: "THIRD" });
      expect(complaint).to.include(`${join(keysDir, "FIRST")} holds no alipayplus.<version>.public.pem`);
      expect(complaint).to.include(`${join(keysDir, "SECOND")} holds no own.<version>.private.pem to sign with`);
      expect(complaint).to.include(`DEFAULT_CLIENT_ID is THIRD, but ${keysDir} has no such folder`);
    });

    it("stop when no client has the version of OWN_KEY_VERSION", () => {
      writeClient(keysDir);
      expect(complaintOf({ ownKeyVersion: 7 })).to.include(`${join(keysDir, testClientId)} holds no own.`);
    });

    it("stop at an empty folder, at none, and at a file in its place", () => {
      expect(complaintOf()).to.equal(
        `wrong keys: ${keysDir} holds no client: it needs a folder <Client-Id> with keys.`,
      );
      rmSync(keysDir, { recursive: true });
      expect(complaintOf()).to.equal(`there are no keys: ${keysDir} does not exist. Put them there, or set KEYS_DIR.`);
      writeFileSync(keysDir, "");
      expect(complaintOf()).to.equal(`there are no keys: ${keysDir} is no folder. Put them there, or set KEYS_DIR.`);
    });
  });

  describe("read again", () => {
    let first: Clients;
    beforeEach(() => {
      writeClient(keysDir, testClientId, { 1: "aplus" }, { 1: "mpp" });
      first = start();
    });
    const again = (previous = first): Clients => readClients(settings(), previous);

    it("let a new version in and an old one go", () => {
      writeClient(keysDir, testClientId, { 2: "other" }, {});
      const second = again();
      expect(verifies(second, undefined, "other")).to.equal(true);
      expect(verifies(second, "1", "aplus")).to.equal(true);
      rmSync(file("alipayplus.1.public.pem"));
      const third = again(second);
      expect(third.clientOf(testClientId)?.verifyingKey("1")).to.equal(undefined);
      expect(third.troubles).to.deep.equal([]);
    });

    it("keep the last good key of a file that turned bad, also the next time", () => {
      writeFileSync(file("alipayplus.1.public.pem"), "half written");
      writeFileSync(file("own.1.private.pem"), "half written");
      const second = again();
      const third = again(second);
      for (const clients of [second, third]) {
        expect(verifies(clients, "1", "aplus")).to.equal(true);
        expect(signsWith(clients)).to.equal(1);
        expect(clients.troubles.join())
          .to.include(file("alipayplus.1.public.pem"))
          .and.include(file("own.1.private.pem"));
      }
    });

    it("take a key that replaced another in the same file", () => {
      writeFileSync(file("alipayplus.1.public.pem"), publicPem("other"));
      expect(verifies(again(), "1", "other")).to.equal(true);
    });

    it("know a new file that cannot be read as unreadable, not as absent", () => {
      writeFileSync(file("alipayplus.2.public.pem"), "half written");
      const second = again();
      expect(second.clientOf(testClientId)?.verifyingKey("2")).to.equal("unreadable");
      expect(second.clientOf(testClientId)?.verifyingKey(undefined)).to.equal("unreadable");
      expect(verifies(second, "1", "aplus")).to.equal(true);
    });

    it("sign with the next version that can be read", () => {
      writeFileSync(file("own.2.private.pem"), "half written");
      expect(signsWith(again())).to.equal(1);
    });

    it("let clients come and go, and be denied", () => {
      writeClient(keysDir, "NEW");
      writeFileSync(file("denied"), "");
      const second = again();
      expect(second.clientOf("NEW")?.denied).to.equal(false);
      expect(second.clientOf(testClientId)?.denied).to.equal(true);
      rmSync(join(keysDir, "NEW"), { recursive: true });
      expect(again(second).clientOf("NEW")).to.equal(undefined);
    });
  });
});
