// Loads a Lua script for Redis and checks that its header and its caller agree.
import { readFileSync } from "node:fs";

/** A script whose header lines `-- KEYS  a  b` and `-- ARGV  c  d` name what it takes, in order. */
export type Script = { readonly lua: string; readonly numberOfKeys: number };

/** Throws when the header does not name exactly these keys and arguments. */
export function loadScript(url: URL, keys: readonly string[], args: readonly string[]): Script {
  const lua = readFileSync(url, "utf8");
  const named = (word: string): string[] =>
    lua
      .match(new RegExp(`^-- ${word} +(.*)$`, "m"))?.[1]
      ?.trim()
      .split(/\s+/) ?? [];
  const same = (a: readonly string[], b: readonly string[]) => a.join(" ") === b.join(" ");
  if (!same(named("KEYS"), keys) || !same(named("ARGV"), args))
    throw new Error(`${url.pathname}: the header names other KEYS or ARGV than its caller`);
  const used = new Set([...lua.matchAll(/\b(KEYS|ARGV)\[(\d+)\]/g)].map(([, word, index]) => `${word}${index}`));
  const declared = [...keys.map((_, i) => `KEYS${i + 1}`), ...args.map((_, i) => `ARGV${i + 1}`)];
  if (used.size !== declared.length || declared.some((name) => !used.has(name)))
    throw new Error(`${url.pathname}: the script uses other KEYS or ARGV than its header names`);
  return { lua, numberOfKeys: keys.length };
}
