// A gateway of one version with a token service of another: every kind of result, and a load that is sent in batches.
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { expect } from "chai";
import { type Api, knownApis } from "../../tools/apis.js";
import { run } from "../../tools/conform/run.js";
import { previousVersions } from "../../tools/previous.js";
import { testSender, writeClient } from "../support/keys.js";
import { apiPath } from "../support/notification.js";
import { startTestPart, type TestPart, until, untilServing } from "../support/processes.js";
import {
  activationRequest,
  connectTo,
  refusalOf,
  type ServiceStack,
  startServiceStack,
} from "../support/token-client.js";
import { buildOrSkip } from "../support/versions.js";
import { createLedger, isRightAtFirst } from "../torture/ledger.js";
import { startLoad } from "../torture/load.js";

const { privateKey: stranger } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const [oldGateway, oldService] = [
  "its gateway, this version's service",
  "this version's gateway, its service",
] as const;
/** Every version in the table serves it. */
const api = knownApis.find(({ name }) => name === "tokenActivationNotification") as Api;
const connections = 64;
const requests = 400;

/** How often a service was called, by rpc. A version without this metric counts nothing. */
async function callsOf(service: TestPart): Promise<Record<string, number>> {
  const text = await (await fetch(`${service.adminUrl}/metrics`)).text();
  const calls: Record<string, number> = {};
  for (const [, method = "", count] of text.matchAll(/^token_service_calls_total\{method="(\w+)".*\} (\d+)$/gm))
    calls[method] = (calls[method] ?? 0) + Number(count);
  return calls;
}

for (const version of previousVersions)
  describe(`gateway and token service of two versions, one of them that of ${version.name}`, function () {
    this.timeout(60_000);
    const stops: (() => Promise<void>)[] = [];
    let stack: ServiceStack;
    /** Each gateway is of the one version, and its service of the other. */
    const pairs = new Map<string, { gateway: TestPart; service: TestPart }>();
    before(async function () {
      const product = buildOrSkip(this, version);
      stack = await startServiceStack();
      stops.push(stack.stop);
      writeClient(join(stack.folder, "keys"));
      const start = async (part: "gateway" | "service", settings: Record<string, string>, build?: string) => {
        const common = { DATA_DIR: stack.folder, DURABILITY_CHECK_MS: "100" };
        const log = join(stack.folder, `${part}-${stops.length}.log`);
        const started = await startTestPart(part, { ...common, ...settings }, log, build);
        stops.push(started.stop);
        return started;
      };
      const old = await start("service", { REDIS_URL: stack.redis.url }, product);
      await untilServing(old);
      const itsGateway = await start("gateway", { TOKEN_SERVICE_URL: stack.service.url }, product);
      const ourGateway = await start("gateway", { TOKEN_SERVICE_URL: old.url });
      pairs.set(oldGateway, { gateway: itsGateway, service: stack.service });
      pairs.set(oldService, { gateway: ourGateway, service: old });
    });
    after(async () => {
      for (const stop of stops.reverse()) await stop();
    });

    if (!version.batches)
      it("its service knows no batches, so this version's gateway has to do without", async () => {
        const client = connectTo(pairs.get(oldService)?.service.url ?? "");
        const refusal = await refusalOf(client.batchRecordActivations({ items: [{ request: activationRequest() }] }));
        client.close();
        expect(refusal.code).to.equal("Unimplemented");
      });

    for (const name of [oldGateway, oldService]) {
      const pair = () => pairs.get(name) as { gateway: TestPart; service: TestPart };

      it(`${name}: every case of the conformance suite passes`, async () => {
        const url = new URL(pair().gateway.url + apiPath);
        const results = await run({ sender: testSender, stranger, url, api, concurrency: 16, timeoutMs: 10_000 });
        expect(results.length).to.be.above(300);
        expect(results.filter(({ verdict }) => verdict !== "pass")).to.deep.equal([]);
      });

      it(`${name}: under load every first answer is the right one, ${version.batches ? "in" : "without"} batches`, async () => {
        const redis = await stack.redis.connect();
        const { gateway, service } = pair();
        const ledger = createLedger(stack.folder);
        const load = startLoad(ledger, { workers: connections }, () => gateway.url);
        await until(`${requests} requests were sent`, () => load.sent() >= requests);
        await load.settle();
        await ledger.checkAll(redis);
        await ledger.checkEvents(redis);
        expect(ledger.misses).to.deep.equal([]);
        expect(ledger.entries.filter((entry) => !isRightAtFirst(entry))).to.deep.equal([]);
        const { BatchRecordActivations: batches = 0 } = await callsOf(service);
        if (version.batches) expect(batches).to.be.above(0);
        else expect(batches).to.equal(0);
      });
    }
  });
