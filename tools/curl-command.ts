// Reads a curl command line: what it would send. Nothing is run; of files only those that hold the body are read.
import { readFileSync } from "node:fs";

export type CurlRequest = {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  /** Bodies as they lie in files of which curl takes the line ends away. */
  readonly asFiled: readonly Buffer[];
};

type Read = (file: string) => Buffer;

/** Options with a value that says nothing about what is signed. */
const passedOver = new Set(
  "--output -o --max-time -m --connect-timeout --proxy -x --cacert --cert -E --key --write-out -w --resolve --retry --user -u --cookie -b --cookie-jar -c --connect-to --interface --limit-rate --capath --ciphers --tls-max --unix-socket --dump-header -D --config -K --range -r --retry-delay --retry-max-time --stderr --trace --trace-ascii".split(
    " ",
  ),
);

const headerOptions: Readonly<Record<string, string>> = {
  "--user-agent": "User-Agent",
  "-A": "User-Agent",
  "--referer": "Referer",
  "-e": "Referer",
};

/** Throws an error that says what is wrong with the command. */
export function readCurlCommand(command: string, read: Read = (file) => readFileSync(file)): CurlRequest {
  const [, ...words] = shellWords(command).flatMap(split);
  const headers: (readonly [string, string])[] = [];
  const bodies: Buffer[] = [];
  const asFiled: Buffer[] = [];
  let [method, url] = ["", ""];
  const dataOf = (value: string, option: string): Buffer => {
    if (option === "--data-raw" || !value.startsWith("@")) return Buffer.from(value);
    const bytes = read(value.slice(1));
    if (option === "--data-binary" || option === "--json") return bytes;
    asFiled.push(bytes);
    // curl takes them away.
    return Buffer.from(bytes.filter((byte) => byte !== 0x0a && byte !== 0x0d && byte !== 0));
  };
  while (words.length > 0) {
    const word = words.shift() ?? "";
    const value = (): string => {
      const next = words.shift();
      if (next === undefined) throw new Error(`${word} has no value`);
      return next;
    };
    if (word === "-X" || word === "--request") method = value();
    else if (word === "--url") url = value();
    else if (word === "-H" || word === "--header") {
      const [name = "", rest = ""] = value().split(/:(.*)/s);
      headers.push([name.trim(), rest.trim()]);
    } else if (headerOptions[word] !== undefined) headers.push([headerOptions[word], value()]);
    else if (/^(?:-d|--data|--data-ascii|--data-binary|--data-raw|--json)$/.test(word))
      bodies.push(dataOf(value(), word));
    else if (word === "--data-urlencode") bodies.push(Buffer.from(encodeURIComponent(value())));
    else if (passedOver.has(word)) value();
    else if (!word.startsWith("-")) url ||= word;
  }
  if (url === "") throw new Error("it names no address");
  const body = Buffer.concat(bodies.flatMap((each, index) => (index === 0 ? [each] : [Buffer.from("&"), each])));
  return {
    method: method || (bodies.length > 0 ? "POST" : "GET"),
    url,
    headers,
    body,
    asFiled: bodies.length === 1 ? asFiled : [],
  };
}

/** "-sSXPOST" is "-s", "-S", "-X" and "POST"; "--url=x" is "--url" and "x". */
function split(word: string): string[] {
  const long = /^(--[a-z-]+)=(.*)$/s.exec(word);
  if (long?.[1] !== undefined && long[2] !== undefined) return [long[1], long[2]];
  if (!/^-[^-]./s.test(word)) return [word];
  const letters = word.slice(1);
  for (const [index, letter] of [...letters].entries()) {
    const takesValue = /[XHdAe]/.test(letter) || passedOver.has(`-${letter}`);
    if (!takesValue) continue;
    const rest = letters.slice(index + 1);
    return rest === "" ? [`-${letter}`] : [`-${letter}`, rest];
  }
  return [];
}

const escapes: Readonly<Record<string, string>> = {
  n: "\n",
  r: "\r",
  t: "\t",
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
  e: "\x1b",
};

/** The words of a command as a POSIX shell would make them, with bash's $'...'; nothing is expanded. */
export function shellWords(command: string): string[] {
  const part = /\\\r?\n|\s+|\$'((?:[^'\\]|\\.)*)'|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\$]+|\$)/gsy;
  const words: string[] = [];
  let word: string | undefined;
  let end = 0;
  for (const match of command.matchAll(part)) {
    end = match.index + match[0].length;
    const [whole, ansi, single, double, escaped, plain] = match;
    if (/^\\\r?\n/.test(whole)) continue;
    if (/^\s/.test(whole)) {
      if (word !== undefined) words.push(word);
      word = undefined;
      continue;
    }
    const text =
      ansi !== undefined
        ? ansiText(ansi)
        : (single ?? double?.replaceAll(/\\([$`"\\])|\\\r?\n/g, "$1") ?? escaped ?? plain ?? "");
    word = (word ?? "") + text;
  }
  if (end < command.length) throw new Error("a quotation mark is not closed");
  return word === undefined ? words : [...words, word];
}

const ansiText = (text: string): string =>
  text.replaceAll(
    /\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|([0-7]{1,3})|(.))/gs,
    (_, hex: string, unicode: string, octal: string, sign: string) => {
      if (sign !== undefined) return escapes[sign] ?? sign;
      return String.fromCharCode(octal === undefined ? Number.parseInt(hex ?? unicode, 16) : Number.parseInt(octal, 8));
    },
  );
