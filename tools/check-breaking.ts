// Fails when proto/ breaks whoever uses the version before this one: callers, a rolling upgrade, what Redis holds.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { extract, previousVersions, whyMissing } from "./previous.js";

const root = fileURLToPath(new URL("../", import.meta.url));

for (const version of previousVersions) {
  const missing = whyMissing(version);
  if (missing) {
    process.stderr.write(`proto/ is not compared with the one before: ${missing}\n`);
    continue;
  }
  const folder = mkdtempSync(join(tmpdir(), "tg-proto-"));
  try {
    extract(version, folder, "proto");
    // Git holds no imports. Ours do: buf compares none of them.
    for (const name of ["buf", "google", "grpc"])
      cpSync(join(root, "proto", name), join(folder, "proto", name), { recursive: true });
    const { status } = spawnSync("buf", ["breaking", "proto", "--against", join(folder, "proto")], {
      cwd: root,
      stdio: "inherit",
    });
    if (status !== 0) {
      process.stderr.write(`proto/ breaks users of the version of ${version.name}, commit ${version.commit}\n`);
      process.exitCode = 1;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
