import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { expect } from "chai";
import { privatePem, publicPem, testClientId } from "../support/keys.js";
import { apiPath, notification } from "../support/notification.js";
import { temporaryFolder, until } from "../support/processes.js";
import { runProgram } from "../support/programs.js";
import { startTestGateway, type TestGateway } from "../support/stand-in-service.js";
import { isSignedFor, requestBytes, signedHeaders, type WireAnswer, wireOf } from "../support/wire.js";

/** An authority, or a certificate of one, made for this run. */
function makeAuthority(folder: string, name: string): string {
  const file = (ending: string): string => join(folder, `${name}.${ending}`);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file("key")];
  const usage = ["-addext", "basicConstraints=critical,CA:TRUE"];
  openssl("req", "-x509", ...key, "-out", file("crt"), "-days", "2", "-subj", `/CN=${name}`, ...usage);
  return file("crt");
}

/** A folder with `tls.crt` and `tls.key` of that authority. */
function makeCertificate(folder: string, name: string, authority: string): string {
  const own = join(folder, name);
  mkdirSync(own);
  const [key, request, extensions] = [join(own, "tls.key"), join(own, "tls.csr"), join(own, "ext")];
  writeFileSync(extensions, "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", ...curve, "-keyout", key, "-out", request, "-subj", `/CN=${name}`);
  const signed = ["-CA", authority, "-CAkey", authority.replace(/crt$/, "key"), "-CAcreateserial", "-days", "2"];
  openssl("x509", "-req", "-in", request, ...signed, "-extfile", extensions, "-out", join(own, "tls.crt"));
  return own;
}

const openssl = (...args: string[]): Buffer => execFileSync("openssl", args, { stdio: ["ignore", "pipe", "ignore"] });

