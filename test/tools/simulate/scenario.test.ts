// Scenario files: what they say, and that mistakes in them are told together.
import { readdirSync, readFileSync } from "node:fs";
import { expect } from "chai";
import { seeded } from "../../../tools/random.js";
import { kindsOf } from "../../../tools/simulate/run.js";
import { readScenario, ScenarioError } from "../../../tools/simulate/scenario.js";

const folder = new URL("../../../tools/simulate/scenarios/", import.meta.url);

describe("a scenario", () => {
  it("is read with its defaults", () => {
    expect(readScenario("phases: [{for: 2s, rate: 5}]", "s")).to.deep.equal({
      about: "",
      seed: undefined,
      timeScale: 1,
      timeoutMs: 5_000,
      concurrency: 64,
      apis: [],
      members: {},
      phases: [
        {
          name: "phases[0]",
          stories: 10,
          perSecond: 5,
          mix: new Map(),
          expect: new Map(),
          optionalMembers: 80,
          clockSkewMs: 0,
          key: "first",
          slowBodyMs: 1_000,
        },
      ],
    });
  });

  it("is read with all that it says", () => {
    const text = `
      about: all
      seed: 7
      timeScale: 10
      timeout: 2s
      concurrency: 3
      apis: [x]
      members: { customerId: c }
      phases:
        - { name: a, count: 4, rate: 0.5, mix: { late: 50 }, expect: { late: any }, optionalMembers: 0, clockSkew: -1.5min, key: next, slowBody: 1h }`;
    const { phases, ...rest } = readScenario(text, "s");
    expect(rest).to.deep.equal({
      about: "all",
      seed: 7,
      timeScale: 10,
      timeoutMs: 2_000,
      concurrency: 3,
      apis: ["x"],
      members: { customerId: "c" },
    });
    expect(phases).to.deep.equal([
      {
        name: "a",
        stories: 4,
        perSecond: 0.5,
        mix: new Map([["late", 50]]),
        expect: new Map([["late", "any"]]),
        optionalMembers: 0,
        clockSkewMs: -90_000,
        key: "next",
        slowBodyMs: 3_600_000,
      },
    ]);
  });

  for (const file of readdirSync(folder))
    it(`of ours can be read, and says what it is about: ${file}`, () => {
      expect(readScenario(readFileSync(new URL(file, folder), "utf8"), file).about).to.match(/^[a-z]/);
    });

  const wrong: [text: string, says: RegExp][] = [
    ["phases: [", /^s: .* at line 1, column \d+$/],
    ["a: 1\na: 2", /^s: Map keys must be unique at line 2/],
    ["", /^s: the scenario must be a map; phases must be a list/],
    ["phase: []", /the scenario has phase, which is none of about, seed/],
    [
      "phases: [{count: 1}, {rate: fast, for: 2 weeks}]",
      /phases\[1\]\.rate must be a number from 0\.001 to 100000; phases\[1\]\.for must be a time such as 500ms/,
    ],
    ["phases: [{rate: 1}]", /phases\[0\] must have either for or count/],
    ["phases: [{for: 1s, count: 1}]", /phases\[0\] must have either for or count/],
    ["phases: [{count: 1, mix: {twice: 1}}]", /phases\[0\]\.mix must be one of plain, duplicates, /],
    ["phases: [{count: 1, mix: {late: 60, overlaps: 60}}]", /phases\[0\]\.mix comes to more than 100/],
    ["phases: [{count: 1, expect: {late: yes}}]", /phases\[0\]\.expect must be one of S, F, U, /],
    ["timeScale: 0\nseed: x\nphases: [{count: 1}]", /seed must be a number .*; timeScale must be a number/],
    ["phases: [{count: 1, key: other}]", /phases\[0\]\.key must be one of first, next/],
    ["members: {a: 1}\nphases: [{count: 1}]", /members must be a text/],
  ];
  for (const [text, says] of wrong)
    it(`is refused when it is ${JSON.stringify(text)}`, () => {
      expect(() => readScenario(text, "s")).to.throw(ScenarioError, says);
    });

  it("has as many stories of each kind as its mix says, and one at least", () => {
    const mix = new Map([
      ["late", 10],
      ["conflicts", 0.1],
    ] as const);
    const kinds = kindsOf({ stories: 50, mix }, seeded(1));
    expect(kinds).to.have.length(50);
    expect(kinds.filter((kind) => kind === "late")).to.have.length(5);
    expect(kinds.filter((kind) => kind === "conflicts")).to.have.length(1);
    expect(kindsOf({ stories: 50, mix }, seeded(1))).to.deep.equal(kinds);
    expect(kindsOf({ stories: 50, mix }, seeded(2))).to.not.deep.equal(kinds);
  });
});
