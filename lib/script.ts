// Loads a Lua script for Redis and checks that its header and its caller agree.
import { readFileSync } from "node:fs";

/** A script whose header lines `-- KEYS  a  b` and `-- ARGV  c  d` name what it takes, in order. */
export type Script = { readonly lua: string; readonly numberOfKeys: number; readonly numberOfArguments: number };

/**
 * Runs a script any number of times in one call: takes the number of all keys, all keys, all arguments; returns a list with the
 * reply or the error of each run.
 */
export type RepeatedScript = { readonly lua: string };

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
  return { lua, numberOfKeys: keys.length, numberOfArguments: args.length };
}

/** The script, run once for each group of its keys and arguments. One run that fails does not keep the others from theirs. */
export function repeated({ lua, numberOfKeys, numberOfArguments }: Script): RepeatedScript {
  return {
    lua: `local function once(KEYS, ARGV)
${lua}
end
local replies = {}
for i = 0, #KEYS / ${numberOfKeys} - 1 do
  local keys = { unpack(KEYS, i * ${numberOfKeys} + 1, (i + 1) * ${numberOfKeys}) }
  local args = { unpack(ARGV, i * ${numberOfArguments} + 1, (i + 1) * ${numberOfArguments}) }
  local done, reply = pcall(once, keys, args)
  -- An error is a table since Redis 7, and a text before.
  if not done and type(reply) ~= 'table' then reply = { err = tostring(reply) } end
  replies[i + 1] = reply
end
return replies
`,
  };
}
