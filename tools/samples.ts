// Bodies made from the schema: what an API takes, as JSON in Alipay+'s dialect. No API is named in code here.
import { type DescField, type DescMessage, getOption, hasOption, ScalarType } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { type FieldRules, field as fieldRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import type { Json } from "../gateway/alipayplus/json.js";
import { unknown_members } from "../proto/gen/alipayplus/dialect/v1/dialect_pb.js";
import { textMatching } from "./text-matching.js";

export type Members = { [name: string]: Json };

/** A member that a body may have. */
export type Place = {
  /** JSON names from the body down. */
  readonly path: readonly string[];
  readonly field: DescField;
  readonly rules: FieldRules | undefined;
  readonly required: boolean;
  /** True inside a message that keeps what it does not know: nobody published what is in there. */
  readonly isInferred: boolean;
};

/** Every member of the body in the schema's order, those of an object, or of the objects in an array, behind it. */
export function placesOf(desc: DescMessage): Place[] {
  const below = (message: DescMessage, way: readonly string[], met: readonly DescMessage[], isInferred: boolean) =>
    message.fields
      .filter((field) => !keepsUnknown(field))
      .flatMap((field): Place[] => {
        const rules = hasOption(field, fieldRules) ? getOption(field, fieldRules) : undefined;
        const path = [...way, field.jsonName];
        const place = { path, field, rules, required: rules?.required ?? false, isInferred };
        const inner = field.message;
        if (inner === undefined || isWellKnown(inner) || met.includes(inner)) return [place];
        return [place, ...below(inner, path, [...met, inner], isInferred || inner.fields.some(keepsUnknown))];
      });
  return below(desc, [], [desc], desc.fields.some(keepsUnknown));
}

/** The member that tells one thing from another: the first text that must be there. */
export const identityOf = (desc: DescMessage): Place | undefined =>
  placesOf(desc).find(
    ({ path, required, field }) => path.length === 1 && required && field.scalar === ScalarType.STRING,
  );

export type SampleOptions = {
  /** Value of the member that tells one thing from another. */
  readonly identity: string;
  /** When things happened, in milliseconds since 1970. */
  readonly timeMs: number;
};

/** A body in which every member is there and none breaks a rule. */
export function sampleOf(desc: DescMessage, { identity, timeMs }: SampleOptions): Members {
  const identityName = identityOf(desc)?.path[0];
  const members = (message: DescMessage, way: string, met: readonly DescMessage[]): Members => {
    const values: Members = {};
    const chosen = new Set<unknown>();
    for (const field of message.fields) {
      // Of a oneof only one member may be there.
      if (keepsUnknown(field) || (field.oneof && chosen.has(field.oneof))) continue;
      const value = memberOf(field, way === "" ? field.jsonName : `${way}.${field.jsonName}`, met);
      if (value === undefined) continue;
      if (field.oneof) chosen.add(field.oneof);
      values[field.jsonName] = value;
    }
    return values;
  };
  const memberOf = (field: DescField, path: string, met: readonly DescMessage[]): Json | undefined => {
    const known = documented[path];
    if (known !== undefined) return known;
    const value = single(field, path, met);
    return field.fieldKind === "list" && value !== undefined ? [value] : value;
  };
  const single = (field: DescField, path: string, met: readonly DescMessage[]): Json | undefined => {
    if (field.enum)
      return field.enum.values.filter(({ number }) => number !== 0).map((each) => wordOf(field, each.name))[0];
    if (field.message?.typeName === TimestampSchema.typeName) return localTime(timeMs);
    if (field.message) {
      const { message } = field;
      return isWellKnown(message) || met.includes(message) ? undefined : members(message, path, [...met, message]);
    }
    return path === identityName
      ? identity
      : scalarText(field, hasOption(field, fieldRules) ? getOption(field, fieldRules) : undefined);
  };
  return members(desc, "", [desc]);
}

/** The values in a body that the schema marks as secret, where they are long enough to be told from other words. */
export function secretsOf(desc: DescMessage, members: Members): string[] {
  const textsIn = (value: Json | undefined): string[] =>
    typeof value === "string" ? [value] : Object.values(value ?? {}).flatMap(textsIn);
  return desc.fields
    .filter(({ proto }) => proto.options?.debugRedact)
    .flatMap(({ jsonName }) => textsIn(members[jsonName]))
    .filter(({ length }) => length >= 8);
}

/** Values that Alipay+ or the card network print in their own examples, by path. They may be shown to anybody. */
const documented: Readonly<Record<string, string>> = {
  "tokenData.token": "5345678901234521",
  "tokenData.expiryMonth": "10",
  "tokenData.expiryYear": "28",
  "tokenData.sequenceNumber": "01",
  tokenRequestorId: "50110030273",
  walletId: "103",
};

const wordOf = (field: DescField, name: string): string => name.slice(field.enum?.sharedPrefix?.length ?? 0);

function scalarText(field: DescField, rules: FieldRules | undefined): string {
  switch (field.scalar) {
    case ScalarType.STRING:
      return stringText(field.jsonName, rules);
    case ScalarType.BOOL:
      return "true";
    case ScalarType.BYTES:
      return "AAECAw==";
    default:
      return "1";
  }
}

function stringText(name: string, rules: FieldRules | undefined): string {
  const string = rules?.type.case === "string" ? rules.type.value : undefined;
  const known = string?.in[0] ?? (string?.pattern ? textMatching(string.pattern) : undefined);
  if (known !== undefined) return known;
  const { shortest, longest } = lengthsOf(rules);
  return `${name}-1`.padEnd(shortest, "1").slice(0, longest);
}

/** Least and greatest length of a text in characters, as the rules say. */
export function lengthsOf(rules: FieldRules | undefined): { shortest: number; longest: number | undefined } {
  const string = rules?.type.case === "string" ? rules.type.value : undefined;
  // A rule that is not there reads as 0, and none of ours allows only empty texts.
  const exact = Number(string?.len ?? 0n);
  if (exact > 0) return { shortest: exact, longest: exact };
  return { shortest: Number(string?.minLen ?? 0n), longest: Number(string?.maxLen ?? 0n) || undefined };
}

/** As Alipay+'s own examples have it: whole seconds, eight hours east of UTC. */
export const localTime = (ms: number): string => `${new Date(ms + 8 * 3_600_000).toISOString().slice(0, 19)}+08:00`;

const keepsUnknown = (field: DescField): boolean =>
  hasOption(field, unknown_members) && getOption(field, unknown_members);

const isWellKnown = (message: DescMessage): boolean => message.typeName.startsWith("google.protobuf.");
