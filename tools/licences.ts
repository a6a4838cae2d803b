// Lists the packages that run in production with their licences. `npm run licences` writes docs/licences.md, and a test
// compares the two.
import { readFileSync, writeFileSync } from "node:fs";

type Package = { readonly version: string; readonly license?: string; readonly dev?: boolean };
export type Licence = { readonly name: string; readonly version: string; readonly licence: string };

const root = new URL("../", import.meta.url);
const document = new URL("docs/licences.md", root);

/** Every package that `npm ci --omit=dev` installs, as package-lock.json says; sorted, each version once. */
export function licences(): Licence[] {
  const { packages } = JSON.parse(readFileSync(new URL("package-lock.json", root), "utf8")) as {
    packages: Record<string, Package>;
  };
  const lines = Object.entries(packages)
    .filter(([path, { dev }]) => path !== "" && !dev)
    .map(([path, { version, license = "none" }]) => ({
      name: path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length),
      version,
      licence: license.replace(/^\((.*)\)$/, "$1"),
    }));
  const byText = new Map(lines.map((line) => [`${line.name} ${line.version}`, line]));
  return [...byText].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, line]) => line);
}

export const licenceDocument = (list: readonly Licence[]): string =>
  [
    "# Licences",
    "",
    "The packages that run in production, from package-lock.json. Written by `npm run licences`.",
    "",
    "| package | version | licence |",
    "|---|---|---|",
    ...list.map(({ name, version, licence }) => `| ${name} | ${version} | ${licence} |`),
    "",
  ].join("\n");

if (process.argv[1] === import.meta.filename) writeFileSync(document, licenceDocument(licences()));
