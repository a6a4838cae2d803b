// The product runs as a user that owns nothing but DATA_DIR, and its parts need not even that.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { writeClient, writeKeyring } from "../support/keys.js";
import { notification, notify } from "../support/notification.js";
import { startTestRedis, type TestRedis, temporaryFolder, until } from "../support/processes.js";
import { freePort } from "../support/programs.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const nobody = { uid: 65534, gid: 65534 };
const ports = ["GATEWAY_PORT", "ADMIN_PORT", "TOKEN_SERVICE_PORT", "TOKEN_SERVICE_ADMIN_PORT"];

/** Why this machine cannot show it; undefined when it can. */
function obstacle(): string | undefined {
  if (process.getuid?.() !== 0) return "only root may start programs as another user";
  const look = `const fs = require("node:fs"); fs.readFileSync("dist/tools/start.js");
    try { fs.accessSync(".", fs.constants.W_OK); } catch { process.exit(0); } process.exit(2);`;
  const { status } = spawnSync(process.execPath, ["-e", look], { ...nobody, cwd: root, stdio: "ignore" });
  if (status === 2) throw new Error("everybody may write to the project's folder");
  return status === 0 ? undefined : "the user nobody cannot read the project's folder";
}

/** Files and folders with their time of change; packages and the history of the sources are not ours to write either. */
function listing(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    const line = `${path} ${lstatSync(path).ctimeMs}`;
    return entry.isDirectory() && entry.name !== "node_modules" && entry.name !== ".git"
      ? [line, ...listing(path)]
      : [line];
  });
}

/** Regular files that a process has open for writing. */
const writtenBy = (pid: number): string[] =>
  readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/${pid}/fd/${fd}`);
      const flags = Number.parseInt(
        /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"))?.[1] ?? "",
        8,
      );
      const isWriting = (flags & 0o3) !== 0;
      return isWriting && path.startsWith("/") && !path.startsWith("/dev/") ? [path] : [];
    } catch {
      // It was closed meanwhile.
      return [];
    }
  });

describe("as a user without privileges", () => {
  const folder = temporaryFolder();
  const children: ChildProcess[] = [];
  before(function () {
    const why = obstacle();
    if (why === undefined) return;
    process.stdout.write(`  skipped: ${why}\n`);
    this.skip();
  });
  afterEach(async () => {
    for (const child of children.splice(0).reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
    }
  });
  after(() => folder.remove());

  /** Starts a compiled program as nobody, in a folder that nobody may write to. */
  async function start(name: string, env: Record<string, string>, isReady: RegExp) {
    const child = spawn(process.execPath, [join(root, "dist", name)], {
      ...nobody,
      cwd: root,
      env: { PATH: process.env.PATH ?? "", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    children.push(child);
    let printed = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => {
        printed += chunk;
      });
    await until(`${name} is ready`, () => {
      if (child.exitCode !== null) throw new Error(`${name} ended: ${printed}`);
      return isReady.test(printed);
    });
    return { pid: child.pid ?? 0, printed: () => printed };
  }
  const uidOf = (pid: number): string => /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
  const settings = async (names: readonly string[]): Promise<Record<string, string>> =>
    Object.fromEntries(await Promise.all(names.map(async (name) => [name, String(await freePort())] as const)));

  it("npm start's parts run, and write below DATA_DIR alone", async () => {
    chmodSync(folder.path, 0o755);
    const dataDir = join(folder.path, "data");
    mkdirSync(dataDir, { mode: 0o700 });
    chownSync(dataDir, nobody.uid, nobody.gid);
    const before = listing(root);
    const env = await settings(ports);
    const { pid } = await start("tools/start.js", { ...env, DATA_DIR: dataDir }, /^ready /m);
    const parts = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(/\s+/).map(Number);
    expect(parts).to.have.length(3);
    for (const part of [pid, ...parts]) {
      expect(uidOf(part)).to.equal(String(nobody.uid));
      for (const file of writtenBy(part)) expect(file.startsWith(`${dataDir}/`), file).to.equal(true);
    }
    const { result } = await notify(`http://127.0.0.1:${env.GATEWAY_PORT}`, notification());
    expect(result.resultCode, "it answers; the sender is no client of this run").to.equal("INVALID_CLIENT");
    expect(listing(root)).to.deep.equal(before);
  });

  it("gateway and token service run where they may write nothing at all", async () => {
    chmodSync(folder.path, 0o755);
    const dataDir = join(folder.path, "read-only");
    writeKeyring(join(dataDir, "keyring"));
    writeClient(join(dataDir, "keys"));
    let redis: TestRedis | undefined;
    try {
      redis = await startTestRedis(join(folder.path, "redis"), "always", { more: ["--unixsocketperm", "777"] });
      chmodSync(join(folder.path, "redis"), 0o755);
      const before = [...listing(root), ...listing(dataDir)];
      const env: Record<string, string> = { ...(await settings(ports)), DATA_DIR: dataDir, REDIS_URL: redis.url };
      const url = `http://127.0.0.1:${env.TOKEN_SERVICE_PORT}`;
      const isServing = /"msg":"serving/;
      const service = await start("services/token-lifecycle/main.js", env, isServing);
      const gateway = await start("gateway/main.js", { ...env, TOKEN_SERVICE_URL: url }, /"msg":"listening"/);
      const { result, isSigned } = await notify(`http://127.0.0.1:${env.GATEWAY_PORT}`, notification());
      expect({ ...result, isSigned }).to.include({ resultCode: "SUCCESS", isSigned: true });
      await until("the answer is logged", () => gateway.printed().includes('"resultCode":"SUCCESS"'));
      for (const { pid } of [service, gateway]) {
        expect(uidOf(pid)).to.equal(String(nobody.uid));
        expect(writtenBy(pid)).to.deep.equal([]);
      }
      expect([...listing(root), ...listing(dataDir)]).to.deep.equal(before);
    } finally {
      await redis?.stop();
    }
  });
});
