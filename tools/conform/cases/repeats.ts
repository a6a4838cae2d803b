// Cases for what comes again: the same, the same in other words, something else, and all of it at once.
import { ScalarType } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { Json } from "../../../gateway/alipayplus/json.js";
import type { Api } from "../../apis.js";
import { identityOf, type Place, placesOf } from "../../samples.js";
import {
  type Change,
  type Exchange,
  type ExchangeCase,
  type Expectation,
  isIllegal,
  isRefusedAs,
  succeeds,
} from "../case.js";
import type { RuleName } from "../rules.js";
import { writings } from "./bodies.js";

type Send = Omit<Exchange, "expect">;

const of = (name: string, rule: RuleName, what: string, ...exchanges: Exchange[]): ExchangeCase => ({
  name: `repeat/${name}`,
  rule,
  what,
  exchanges,
});
const then = (send: Send, expect: Expectation = succeeds): Exchange => ({ ...send, expect });
const first = then({});

const moment = 10_000;
const isConflict = isRefusedAs("PROCESS_FAIL", "REPEAT_REQ_INCONSISTENT");
/** Taken or refused, but not put off. */
const isDecided: Expectation = isRefusedAs("SUCCESS", "PROCESS_FAIL", "REPEAT_REQ_INCONSISTENT");
/** While another is running, "call again" is an honest answer. */
const succeedsOrWaits: Expectation = { codes: ["SUCCESS", "UNKNOWN_EXCEPTION", "REQUEST_TRAFFIC_EXCEED_LIMIT"] };

const sameWritings = writings.filter(([name]) => ["indented", "reversed", "escaped"].includes(name));

export function repeatCases({ body }: Api): ExchangeCase[] {
  const places = placesOf(body).filter(({ path }) => path.length === 1);
  const identity = identityOf(body);
  const others = places.filter((place) => place.path[0] !== identity?.path[0]);
  const dates = others.filter(isDate);
  const optional = others.find(({ required, field }) => !required && field.scalar === ScalarType.STRING);
  const changed = (changes: readonly Change[]): Send => ({ changes });
  const set = (place: Place, value: Json | undefined): Send => changed([[place.path, value]]);
  return [
    of("same", "repeat", "the same request twice", first, first),
    of(
      "later",
      "repeat",
      "the same body with a later Request-Time",
      then({ time: at(-moment) }),
      then({ time: at(0) }),
    ),
    of(
      "earlier",
      "repeat",
      "the same body with an earlier Request-Time",
      then({ time: at(0) }),
      then({ time: at(-moment) }),
    ),
    of("five-times", "repeat", "the same request five times", first, first, first, first, first),
    ...sameWritings.map(([name, what, write]) =>
      of(`written-${name}`, "repeat", `the same, then the same as a body ${what}`, first, then({ write })),
    ),
    of(
      "overlapping",
      "overlap",
      "eight of the same at once, then one more",
      then({ copies: 8 }, succeedsOrWaits),
      first,
    ),
    of(
      "in-turn",
      "repeat",
      "two things in turn, each twice",
      then({ about: 1 }),
      then({ about: 2 }),
      then({ about: 1 }),
      then({ about: 2 }),
    ),
    of(
      "after-forgery",
      "no-effect",
      "a forged request with other content, then the real one",
      then({ ...(optional && set(optional, "forged")), sign: { by: "stranger" } }, isRefusedAs("INVALID_SIGNATURE")),
      first,
    ),
    ...dates.map((date) =>
      of(
        `other-zone-${date.path}`,
        "repeat-spelling",
        `the same with ${date.path} in another time zone`,
        then(set(date, "2019-11-27T12:01:01+08:00")),
        then(set(date, "2019-11-27T04:01:01Z")),
      ),
    ),
    ...(optional
      ? [
          of(
            "null-for-absent",
            "repeat-spelling",
            `the same with ${optional.path} left out, then null`,
            then(set(optional, undefined)),
            then(set(optional, null)),
          ),
          of(
            "after-illegal",
            "after-refusal",
            `one with ${optional.path} as a number, then the same without`,
            then(set(optional, 1), isIllegal),
            first,
          ),
        ]
      : []),
    ...others
      .filter((place) => !isDate(place) && conflictingValue(place) !== undefined)
      .map((place) =>
        of(
          `conflicting-${place.path}`,
          "conflict",
          `another ${place.path}, then the first again`,
          first,
          then(set(place, conflictingValue(place)), isConflict),
          first,
        ),
      ),
    ...dates.flatMap((date) => [
      of(
        `later-${date.path}`,
        "new-event",
        `the same with a later ${date.path}`,
        then(set(date, "2019-11-27T04:01:01Z")),
        then(set(date, "2019-11-28T04:01:01Z"), isDecided),
      ),
      of(
        `earlier-${date.path}`,
        "new-event",
        `the same with an earlier ${date.path}`,
        then(set(date, "2019-11-27T04:01:01Z")),
        then(set(date, "2019-11-26T04:01:01Z"), isDecided),
      ),
    ]),
  ];
}

const at =
  (offsetMs: number) =>
  (nowMs: number): string =>
    new Date(nowMs + offsetMs).toISOString();

const isDate = ({ field }: Place): boolean => field.message?.typeName === TimestampSchema.typeName;

/** A legal value that a sample never has; undefined where the schema does not give one. */
function conflictingValue({ field }: Place): Json | undefined {
  if (field.fieldKind === "enum") {
    const last = field.enum.values.at(-1);
    return last?.name.slice(field.enum.sharedPrefix?.length ?? 0);
  }
  return field.fieldKind === "scalar" && field.scalar === ScalarType.STRING ? "conflicting-1" : undefined;
}