describe("HTTPS of the gateway's own", () => {
  const made = temporaryFolder();
  const authority = makeAuthority(made.path, "authority");
  const foreign = makeAuthority(made.path, "foreign");
  const [first, second] = [makeCertificate(made.path, "one", authority), makeCertificate(made.path, "two", authority)];
  const client = makeCertificate(made.path, "client", authority);
  const stranger = makeCertificate(made.path, "stranger", foreign);
  const ca = readFileSync(authority);
  const pair = (folder: string) => ({
    cert: readFileSync(join(folder, "tls.crt")),
    key: readFileSync(join(folder, "tls.key")),
  });
  after(made.remove);

  const startHttps = (withCa: boolean): Promise<TestGateway> =>
    startTestGateway({}, (folder) => {
      const tls = join(folder, "tls");
      cpSync(first, tls, { recursive: true });
      if (withCa) cpSync(authority, join(tls, "ca.crt"));
      return { GATEWAY_TLS_DIR: tls };
    });
  const open = ({ gateway }: TestGateway, options: ConnectionOptions = {}): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const { hostname, port } = new URL(gateway.url);
      const socket = connect({ host: hostname, port: Number(port), ca, ...options });
      socket.once("secureConnect", () => resolve(socket));
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("closed before the handshake was over")));
    });
  /** A signed notification over a connection of its own; throws when there is no answer. */
  const notifyOver = async (stack: TestGateway, options?: ConnectionOptions): Promise<WireAnswer> => {
    const socket = await open(stack, options);
    const wire = wireOf(socket);
    const body = JSON.stringify(notification());
    wire.write(requestBytes(apiPath, signedHeaders(body), body));
    const answer = await wire.answer();
    wire.close();
    expect(answer.result.resultCode).to.equal("SUCCESS");
    expect(isSignedFor(answer)).to.equal(true);
    return answer;
  };
  const isRefused = (stack: TestGateway, options?: ConnectionOptions): Promise<boolean> =>
    notifyOver(stack, options).then(
      () => false,
      () => true,
    );
  const fingerprint = async (stack: TestGateway, options?: ConnectionOptions): Promise<string> => {
    const socket = await open(stack, options);
    const { subject } = socket.getPeerCertificate();
    socket.destroy();
    return String(subject.CN);
  };
  /** As a renewal does it: file by file, so that for a moment certificate and key do not belong together. */
  const replace = async (stack: TestGateway, folder: string): Promise<void> => {
    for (const name of ["tls.crt", "tls.key"]) {
      cpSync(join(folder, name), join(stack.folder, "tls", `.${name}`));
      renameSync(join(stack.folder, "tls", `.${name}`), join(stack.folder, "tls", name));
      await new Promise((resolve) => setTimeout(resolve, 120));
    }
  };

  describe("without ca.crt", () => {
    let stack: TestGateway;
    before(async () => {
      stack = await startHttps(false);
    });
    after(() => stack.stop());

    it("answers signed, over a certificate that the client can verify", async () => {
      await notifyOver(stack);
    });

    for (const version of ["TLSv1.2", "TLSv1.3"] as const)
      it(`takes ${version}`, async () => {
        const socket = await open(stack, { minVersion: version, maxVersion: version });
        expect(socket.getProtocol()).to.equal(version);
        socket.destroy();
      });

    for (const version of ["TLSv1", "TLSv1.1"] as const)
      it(`refuses ${version}`, async () => {
        const old = { minVersion: version, maxVersion: version, ciphers: "DEFAULT@SECLEVEL=0" };
        const error = await open(stack, old).then(
          () => undefined,
          (reason: NodeJS.ErrnoException) => reason,
        );
        expect(error?.code).to.equal("ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
      });

    it("can be checked with token-gateway conform by who trusts its authority", async () => {
      const [sender, receiver] = [join(stack.folder, "sender.pem"), join(stack.folder, "receiver.pem")];
      writeFileSync(sender, privatePem("aplus"));
      writeFileSync(receiver, publicPem("mpp"));
      const url = `${stack.gateway.url.replace("http:", "https:")}/aps/api/v1`;
      const keys = ["--client", testClientId, "--sender-key", sender, "--receiver-key", receiver];
      const check = (env: Record<string, string>) =>
        runProgram("tools/cli/main.js", ["conform", url, ...keys, "--only", "request/", "answer/"], env);
      const trusting = await check({ NODE_EXTRA_CA_CERTS: authority });
      expect([trusting.code, trusting.stderr]).to.deep.equal([0, ""]);
      const { code, stderr } = await check({});
      expect([code, /no answer from https:.*\(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)/.test(stderr)]).to.deep.equal([
        3,
        true,
      ]);
    });

    it("answers no plain HTTP", async () => {
      const reply = await fetch(stack.gateway.url + apiPath, { method: "POST" }).catch(() => undefined);
      expect(reply?.status ?? 0).to.be.oneOf([0, 400]);
    });

    it("uses a certificate that was replaced on disk, without a failed request under load", async () => {
      let ends = false;
      let answered = 0;
      const load = async (): Promise<void> => {
        while (!ends) {
          await notifyOver(stack);
          answered += 1;
        }
      };
      const loads = [load(), load(), load()];
      for (const [folder, name] of [
        [second, "two"],
        [first, "one"],
        [second, "two"],
      ] as const) {
        await replace(stack, folder);
        await until("the new certificate is shown", async () => (await fingerprint(stack)) === name);
      }
      ends = true;
      await Promise.all(loads);
      expect(answered).to.be.above(20);
    });

    it("refuses old TLS with the replaced certificate too", async () => {
      expect(
        await isRefused(stack, { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }),
      ).to.equal(true);
    });

    it("keeps the certificate at hand when the files turn bad", async () => {
      writeFileSync(join(stack.folder, "tls", "tls.crt"), "no certificate");
      await until("it says so", () => stack.gateway.log().includes("certificate files cannot be read"));
      expect(await fingerprint(stack)).to.equal("two");
      cpSync(join(second, "tls.crt"), join(stack.folder, "tls", "tls.crt"));
    });

    it("says that a ca.crt that appears takes a restart", async () => {
      cpSync(authority, join(stack.folder, "tls", "ca.crt"));
      await until("it says so", () => stack.gateway.log().includes("start the gateway again"));
      await notifyOver(stack);
      rmSync(join(stack.folder, "tls", "ca.crt"));
    });
  });

  describe("with ca.crt", () => {
    let stack: TestGateway;
    before(async () => {
      stack = await startHttps(true);
    });
    after(() => stack.stop());
    const expectOnlyClients = async (): Promise<void> => {
      await notifyOver(stack, pair(client));
      expect(await isRefused(stack), "no certificate").to.equal(true);
      expect(await isRefused(stack, pair(stranger)), "a certificate of another authority").to.equal(true);
    };

    it("takes only clients with a certificate of that authority", expectOnlyClients);

    it("takes only them after its own certificate was replaced", async () => {
      await replace(stack, second);
      await until("the new certificate is shown", async () => (await fingerprint(stack, pair(client))) === "two");
      await expectOnlyClients();
    });

    it("takes only them when ca.crt goes away while it runs", async () => {
      rmSync(join(stack.folder, "tls", "ca.crt"));
      await until("it says so", () => stack.gateway.log().includes("start the gateway again"));
      await expectOnlyClients();
    });

    it("logs no line that is no JSON", () => {
      for (const line of stack.gateway.log().trim().split("\n")) expect(line).to.match(/^\{.*\}$/);
    });
  });
});
