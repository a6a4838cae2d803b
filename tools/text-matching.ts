// A text that matches a pattern of the kind that proto files use: anchors, sets, groups, alternatives and counts.

/**
 * The shortest text of the first alternatives, with the last character of each set: "9" of [0-9]. Undefined when the
 * pattern says what this does not understand, or when the text does not match after all.
 */
export function textMatching(pattern: string): string | undefined {
  let at = 0;
  const alternatives = (): string | undefined => {
    let first: string | undefined;
    let text = "";
    let isUnderstood = true;
    for (; at < pattern.length && pattern[at] !== ")"; ) {
      if (pattern[at] === "|") {
        first ??= text;
        text = "";
        at += 1;
        continue;
      }
      const part = atom();
      if (part === undefined) isUnderstood = false;
      text += (part ?? "").repeat(count());
      if (part === undefined) break;
    }
    return isUnderstood ? (first ?? text) : undefined;
  };
  const atom = (): string | undefined => {
    const char = pattern[at++];
    if (char === "^" || char === "$") return "";
    if (char === "[") return set();
    if (char === "(") {
      if (pattern[at] === "?") return undefined;
      const text = alternatives();
      at += 1;
      return text;
    }
    if (char === "\\") {
      const escaped = pattern[at++] ?? "";
      return escaped === "d" ? "9" : /\w/.test(escaped) ? undefined : escaped;
    }
    return char === "." ? "x" : char;
  };
  const set = (): string | undefined => {
    const end = pattern.indexOf("]", at);
    const inside = pattern.slice(at, end);
    at = end + 1;
    return end === -1 || inside === "" || /[\\^[]/.test(inside) ? undefined : lastOf(inside);
  };
  const count = (): number => {
    const counted = /^(?:\{(\d+)(?:,\d*)?\}|[?*+])/.exec(pattern.slice(at));
    if (counted === null) return 1;
    at += counted[0].length;
    return counted[0] === "+" ? 1 : Number(counted[1] ?? 0);
  };
  const text = alternatives();
  return text !== undefined && new RegExp(pattern, "u").test(text) ? text : undefined;
}

/** "9" of "0-9", "c" of "abc"; of a set that ends with "-", that. */
const lastOf = (inside: string): string => inside.slice(-1);
