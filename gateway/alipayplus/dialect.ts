// The dialect: JSON in which every scalar is a string, decoded and encoded as the proto schema says. No API is named here.
import {
  type DescEnum,
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { StructSchema, type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { emptyOf } from "../../lib/protobuf/empty.js";
import { unknown_members } from "../../proto/gen/alipayplus/dialect/v1/dialect_pb.js";
import type { Json } from "./json.js";
import { instantOf, instantText } from "./time.js";

/** A field breaks the dialect: its path as Alipay+ writes it, and the rule, without the value. */
export class DialectError extends Error {
  constructor(
    readonly field: string,
    readonly rule: string,
  ) {
    super(`${field} ${rule}`);
  }
}

/** A schema that the dialect cannot carry: a mistake of ours, found at start. */
export class UnsupportedSchema extends Error {}

/** What decoding notes besides the message, and what it may let pass. */
export type Notes = {
  ignoredMembers: number;
  /** JSON names of enum fields whose unknown words count as absent. */
  readonly lenientEnums?: ReadonlySet<string>;
};

export type Decoder = (json: Json, notes: Notes) => Message;
export type Encoder = (message: Message) => { [name: string]: Json };

type Decode = (value: Json, at: string, notes: Notes) => unknown;
type Encode = (value: unknown) => Json | undefined;
/** A word that an enum field let pass. */
const unknownWord = Symbol("unknown word");
type Slots = Record<string, unknown>;

/** The messages that a compilation has met, since a schema may refer back to itself. */
type Met<T> = Map<DescMessage, T>;

/** Compiles a message's decoder once; throws UnsupportedSchema for a field that JSON strings cannot carry. */
export function decoderOf(desc: DescMessage): Decoder {
  const decode = messageDecode(desc, new Map());
  return (json, notes) => decode(json, "", notes) as Message;
}

/** Compiles a message's encoder once. Unset fields and empty strings are left out, since Alipay+ forbids `""`. */
export function encoderOf(desc: DescMessage): Encoder {
  const encode = messageEncode(desc, new Map());
  return (message) => encode(message) as { [name: string]: Json };
}

/** Alipay+'s word for an enum value: its name without the enum's prefix. The value 0 has none. */
function wordsOf(desc: DescEnum): Map<string, number> {
  const prefix = desc.sharedPrefix?.length ?? 0;
  return new Map(
    desc.values.filter(({ number }) => number !== 0).map(({ name, number }) => [name.slice(prefix), number]),
  );
}

function messageDecode(desc: DescMessage, met: Met<Decode>): Decode {
  const known = met.get(desc);
  if (known) return known;
  const fields = new Map<string, (slots: Slots, value: Json, at: string, notes: Notes) => void>();
  const scalars = new Set<string>();
  const empty = emptyOf(desc);
  let keep: DescField | undefined;
  const decode: Decode = (json, at, notes) => {
    if (typeof json !== "object" || json === null || Array.isArray(json))
      throw new DialectError(at || "the body", "must be a JSON object");
    const message = empty() as Message & Slots;
    let unknown: { [name: string]: Json } | undefined;
    for (const name of Object.keys(json)) {
      const value = json[name] as Json;
      if (value === null) continue; // null means absent
      // A message that keeps what it does not know also keeps a scalar that came as an object or array: its shape was a
      // guess, and whoever made the guess may say what becomes of it.
      const set = keep && typeof value === "object" && scalars.has(name) ? undefined : fields.get(name);
      if (set) set(message, value, at === "" ? name : `${at}.${name}`, notes);
      else if (keep) {
        checkFree(name, value, at || "the body");
        unknown ??= {};
        unknown[name] = value;
      } else notes.ignoredMembers += 1;
    }
    // protobuf-es represents a Struct in a field as a plain object.
    if (keep && unknown) message[keep.localName] = unknown;
    return message;
  };
  met.set(desc, decode); // before its fields, which may refer back to it
  for (const field of desc.fields) {
    if (hasOption(field, unknown_members) && getOption(field, unknown_members)) {
      if (field.fieldKind !== "message" || field.message.typeName !== StructSchema.typeName)
        throw new UnsupportedSchema(
          `${field.parent.typeName}.${field.name}: unknown_members goes on a google.protobuf.Struct`,
        );
      keep = field;
      continue;
    }
    if (field.fieldKind === "scalar") scalars.add(field.jsonName);
    const decodeField = fieldDecode(field, met);
    const { oneof, localName } = field;
    fields.set(
      field.jsonName,
      oneof
        ? (slots, value, at, notes) => {
            if ((slots[oneof.localName] as { case?: string }).case !== undefined)
              throw new DialectError(at, "excludes another member that is present");
            const decoded = decodeField(value, at, notes);
            if (decoded === unknownWord) notes.ignoredMembers += 1;
            else slots[oneof.localName] = { case: localName, value: decoded };
          }
        : (slots, value, at, notes) => {
            const decoded = decodeField(value, at, notes);
            if (decoded === unknownWord) notes.ignoredMembers += 1;
            else slots[localName] = decoded;
          },
    );
  }
  return decode;
}

function fieldDecode(field: DescField, met: Met<Decode>): Decode {
  switch (field.fieldKind) {
    case "scalar":
      return scalarDecode(field.scalar);
    case "enum":
      return enumDecode(field.enum);
    case "message":
      return typeDecode(field.message, met);
    case "list": {
      const decodeItem =
        field.listKind === "scalar"
          ? scalarDecode(field.scalar)
          : field.listKind === "enum"
            ? enumDecode(field.enum)
            : typeDecode(field.message, met);
      return (value, at, notes) => {
        if (!Array.isArray(value)) throw new DialectError(at, "must be a JSON array");
        // The index is left out: it would make a vocabulary of messages without end.
        const items = value.map((item) => decodeItem(item, `${at}[]`, notes));
        notes.ignoredMembers += items.filter((item) => item === unknownWord).length;
        return items.filter((item) => item !== unknownWord);
      };
    }
    case "map":
      throw new UnsupportedSchema(`${field.parent.typeName}.${field.name}: the dialect has no maps`);
  }
}

function typeDecode(desc: DescMessage, met: Met<Decode>): Decode {
  if (desc.typeName === TimestampSchema.typeName)
    return (value, at) => {
      const instant = instantOf(stringOf(value, at));
      if (instant === undefined)
        throw new DialectError(at, "must be an existing instant in RFC 3339 with seconds and an offset");
      return instant;
    };
  if (desc.typeName.startsWith("google.protobuf."))
    throw new UnsupportedSchema(`the dialect has no form for ${desc.typeName}`);
  return messageDecode(desc, met);
}

function enumDecode(desc: DescEnum): Decode {
  const words = wordsOf(desc);
  return (value, at, notes) => {
    const number = words.get(stringOf(value, at));
    if (number === undefined && notes.lenientEnums?.has(at)) return unknownWord;
    if (number === undefined) throw new DialectError(at, "must be one of the words the API lists");
    return number;
  };
}

function stringOf(value: Json, at: string): string {
  if (typeof value !== "string") throw new DialectError(at, "must be a JSON string");
  if (value === "") throw new DialectError(at, "must not be empty");
  return value;
}

const wholeNumber = /^(?:0|-?[1-9]\d*)$/;
// As JSON writes numbers, which is how ours are encoded.
const decimalNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

const intRanges = new Map<ScalarType, readonly [min: bigint, max: bigint]>([
  ...[ScalarType.INT32, ScalarType.SINT32, ScalarType.SFIXED32].map(
    (type) => [type, [-(2n ** 31n), 2n ** 31n - 1n]] as const,
  ),
  ...[ScalarType.UINT32, ScalarType.FIXED32].map((type) => [type, [0n, 2n ** 32n - 1n]] as const),
  ...[ScalarType.INT64, ScalarType.SINT64, ScalarType.SFIXED64].map(
    (type) => [type, [-(2n ** 63n), 2n ** 63n - 1n]] as const,
  ),
  ...[ScalarType.UINT64, ScalarType.FIXED64].map((type) => [type, [0n, 2n ** 64n - 1n]] as const),
]);

function scalarDecode(type: ScalarType): Decode {
  const range = intRanges.get(type);
  if (range) {
    const [min, max] = range;
    return (value, at) => {
      const text = stringOf(value, at);
      const number = wholeNumber.test(text) && text.length <= 20 ? BigInt(text) : undefined;
      if (number === undefined || number < min || number > max)
        throw new DialectError(at, "must be a whole number in range");
      return max > 2n ** 32n ? number : Number(number);
    };
  }
  switch (type) {
    case ScalarType.STRING:
      return stringOf;
    case ScalarType.BOOL:
      return (value, at) => {
        const text = stringOf(value, at);
        if (text !== "true" && text !== "false") throw new DialectError(at, 'must be "true" or "false"');
        return text === "true";
      };
    case ScalarType.BYTES:
      return (value, at) => {
        try {
          return base64Decode(stringOf(value, at));
        } catch (error) {
          throw error instanceof DialectError ? error : new DialectError(at, "must be base64");
        }
      };
    default:
      return (value, at) => {
        const text = stringOf(value, at);
        const number = decimalNumber.test(text) ? Number(text) : Number.NaN;
        const fits = type === ScalarType.FLOAT ? Number.isFinite(Math.fround(number)) : Number.isFinite(number);
        if (!fits) throw new DialectError(at, "must be a decimal number in range");
        return number;
      };
  }
}

/** Checks a member that the schema does not know: what holds for every scalar holds for its scalars too. */
function checkFree(name: string, value: Json, at: string): void {
  // A plain object drops this name without a word, so what came would not be what is kept.
  if (name === "__proto__") throw new DialectError(at, "has a member whose name is not allowed");
  if (value === null) return;
  if (typeof value === "object") for (const [inner, member] of Object.entries(value)) checkFree(inner, member, at);
  else if (typeof value !== "string") throw new DialectError(at, "has a member that is not a JSON string");
  else if (value === "") throw new DialectError(at, "has a member that is empty");
}

function messageEncode(desc: DescMessage, met: Met<Encode>): Encode {
  const known = met.get(desc);
  if (known) return known;
  const fields: [jsonName: string, read: (slots: Slots) => unknown, encode: Encode][] = [];
  const encode: Encode = (message) => {
    const json: { [name: string]: Json } = {};
    for (const [name, read, encodeField] of fields) {
      const value = read(message as Slots);
      const encoded = value === undefined ? undefined : encodeField(value);
      if (encoded !== undefined) json[name] = encoded;
    }
    return json;
  };
  met.set(desc, encode);
  for (const field of desc.fields) {
    const { oneof, localName } = field;
    const read = oneof
      ? (slots: Slots) => {
          const chosen = slots[oneof.localName] as { case?: string; value?: unknown };
          return chosen.case === localName ? chosen.value : undefined;
        }
      : (slots: Slots) => slots[localName];
    fields.push([field.jsonName, read, fieldEncode(field, met)]);
  }
  return encode;
}

function fieldEncode(field: DescField, met: Met<Encode>): Encode {
  switch (field.fieldKind) {
    case "scalar":
      return scalarEncode(field.scalar);
    case "enum":
      return enumEncode(field.enum);
    case "message":
      return typeEncode(field.message, met);
    case "list": {
      const encodeItem =
        field.listKind === "scalar"
          ? scalarEncode(field.scalar)
          : field.listKind === "enum"
            ? enumEncode(field.enum)
            : typeEncode(field.message, met);
      return (value) => {
        const items = (value as unknown[]).map(encodeItem).filter((item) => item !== undefined);
        return items.length === 0 ? undefined : items;
      };
    }
    case "map":
      throw new UnsupportedSchema(`${field.parent.typeName}.${field.name}: the dialect has no maps`);
  }
}

function typeEncode(desc: DescMessage, met: Met<Encode>): Encode {
  if (desc.typeName === TimestampSchema.typeName) return (value) => instantText(value as Timestamp);
  if (desc.typeName.startsWith("google.protobuf."))
    throw new UnsupportedSchema(`the dialect has no form for ${desc.typeName}`);
  return messageEncode(desc, met);
}

function enumEncode(desc: DescEnum): Encode {
  const words = new Map([...wordsOf(desc)].map(([word, number]) => [number, word]));
  return (value) => words.get(value as number);
}

const scalarEncode =
  (type: ScalarType): Encode =>
  (value) => {
    const text = type === ScalarType.BYTES ? base64Encode(value as Uint8Array) : String(value);
    return text === "" ? undefined : text;
  };
