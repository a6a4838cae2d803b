// A real Prometheus scrapes the product, evaluates every rule, answers every query of the dashboard, and sees a fault.
import { expect } from "chai";
import { type MixedLoad, startMixedLoad } from "../support/mixed-load.js";
import { notification, notify } from "../support/notification.js";
import { startTestStack, type TestStack, until } from "../support/processes.js";
import { startPrometheus, type TestPrometheus } from "../support/prometheus.js";
import { type Drawn, dashboard, seriesOf } from "./dashboard/panels.js";

const intervalMs = 250;

/** Queries that have nothing to tell in this run, by panel and letter, with the reason. */
const rightlyEmpty: Readonly<Record<string, string>> = {
  "Memory of Redis B": "this Redis has no maxmemory",
};

const queries = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map((query) => ({ name: `${title} ${query.refId}`, query })),
);

describe("a real Prometheus with the files of deploy/", () => {
  let stack: TestStack | undefined;
  let prometheus: TestPrometheus | undefined;
  let load: MixedLoad | undefined;
  let startS = 0;
  before(async function () {
    stack = await startTestStack({ gateway: { RPC_DEADLINE_MS: "300", TOKEN_SERVICE_PROBE_MS: "200" } });
    const hostOf = (url: string): string => new URL(url).host;
    prometheus = await startPrometheus({
      folder: stack.folder,
      targets: { gateway: [hostOf(stack.gateway.adminUrl)], "token-service": [hostOf(stack.service.adminUrl)] },
      intervalMs,
      // A minute is too long for a test.
      patience: { TokenServiceDown: "500ms" },
    });
    if (prometheus === undefined) this.skip();
    startS = Date.now() / 1000;
    load = startMixedLoad(stack, 20);
    await answerOnceUnknown(stack);
  });
  after(async () => {
    await load?.stop();
    await prometheus?.stop();
    await stack?.stop();
  });

  /** Redis hangs until a notification was answered U; its repeat is decided. */
  async function answerOnceUnknown({ redis, gateway }: TestStack): Promise<void> {
    const one = notification();
    process.kill(redis.pid(), "SIGSTOP");
    try {
      expect((await notify(gateway.url, one)).result.resultStatus).to.equal("U");
    } finally {
      process.kill(redis.pid(), "SIGCONT");
    }
    await until("decided", async () => (await notify(gateway.url, one)).result.resultStatus === "S");
  }

  const server = (): TestPrometheus => prometheus as TestPrometheus;

  it("reaches every target", async () => {
    const up = async () => (await server().targets()).filter(({ health }) => health === "up");
    await until("two targets are up", async () => (await up()).length === 2);
    expect((await server().targets()).map(({ labels }) => labels.job)).to.have.members(["gateway", "token-service"]);
  });

  it("evaluates every rule without an error", async () => {
    await until("every rule is evaluated", async () =>
      (await server().rules()).every(({ health }) => health !== "unknown"),
    );
    const rules = await server().rules();
    expect(rules.length).to.be.above(20);
    expect(rules.filter(({ health, lastError }) => health !== "ok" || lastError)).to.deep.equal([]);
  });

  it("answers every query of the dashboard with data, where there is any", async () => {
    const shown = ({ points }: Drawn): boolean => points.some(([, value]) => Number.isFinite(value));
    const empty = async (): Promise<string[]> => {
      const window = { startS, endS: Date.now() / 1000, scrapeS: intervalMs / 1000 };
      const names = queries.map(async ({ name, query }) => {
        const drawn = await seriesOf(server(), query, window);
        return drawn.some(shown) ? [] : [name];
      });
      return (await Promise.all(names)).flat();
    };
    expect(queries.length).to.be.above(40);
    await until("data", async () => (await empty()).every((name) => name in rightlyEmpty), 6_000).catch(() => {});
    expect(await empty()).to.deep.equal(Object.keys(rightlyEmpty));
  });

  it("fires the alert of a token service that is gone", async () => {
    const stateOf = async (): Promise<string | undefined> =>
      (await server().rules()).find(({ name }) => name === "TokenServiceDown")?.state;
    expect(await stateOf()).to.equal("inactive");
    await stack?.service.kill();
    await until("it fires", async () => (await stateOf()) === "firing");
    const firing = await server().query('ALERTS{alertstate="firing",alertname="TokenServiceDown"}');
    expect(firing.map(({ metric }) => [metric.job, metric.severity])).to.deep.equal([["token-service", "page"]]);
  });
});
