// Cases for every member that the schema declares: none of them names an API.
import { ScalarType } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { Json } from "../../../gateway/alipayplus/json.js";
import type { Api } from "../../apis.js";
import { identityOf, lengthsOf, type Place, placesOf } from "../../samples.js";
import { type Change, type ExchangeCase, type Expectation, isIllegal, isTaken, single } from "../case.js";
import type { RuleName } from "../rules.js";

/** What one member is sent as. */
type Row = {
  readonly name: string;
  readonly what: string;
  readonly rule: RuleName;
  readonly value: Json | undefined;
  readonly expect: Expectation;
  /** The same value for each of these members too. */
  readonly alike?: readonly Place[];
};

/** Outside the BMP: one code point, two UTF-16 units, four bytes. */
const astral = "\u{1f4b3}";

/** Cases for one API, in the order of its schema. */
export function fieldCases({ body }: Api, identity: string): ExchangeCase[] {
  const places = placesOf(body);
  const identityPath = identityOf(body)?.path.join(".");
  return places.flatMap((place) => {
    const path = place.path.join(".");
    const own = path === identityPath ? identity : "";
    return rowsOf(place, own, places).map(({ name, what, rule, value, expect, alike = [] }) =>
      single(
        `field/${path}/${name}`,
        place.isInferred ? "unpublished" : rule,
        `${path} ${what}`,
        { changes: [place, ...alike].map((each): Change => [each.path, value]) },
        expect,
      ),
    );
  });
}

/** `own` begins every value that is taken, so that it stays the only one of its kind. */
function rowsOf(place: Place, own: string, all: readonly Place[]): Row[] {
  const { field, required } = place;
  const presence: Row[] = required
    ? [
        { name: "absent", what: "left out", rule: "required", value: undefined, expect: isIllegal },
        { name: "null", what: "null", rule: "null-required", value: null, expect: isIllegal },
      ]
    : [
        { name: "absent", what: "left out", rule: "optional", value: undefined, expect: isTaken },
        { name: "null", what: "null", rule: "optional", value: null, expect: isTaken },
      ];
  if (field.fieldKind === "list") return [...presence, refused("not-an-array", "as an object", "arrays", {})];
  if (field.fieldKind === "message" && field.message.typeName !== TimestampSchema.typeName)
    return [...presence, ...objectRows, ...(place.isInferred ? [] : emptyObject(place, all))];
  const scalar = [...presence, ...scalarRows];
  if (place.isInferred) return scalar.filter(({ name }) => !["boolean", "object", "array"].includes(name));
  if (field.fieldKind === "enum") return [...scalar, ...wordRows(place)];
  if (field.fieldKind === "message") return [...scalar, ...dateRows(place, all)];
  return [...scalar, ...(valueRows[field.scalar as ScalarType] ?? textRows)(place, own)];
}

const refused = (name: string, what: string, rule: RuleName, value: Json): Row => ({
  name,
  what,
  rule,
  value,
  expect: isIllegal,
});
const taken = (name: string, what: string, rule: RuleName, value: Json): Row => ({
  name,
  what,
  rule,
  value,
  expect: isTaken,
});

const scalarRows: readonly Row[] = [
  refused("number", "as the number 12345678", "strings", 12_345_678),
  refused("boolean", "as true", "strings", true),
  refused("object", "as an object", "strings", { value: "12345678" }),
  refused("array", "as an array", "strings", ["12345678"]),
  refused("empty", 'as ""', "empty", ""),
];

const objectRows: readonly Row[] = [
  refused("string", "as a string", "objects", "12345678"),
  refused("number", "as the number 12345678", "objects", 12_345_678),
  refused("boolean", "as true", "objects", true),
  refused("array", "as an array", "objects", ["12345678"]),
];

/** An object whose children nobody published may be empty or hold something new; any other lacks what it must have. */
function emptyObject(place: Place, all: readonly Place[]): Row[] {
  const children = all.filter(
    ({ path }) => path.length > place.path.length && place.path.every((name, i) => path[i] === name),
  );
  if (!children.some(({ isInferred }) => isInferred)) return [];
  return [
    refused("no-member", "without a member", "unpublished", {}),
    taken("unknown-member", "with a member that nobody declared, alone", "unpublished", { laterMember: "12345678" }),
  ];
}

function wordRows({ field }: Place): Row[] {
  const prefix = field.enum?.sharedPrefix ?? "";
  const words = (field.enum?.values ?? [])
    .filter(({ number }) => number !== 0)
    .map(({ name }) => name.slice(prefix.length));
  const [first = ""] = words;
  return [
    ...words.map((word) => taken(`word/${word}`, `as ${word}`, "words", word)),
    refused("other-word", "as a word that is not listed", "other-words", "PIGGY_BANK"),
    refused("lower-case", `as ${first.toLowerCase()}`, "other-words", first.toLowerCase()),
    refused("word-number", "as the number of a word", "other-words", "1"),
  ];
}

