import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "chai";
import { loadScript, repeated } from "../../lib/script.js";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { startTestRedis, type TestRedis, temporaryFolder } from "../support/processes.js";

const body = "redis.call('SET', KEYS[1], ARGV[1])\nreturn redis.call('GET', KEYS[2])\n";
const header = "-- KEYS  token  events\n-- ARGV  expected\n";

describe("loadScript", () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let url: URL;
  before(() => {
    folder = temporaryFolder();
    url = pathToFileURL(join(folder.path, "some.lua"));
  });
  after(() => folder.remove());
  const load = (lua: string, keys: string[], args: string[]) => {
    writeFileSync(url, lua);
    return loadScript(url, keys, args);
  };

  it("hands out the text and the number of keys when header, caller and script agree", () => {
    expect(load(header + body, ["token", "events"], ["expected"])).to.deep.equal({
      lua: header + body,
      numberOfKeys: 2,
      numberOfArguments: 1,
    });
  });

  it("takes a script without arguments, or with an index used twice", () => {
    const lua = "-- KEYS  token\nreturn { redis.call('GET', KEYS[1]), KEYS[1] }\n";
    expect(load(lua, ["token"], [])).to.deep.equal({ lua, numberOfKeys: 1, numberOfArguments: 0 });
  });

  const otherNames = [
    { name: "another order", keys: ["events", "token"], args: ["expected"] },
    { name: "a key too few", keys: ["token"], args: ["expected"] },
    { name: "a key too many", keys: ["token", "events", "more"], args: ["expected"] },
    { name: "an argument too few", keys: ["token", "events"], args: [] },
    { name: "an argument for a key", keys: ["token"], args: ["events", "expected"] },
    { name: "another name", keys: ["token", "event"], args: ["expected"] },
  ];
  for (const { name, keys, args } of otherNames)
    it(`refuses a caller that gives ${name}, and names the file`, () => {
      expect(() => load(header + body, keys, args)).to.throw(
        `${url.pathname}: the header names other KEYS or ARGV than its caller`,
      );
    });

  const otherUses = [
    { name: "has no header", lua: body, complaint: "the header names other" },
    {
      name: "does not use an argument",
      lua: header + body.replace("ARGV[1]", "''"),
      complaint: "the script uses other",
    },
    {
      name: "uses an undeclared argument",
      lua: `${header + body}return ARGV[2]\n`,
      complaint: "the script uses other",
    },
    { name: "uses an undeclared key", lua: `${header + body}return KEYS[3]\n`, complaint: "the script uses other" },
    { name: "counts from zero", lua: header + body.replace("KEYS[1]", "KEYS[0]"), complaint: "the script uses other" },
  ];
  for (const { name, lua, complaint } of otherUses)
    it(`refuses a script that ${name}`, () => {
      expect(() => load(lua, ["token", "events"], ["expected"])).to.throw(complaint);
    });

  it("fails with the name of a file that is not there", () => {
    rmSync(url, { force: true });
    expect(() => loadScript(url, [], [])).to.throw("some.lua");
  });
});

describe("a script that is repeated", () => {
  const folder = temporaryFolder();
  let server: TestRedis;
  let redis: RedisClient;
  before(async () => {
    server = await startTestRedis(folder.path, "no");
    redis = await server.connect();
  });
  after(async () => {
    await server.stop();
    folder.remove();
  });
  beforeEach(() => redis.flushall());

  const run = (lua: string, numberOfKeys: number, numberOfArguments: number, keys: string[], args: string[]) =>
    redis.eval(repeated({ lua, numberOfKeys, numberOfArguments }).lua, keys.length, ...keys, ...args) as Promise<
      unknown[]
    >;
  const many = Array.from({ length: 256 }, (_, i) => i);

  const rows: { name: string; lua: string; keys: number; args: number; runs: string[][]; replies: unknown[] }[] = [
    { name: "no run", lua: "return 1", keys: 1, args: 0, runs: [], replies: [] },
    {
      name: "one run",
      lua: "return { KEYS[1], ARGV[1] }",
      keys: 1,
      args: 1,
      runs: [["k", "a"]],
      replies: [["k", "a"]],
    },
    {
      name: "each run its own keys and arguments, in order",
      lua: "return { KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3] }",
      ...{ keys: 2, args: 3 },
      runs: [
        ["a", "b", "1", "2", "3"],
        ["c", "d", "4", "5", "6"],
      ],
      replies: [
        ["a", "b", "1", "2", "3"],
        ["c", "d", "4", "5", "6"],
      ],
    },
    {
      name: "no run the variables of another",
      lua: "local seen = KEYS[2] or ARGV[2] or 'nothing more'\nreturn seen",
      ...{ keys: 1, args: 1 },
      runs: [
        ["a", "1"],
        ["b", "2"],
      ],
      replies: ["nothing more", "nothing more"],
    },
    { name: "scripts without arguments", lua: "return #ARGV", keys: 1, args: 0, runs: [["a"], ["b"]], replies: [0, 0] },
    {
      name: "a later run what an earlier one wrote",
      lua: "return redis.call('INCR', KEYS[1])",
      ...{ keys: 1, args: 0 },
      runs: [["n"], ["n"], ["n"]],
      replies: [1, 2, 3],
    },
    {
      name: "256 runs of two keys and four arguments",
      lua: "return ARGV[4]",
      ...{ keys: 2, args: 4 },
      runs: many.map((i) => ["a", "b", "1", "2", "3", String(i)]),
      replies: many.map(String),
    },
  ];
  for (const { name, lua, keys, args, runs, replies } of rows)
    it(`gives ${name}`, async () => {
      const [allKeys, allArgs] = [
        runs.flatMap((each) => each.slice(0, keys)),
        runs.flatMap((each) => each.slice(keys)),
      ];
      expect(await run(lua, keys, args, allKeys, allArgs)).to.deep.equal(replies);
    });

  it("lets a run that fails fail alone, whatever it fails of", async () => {
    await redis.lpush("list", "x");
    const lua = "if KEYS[1] == 'bug' then return nothing.here end\nreturn redis.call('INCR', KEYS[1])";
    const replies = await run(lua, 1, 0, ["a", "list", "b", "bug", "c"], []);
    expect(replies.map((reply) => (reply instanceof Error ? "failed" : reply))).to.deep.equal([
      1,
      "failed",
      1,
      "failed",
      1,
    ]);
    expect(String(replies[1])).to.include("WRONGTYPE");
  });
});
