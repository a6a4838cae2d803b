import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { type BenchKeys, benchKeys, signCorpus } from "../../bench/corpus.js";
import { type Generator, startGenerator } from "../../bench/generator/client.js";
import { measure, type Outcome } from "../../bench/measure.js";
import type { BenchOptions } from "../../bench/plan.js";
import { reportOf } from "../../bench/report/results.js";
import { type SystemKind, systemKinds } from "../../bench/systems.js";
import { temporaryFolder } from "../support/processes.js";

const options: BenchOptions = {
  ...{ systems: ["product"], durabilities: ["fsync"], connections: [2], scenarios: ["repeat", "forged"] },
  ...{ openLoops: true, rounds: 1, windowMs: 1_000, warmMs: 100, warmUp: { crowded: 100, alone: 10 } },
};
const count = 5_000;

describe("a bench", function () {
  this.timeout(60_000);
  const folder = temporaryFolder();
  let keys: BenchKeys;
  let generator: Generator;
  before(async () => {
    keys = await benchKeys(folder.path);
    await signCorpus(folder.path, keys.sender, count, () => {});
    generator = await startGenerator({ folder: folder.path, count });
  });
  after(async () => {
    await generator.stop();
    folder.remove();
  });

  const measured = (kinds: readonly SystemKind[], given: Partial<BenchOptions> = {}): Promise<Outcome> =>
    measure(
      { ...options, ...given },
      { kinds, generator, keysDir: keys.keysDir, folder: folder.path, onMeasure: () => {} },
    );

  it("leaves the figures of the product for programs and for people", async () => {
    const outcome = await measured(systemKinds.filter(({ name }) => name === "product"));
    const { json, text, pictures } = reportOf(outcome, options);
    const { floorUs, systems, scenarios, openLoops } = JSON.parse(json);
    expect(floorUs).to.be.above(0);
    expect(systems).to.have.length(1);
    const [product] = systems;
    expect(product).to.include({ name: "product", durability: "fsync", connections: 2 });
    for (const name of ["rps", "p50Ms", "p99Ms", "cpuUs", "ratio"]) expect(product[name], name).to.be.above(0);
    expect(Object.keys(product.cpuUsByProcess)).to.have.members(["launcher", "gateway", "service", "redis"]);
    const parts = Object.values(product.cpuUsByProcess as Record<string, number>).reduce((sum, us) => sum + us, 0);
    expect(parts).to.be.closeTo(product.cpuUs, 0.1);
    expect(product.ratio).to.be.closeTo(product.cpuUs / floorUs, 0.01);
    expect(scenarios.map(({ scenario }: { scenario: string }) => scenario)).to.deep.equal(["repeat", "forged"]);
    expect(openLoops.map(({ arrival }: { arrival: string }) => arrival)).to.deep.equal(["300/s", "half"]);
    expect(text).to.match(/^\| product +\| +2 \|/m);
    expect(Object.keys(pictures)).to.deep.equal(["cost-fsync.svg", "latency-fsync.svg"]);
  });

  const good = '{"result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":"Success"}}';
  const liars: { name: string; listener: RequestListener; why: RegExp }[] = [
    {
      name: "says U",
      listener: (_, response) => response.end('{"result":{"resultCode":"UNKNOWN_EXCEPTION","resultStatus":"U"}}'),
      why: /liar: wanted "resultCode":"SUCCESS", got HTTP 200 .*UNKNOWN_EXCEPTION/,
    },
    {
      name: "answers with another status",
      listener: (_, response) => {
        response.statusCode = 500;
        response.end(good);
      },
      why: /liar: wanted .* got HTTP 500/,
    },
    {
      name: "does not sign",
      listener: (_, response) => response.end(good),
      why: /liar: an answer without a good signature/,
    },
    { name: "hangs up", listener: (request) => request.socket.destroy(), why: /liar: a connection was closed/ },
  ];
  for (const { name, listener, why } of liars)
    it(`fails at a system that ${name}`, async () => {
      const error = await measured([liarOf(listener)], { windowMs: 100, warmUp: { crowded: 1, alone: 0 } }).catch(
        (reason: Error) => reason,
      );
      expect(error).to.be.instanceOf(Error);
      expect(String(error)).to.match(why);
    });
});

/** A system that keeps nothing and answers as it likes. */
function liarOf(listener: RequestListener): SystemKind {
  return {
    name: "liar",
    async start({ durability }) {
      const server: Server = createServer((request, response) => {
        request.resume();
        listener(request, response);
      }).listen(0, "127.0.0.1");
      await once(server, "listening");
      return {
        ...{ name: "liar", durability, port: (server.address() as AddressInfo).port },
        parts: () => ({}),
        empty: async () => {},
        async stop() {
          server.closeAllConnections();
          server.close();
        },
      };
    },
  };
}
