// npm start: one command, one line when it is ready, one line when it cannot be, and nothing left behind.
import { createPrivateKey, createPublicKey } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { devClientId, senderFolder } from "../../tools/dev-keys.js";
import type { Sender } from "../../tools/sender.js";
import { writeClient, writeKeyring } from "../support/keys.js";
import { notification, notify } from "../support/notification.js";
import { temporaryFolder, until } from "../support/processes.js";
import { childrenOf, freePort, isRunning, type Program, startProgram, untilGone } from "../support/programs.js";
import { getToken } from "../support/store.js";

const ports = ["GATEWAY_PORT", "ADMIN_PORT", "TOKEN_SERVICE_PORT", "TOKEN_SERVICE_ADMIN_PORT"];

/** Settings of a run of its own: a folder and free ports. */
async function settingsFor(dataDir: string): Promise<Record<string, string>> {
  const pairs = await Promise.all(ports.map(async (name) => [name, String(await freePort())] as const));
  return { DATA_DIR: dataDir, ...Object.fromEntries(pairs) };
}

/** Alipay+'s side of the development keys. */
const senderOf = (dataDir: string): Sender => ({
  clientId: devClientId,
  keyVersion: 1,
  privateKey: createPrivateKey(readFileSync(join(senderFolder(dataDir), "alipayplus.1.private.pem"))),
  receiverKey: createPublicKey(readFileSync(join(senderFolder(dataDir), "own.1.public.pem"))),
});

const pidOf = ({ process: child }: Program): number => child.pid ?? 0;
const readyLines = (program: Program) =>
  program
    .stdout()
    .split("\n")
    .filter((line) => line.startsWith("ready"));

