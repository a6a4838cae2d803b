// Strict JSON: what JSON.parse takes, less what two parsers could read differently.
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** Says what is wrong with a text, never what it says. `member` is the name that stands twice, when that is what is wrong. */
export class JsonError extends Error {
  constructor(
    message: string,
    readonly member?: string,
  ) {
    super(message);
  }
}

export const depthLimit = 16;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:]/gs;

/** Refuses bad UTF-8, a byte order mark, lone surrogates, a member given twice, and nesting deeper than `depthLimit`. */
export function parseJson(bytes: Uint8Array): Json {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new JsonError("the body is not UTF-8");
  }
  const members = countMembers(text);
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch {
    // The parser's own words quote the body, and the body holds tokens.
    throw new JsonError("the body is not JSON");
  }
  // The text has as many members as the value, unless some stand there twice.
  if (members !== countKeys(value)) checkNames(text);
  // A lone surrogate can only come from an escape; UTF-8 has none.
  if (text.includes("\\u") && hasLoneSurrogate(value)) throw new JsonError("the body holds half a surrogate pair");
  return value;
}

/** How many members the objects of a text have. Before parsing, so that a depth bomb costs no stack. */
function countMembers(text: string): number {
  let depth = 0;
  let members = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (inString) {
      if (char === 0x5c) i++;
      else if (char === 0x22) inString = false;
    } else if (char === 0x22) inString = true;
    else if (char === 0x7b || char === 0x5b) {
      if (++depth > depthLimit) throw new JsonError("the body is nested too deeply");
    } else if (char === 0x7d || char === 0x5d) depth--;
    else if (char === 0x3a) members++;
  }
  return members;
}

function countKeys(value: Json): number {
  if (typeof value !== "object" || value === null) return 0;
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + countKeys(item), 0);
  let count = 0;
  for (const name of Object.keys(value)) count += 1 + countKeys(value[name] as Json);
  return count;
}

function checkNames(text: string): void {
  const open: Set<string>[] = [];
  let last = "";
  for (const [token] of text.matchAll(tokens)) {
    if (token === "{" || token === "[") open.push(new Set());
    else if (token === "}" || token === "]") open.pop();
    else if (token === ":") {
      const names = open.at(-1);
      const name = last.includes("\\") ? (JSON.parse(last) as string) : last.slice(1, -1);
      if (names?.has(name)) throw new JsonError("the body has a member twice", name);
      names?.add(name);
    }
    last = token;
  }
}

function hasLoneSurrogate(value: Json): boolean {
  if (typeof value === "string") return !value.isWellFormed();
  if (typeof value !== "object" || value === null) return false;
  return Array.isArray(value)
    ? value.some(hasLoneSurrogate)
    : Object.entries(value).some(([name, member]) => !name.isWellFormed() || hasLoneSurrogate(member));
}
