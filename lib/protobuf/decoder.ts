// Protobuf messages from bytes: what fromBinary() does, by closures that are compiled once from the descriptor. They take bytes as
// encoders write them; on anything else (unknown fields, a field twice, damage) fromBinary() decides what it is.
import { isUtf8 } from "node:buffer";
import {
  type DescField,
  type DescMessage,
  fromBinary,
  type Message,
  type MessageShape,
  ScalarType,
} from "@bufbuild/protobuf";
import { Edition, StructSchema } from "@bufbuild/protobuf/wkt";
import { emptyOf } from "./empty.js";

/** A message, the same as fromBinary() gives. Fields of bytes are views of `bytes`. Throws as fromBinary() does. */
export type Decode<Desc extends DescMessage> = (bytes: Uint8Array) => MessageShape<Desc>;

type Slots = Record<string, unknown>;
/** Reads a message up to `end`. */
type Read = (end: number, depth: number) => unknown;
/** Reads a field's value behind its tag and puts it into the message. */
type Put = (message: Slots, depth: number) => void;
type Readers = Map<DescMessage, Read>;

const decoders = new WeakMap<DescMessage, Decode<DescMessage>>();

/** The decoder of a message type. */
export function decoderOf<Desc extends DescMessage>(desc: Desc): Decode<Desc> {
  let decode = decoders.get(desc);
  if (decode === undefined) {
    decode = compile(desc);
    decoders.set(desc, decode);
  }
  return decode as Decode<Desc>;
}

/** Thrown, without the cost of a stack, for bytes or types that are the library's affair. */
const unusual = new Error("not for the compiled decoder");

/** Less than the library allows, which then decides. */
const depthLimit = 32;

function compile(desc: DescMessage): Decode<DescMessage> {
  const library = (bytes: Uint8Array) => fromBinary(desc, bytes);
  let read: Read;
  try {
    read = messageReader(desc, new Map());
  } catch (error) {
    if (error !== unusual) throw error;
    return library;
  }
  return (bytes) => {
    source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    at = 0;
    try {
      return read(source.length, 0) as Message;
    } catch (error) {
      if (error !== unusual) throw error;
      return library(bytes);
    }
  };
}

// Decoding never waits, so one place serves all of it.
let source: Buffer = Buffer.alloc(0);
let at = 0;

/** A varint that a number holds exactly. */
function readNumber(): number {
  let byte = source[at++] ?? 0x80;
  if (byte < 0x80) return byte;
  let value = byte & 0x7f;
  for (let factor = 0x80; factor <= 0x2_0000_0000_0000; factor *= 0x80) {
    byte = source[at++] ?? 0x80;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) {
      if (value > Number.MAX_SAFE_INTEGER) throw unusual;
      return value;
    }
  }
  throw unusual;
}

/** A length, and with it the end of what it counts. */
function readEnd(): number {
  const end = readNumber() + at;
  if (end > source.length) throw unusual;
  return end;
}

function readText(): string {
  const end = readEnd();
  const start = at;
  at = end;
  for (let i = start; i < end; i++)
    if ((source[i] as number) >= 0x80) {
      if (!isUtf8(source.subarray(start, end))) throw unusual;
      return source.toString("utf8", start, end);
    }
  return source.toString("latin1", start, end);
}

function readBytes(): Uint8Array {
  const end = readEnd();
  const bytes = new Uint8Array(source.buffer, source.byteOffset + at, end - at);
  at = end;
  return bytes;
}

function readDouble(): number {
  if (at + 8 > source.length) throw unusual;
  at += 8;
  return source.readDoubleLE(at - 8);
}

function readBool(): boolean {
  const value = readNumber();
  if (value > 1) throw unusual;
  return value === 1;
}

function readUpTo(limit: number): number {
  const value = readNumber();
  if (value > limit) throw unusual;
  return value;
}

type Value = { readonly wire: 0 | 1 | 2; readonly read: (depth: number) => unknown };

// Negative numbers take ten bytes and go to the library.
const int32: Value = { wire: 0, read: () => readUpTo(0x7fff_ffff) };
const int64: Value = { wire: 0, read: () => BigInt(readNumber()) };
const scalars: ReadonlyMap<ScalarType, Value> = new Map([
  [ScalarType.STRING, { wire: 2, read: readText }],
  [ScalarType.BYTES, { wire: 2, read: readBytes }],
  [ScalarType.BOOL, { wire: 0, read: readBool }],
  [ScalarType.INT32, int32],
  [ScalarType.UINT32, { wire: 0, read: () => readUpTo(0xffff_ffff) }],
  [ScalarType.INT64, int64],
  [ScalarType.UINT64, int64],
  [ScalarType.DOUBLE, { wire: 1, read: readDouble }],
]);