describe("npm start", () => {
  const folder = temporaryFolder();
  const running: Program[] = [];

  /** Starts and waits for the ready line. */
  async function startReady(env: Record<string, string>): Promise<Program> {
    const program = startProgram("tools/start.js", [], env);
    running.push(program);
    let ended = false;
    void program.ended.then(() => {
      ended = true;
    });
    await until("it is ready", () => readyLines(program).length > 0 || ended);
    expect(program.stdout(), program.stderr()).to.match(/^ready /);
    return program;
  }

  afterEach(async () => {
    for (const { process: child, ended } of running.splice(0)) {
      const pids = isRunning(child.pid ?? 0) ? childrenOf(child.pid ?? 0) : [];
      child.kill("SIGKILL");
      await ended;
      await untilGone(pids);
    }
  });
  after(() => folder.remove());

  it("prints one ready line, answers, ends with 0 on a signal, and has the data when it starts again", async () => {
    const dataDir = join(folder.path, "run");
    const env = await settingsFor(dataDir);
    const gatewayUrl = `http://127.0.0.1:${env.GATEWAY_PORT}`;
    const serviceUrl = `http://127.0.0.1:${env.TOKEN_SERVICE_PORT}`;
    const members = notification();
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const program = await startReady(env);
      expect(readyLines(program)).to.have.length(1);
      expect(readyLines(program)[0]).to.include(gatewayUrl).and.to.include(serviceUrl);
      const { result, isSigned } = await notify(gatewayUrl, members, { sender: senderOf(dataDir) });
      expect({ ...result, isSigned }).to.include({ resultCode: "SUCCESS", isSigned: true });
      expect(await getToken(serviceUrl, String(members.tokenReferenceId))).to.include({ version: "1" });

      const children = childrenOf(pidOf(program));
      expect(children, "redis-server, token service and gateway").to.have.length(3);
      const started = performance.now();
      program.process.kill(signal);
      expect(await program.ended).to.deep.equal({ code: 0, signal: null });
      expect(performance.now() - started, `ms from ${signal} to the end`).to.be.below(5_000);
      expect(children.filter(isRunning), "children left behind").to.deep.equal([]);
    }
  });

  it("leaves nothing behind when it is killed without a word", async () => {
    const program = await startReady(await settingsFor(join(folder.path, "killed")));
    const children = childrenOf(pidOf(program));
    program.process.kill("SIGKILL");
    await program.ended;
    await untilGone(children, 5_000);
  });

  it("starts each part again that dies, where the others look for it", async () => {
    const dataDir = join(folder.path, "restarts");
    const env = await settingsFor(dataDir);
    const program = await startReady(env);
    const sender = senderOf(dataDir);
    const members = notification();
    const send = () => notify(`http://127.0.0.1:${env.GATEWAY_PORT}`, members, { sender });
    const answersSuccess = async () => (await send().catch(() => undefined))?.result.resultCode === "SUCCESS";
    expect(await answersSuccess()).to.equal(true);
    for (const child of childrenOf(pidOf(program))) {
      process.kill(child, "SIGKILL");
      await untilGone([child]);
      await until(`three children again after ${child} died`, () => childrenOf(pidOf(program)).length === 3);
      await until("it answers again", answersSuccess);
    }
    expect(program.stderr().match(/ended \(SIGKILL\), starting it again/g)).to.have.length(3);
    const token = await getToken(`http://127.0.0.1:${env.TOKEN_SERVICE_PORT}`, String(members.tokenReferenceId));
    expect(token.version).to.equal("1");
  });

  describe("that cannot start", () => {
    let taken: Server;
    let takenPort: number;
    before(async () => {
      taken = createServer().listen(0, "127.0.0.1");
      await once(taken, "listening");
      takenPort = (taken.address() as { port: number }).port;
      writeFileSync(join(folder.path, "a-file"), "");
      writeClient(join(folder.path, "keys"));
      writeKeyring(join(folder.path, "keyring"));
      mkdirSync(join(folder.path, "nothing"));
    });
    after(() => void taken?.close());

    type Case = { name: string; args?: string[]; env: () => Record<string, string>; message: RegExp };
    const cases: Case[] = [
      ...ports.map((name) => ({
        name: `the port in ${name} is taken`,
        env: () => ({ [name]: String(takenPort) }),
        message: new RegExp(`cannot listen on 127\\.0\\.0\\.1:\\d+: the port is taken\\..* set ${name} to a free port`),
      })),
      {
        name: "redis-server is missing",
        env: () => ({ PATH: join(folder.path, "nothing") }),
        message: /redis-server is missing: install it \(sudo apt-get install .*redis-server\), or set REDIS_URL/,
      },
      {
        name: "DATA_DIR is below a file",
        env: () => ({ DATA_DIR: join(folder.path, "a-file/data") }),
        message: /cannot write to .*a-file\/data.* \(ENOTDIR\): set DATA_DIR to a folder/,
      },
      {
        name: "something else lies where Redis keeps its data",
        env: () => {
          const dataDir = join(folder.path, "obstacle");
          mkdirSync(dataDir);
          writeFileSync(join(dataDir, "redis"), "");
          return { DATA_DIR: dataDir };
        },
        message: /cannot write to .*obstacle\/redis.* \(E[A-Z]+\): set DATA_DIR to a folder/,
      },
      {
        name: "several settings of the service are wrong",
        env: () => ({ DURABILITY: "hope", TOKEN_DATA_STRICT: "yes", REDIS_TIMEOUT_MS: "0" }),
        message:
          /wrong settings: REDIS_TIMEOUT_MS must .*; DURABILITY must .*; TOKEN_DATA_STRICT must be true or false/,
      },
      {
        name: "several settings of the gateway are wrong",
        env: () => ({ GATEWAY_PORT: "80a80", REQUEST_MAX_AGE_S: "-1", ALIPAYPLUS_PATH_PREFIX: "aps" }),
        message: /wrong settings: GATEWAY_PORT must .*; ALIPAYPLUS_PATH_PREFIX must .*; REQUEST_MAX_AGE_S must /,
      },
      {
        name: "settings of the service and of the gateway are wrong",
        env: () => ({ GATEWAY_PORT: "80a80", TOKEN_SERVICE_PORT: "70000" }),
        message: /wrong settings: TOKEN_SERVICE_PORT must [^;]+; GATEWAY_PORT must /,
      },
      {
        name: "DURABILITY promises too much for the kind of Redis",
        env: () => ({ REDIS_URL: "redis+cluster://127.0.0.1:1" }),
        message: /wrong settings: DURABILITY=fsync promises too much/,
      },
      {
        name: "there is no key for token data in production",
        env: () => ({ NODE_ENV: "production", KEYRING_DIR: join(folder.path, "nothing") }),
        message: /no key for token data in .*nothing: put one there as token-data\.1\.key/,
      },
      {
        name: "there are no keys of clients in production",
        env: () => ({ NODE_ENV: "production", KEYS_DIR: join(folder.path, "no-keys") }),
        message: /there are no keys: .*no-keys does not exist\. Put them there, or set KEYS_DIR/,
      },
      {
        name: "an API that does not exist has a path",
        env: () => ({ ALIPAYPLUS_PATHS: "payEverybody=/pay" }),
        message: /ALIPAYPLUS_PATHS names payEverybody, but there is only .*tokenActivationNotification/,
      },
      {
        name: "a part is named that does not exist",
        args: ["frontend"],
        env: () => ({}),
        message: /there is no part frontend; there is service and gateway/,
      },
      {
        name: "the service alone has a taken port",
        args: ["service"],
        env: () => ({ TOKEN_SERVICE_PORT: String(takenPort) }),
        message: /the token service cannot listen on .*the port is taken/,
      },
    ];

    for (const { name, args = [], env, message } of cases)
      it(`says so in one line and ends with 1 when ${name}`, async () => {
        const dataDir = join(folder.path, `cannot-${name.replaceAll(/\W+/g, "-")}`);
        const settings = {
          ...(await settingsFor(dataDir)),
          KEYS_DIR: join(folder.path, "keys"),
          KEYRING_DIR: join(folder.path, "keyring"),
          ...env(),
        };
        const program = startProgram("tools/start.js", args, settings);
        running.push(program);
        expect((await program.ended).code, program.stdout()).to.equal(1);
        expect(program.stderr()).to.match(/^npm start: [^\n]+\n$/);
        expect(program.stderr()).to.match(message);
        expect(program.stdout()).to.equal("");
      });

    it("says so in one line when another run uses its folder, which goes on", async () => {
      const dataDir = join(folder.path, "shared");
      const first = await settingsFor(dataDir);
      await startReady(first);
      const second = startProgram("tools/start.js", [], await settingsFor(dataDir));
      running.push(second);
      expect((await second.ended).code).to.equal(1);
      expect(second.stderr()).to.match(/^npm start: another run uses .*: stop it, or set DATA_DIR[^\n]+\n$/);
      const { result } = await notify(`http://127.0.0.1:${first.GATEWAY_PORT}`, notification(), {
        sender: senderOf(dataDir),
      });
      expect(result.resultCode).to.equal("SUCCESS");
    });
  });
});
