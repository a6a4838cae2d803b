// Reads settings from environment variables: all at once, all mistakes reported together.
import { StartError } from "./program.js";

/** How to read one variable. Without a fallback it must be set. */
export type Setting<T> = { parse: (text: string) => T; fallback?: T };
type Settings = Record<string, Setting<unknown>>;
type Values<S extends Settings> = { [K in keyof S]: S[K] extends Setting<infer T> ? T : never };

/** Names every variable that is missing or cannot be read. */
export class SettingsError extends StartError {
  constructor(readonly mistakes: readonly string[]) {
    super(`wrong settings: ${mistakes.join("; ")}. See README.md, Settings.`);
  }
}

/** Throws a SettingsError when a variable is missing or cannot be read. An empty variable counts as not set. */
export function readEnv<S extends Settings>(env: NodeJS.ProcessEnv, settings: S): Values<S> {
  const values: Record<string, unknown> = {};
  const mistakes: string[] = [];
  for (const [name, setting] of Object.entries(settings)) {
    const text = env[name];
    try {
      if (text !== undefined && text !== "") values[name] = setting.parse(text);
      else if ("fallback" in setting) values[name] = setting.fallback;
      else mistakes.push(`${name} is not set`);
    } catch (error) {
      mistakes.push(`${name} ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (mistakes.length > 0) throw new SettingsError(mistakes);
  return values as Values<S>;
}

export const text = (value: string): string => value;

export const wholeNumber =
  (from: number, to: number) =>
  (value: string): number => {
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= from && number <= to)) throw new Error(`must be a whole number from ${from} to ${to}`);
    return number;
  };

export const port = wholeNumber(0, 65535);

export function flag(value: string): boolean {
  if (value === "true") return true;
  if (value === "false") return false;
  throw new Error("must be true or false");
}

export const oneOf =
  <T extends string>(...words: T[]) =>
  (value: string): T => {
    const word = words.find((known) => known === value);
    if (word === undefined) throw new Error(`must be one of ${words.join(", ")}`);
    return word;
  };

export const listOf =
  <T extends string>(words: readonly T[]) =>
  (value: string): T[] =>
    value.split(",").map((word) => oneOf(...words)(word.trim()));

export function ratio(value: string): number {
  const number = /^(?:0?\.\d+|0|1(?:\.0+)?)$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isNaN(number)) throw new Error("must be a number from 0 to 1");
  return number;
}

/** `name=value` pairs, separated by commas, percent-encoded, as OpenTelemetry writes headers. */
export function headerPairs(value: string): Record<string, string> {
  const pairs = value.split(",").map((pair) => {
    const match = /^\s*([A-Za-z0-9-]+)=([\x21-\x7e]*)\s*$/.exec(pair);
    if (!match?.[1]) throw new Error("must be name=value pairs, separated by commas");
    return [match[1].toLowerCase(), decoded(match[2] ?? "")];
  });
  return Object.fromEntries(pairs);
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw new Error("must have values that are percent-encoded");
  }
}

export function httpUrl(value: string): string {
  const [url = "", ...others] = httpUrls(value);
  if (others.length > 0) throw new Error("must be one http:// or https:// URL");
  return url;
}

export const httpOrigins = (value: string): string[] =>
  value.split(",").map((part) => {
    const origin = part.trim();
    if (!URL.canParse(origin) || !/^https?:/.test(origin) || new URL(origin).origin !== origin)
      throw new Error("must be origins like http://host:port, separated by commas");
    return origin;
  });

export function httpUrls(value: string): string[] {
  return value.split(",").map((part) => {
    const url = part.trim();
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
      throw new Error("must be http:// or https:// URLs, separated by commas");
    return url.replace(/\/+$/, "");
  });
}
