// What is installed is what was looked at: exact versions, known contents, known licences.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { licenceDocument, licences } from "../tools/licences.js";

const root = new URL("../", import.meta.url);
const textOf = (file: string): string => readFileSync(new URL(file, root), "utf8");
const manifest = JSON.parse(textOf("package.json"));
type Locked = { version: string; integrity?: string; dev?: boolean; link?: boolean; license?: string };
const locked = Object.entries(JSON.parse(textOf("package-lock.json")).packages as Record<string, Locked>).filter(
  ([path]) => path !== "",
);

const allowed = new Set(["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "0BSD", "BlueOak-1.0.0"]);

describe("the packages", () => {
  it("are named with exact versions", () => {
    const named: [string, string][] = ["dependencies", "devDependencies", "optionalDependencies", "overrides"].flatMap(
      (kind) => Object.entries(manifest[kind] ?? {}) as [string, string][],
    );
    expect(named.length).to.be.above(20);
    expect(named.filter(([, version]) => !/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version))).to.deep.equal([]);
  });

  it("are locked with the hash of their content", () => {
    expect(locked.length).to.be.above(100);
    expect(locked.filter(([, { integrity = "" }]) => !integrity.startsWith("sha512-"))).to.deep.equal([]);
    const versions = new Map(locked.map(([path, { version }]) => [path, version]));
    for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }))
      expect(versions.get(`node_modules/${name}`), name).to.equal(version);
  });

  it("that run in production are installed in the locked version, under the licence that the lock file says", () => {
    for (const [path, { version, license }] of locked.filter(([, { dev }]) => !dev)) {
      const installed = JSON.parse(textOf(`${path}/package.json`));
      expect([path, installed.version, installed.license]).to.deep.equal([path, version, license]);
    }
  });

  it("that run in production have licences that may be used", () => {
    const others = licences().filter(({ licence }) => !licence.split(" AND ").every((each) => allowed.has(each)));
    expect(others).to.deep.equal([]);
  });

  it("stand in docs/licences.md", () => {
    expect(textOf("docs/licences.md"), "run npm run licences").to.equal(licenceDocument(licences()));
  });

  it("stand in the list of parts, which is the same each time", () => {
    const list = (): string => {
      execFileSync(process.execPath, ["--import", "tsx", "tools/sbom.ts"], {
        cwd: fileURLToPath(root),
        stdio: ["ignore", "ignore", "ignore"],
      });
      return textOf("dist/sbom.cdx.json");
    };
    const first = list();
    const { bomFormat, components, metadata } = JSON.parse(first);
    expect([bomFormat, metadata.component.name]).to.deep.equal(["CycloneDX", manifest.name]);
    const parts = new Set(components.map((each: Record<string, string>) => each["bom-ref"]));
    expect([...parts].sort()).to.deep.equal(
      licences()
        .map(({ name, version }) => `${name}@${version}`)
        .sort(),
    );
    for (const { hashes } of components) expect(hashes[0].alg).to.equal("SHA-512");
    expect(list()).to.equal(first);
  });
});
