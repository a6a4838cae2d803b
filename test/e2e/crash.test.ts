// An answered SUCCESS is on disk and applied once, whatever dies in between.
import { Agent } from "node:http";
import { expect } from "chai";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { notification, notify } from "../support/notification.js";
import { startTestStack, type TestStack, until } from "../support/processes.js";
import { allEvents, storedToken } from "../support/store.js";

const total = 2_000;
const concurrency = 32;
/** Shorter than any restart, so that the dead time is full of tries. */
const pauseMs = 25;

describe("a run of notifications in which the service and then Redis are killed", () => {
  let stack: TestStack;
  let redis: RedisClient;
  const references = Array.from({ length: total }, (_, index) => `T-crash-${index}`);
  /** How often each result was answered. */
  const answers = new Map<string, number>();
  const tries = new Map<string, number>();
  const succeeded = new Set<string>();
  let lastAnswerMs = 0;
  /** Tokens in Redis for which nobody had been answered when the service died. */
  let unanswered = 0;

  before(async function () {
    this.timeout(40_000);
    stack = await startTestStack();
    const agent = new Agent({ keepAlive: true, maxSockets: concurrency });
    const waiting = [...references];
    const sendUntilAnswered = async (tokenReferenceId: string): Promise<void> => {
      const text = JSON.stringify(notification({ tokenReferenceId }));
      for (;;) {
        const { result, isSigned } = await notify(stack.gateway.url, text, { agent });
        lastAnswerMs = performance.now();
        const word = isSigned ? `${result.resultStatus} ${result.resultCode}` : "not signed";
        answers.set(word, (answers.get(word) ?? 0) + 1);
        tries.set(tokenReferenceId, (tries.get(tokenReferenceId) ?? 0) + 1);
        if (result.resultStatus !== "U") {
          if (result.resultStatus === "S") succeeded.add(tokenReferenceId);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    };
    const worker = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await sendUntilAnswered(next);
    };
    const answeredAtLeast = (count: number) => until(`${count} are answered`, () => succeeded.size >= count, 30_000);
    const killService = async (): Promise<void> => {
      // While Redis stands still its socket fills with writes that it does when the one who asked is dead.
      process.kill(stack.redis.pid(), "SIGSTOP");
      try {
        await until("every sender waits", () => performance.now() - lastAnswerMs > 100);
        await stack.service.kill();
      } finally {
        process.kill(stack.redis.pid(), "SIGCONT");
      }
      const look = await stack.redis.connect();
      await until("Redis did what it was asked", async () => {
        unanswered = (await look.keys("token:*")).length - succeeded.size;
        return unanswered > 0;
      });
      await stack.service.start();
    };
    const killRedis = async (): Promise<void> => {
      await stack.redis.kill();
      await stack.redis.start();
    };
    const restarts = async (): Promise<void> => {
      await answeredAtLeast(total / 4);
      await killService();
      await answeredAtLeast(total / 2);
      await killRedis();
    };
    try {
      await Promise.all([restarts(), ...Array.from({ length: concurrency }, worker)]);
    } finally {
      agent.destroy();
    }
    redis = await stack.redis.connect();
  });
  after(() => stack?.stop());

  it("is one in which the answers to writes were lost", () => {
    expect(unanswered).to.be.within(1, concurrency);
  });

  it("answers nothing but signed S and U", () => {
    expect(["S SUCCESS", "U UNKNOWN_EXCEPTION"]).to.include.members([...answers.keys()]);
    expect(answers.get("S SUCCESS")).to.equal(total);
  });

  it("answers S to every notification in the end, to most of them at once", () => {
    expect(succeeded.size).to.equal(total);
    const again = [...tries.values()].filter((count) => count > 1).length;
    expect(again, "notifications that were sent again").to.be.within(0, total / 2);
  });

  it("leaves every answered token in Redis, changed once", async () => {
    const stored = await Promise.all(references.map((reference) => storedToken(redis, reference)));
    const versions = new Map<string, number>();
    for (const token of stored) {
      const word = token === undefined ? "missing" : `version ${token.version}`;
      versions.set(word, (versions.get(word) ?? 0) + 1);
    }
    expect(Object.fromEntries(versions)).to.deep.equal({ "version 1": total });
  });

  it("leaves exactly one event of each token in the streams", async () => {
    const events = await allEvents(redis);
    expect(events.length).to.equal(total);
    expect(new Set(events.map(({ tokenReferenceId }) => tokenReferenceId)).size).to.equal(total);
  });
});
