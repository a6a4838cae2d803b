import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { type Loaded, loadFolder } from "../../lib/folder.js";
import { temporaryFolder, until } from "../support/processes.js";

describe("loadFolder", () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let loaded: Loaded<string> | undefined;
  let failures: unknown[];
  let previous: (string | undefined)[];
  beforeEach(() => {
    folder = temporaryFolder();
    failures = [];
    previous = [];
    writeFileSync(join(folder.path, "a"), "1");
  });
  afterEach(() => {
    loaded?.stop();
    folder.remove();
  });

  const namesIn = (): string => readdirSync(folder.path, { recursive: true }).sort().join();
  const start = (load: () => string = namesIn): Loaded<string> => {
    loaded = loadFolder(
      folder.path,
      5,
      (before) => {
        previous.push(before);
        return load();
      },
      (error) => failures.push(error),
    );
    return loaded;
  };

  it("loads at once, and does not load again while nothing changes", async () => {
    const { current } = start();
    expect(current()).to.equal("a");
    // A change of its own is the sign that the folder was looked at meanwhile.
    const other = temporaryFolder();
    let looked = 0;
    const second = loadFolder(
      other.path,
      5,
      () => ++looked,
      () => {},
    );
    writeFileSync(join(other.path, "x"), "");
    await until("the other folder is read again", () => second.current() === 2);
    second.stop();
    other.remove();
    expect(previous).to.deep.equal([undefined]);
  });

  const changes: { name: string; change: (path: string) => void; names: string }[] = [
    { name: "appears", change: (path) => writeFileSync(join(path, "b"), ""), names: "a,b" },
    { name: "goes", change: (path) => rmSync(join(path, "a")), names: "" },
    { name: "changes its size", change: (path) => writeFileSync(join(path, "a"), "22"), names: "a" },
    { name: "changes but keeps its size", change: (path) => writeFileSync(join(path, "a"), "2"), names: "a" },
    {
      name: "appears in a folder below",
      change: (path) => {
        mkdirSync(join(path, "sub"));
        writeFileSync(join(path, "sub", "c"), "");
      },
      names: "a,sub,sub/c",
    },
  ];
  for (const { name, change, names } of changes)
    it(`loads again, with the value before, when a file ${name}`, async () => {
      const { current } = start();
      change(folder.path);
      await until("it is loaded again", () => previous.length > 1 && current() === names);
      expect(previous[1]).to.equal("a");
      expect(failures).to.deep.equal([]);
    });

  it("keeps the value when loading fails, tells of it, and goes on until it succeeds", async () => {
    let isBroken = false;
    const { current } = start(() => {
      if (isBroken) throw new Error("broken");
      return namesIn();
    });
    isBroken = true;
    writeFileSync(join(folder.path, "b"), "");
    await until("two loads failed", () => failures.length >= 2);
    expect(current()).to.equal("a");
    isBroken = false;
    await until("it is loaded again", () => current() === "a,b");
  });

  it("keeps the value when the folder goes away, and loads again when it is back", async () => {
    const { current } = start();
    rmSync(folder.path, { recursive: true });
    await until("a load failed", () => failures.length > 0);
    expect(current()).to.equal("a");
    mkdirSync(folder.path);
    writeFileSync(join(folder.path, "z"), "");
    await until("it is loaded again", () => current() === "z");
  });

  it("lets the first load throw, since there is no value to go on with", () => {
    expect(() =>
      start(() => {
        throw new Error("broken from the start");
      }),
    ).to.throw("broken from the start");
  });
});
