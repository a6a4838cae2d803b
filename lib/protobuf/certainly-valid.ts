// Finds the messages that keep their buf.validate rules for certain, by closures compiled once from the descriptor. It never says
// that a message breaks a rule, nor what rule: whatever it is not certain of is for the validator.
import {
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  isFieldSet,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence, type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import {
  type FieldRules,
  field as fieldRules,
  Ignore,
  message as messageRules,
  oneof as oneofRules,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

/** True for a message that certainly keeps its rules. */
export type CertainlyValid = (message: Message) => boolean;

/** Closures for rules in CEL, by the rule's id: true for a value that certainly keeps it. */
export type KnownCel = ReadonlyMap<string, (value: unknown) => boolean>;

type Test = (value: unknown) => boolean;
type Tests = Map<DescMessage, Test>;
type Slots = Record<string, unknown>;

const never: Test = () => false;
const always: Test = () => true;

export function certainlyValid(desc: DescMessage, knownCel: KnownCel): CertainlyValid {
  return messageTest(desc, knownCel, new Map());
}

function messageTest(desc: DescMessage, knownCel: KnownCel, met: Tests): Test {
  const known = met.get(desc);
  if (known) return known;
  const fields: Test[] = [];
  const test: Test = (message) => fields.every((keeps) => keeps(message));
  met.set(desc, test); // before its fields, which may refer back to it
  if (hasOption(desc, messageRules) || desc.oneofs.some((oneof) => hasOption(oneof, oneofRules))) fields.push(never);
  for (const field of desc.fields) fields.push(fieldTest(field, knownCel, met));
  return test;
}

function fieldTest(field: DescField, knownCel: KnownCel, met: Tests): Test {
  const rules = getOption(field, fieldRules);
  if (rules.ignore === Ignore.ALWAYS) return always;
  const keeps = valueTest(field, rules, knownCel, met);
  const { localName, oneof } = field;
  if (oneof)
    return (message) => {
      const chosen = (message as Slots)[oneof.localName] as { case?: string; value?: unknown };
      return chosen.case === localName ? keeps(chosen.value) : !rules.required;
    };
  if (field.fieldKind === "list") return (message) => keeps((message as Slots)[localName]);
  const isImplicit = field.presence === FeatureSet_FieldPresence.IMPLICIT;
  const skipsZero = rules.ignore === Ignore.IF_ZERO_VALUE || rules.required;
  return (message) => {
    const value = (message as Slots)[localName];
    if (value === undefined) return !rules.required;
    // A zero where it means "not set" is rare enough for the validator, unless the rules pass over it.
    if (isImplicit && skipsZero && !isFieldSet(message as Message, field)) return !rules.required;
    return keeps(value);
  };
}

/** The members of a message of rules that are set, by name. What a newer version of the rules knows counts as set. */
function setIn(rules: Message & Slots): Set<string> {
  const names = Object.keys(rules).filter((name) => {
    const value = rules[name];
    if (name === "$typeName" || value === undefined || (Array.isArray(value) && value.length === 0)) return false;
    return !(typeof value === "object" && value !== null && "case" in value && value.case === undefined);
  });
  return new Set(rules.$unknown?.length ? [...names, "$unknown"] : names);
}

const only = (found: ReadonlySet<string>, ...known: string[]): boolean =>
  [...found].every((name) => known.includes(name));

function valueTest(field: DescField, rules: FieldRules, knownCel: KnownCel, met: Tests): Test {
  const cel = celTest(rules, knownCel);
  if (!only(setIn(rules as never), "cel", "required", "ignore", "type")) return never;
  if (field.fieldKind === "list") return both(cel, listTest(field, rules, knownCel, met));
  if (field.fieldKind === "map") return never;
  return both(cel, singleTest(field, rules, knownCel, met));
}

const both = (a: Test, b: Test): Test => (a === always ? b : (value) => a(value) && b(value));

function celTest({ cel }: FieldRules, knownCel: KnownCel): Test {
  return cel.map(({ id }) => knownCel.get(id) ?? never).reduce(both, always);
}

function listTest(field: DescField & { fieldKind: "list" }, rules: FieldRules, knownCel: KnownCel, met: Tests): Test {
  const { type } = rules;
  const item = (of: FieldRules | undefined): Test => {
    if (of?.ignore === Ignore.ALWAYS) return always;
    if (of === undefined) return field.message ? messageTest(field.message, knownCel, met) : always;
    return of.cel.length === 0 && !of.required ? singleTest(field, of, knownCel, met) : never;
  };
  if (type.case === undefined) return (list) => (list as unknown[]).every(item(undefined));
  if (type.case !== "repeated" || !only(setIn(type.value as never), "minItems", "maxItems", "items")) return never;
  const [min, max] = [Number(type.value.minItems), Number(type.value.maxItems) || Number.POSITIVE_INFINITY];
  const keeps = item(type.value.items);
  return (value) => {
    const list = value as unknown[];
    return list.length >= min && list.length <= max && list.every(keeps);
  };
}

/** For one value: the field's own, or an item of a list. */
function singleTest(field: DescField, rules: FieldRules, knownCel: KnownCel, met: Tests): Test {
  const { type } = rules;
  if (field.message?.typeName === TimestampSchema.typeName) return timestampTest(type);
  const inner =
    field.message && !field.message.typeName.startsWith("google.protobuf.")
      ? messageTest(field.message, knownCel, met)
      : always;
  if (type.case === undefined) return inner;
  if (type.case === "string" && field.scalar === ScalarType.STRING) return stringTest(type.value as never);
  if (type.case === "bytes" && field.scalar === ScalarType.BYTES && only(setIn(type.value as never), "len")) {
    const length = Number(type.value.len);
    return (value) => (value as Uint8Array).length === length;
  }
  if (type.case === "enum" && field.enum && only(setIn(type.value as never), "definedOnly", "notIn")) {
    const legal = new Set(field.enum.values.map(({ number }) => number));
    for (const number of type.value.notIn) legal.delete(number);
    return (value) => legal.has(value as number);
  }
  return never;
}

type StringRules = Message & Slots & { minLen: bigint; maxLen: bigint; pattern: string };

/** What RE2 and JavaScript read alike: literals, classes, groups, alternatives and counts between anchors. */
const plainPattern = /^\^[A-Za-z0-9._:?|(){},[\]-]+\$$/;

function stringTest(rules: StringRules): Test {
  const found = setIn(rules);
  if (!only(found, "minLen", "maxLen", "pattern")) return never;
  if (found.has("pattern") && !plainPattern.test(rules.pattern)) return never;
  const pattern = found.has("pattern") ? new RegExp(rules.pattern, "u") : undefined;
  const max = found.has("maxLen") ? Number(rules.maxLen) : Number.POSITIVE_INFINITY;
  const min = found.has("minLen") ? Number(rules.minLen) : 0;
  return (value) => {
    const text = value as string;
    // Rules count code points, which are never more than code units and never less than half of them.
    return text.length <= max && text.length >= 2 * min - 1 && (pattern === undefined || pattern.test(text));
  };
}

function timestampTest(type: FieldRules["type"]): Test {
  if (type.case === undefined) return always;
  if (type.case !== "timestamp" || !only(setIn(type.value as never), "lessThan", "greaterThan")) return never;
  const { lessThan, greaterThan } = type.value;
  if (lessThan.case !== "lte" || greaterThan.case !== "gte") return never;
  const [first, last] = [greaterThan.value, lessThan.value];
  return (value) => {
    const { seconds, nanos } = value as Timestamp;
    // The bounds themselves are for the validator.
    return seconds > first.seconds && seconds < last.seconds && nanos >= 0 && nanos <= 999_999_999;
  };
}
