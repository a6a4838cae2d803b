import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const root = fileURLToPath(new URL("../", import.meta.url));

/**
 * Who may import whom, by the beginning of the path; the longest beginning that fits is a file's row. A change here comes
 * with an ADR.
 */
const mayImport: Record<string, { files: string[]; packages: string[] | "any" }> = {
  "gateway/main.ts": { files: ["gateway/", "lib/", "proto/gen/"], packages: "any" },
  "gateway/app.ts": { files: ["gateway/pipeline.ts", "gateway/read-body.ts"], packages: "any" },
  "gateway/pipeline.ts": {
    files: ["gateway/stages/", "gateway/alipayplus/", "gateway/keys.ts", "gateway/limits.ts", "gateway/spread.ts"],
    packages: "any",
  },
  "gateway/observe.ts": {
    files: [
      "gateway/pipeline.ts",
      "gateway/metrics.ts",
      "gateway/undecided.ts",
      "gateway/stages/messages.ts",
      "gateway/alipayplus/",
      "lib/",
    ],
    packages: "any",
  },
  "gateway/tracing.ts": { files: ["gateway/pipeline.ts", "gateway/stages/messages.ts", "lib/"], packages: "any" },
  // The parts that main puts together.
  "gateway/": {
    files: ["gateway/stages/", "gateway/alipayplus/", "gateway/spread.ts", "lib/", "proto/gen/"],
    packages: "any",
  },
  // Knows a transport, and nothing of ours.
  "gateway/spread.ts": { files: [], packages: ["@connectrpc/connect"] },
  "gateway/stages/": {
    files: ["gateway/stages/", "gateway/alipayplus/", "gateway/spread.ts", "lib/bounded.ts", "proto/gen/"],
    packages: "any",
  },
  "gateway/alipayplus/": {
    files: ["gateway/alipayplus/", "proto/gen/", "lib/program.ts", "lib/protobuf/empty.ts", "lib/rpc/batch.ts"],
    packages: ["node:crypto", "@bufbuild/protobuf", "@connectrpc/connect"],
  },
  "services/token-lifecycle/": { files: ["services/token-lifecycle/", "lib/", "proto/gen/"], packages: "any" },
  "services/token-lifecycle/core/": {
    files: ["services/token-lifecycle/core/", "lib/protobuf/empty.ts", "proto/gen/"],
    packages: ["node:crypto", "@bufbuild/protobuf"],
  },
  "services/token-lifecycle/store/": {
    files: ["services/token-lifecycle/store/", "services/token-lifecycle/core/", "lib/", "proto/gen/"],
    packages: "any",
  },
  "services/token-lifecycle/vault/": {
    files: ["services/token-lifecycle/vault/", "services/token-lifecycle/core/", "lib/", "proto/gen/"],
    packages: "any",
  },
  "services/token-lifecycle/access/": {
    files: ["services/token-lifecycle/access/", "services/token-lifecycle/errors.ts", "lib/", "proto/gen/"],
    packages: "any",
  },
  "services/token-lifecycle/rpcs/": {
    files: [
      "services/token-lifecycle/rpcs/",
      "services/token-lifecycle/access/",
      "services/token-lifecycle/core/",
      "services/token-lifecycle/errors.ts",
      "services/token-lifecycle/store/event-feed.ts",
      "services/token-lifecycle/vault/",
      "services/token-lifecycle/validation.ts",
      "lib/rpc/deadline.ts",
      "lib/rpc/streamed-calls.ts",
      "lib/rpc/tracing.ts",
      "lib/trace.ts",
      "proto/gen/",
    ],
    packages: "any",
  },
  "lib/": { files: ["lib/", "proto/gen/grpc/", "proto/gen/google/"], packages: "any" },
  "proto/gen/": { files: ["proto/gen/"], packages: "any" },
  "tools/": {
    files: [
      "tools/",
      "gateway/alipayplus/",
      "gateway/config.ts",
      "services/token-lifecycle/config.ts",
      "services/token-lifecycle/core/",
      "services/token-lifecycle/store/",
      "services/token-lifecycle/vault/",
      "lib/",
      "proto/gen/",
    ],
    packages: "any",
  },
  "test/": { files: [""], packages: "any" },
  "bench/": { files: [""], packages: "any" },
};

type Sources = ReadonlyMap<string, string>;

/** Every .ts file of ours, by its path from the root. */
function sourcesBelow(folder: string): Sources {
  const ignored = /^(?:node_modules|dist|coverage|\..*)$/;
  const walk = (path: string): string[] =>
    readdirSync(join(folder, path), { withFileTypes: true })
      .filter(({ name }) => !ignored.test(name))
      .flatMap((entry) => {
        const inner = posix.join(path, entry.name);
        if (entry.isDirectory()) return walk(inner);
        return entry.name.endsWith(".ts") ? [inner] : [];
      });
  return new Map(walk("").map((path) => [path, readFileSync(join(folder, path), "utf8")]));
}

