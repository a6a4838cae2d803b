import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "chai";
import { loadScript } from "../../lib/script.js";
import { temporaryFolder } from "../support/processes.js";

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
