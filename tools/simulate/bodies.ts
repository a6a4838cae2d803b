// Bodies of all sorts, made from the schema: each keeps every rule, and no two have the same content.
import { type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { decoderOf } from "../../gateway/alipayplus/dialect.js";
import type { Json } from "../../gateway/alipayplus/json.js";
import type { Random } from "../random.js";
import { identityOf, lengthsOf, type Members, type Place, placesOf, sampleOf } from "../samples.js";

export type BodySpec = {
  readonly identity: string;
  readonly timeMs: number;
  /** How many in a hundred optional members are there. */
  readonly optionalMembers: number;
  /** Members in place of made-up ones. */
  readonly members: Readonly<Record<string, string>>;
  readonly random: Random;
};

/** Compiles what is needed once for an API. */
export function bodyMaker(desc: DescMessage): (spec: BodySpec) => Members {
  const places = placesOf(desc);
  const identity =
    identityOf(desc) ?? places.find(({ path, field }) => path.length === 1 && field.scalar === ScalarType.STRING);
  const decode = decoderOf(desc);
  const validator = createValidator();
  const keepsRules = (body: Members): boolean =>
    validator.validate(desc, decode(body, { ignoredMembers: 0 })).kind === "valid";
  const make = (spec: BodySpec, optionalMembers: number): Members => {
    const name = spec.identity.slice(-(lengthsOf(identity?.rules).longest ?? 64));
    const body = sampleOf(desc, { identity: name, timeMs: spec.timeMs });
    if (identity) change(body, identity.path, () => name);
    for (const place of places) {
      if (place.path.join() === identity?.path.join()) continue;
      if (!place.required && spec.random.next() * 100 >= optionalMembers) remove(body, place.path);
      else change(body, place.path, (value) => variant(value, place, spec.random));
    }
    return { ...body, ...spec.members };
  };
  return (spec) => {
    const body = make(spec, spec.optionalMembers);
    // A rule may want one of several members that are each optional.
    return keepsRules(body) ? body : make(spec, 100);
  };
}

/** The object that holds the last name of a path; undefined where a list or nothing is on the way. */
function holderOf(body: Members, path: readonly string[]): Members | undefined {
  let holder: Json | undefined = body;
  for (const name of path.slice(0, -1)) holder = isObject(holder) ? holder[name] : undefined;
  return isObject(holder) ? holder : undefined;
}

const isObject = (value: Json | undefined): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function remove(body: Members, path: readonly string[]): void {
  const holder = holderOf(body, path);
  if (holder) delete holder[path.at(-1) ?? ""];
}

function change(body: Members, path: readonly string[], to: (value: string) => string): void {
  const holder = holderOf(body, path);
  const name = path.at(-1) ?? "";
  const value = holder?.[name];
  if (holder && typeof value === "string") holder[name] = to(value);
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Another value that keeps the rules of its place; the same one where only that is known to. */
function variant(value: string, { field, rules }: Place, random: Random): string {
  if (field.enum) {
    const prefix = field.enum.sharedPrefix?.length ?? 0;
    const words = field.enum.values.filter(({ number }) => number !== 0).map(({ name }) => name.slice(prefix));
    return random.pick(words.map((word) => [1, word] as const));
  }
  const string = rules?.type.case === "string" ? rules.type.value : undefined;
  if (field.scalar !== ScalarType.STRING || (string?.in.length ?? 0) > 0 || string?.const) return value;
  if (string?.pattern) return changedWithin(value, new RegExp(string.pattern, "u"), random);
  const { shortest, longest = 64 } = lengthsOf(rules);
  const length = random.between(Math.max(shortest, 1), longest);
  return Array.from({ length }, () => letters[random.between(0, letters.length - 1)]).join("");
}

/** Each character changed, as long as the text still matches. */
function changedWithin(value: string, pattern: RegExp, random: Random): string {
  let text = value;
  for (let at = 0; at < value.length; at++)
    for (let tries = 0; tries < 3; tries++) {
      const sign = /\d/.test(value[at] ?? "")
        ? String(random.between(0, 9))
        : letters[random.between(0, letters.length - 1)];
      const changed = text.slice(0, at) + sign + text.slice(at + 1);
      if (pattern.test(changed)) {
        text = changed;
        break;
      }
    }
  return text;
}
