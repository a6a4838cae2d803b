// The disk of the torture run: builds disk.c, and cuts Redis's files back to what a power cut would have left.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export type Disk = {
  /** Environment for redis-server. */
  readonly env: NodeJS.ProcessEnv;
  /** Cuts every append-only file back to its last fsynced length; returns how many bytes that took. */
  readonly losePower: () => number;
  readonly fail: (what: "fail-fsync" | "fail-write") => void;
  readonly heal: () => void;
};

/** Undefined when there is no C compiler: then nothing can be cut. */
export function buildDisk(folder: string, redisDir: string): Disk | undefined {
  mkdirSync(folder, { recursive: true });
  const library = join(folder, "disk.so");
  const source = fileURLToPath(new URL("disk.c", import.meta.url));
  const built = spawnSync("cc", ["-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], { stdio: "ignore" });
  if (built.status !== 0) return undefined;
  const aofDir = join(redisDir, "appendonlydir");
  const failures = ["fail-fsync", "fail-write"] as const;
  return {
    env: { LD_PRELOAD: library, TORTURE_DISK: folder },
    losePower() {
      if (!existsSync(aofDir)) return 0;
      let lost = 0;
      for (const name of readdirSync(aofDir).filter((each) => each.includes(".incr.aof"))) {
        const record = join(folder, `${name}.synced`);
        const synced = existsSync(record) ? Number(readFileSync(record, "utf8")) : 0;
        const file = join(aofDir, name);
        const { size } = statSync(file);
        if (size <= synced) continue;
        truncateSync(file, synced);
        lost += size - synced;
      }
      return lost;
    },
    fail: (what) => writeFileSync(join(folder, what), ""),
    heal() {
      for (const what of failures) rmSync(join(folder, what), { force: true });
    },
  };
}
