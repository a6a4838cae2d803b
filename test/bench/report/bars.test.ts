import { expect } from "chai";
import type { Row } from "../../../bench/measure.js";
import { barsOf, barsText } from "../../../bench/report/bars.js";

const row = (name: string, figures: Partial<Row>): Row => ({
  ...{ name, durability: "fsync", scenario: "first", arrival: "closed", connections: 64 },
  ...{ rps: 1_000, p50Ms: 1, p99Ms: 2, p999Ms: 3, cpuUs: 100, ratio: 2, cpuUsByProcess: {}, generatorCpuUs: 1 },
  ...figures,
});

const verdictsOf = (rows: readonly Row[]): Record<string, boolean> =>
  Object.fromEntries(barsOf(rows).map(({ bar, met }) => [bar, met]));

describe("the bars", () => {
  const rows = [
    row("product", { rps: 2_000, ratio: 2 }),
    row("product", { scenario: "repeat", cpuUs: 100 }),
    row("product", { scenario: "forged", cpuUs: 51 }),
    row("koa", { rps: 900 }),
    row("go", { rps: 1_001 }),
    row("fastify-memo", { rps: 2_100 }),
    row("product", { durability: "memory", rps: 9_000, ratio: 1 }),
  ];

  it("are measured against the best rival, at class fsync", () => {
    expect(verdictsOf(rows)).to.deep.equal({
      "throughput at 64 connections / best rival that signs each answer": false,
      "throughput at 64 connections / best Node rival with the memo": true,
      "CPU for a notification at 64 connections / floor": true,
      "CPU of a repeat / first delivery": true,
      "CPU of refusing a bad signature / first delivery": false,
    });
  });

  it("say nothing about what was not measured", () => {
    expect(barsOf([row("koa", {})])).to.deep.equal([]);
    expect(barsOf([row("product", { connections: 16 })])).to.deep.equal([]);
  });

  it("are told with figure, limit and verdict", () => {
    expect(barsText(barsOf(rows)).split("\n")[0]).to.equal(
      "NOT MET  throughput at 64 connections / best rival that signs each answer: 2.00, wants >= 2",
    );
  });
});
