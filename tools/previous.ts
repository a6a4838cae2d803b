// Earlier versions of the product, which may still run somewhere while this one is rolled out: taken from git, and built.
import { execFileSync, spawnSync } from "node:child_process";
import { hash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export type Version = {
  readonly name: string;
  readonly commit: string;
  /** The version of the fingerprints that it writes, and the newest that it reads. */
  readonly fingerprints: number;
  /** Whether its gateway and its service know BatchRecordActivations. */
  readonly batches: boolean;
};

/** Newest first: the first is the one that this version replaces. docs/deployment.md says when the table moves. */
export const previousVersions: readonly [Version, ...Version[]] = [
  { name: "2026-11-25", commit: "0eb19eb327818792e0ca12212b9d5b2bd96b644c", fingerprints: 2, batches: true },
  { name: "2026-11-22", commit: "29e398ddb99ef9d03c98987d948cff1b62299ceb", fingerprints: 1, batches: false },
];

const root = fileURLToPath(new URL("../", import.meta.url));

/** Why a version cannot be had here; undefined when it can. */
export function whyMissing({ name, commit }: Version): string | undefined {
  const { status, stderr, error } = spawnSync("git", ["cat-file", "-e", `${commit}^{commit}`], {
    cwd: root,
    encoding: "utf8",
  });
  if (status === 0) return undefined;
  const [words] = (error?.message ?? stderr).trim().split("\n");
  return `the version of ${name}, commit ${commit}, is not in this clone; git fetch --unshallow completes a shallow one (${words})`;
}

/** Writes the files of a version, or those below `path`, into a folder. */
export function extract({ commit }: Version, folder: string, path = "."): void {
  const archive = execFileSync("git", ["archive", commit, path], { cwd: root, maxBuffer: 2 ** 30 });
  execFileSync("tar", ["-x", "-C", folder], { input: archive });
}

/** The folder of a version's compiled product, which is built once and kept in .data/versions/. */
export function builtVersion(version: Version): string {
  const home = join(root, ".data/versions");
  // Other packages of ours, and with them another compiler, make another build.
  const packages = hash("sha256", lockIn(root)).slice(0, 8);
  const folder = join(home, `${version.commit.slice(0, 12)}-${packages}`);
  if (!existsSync(folder)) {
    mkdirSync(home, { recursive: true });
    const draft = mkdtempSync(join(home, "draft-"));
    try {
      extract(version, draft);
      install(draft);
      execFileSync("tools/build.sh", ["--force"], { cwd: draft, stdio: "pipe" });
      putInPlace(draft, folder);
    } finally {
      rmSync(draft, { recursive: true, force: true });
    }
  }
  return join(folder, "dist/");
}

/** Two may build at once; what the slower one made is thrown away. */
function putInPlace(draft: string, folder: string): void {
  try {
    renameSync(draft, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  }
}

/** Our packages where they are what the version wants, which needs no network; else its own. */
function install(folder: string): void {
  if (hasAll(lockIn(root), lockIn(folder))) symlinkSync("../../../node_modules", join(folder, "node_modules"));
  else execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: folder, stdio: "pipe" });
}

const lockIn = (folder: string): string => readFileSync(join(folder, "package-lock.json"), "utf8");

type Locked = { readonly version?: string; readonly integrity?: string };
const packagesIn = (lock: string): Record<string, Locked> => JSON.parse(lock).packages;

/** Whether everything that the second lock file names is in the first, in the same version and with the same content. */
export function hasAll(lock: string, wanted: string): boolean {
  const there = packagesIn(lock);
  return Object.entries(packagesIn(wanted)).every(
    ([path, { version, integrity }]) =>
      path === "" || (there[path]?.version === version && there[path]?.integrity === integrity),
  );
}
