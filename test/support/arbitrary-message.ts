// Random messages of any type, made from its descriptor.
import { create, type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const text = fc.string({ unit: "grapheme", maxLength: 60 });

const scalars: Partial<Record<ScalarType, fc.Arbitrary<unknown>>> = {
  [ScalarType.STRING]: text,
  [ScalarType.BYTES]: fc.uint8Array({ maxLength: 200 }),
  [ScalarType.BOOL]: fc.boolean(),
  [ScalarType.INT32]: fc.integer(),
  [ScalarType.UINT32]: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  [ScalarType.INT64]: fc.oneof(fc.bigInt({ min: -5n, max: 300n }), int64),
  [ScalarType.UINT64]: fc.oneof(fc.bigInt({ min: 0n, max: 300n }), uint64),
  [ScalarType.DOUBLE]: fc.double(),
};

/** JSON as a Struct holds it: numbers are finite. */
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    text,
    fc.boolean(),
    fc.constant(null),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(
      text.filter((name) => name !== "__proto__"),
      tie("value"),
      { maxKeys: 3 },
    ),
  ),
}));
const struct = fc.dictionary(
  text.filter((name) => name !== "__proto__"),
  json.value,
  { maxKeys: 4 },
);

/** Messages with each field set or not; nested messages down to `depth` levels. */
export function arbitraryMessage(desc: DescMessage, depth = 3): fc.Arbitrary<Message> {
  const members = desc.members.flatMap((member): [string, fc.Arbitrary<unknown>][] => {
    if (member.kind === "oneof") {
      const cases = member.fields.flatMap((field) => {
        const value = fieldOf(field, depth);
        return value ? [fc.record({ case: fc.constant(field.localName), value })] : [];
      });
      return [[member.localName, fc.oneof(...cases)]];
    }
    const value = fieldOf(member, depth);
    return value ? [[member.localName, value]] : [];
  });
  return fc
    .record(Object.fromEntries(members), { requiredKeys: [] })
    .map((init) => create(desc, Object.fromEntries(Object.entries(init).filter(([, value]) => value !== undefined))));
}

function fieldOf(field: DescField, depth: number): fc.Arbitrary<unknown> | undefined {
  const one = itemOf(field, depth);
  return one && field.fieldKind === "list" ? fc.array(one, { maxLength: 4 }) : one;
}

function itemOf(field: DescField, depth: number): fc.Arbitrary<unknown> | undefined {
  if (field.enum) return fc.constantFrom(...field.enum.values.map(({ number }) => number));
  if (field.message?.typeName === StructSchema.typeName) return struct;
  if (field.message) return depth === 0 ? undefined : arbitraryMessage(field.message, depth - 1);
  return scalars[field.scalar as ScalarType];
}