function dateRows(_: Place, all: readonly Place[]): Row[] {
  const dates = all.filter(
    ({ path, field }) => path.length === 1 && field.message?.typeName === TimestampSchema.typeName,
  );
  // A moment before another that is given in the same body may be refused for that.
  const together = (row: Row): Row => ({ ...row, alike: dates });
  return [
    ...takenDates.map(([name, rule, date]) => together(taken(`date/${name}`, `as ${date}`, rule, date))),
    ...refusedDates.map(([name, rule, date]) => refused(`date/${name}`, `as ${date}`, rule, date)),
  ];
}

const takenDates: readonly (readonly [name: string, rule: RuleName, date: string])[] = [
  ["as-documented", "dates", "2019-11-27T12:01:01+08:00"],
  ["utc", "dates", "2019-11-27T04:01:01Z"],
  ["half-hour-offset", "dates", "2019-11-27T09:31:01+05:30"],
  ["west", "dates", "2019-11-26T21:01:01-07:00"],
  ["leap-day", "dates", "2024-02-29T23:59:59+08:00"],
  ["milliseconds", "fractions", "2019-11-27T12:01:01.253+08:00"],
  ["nanoseconds", "fractions", "2019-11-27T12:01:01.123456789+08:00"],
];

const refusedDates: readonly (readonly [name: string, rule: RuleName, date: string])[] = [
  ["30-february", "invalid-dates", "2019-02-30T12:01:01+08:00"],
  ["no-leap-day", "invalid-dates", "2023-02-29T12:01:01+08:00"],
  ["month-13", "invalid-dates", "2019-13-01T12:01:01+08:00"],
  ["day-0", "invalid-dates", "2019-11-00T12:01:01+08:00"],
  ["hour-25", "invalid-dates", "2019-11-27T25:01:01+08:00"],
  ["minute-60", "invalid-dates", "2019-11-27T12:60:01+08:00"],
  ["words", "invalid-dates", "yesterday morning"],
  ["epoch-milliseconds", "date-forms", "1574827261000"],
  ["date-alone", "date-forms", "2019-11-27"],
  ["no-offset", "date-forms", "2019-11-27T12:01:01"],
  ["offset-without-colon", "date-forms", "2019-11-27T12:01:01+0800"],
  ["no-seconds", "date-forms", "2019-11-27T12:01+08:00"],
  ["space-for-t", "date-forms", "2019-11-27 12:01:01+08:00"],
  ["hour-24", "date-forms", "2019-11-27T24:00:00+08:00"],
  ["second-60", "date-forms", "2019-11-27T12:01:60+08:00"],
];

type Rows = (place: Place, own: string) => Row[];

const textRows: Rows = ({ rules }, own) => {
  const { longest } = lengthsOf(rules);
  // What else a text must be, a pattern says, and these know none.
  const isFree = rules?.type.case !== "string" || (!rules.type.value.pattern && rules.type.value.in.length === 0);
  if (longest === undefined || !isFree) return [];
  const of = (char: string, length: number): string => own + char.repeat(Math.max(length - own.length, 0));
  return [
    taken("longest", `of ${longest} letters`, "maximum-length", of("A", longest)),
    refused("too-long", `of ${longest + 1} letters`, "maximum-length", of("A", longest + 1)),
    taken("longest-in-code-points", `of ${longest} characters outside the BMP`, "length-unit", of(astral, longest)),
    {
      name: "not-ascii",
      what: "with letters of other scripts",
      rule: "exact-bytes",
      value: `${own}J\u00fcrgen \u674e`.slice(0, longest),
      // Which characters a text may have is not said, but the signature over its bytes holds.
      expect: { codes: ["SUCCESS"], tolerated: ["PROCESS_FAIL", "PARAM_ILLEGAL"] },
    },
    refused(
      "too-long-in-code-points",
      `of ${longest + 1} characters outside the BMP`,
      "maximum-length",
      of(astral, longest + 1),
    ),
  ];
};

const notNumeric: Rows = () => [
  refused("not-numeric", "as the text many", "numbers", "many"),
  refused("out-of-range", "as a number of 40 digits", "numbers", "9".repeat(40)),
];

const valueRows: Partial<Record<ScalarType, Rows>> = {
  [ScalarType.STRING]: textRows,
  [ScalarType.BOOL]: () => [
    taken("true", 'as "true"', "strings", "true"),
    taken("false", 'as "false"', "strings", "false"),
    refused("not-boolean", "as the text maybe", "numbers", "maybe"),
  ],
  [ScalarType.BYTES]: () => [refused("not-base64", "as a text that is no base64", "numbers", "%%%")],
  ...Object.fromEntries(
    [
      ...[
        ScalarType.INT32,
        ScalarType.INT64,
        ScalarType.UINT32,
        ScalarType.UINT64,
        ScalarType.SINT32,
        ScalarType.SINT64,
      ],
      ...[ScalarType.FIXED32, ScalarType.FIXED64, ScalarType.SFIXED32, ScalarType.SFIXED64],
      ...[ScalarType.FLOAT, ScalarType.DOUBLE],
    ].map((type) => [type, notNumeric]),
  ),
};
