// A sick instance of the token service gets no first tries, whatever it is sick of, and takes load again when it is well.
import { Agent } from "node:http";
import { join } from "node:path";
import { expect } from "chai";
import { notification, notify } from "../support/notification.js";
import {
  startTestPart,
  startTestRedis,
  startTestStack,
  type TestPart,
  type TestRedis,
  type TestStack,
  until,
  untilServing,
} from "../support/processes.js";

const deadlineMs = 1_000;
const probeMs = 100;

describe("two instances of the token service under load, one of them sick", () => {
  let stack: TestStack;
  let otherRedis: TestRedis;
  let second: TestPart;
  let gateway: TestPart;
  const agent = new Agent({ keepAlive: true });
  before(async () => {
    stack = await startTestStack();
    // Of its own, so that it alone can be away. What they hold is no matter here: each notification is of a new token.
    otherRedis = await startTestRedis(join(stack.folder, "other-redis"));
    const settings = { DATA_DIR: stack.folder, DURABILITY_CHECK_MS: "100" };
    second = await startTestPart(
      "service",
      { ...settings, REDIS_URL: otherRedis.url },
      join(stack.folder, "second.log"),
    );
    await untilServing(second);
    gateway = await startTestPart(
      "gateway",
      {
        ...settings,
        TOKEN_SERVICE_URL: `${stack.service.url},${second.url}`,
        TOKEN_SERVICE_PROBE_MS: `${probeMs}`,
        RPC_DEADLINE_MS: `${deadlineMs}`,
      },
      join(stack.folder, "second-gateway.log"),
    );
  });
  after(async () => {
    agent.destroy();
    await gateway?.stop();
    await second?.stop();
    await otherRedis?.stop();
    await stack?.stop();
  });

  /** A metric of the gateway about the second instance. */
  async function figure(name: string, end?: string): Promise<number> {
    const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
    const labels = `address="${second.url}"${end === undefined ? "" : `,end="${end}"`}`;
    const line = text.split("\n").find((each) => each.startsWith(`gateway_token_service_${name}{${labels}}`));
    return Number(line?.slice(line.lastIndexOf(" ")));
  }
  const becomes = (name: "up" | "sound", expected: number): Promise<void> =>
    until(`${name} is ${expected}`, async () => (await figure(name)) === expected);

  /** Load for as long as `during` takes; every answer with its time. */
  async function underLoad(during: (count: () => number) => Promise<void>): Promise<{ status: string; ms: number }[]> {
    const answers: { status: string; ms: number }[] = [];
    let running = true;
    const worker = async (): Promise<void> => {
      while (running) {
        const started = performance.now();
        const { result } = await notify(gateway.url, notification(), { agent });
        answers.push({ status: result.resultStatus, ms: performance.now() - started });
      }
    };
    const workers = Promise.all(Array.from({ length: 4 }, worker));
    await during(() => answers.length).finally(() => {
      running = false;
    });
    await workers;
    return answers;
  }

  const statusesOf = (answers: readonly { status: string }[]): string[] => [
    ...new Set(answers.map(({ status }) => status)),
  ];
  const answered = (): Promise<number> => figure("tries_total", "answered");
  const takesLoad = async (): Promise<void> => {
    const before = await answered();
    await until("it takes load", async () => (await answered()) > before + 5);
  };

  const sicknesses: { name: string; fall: () => unknown; recover: () => unknown }[] = [
    {
      name: "is stopped with SIGSTOP",
      fall: () => process.kill(second.pid(), "SIGSTOP"),
      recover: () => process.kill(second.pid(), "SIGCONT"),
    },
    { name: "is killed", fall: () => second.kill(), recover: () => second.start() },
    { name: "has lost its Redis", fall: () => otherRedis.kill(), recover: () => otherRedis.start() },
  ];
  for (const { name, fall, recover } of sicknesses)
    it(`answers S to all while one ${name}, quickly once it is known, and gives it load again after`, async () => {
      const falling = await underLoad(async () => {
        await takesLoad();
        await fall();
        await becomes("up", 0);
      });
      expect(statusesOf(falling)).to.deep.equal(["S"]);

      const failed = await figure("tries_total", "failed");
      const known = await underLoad((count) => until("answers", () => count() > 100));
      expect(statusesOf(known)).to.deep.equal(["S"]);
      expect(await figure("tries_total", "failed")).to.equal(failed);
      const times = known.map(({ ms }) => ms).sort((a, b) => a - b);
      expect(times[Math.floor(times.length * 0.9)]).to.be.below(deadlineMs / 4);

      const recovering = await underLoad(async () => {
        await recover();
        await becomes("sound", 1);
        await takesLoad();
      });
      expect(statusesOf(recovering)).to.deep.equal(["S"]);
    });
});
