// A value loaded from a folder of files, loaded again when a file changes.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

export type Loaded<T> = { readonly current: () => T; readonly stop: () => void };

/**
 * Loads now, and again when any file below the folder appeared, went or changed. The first load may throw; a later failure
 * keeps the value at hand and goes to `onFailure`. It polls, because file events are lost on network and container mounts.
 */
export function loadFolder<T>(
  folder: string,
  everyMs: number,
  load: (previous: T | undefined) => T,
  onFailure: (error: unknown) => void,
): Loaded<T> {
  let seen = stampOf(folder);
  let value = load(undefined);
  const timer = setInterval(() => {
    try {
      const stamp = stampOf(folder);
      if (stamp === seen) return;
      value = load(value);
      seen = stamp;
    } catch (error) {
      onFailure(error);
    }
  }, everyMs);
  timer.unref();
  return { current: () => value, stop: () => clearInterval(timer) };
}

/** Names, sizes and times of change of all files below the folder; empty when there is no such folder. */
export function stampOf(folder: string): string {
  try {
    return readdirSync(folder, { recursive: true, encoding: "utf8" })
      .sort()
      .map((name) => {
        const { mtimeMs, ctimeMs, size, ino } = statSync(join(folder, name));
        return `${name} ${mtimeMs} ${ctimeMs} ${size} ${ino}`;
      })
      .join("\n");
  } catch {
    return "";
  }
}