function messageReader(desc: DescMessage, met: Readers): Read {
  const known = met.get(desc);
  if (known) return known;
  if (desc.file.edition !== Edition.EDITION_PROTO3) throw unusual;
  const puts = new Map<number, Put>();
  const empty = emptyOf(desc);
  const read: Read = (end, depth) => {
    if (depth > depthLimit) throw unusual;
    const message = empty();
    while (at < end) {
      const put = puts.get(readNumber());
      if (put === undefined) throw unusual;
      put(message as unknown as Slots, depth);
    }
    if (at !== end) throw unusual;
    return message;
  };
  met.set(desc, read); // before its fields, which may refer back to it
  for (const field of desc.fields) for (const [tag, put] of putsOf(field, met)) puts.set(tag, put);
  return read;
}

function putsOf(field: DescField, met: Readers): [tag: number, Put][] {
  const { localName, oneof, number } = field;
  const { wire, read } = kindOf(field, met);
  const tag = number * 8 + wire;
  if (field.fieldKind === "list") {
    const one: Put = (message, depth) => void (message[localName] as unknown[]).push(read(depth));
    const packed: Put = (message, depth) => {
      const end = readEnd();
      while (at < end) one(message, depth);
      if (at !== end) throw unusual;
    };
    return wire === 2
      ? [[tag, one]]
      : [
          [tag, one],
          [number * 8 + 2, packed],
        ];
  }
  if (oneof)
    return [
      [
        tag,
        (message, depth) => {
          // A second one may have to be merged with the first.
          if ((message[oneof.localName] as { case?: string }).case !== undefined) throw unusual;
          message[oneof.localName] = { case: localName, value: read(depth) };
        },
      ],
    ];
  if (field.message)
    return [
      [
        tag,
        (message, depth) => {
          if (message[localName] !== undefined) throw unusual;
          message[localName] = read(depth);
        },
      ],
    ];
  return [
    [
      tag,
      (message, depth) => {
        message[localName] = read(depth);
      },
    ],
  ];
}

function kindOf(field: DescField, met: Readers): Value {
  if (field.fieldKind === "map" || ("delimitedEncoding" in field && field.delimitedEncoding)) throw unusual;
  if (field.message) {
    // In a field a Struct is a plain object.
    const isJson = field.message.typeName === StructSchema.typeName && field.fieldKind === "message";
    const read = isJson ? readStruct : messageReader(field.message, met);
    return { wire: 2, read: (depth) => read(readEnd(), depth + 1) };
  }
  if (field.enum) return int32;
  const scalar = scalars.get(field.scalar as ScalarType);
  if (scalar === undefined) throw unusual;
  return scalar;
}

function expectTag(tag: number): void {
  if (source[at++] !== tag) throw unusual;
}

/** google.protobuf.Struct: a map of names to values, field 1. */
const readStruct: Read = (end, depth) => {
  if (depth > depthLimit) throw unusual;
  const json: Slots = {};
  while (at < end) {
    expectTag(0x0a);
    const memberEnd = readEnd();
    expectTag(0x0a);
    const name = readText();
    if (name === "__proto__") throw unusual;
    expectTag(0x12);
    json[name] = readValue(readEnd(), depth + 1);
    if (at !== memberEnd) throw unusual;
  }
  if (at !== end) throw unusual;
  return json;
};

/** google.protobuf.Value: null 1, number 2, string 3, bool 4, struct 5, list 6. */
function readValue(end: number, depth: number): unknown {
  const value = readKind(depth);
  if (at !== end) throw unusual;
  return value;
}

function readKind(depth: number): unknown {
  switch (source[at++]) {
    case 0x08:
      readUpTo(0);
      return null;
    case 0x11:
      return readDouble();
    case 0x1a:
      return readText();
    case 0x20:
      return readBool();
    case 0x2a:
      return readStruct(readEnd(), depth + 1);
    case 0x32:
      return readList(readEnd(), depth + 1);
    default:
      throw unusual;
  }
}

function readList(end: number, depth: number): unknown[] {
  if (depth > depthLimit) throw unusual;
  const items: unknown[] = [];
  while (at < end) {
    expectTag(0x0a);
    items.push(readValue(readEnd(), depth + 1));
  }
  if (at !== end) throw unusual;
  return items;
}