const statement =
  /^\s*(?:import|export)\s(?:[^"'`;]*?\sfrom\s+)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']|\brequire\(\s*["']([^"']+)["']/gm;

const importsIn = (source: string): string[] =>
  [...source.matchAll(statement)].map(([, fromStatement, fromCall, fromRequire]) =>
    String(fromStatement ?? fromCall ?? fromRequire),
  );

/** The file of ours that a specifier in `file` means; undefined for a package. */
const fileOf = (file: string, specifier: string): string | undefined =>
  specifier.startsWith(".") ? posix.join(dirname(file), specifier).replace(/\.js$/, ".ts") : undefined;

const rowOf = (file: string) => {
  const fitting = Object.keys(mayImport).filter((beginning) => file.startsWith(beginning));
  const longest = fitting.sort((a, b) => b.length - a.length)[0];
  return longest === undefined ? undefined : mayImport[longest];
};

const isPackage = (specifier: string, name: string): boolean => specifier === name || specifier.startsWith(`${name}/`);

/** What a source imports and may not, as "from -> to". */
function trespasses(sources: Sources): string[] {
  return [...sources].flatMap(([file, source]) => {
    const row = rowOf(file);
    if (row === undefined) return [`${file} has no row in the table`];
    return importsIn(source)
      .filter((specifier) => {
        const target = fileOf(file, specifier);
        if (target !== undefined) return !row.files.some((beginning) => target.startsWith(beginning));
        return row.packages !== "any" && !row.packages.some((name) => isPackage(specifier, name));
      })
      .map((specifier) => `${file} -> ${fileOf(file, specifier) ?? specifier}`);
  });
}

/** The first round trip that imports make, or none. */
function cycleIn(sources: Sources): string[] {
  const done = new Set<string>();
  const search = (file: string, way: readonly string[]): string[] => {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file];
    if (done.has(file)) return [];
    for (const specifier of importsIn(sources.get(file) ?? "")) {
      const target = fileOf(file, specifier);
      const cycle = target === undefined ? [] : search(target, [...way, file]);
      if (cycle.length > 0) return cycle;
    }
    done.add(file);
    return [];
  };
  for (const file of sources.keys()) {
    const cycle = search(file, []);
    if (cycle.length > 0) return cycle;
  }
  return [];
}

