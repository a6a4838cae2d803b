// Writes dist/sbom.cdx.json, a CycloneDX list of the packages that run in production. The same lock file gives the same list.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { licences } from "./licences.js";

const root = new URL("../", import.meta.url);
const { name } = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));
const args = ["sbom", "--sbom-format", "cyclonedx", "--package-lock-only", "--offline"];
const { serialNumber: _chance, ...all } = JSON.parse(
  execFileSync("npm", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 26 }),
);
const { timestamp: _clock, ...metadata } = all.metadata;
// npm takes the name of the folder.
metadata.component.name = name;

// npm's own --omit dev leaves out packages that development needs too.
const kept = new Set([metadata.component["bom-ref"], ...licences().map((each) => `${each.name}@${each.version}`)]);
const components = all.components.filter((each: { "bom-ref": string }) => kept.has(each["bom-ref"]));
const dependencies = all.dependencies
  .filter(({ ref }: { ref: string }) => kept.has(ref))
  .map(({ ref, dependsOn }: { ref: string; dependsOn: string[] }) => ({
    ref,
    dependsOn: dependsOn.filter((each) => kept.has(each)),
  }));

mkdirSync(new URL("dist", root), { recursive: true });
writeFileSync(
  new URL("dist/sbom.cdx.json", root),
  `${JSON.stringify({ ...all, metadata, components, dependencies }, undefined, 2)}\n`,
);
