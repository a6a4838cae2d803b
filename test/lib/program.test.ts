import { type ChildProcess, fork, type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { type ListenOptions, listen, StartError } from "../../lib/program.js";
import { temporaryFolder } from "../support/processes.js";

const root = fileURLToPath(new URL("../../", import.meta.url));

// A program whose life the tests direct: what it does at start is its argument, and it stops when it is told "go".
const program = `
import { runProgram, StartError } from ${JSON.stringify(new URL("../../lib/program.ts", import.meta.url).href)};
const alive = setInterval(() => {}, 1000);
const starts = {
  fine: async () => {},
  slow: () => new Promise(() => process.send({ starting: true })),
  startError: async () => { throw new StartError("wrong settings: PORT is not set"); },
  otherError: async () => { throw new TypeError("a mistake of ours"); },
};
const [start, stop] = process.argv.slice(2);
await runProgram("example", async () => {
  await starts[start]();
  return {
    addresses: { example: "127.0.0.1:1" },
    async stop() {
      process.stdout.write("stopping;");
      if (stop === "when told") await new Promise((resolve) => {
        process.once("message", resolve);
        process.send({ stopping: true });
      });
      if (stop === "never") await new Promise(() => {});
      process.stdout.write("stopped;");
    },
  };
}, 300);
`;

describe("runProgram", () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let script: string;
  let child: ChildProcess | undefined;
  before(() => {
    folder = temporaryFolder();
    script = join(folder.path, "program.mjs");
    writeFileSync(script, program);
  });
  afterEach(() => child?.kill("SIGKILL"));
  after(() => folder.remove());

  const run = (start: string, stop = "at once") => {
    const stdio: StdioOptions = ["ignore", "pipe", "pipe", "ipc"];
    const forked = fork(script, [start, stop], { cwd: root, execArgv: ["--import", "tsx"], stdio });
    child = forked;
    return watched(forked);
  };
  const runAlone = (start: string) => {
    const spawned = spawn(process.execPath, ["--import", "tsx", script, start], { cwd: root });
    child = spawned;
    return watched(spawned);
  };
  const watched = (process: ChildProcess) => {
    const exit = once(process, "exit");
    const output = Promise.all([process.stdout, process.stderr].map((stream) => (stream ? text(stream) : "")));
    return {
      process,
      message: async (): Promise<unknown> => (await once(process, "message"))[0],
      end: async () => {
        const [code, signal] = await exit;
        const [out, err] = await output;
        return { code, signal, out, err };
      },
    };
  };

  for (const signal of ["SIGTERM", "SIGINT"] as const)
    it(`tells its parent when it is ready, and stops in order on ${signal}`, async () => {
      const { process, message, end } = run("fine");
      expect(await message()).to.deep.equal({ ready: { example: "127.0.0.1:1" } });
      process.kill(signal);
      expect(await end()).to.deep.equal({ code: 0, signal: null, out: "stopping;stopped;", err: "" });
    });

  it("stops when its parent is gone", async () => {
    const { process, message, end } = run("fine");
    await message();
    process.disconnect();
    expect(await end()).to.include({ code: 0, out: "stopping;stopped;" });
  });

  it("stops once however often it is told", async () => {
    const { process, message, end } = run("fine", "when told");
    await message();
    process.kill("SIGTERM");
    expect(await message()).to.deep.equal({ stopping: true });
    process.kill("SIGINT");
    process.kill("SIGTERM");
    process.send("go");
    expect(await end()).to.deep.equal({ code: 0, signal: null, out: "stopping;stopped;", err: "" });
  });

  it("ends with a failure when stopping takes too long", async () => {
    const { process, message, end } = run("fine", "never");
    await message();
    process.kill("SIGTERM");
    expect(await end()).to.include({ code: 1, out: "stopping;" });
  });

  it("ends at once when it is told to while it starts", async () => {
    const { process, message, end } = run("slow");
    await message();
    process.kill("SIGTERM");
    expect(await end()).to.deep.equal({ code: 0, signal: null, out: "", err: "" });
  });

  it("tells its parent in one line why it cannot start", async () => {
    const { message, end } = run("startError");
    expect(await message()).to.deep.equal({ failed: "wrong settings: PORT is not set" });
    expect(await end()).to.deep.equal({ code: 1, signal: null, out: "", err: "" });
  });

  it("says that line itself when it has no parent", async () => {
    const { end } = runAlone("startError");
    const err = "example: wrong settings: PORT is not set\n";
    expect(await end()).to.deep.equal({ code: 1, signal: null, out: "", err });
  });

  it("shows where a failure came from that nobody foresaw", async () => {
    const { end } = runAlone("otherError");
    const { code, err } = await end();
    expect(code).to.equal(1);
    expect(err).to.match(/^example: a mistake of ours\nTypeError: a mistake of ours\n +at /);
  });
});

describe("listen", () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });
  const listenWith = (options: Partial<ListenOptions>): Promise<string> => {
    const server = createServer();
    servers.push(server);
    const usual = { what: "the example", host: "127.0.0.1", port: 0, hostSetting: "THE_HOST", portSetting: "THE_PORT" };
    return listen(server, { ...usual, ...options });
  };
  const failureOf = (promise: Promise<string>): Promise<unknown> => promise.catch((error: unknown) => error);

  it("tells the port that it was really given", async () => {
    expect(await listenWith({})).to.match(/^127\.0\.0\.1:[1-9]\d*$/);
  });

  it("writes an IPv6 address in brackets", async function () {
    const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === "::1"));
    if (!hasIpv6) this.skip();
    expect(await listenWith({ host: "::1" })).to.match(/^\[::1\]:[1-9]\d*$/);
  });

  it("names the setting to change when the port is taken", async () => {
    const port = Number((await listenWith({})).split(":")[1]);
    const failure = await failureOf(listenWith({ port }));
    expect(failure).to.be.instanceOf(StartError);
    expect((failure as Error).message).to.equal(
      `the example cannot listen on 127.0.0.1:${port}: the port is taken. ` +
        "Stop the program that holds it, or set THE_PORT to a free port.",
    );
  });

  it("names the setting to change when the machine has no such address", async () => {
    const failure = await failureOf(listenWith({ host: "192.0.2.1" }));
    expect(failure).to.be.instanceOf(StartError);
    expect((failure as Error).message).to.equal(
      "the example cannot listen on 192.0.2.1:0: this machine has no such address. Set THE_HOST to one of its own.",
    );
  });
});
