// The documents say what the code does: tables, names and links are compared with it.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { causes } from "../gateway/alipayplus/causes.js";
import { resultCodes, resultOfError } from "../gateway/alipayplus/result.js";
import { BadRequestSchema, ErrorInfoSchema } from "../proto/gen/google/rpc/error_details_pb.js";
import { ErrorReasonSchema } from "../proto/gen/mpp/token/v1/error_reason_pb.js";
import { rights } from "../services/token-lifecycle/access/policy.js";
import { errorDomain, wordOf } from "../services/token-lifecycle/errors.js";
import * as keys from "../services/token-lifecycle/store/keys.js";
import { exitCodes } from "../tools/cli/output.js";
import { conformanceDocument } from "../tools/conform/document.js";
import { previousVersions } from "../tools/previous.js";
import { expectations, kindNames, storyOf } from "../tools/simulate/kinds.js";
import { phaseKeys, scenarioKeys } from "../tools/simulate/scenario.js";
import { withStateDiagram } from "../tools/state-diagram.js";
import { faultTable } from "./torture/faults.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const textOf = (file: string): string => readFileSync(join(root, file), "utf8");

const documents = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name)),
];

/** The rows of the tables whose header starts with these words, as cells without their backticks. */
function tableRows(file: string, ...header: string[]): string[][] {
  const rows: string[][] = [];
  let inside = false;
  for (const line of textOf(file).split("\n")) {
    const cells = line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
    if (!line.startsWith("|")) inside = false;
    else if (header.every((word, index) => cells[index] === word)) inside = true;
    else if (inside && !/^-+$/.test(cells[0] ?? "")) rows.push(cells.map((cell) => cell.replace(/^`([^`]*)`$/, "$1")));
  }
  return rows;
}

describe("the documents", () => {
  it("list every result with its status and message", () => {
    const rows = tableRows("docs/alipayplus.md", "resultCode", "resultStatus", "resultMessage");
    expect(rows.map((row) => row.slice(0, 3))).to.deep.equal(
      Object.entries(resultCodes).map(([code, [status, message]]) => [code, status, message]),
    );
  });

  it("say which result each code and reason of the token service becomes", () => {
    const rows = tableRows("docs/alipayplus.md", "code", "reason", "resultCode");
    const grpcName = (code: Code): string => (Code[code] ?? "").replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
    const codes = Object.values(Code).filter((code): code is Code => typeof code === "number");
    const reasons = ErrorReasonSchema.values.map(({ number }) => wordOf(number));
    const unused = new Set(rows);
    for (const code of codes)
      for (const reason of [undefined, ...reasons]) {
        const row =
          rows.find((each) => each[0] === grpcName(code) && each[1] === reason) ??
          rows.find((each) => each[0] === grpcName(code) && each[1] === "any or none") ??
          rows.find((each) => each[0] === "any other");
        if (row) unused.delete(row);
        const details =
          reason === undefined
            ? []
            : [
                { desc: ErrorInfoSchema, value: { domain: errorDomain, reason } },
                { desc: BadRequestSchema, value: { fieldViolations: [{ field: "f", description: "d" }] } },
              ];
        const result = resultOfError(new ConnectError("", code, undefined, details), (path) => path);
        expect(row?.[2], `${grpcName(code)} ${reason}`).to.equal(result.resultCode);
      }
    expect([...unused], "rows that stand for nothing").to.deep.equal([]);
  });

  const rows = tableRows("README.md", "name", "read by", "default", "meaning");
  const readBy = (reader: RegExp): string[] =>
    rows.flatMap(([name = "", readers = ""]) => (reader.test(readers) ? [name] : [])).sort();
  const namesIn = (file: string, pattern: RegExp): string[] =>
    [...textOf(file).matchAll(pattern)].flatMap(([, name]) => name ?? []);
  const settings = /^ {4}([A-Z][A-Z0-9_]*): \{/gm;

  it("list every setting of the gateway and no other", () => {
    expect(readBy(/both|gateway/)).to.deep.equal(namesIn("gateway/config.ts", settings).sort());
  });

  it("list every setting of the token service and no other", () => {
    expect(readBy(/both|service/)).to.deep.equal(namesIn("services/token-lifecycle/config.ts", settings).sort());
  });

  it("list every setting of the launcher, of notify and of the command line program and no other", () => {
    const files = readdirSync(join(root, "tools"), { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".ts"),
    );
    const names = files.flatMap((name) => namesIn(join("tools", name), /\b(?:env|childEnv)\.([A-Z][A-Z0-9_]*)/g));
    const read = [...new Set(names)].filter((name) => name !== "PATH").sort();
    expect(readBy(/launcher|notify|\bcli\b/)).to.deep.equal(read);
  });

  it("list every key of Redis by its name and by the function that makes it", () => {
    const examples: Readonly<Record<string, string>> = {
      tokenKey: keys.tokenKey("<tokenReferenceId>"),
      eventsKey: keys.eventsKey(0),
      deliveriesKey: keys.deliveriesKey("<tokenReferenceId>"),
      customerKey: keys.customerKey("<customerId>"),
      deactivatedKey: keys.deactivatedKey,
    };
    const makers = Object.keys(keys).filter((name) => name.endsWith("Key"));
    const listed = tableRows("docs/redis.md", "key", "made by").map(([key, maker]) => `${maker} ${key}`);
    const made = makers.map((maker) => `${maker} ${examples[maker]?.replace(/\{\d\d\}/, "{pp}")}`);
    expect(listed.sort()).to.deep.equal(made.sort());
  });

  it("show the state machine as it is", () => {
    const text = textOf("docs/architecture.md");
    expect(text, "run npm run docs").to.equal(withStateDiagram(text));
  });

  it("name every version that may run beside this one", () => {
    expect(tableRows("docs/deployment.md", "version", "commit", "fingerprints", "batches")).to.deep.equal(
      previousVersions.map(({ name, commit, fingerprints, batches }) => [
        ...[name, commit, String(fingerprints), batches ? "yes" : "no"],
      ]),
    );
  });

  it("list every case of the conformance suite", () => {
    expect(textOf("docs/conformance.md"), "run npm run docs").to.equal(conformanceDocument());
  });

  it("name every exit code of the command line program", () => {
    const listed = tableRows("docs/tools.md", "exit code", "meaning");
    expect(listed).to.deep.equal(exitCodes.map(({ code, meaning }) => [String(code), meaning]));
  });

  it("name every cause that the doctor knows, in its words", () => {
    const listed = tableRows("docs/tools.md", "cause", "what happened");
    expect(listed).to.deep.equal(Object.entries(causes).map(([name, { what, change }]) => [name, what, change]));
  });

  it("name every kind of story, every expectation and every key of a scenario", () => {
    expect(tableRows("docs/tools.md", "kind", "what is sent")).to.deep.equal(
      kindNames.map((name) => [name, storyOf(name).about, storyOf(name).expect]),
    );
    expect(tableRows("docs/tools.md", "word", "what should come of a story")).to.deep.equal(
      Object.entries(expectations),
    );
    const keysIn = (what: string) => tableRows("docs/tools.md", `key of a ${what}`).map(([name]) => name);
    expect(keysIn("scenario")).to.deep.equal(scenarioKeys);
    expect(keysIn("phase")).to.deep.equal(phaseKeys);
  });

  it("name every fault of the torture run with its weight and no other", () => {
    const disk = { env: {}, losePower: () => 0, fail: () => {}, heal: () => {} };
    const listed = tableRows("docs/reliability.md", "fault", "weight").map(([name, weight]) => `${name} ${weight}`);
    expect(listed).to.deep.equal(faultTable(disk).map(([weight, { name }]) => `${name} ${weight}`));
  });

  it("name every right with its rpcs", () => {
    expect(tableRows("docs/grpc.md", "right", "rpcs").map(([right]) => right)).to.deep.equal([...rights]);
  });

  it("name every dependency with a reason and no other", () => {
    const { dependencies, devDependencies } = JSON.parse(textOf("package.json"));
    const listed = tableRows("README.md", "package", "why");
    expect(listed.map(([name]) => name)).to.deep.equal([...Object.keys(dependencies), ...Object.keys(devDependencies)]);
    for (const [name, why] of listed) expect(why, name).to.not.equal("");
  });

  const { scripts } = JSON.parse(textOf("package.json")) as { scripts: Record<string, string> };
  for (const file of documents) {
    it(`links to what exists: ${file}`, () => {
      for (const [, target = ""] of textOf(file).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(target)) continue;
        const [path = "", anchor] = target.split("#");
        const place = path === "" ? join(root, file) : resolve(root, dirname(file), path);
        expect(existsSync(place), `${target} exists`).to.equal(true);
        if (anchor !== undefined) expect(anchorsOf(readFileSync(place, "utf8")), target).to.include(anchor);
      }
    });

    it(`names files that exist: ${file}`, () => {
      for (const [, path = ""] of textOf(file).matchAll(/`((?:test|tools|gateway|services|lib|proto)\/[\w./-]+)`/g))
        expect(existsSync(join(root, path)), `${path} exists`).to.equal(true);
    });

    it(`names npm scripts that exist: ${file}`, () => {
      for (const [, name = ""] of textOf(file).matchAll(/\bnpm run (?:-\S+ +)*([a-z][a-z:]*)/g))
        expect(Object.keys(scripts)).to.include(name);
    });
  }
});

/** The anchors that a reader's browser knows: headings in lower case, without signs, with "-" for spaces. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^a-z0-9 -]/g, "")
      .replaceAll(" ", "-"),
  );
}