describe("the architecture", () => {
  const sources = sourcesBelow(root);
  const files = [...sources.keys()];
  const using = (pattern: RegExp, among: (file: string) => boolean): string[] =>
    [...sources].filter(([file, source]) => among(file) && pattern.test(source)).map(([file]) => file);

  it("is read from all our sources", () => {
    expect(files).to.include.members(["gateway/main.ts", "lib/env.ts", "tools/start.ts", "test/architecture.test.ts"]);
    expect(files.filter((file) => file.includes("node_modules"))).to.deep.equal([]);
  });

  it("lets each file import what its row allows", () => {
    expect(trespasses(sources)).to.deep.equal([]);
  });

  it("has no imports that go round in a circle", () => {
    expect(cycleIn(sources)).to.deep.equal([]);
  });

  it("imports files, which exist, and never folders", () => {
    const missing = files.flatMap((file) =>
      importsIn(sources.get(file) ?? "")
        .map((specifier) => fileOf(file, specifier))
        .filter((target) => target !== undefined && !sources.has(target))
        .map((target) => `${file} -> ${target}`),
    );
    // The sources that this test makes up are none.
    expect(missing.filter((each) => !each.startsWith("test/architecture.test.ts"))).to.deep.equal([]);
    expect(files.filter((file) => posix.basename(file) === "index.ts")).to.deep.equal([]);
  });

  const isPure = (file: string): boolean =>
    file.startsWith("gateway/alipayplus/") || file.startsWith("services/token-lifecycle/core/");
  const impure: { name: string; pattern: RegExp }[] = [
    { name: "clock", pattern: /\bDate\.now\b|\bnew Date\(\s*\)|\bperformance\.now\b|\bhrtime\b/ },
    { name: "chance", pattern: /\bMath\.random\b|\brandom(?:UUID|Bytes|Int|FillSync)\b/ },
    { name: "environment", pattern: /\bprocess\.|\bglobalThis\b/ },
    { name: "timer", pattern: /\bset(?:Timeout|Interval|Immediate)\b/ },
  ];
  for (const { name, pattern } of impure)
    it(`has no ${name} in the pure folders`, () => {
      expect(files.some(isPure)).to.equal(true);
      expect(using(pattern, isPure)).to.deep.equal([]);
    });

  it("reads the environment in config.ts, main.ts, tools, tests and benches alone", () => {
    const mayRead = /(?:^|\/)(?:config|main)\.ts$|^(?:tools|test|bench)\//;
    expect(using(/\bprocess\.env\b/, (file) => !mayRead.test(file))).to.deep.equal([]);
  });

  it("says in the first line of each file what it is for", () => {
    const opening = /^(?:#!.*\n)?\/\/ \S/;
    const silent = [...sources].filter(([file, source]) => !file.endsWith(".test.ts") && !opening.test(source));
    expect(silent.map(([file]) => file)).to.deep.equal([]);
  });
});

describe("the reading of the architecture", () => {
  const specifiers: { source: string; specifiers: string[] }[] = [
    { source: 'import { a } from "./a.js";', specifiers: ["./a.js"] },
    { source: 'import type { A } from "./a.js";', specifiers: ["./a.js"] },
    { source: 'import {\n  type A,\n  b,\n} from "../b.js";', specifiers: ["../b.js"] },
    { source: 'import a from "koa";\nimport * as b from "node:fs";', specifiers: ["koa", "node:fs"] },
    { source: 'import "./effect.js";', specifiers: ["./effect.js"] },
    { source: 'export { a } from "./a.js";\nexport * from "./b.js";', specifiers: ["./a.js", "./b.js"] },
    { source: 'const a = await import("./a.js");', specifiers: ["./a.js"] },
    { source: 'type A = typeof import("./a.js");', specifiers: ["./a.js"] },
    { source: 'const require = createRequire(import.meta.url);\nrequire("./a.js");', specifiers: ["./a.js"] },
    { source: 'export const a = "./a.js";\nexport function b() {\n  return "from";\n}', specifiers: [] },
  ];
  for (const { source, specifiers: expected } of specifiers)
    it(`finds ${expected.join(" and ") || "nothing"} in ${JSON.stringify(source)}`, () => {
      expect(importsIn(source)).to.deep.equal(expected);
    });

  const wrong: { from: string; specifier: string; to: string }[] = [
    { from: "gateway/app.ts", specifier: "./stages/sign.js", to: "gateway/stages/sign.ts" },
    { from: "gateway/pipeline.ts", specifier: "./app.js", to: "gateway/app.ts" },
    { from: "gateway/stages/verify.ts", specifier: "../keys.js", to: "gateway/keys.ts" },
    { from: "gateway/alipayplus/time.ts", specifier: "../stages/sign.js", to: "gateway/stages/sign.ts" },
    { from: "gateway/alipayplus/time.ts", specifier: "node:fs", to: "node:fs" },
    { from: "gateway/keys.ts", specifier: "./config.js", to: "gateway/config.ts" },
    {
      from: "gateway/main.ts",
      specifier: "../services/token-lifecycle/server.js",
      to: "services/token-lifecycle/server.ts",
    },
    { from: "services/token-lifecycle/main.ts", specifier: "../../gateway/keys.js", to: "gateway/keys.ts" },
    {
      from: "services/token-lifecycle/core/decide.ts",
      specifier: "../store/keys.js",
      to: "services/token-lifecycle/store/keys.ts",
    },
    { from: "services/token-lifecycle/core/decide.ts", specifier: "../../../lib/env.js", to: "lib/env.ts" },
    { from: "services/token-lifecycle/core/decide.ts", specifier: "ioredis", to: "ioredis" },
    {
      from: "services/token-lifecycle/core/decide.ts",
      specifier: "@bufbuild/protovalidate",
      to: "@bufbuild/protovalidate",
    },
    {
      from: "services/token-lifecycle/store/a.ts",
      specifier: "../vault/seal.js",
      to: "services/token-lifecycle/vault/seal.ts",
    },
    {
      from: "lib/env.ts",
      specifier: "../proto/gen/mpp/token/v1/token_pb.js",
      to: "proto/gen/mpp/token/v1/token_pb.ts",
    },
    { from: "lib/env.ts", specifier: "../gateway/config.js", to: "gateway/config.ts" },
    { from: "tools/start.ts", specifier: "../gateway/main.js", to: "gateway/main.ts" },
  ];
  for (const { from, specifier, to } of wrong)
    it(`catches ${from} when it imports ${specifier}`, () => {
      expect(trespasses(new Map([[from, `import { x } from "${specifier}";`]]))).to.deep.equal([`${from} -> ${to}`]);
    });

  it("catches a folder that nobody put into the table", () => {
    expect(trespasses(new Map([["scripts/a.ts", ""]]))).to.deep.equal(["scripts/a.ts has no row in the table"]);
  });

  it("catches imports that go round in a circle", () => {
    const circle = new Map([
      ["lib/a.ts", 'import "./b.js";'],
      ["lib/b.ts", 'import "./c.js";\nimport "./d.js";'],
      ["lib/c.ts", ""],
      ["lib/d.ts", 'import type { B } from "./b.js";'],
    ]);
    expect(cycleIn(circle)).to.deep.equal(["lib/b.ts", "lib/d.ts", "lib/b.ts"]);
  });
});
