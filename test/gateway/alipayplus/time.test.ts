import { create } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import fc from "fast-check";
import { instantOf, instantText, requestTimeMs, wholeSecond } from "../../../gateway/alipayplus/time.js";

const firstMs = Date.parse("0001-01-01T00:00:00Z");
const lastMs = Date.parse("9999-12-31T23:59:59.999Z");

describe("instantOf", () => {
  const instants = [
    { text: "2019-11-27T12:01:01+08:00", utc: "2019-11-27T04:01:01Z" },
    { text: "2019-05-28T12:12:12+08:00", utc: "2019-05-28T04:12:12Z" },
    { text: "2019-04-04T12:08:56+05:30", utc: "2019-04-04T06:38:56Z" },
    { text: "2019-04-04T12:08:56.253+05:30", utc: "2019-04-04T06:38:56.253Z" },
    { text: "2025-02-20T08:51:49.09Z", utc: "2025-02-20T08:51:49.09Z" },
    { text: "2025-02-21T05:43:09Z", utc: "2025-02-21T05:43:09Z" },
    { text: "2019-11-12T09:37:00Z", utc: "2019-11-12T09:37:00Z" },
    { text: "2025-02-21T05:43:09+00:00", utc: "2025-02-21T05:43:09Z" },
    { text: "2025-02-21T05:43:09-00:00", utc: "2025-02-21T05:43:09Z" },
    { text: "2025-02-21T05:43:09.1234567Z", utc: "2025-02-21T05:43:09.1234567Z" },
    { text: "2025-02-21T05:43:09.123456789Z", utc: "2025-02-21T05:43:09.123456789Z" },
    { text: "2025-02-21T05:43:09.000000001Z", utc: "2025-02-21T05:43:09.000000001Z" },
    { text: "2025-02-21T05:43:09.100Z", utc: "2025-02-21T05:43:09.1Z" },
    { text: "2025-01-01T00:30:00+01:00", utc: "2024-12-31T23:30:00Z" },
    { text: "2024-12-31T23:30:00-01:00", utc: "2025-01-01T00:30:00Z" },
    { text: "2025-06-15T12:00:00+23:59", utc: "2025-06-14T12:01:00Z" },
    { text: "2024-02-29T00:00:00Z", utc: "2024-02-29T00:00:00Z" },
    { text: "2000-02-29T23:59:59Z", utc: "2000-02-29T23:59:59Z" },
    { text: "1969-12-31T23:59:59.5Z", utc: "1969-12-31T23:59:59.5Z" },
    { text: "0001-01-01T00:00:00Z", utc: "0001-01-01T00:00:00Z" },
    { text: "0099-03-01T00:00:00Z", utc: "0099-03-01T00:00:00Z" },
    { text: "9999-12-31T23:59:59.999999999Z", utc: "9999-12-31T23:59:59.999999999Z" },
  ];
  for (const { text, utc } of instants)
    it(`reads ${text} as ${utc}`, () => {
      const instant = instantOf(text);
      expect(instant && instantText(instant)).to.equal(utc);
      expect(instant && Number(instant.seconds) * 1000).to.equal(Date.parse(utc.replace(/(\.\d*)?Z$/, "Z")));
    });

  const refused = [
    { name: "no offset", text: "2025-02-20T08:51:49" },
    { name: "an offset without a colon", text: "2019-05-28T12:12:12+0800" },
    { name: "an offset of hours alone", text: "2019-05-28T12:12:12+08" },
    { name: "an offset of 24 hours", text: "2019-05-28T12:12:12+24:00" },
    { name: "an offset of 60 minutes", text: "2019-05-28T12:12:12+08:60" },
    { name: "an offset with a true minus sign", text: "2019-05-28T12:12:12−08:00" },
    { name: "epoch milliseconds", text: "1685599933871" },
    { name: "nothing", text: "" },
    { name: "a date alone", text: "2025-02-20" },
    { name: "no seconds", text: "2025-02-20T08:51Z" },
    { name: "a space for T", text: "2025-02-20 08:51:49Z" },
    { name: "t and z in lower case", text: "2025-02-20t08:51:49z" },
    { name: "a year of two digits", text: "25-02-20T08:51:49Z" },
    { name: "a year of five digits", text: "12025-02-20T08:51:49Z" },
    { name: "a signed year", text: "+002025-02-20T08:51:49Z" },
    { name: "a month of one digit", text: "2025-2-20T08:51:49Z" },
    { name: "month 0", text: "2025-00-20T08:51:49Z" },
    { name: "month 13", text: "2025-13-20T08:51:49Z" },
    { name: "day 0", text: "2025-02-00T08:51:49Z" },
    { name: "31 April", text: "2025-04-31T08:51:49Z" },
    { name: "30 February", text: "2024-02-30T08:51:49Z" },
    { name: "29 February of a common year", text: "2025-02-29T08:51:49Z" },
    { name: "29 February of a common century", text: "1900-02-29T08:51:49Z" },
    { name: "hour 24", text: "2025-02-20T24:00:00Z" },
    { name: "minute 60", text: "2025-02-20T08:60:00Z" },
    { name: "second 60", text: "2016-12-31T23:59:60Z" },
    { name: "a point without a fraction", text: "2025-02-20T08:51:49.Z" },
    { name: "a fraction of ten digits", text: "2025-02-20T08:51:49.1234567890Z" },
    { name: "a fraction after a comma", text: "2025-02-20T08:51:49,5Z" },
    { name: "year 0000", text: "0000-12-31T23:59:59Z" },
    { name: "an offset that leads before year 1", text: "0001-01-01T00:00:00+00:01" },
    { name: "an offset that leads past year 9999", text: "9999-12-31T23:59:59-00:01" },
    { name: "white space before", text: " 2025-02-20T08:51:49Z" },
    { name: "a line feed after", text: "2025-02-20T08:51:49Z\n" },
    { name: "digits that are not ASCII", text: "２025-02-20T08:51:49Z" },
  ];
  for (const { name, text } of refused)
    it(`refuses ${name}`, () => {
      expect(instantOf(text)).to.equal(undefined);
    });

  it("agrees with Date for every instant in milliseconds", () => {
    fc.assert(
      fc.property(fc.integer({ min: firstMs, max: lastMs }), (ms) => {
        const instant = instantOf(new Date(ms).toISOString());
        expect(instant && Number(instant.seconds) * 1000 + instant.nanos / 1_000_000).to.equal(ms);
      }),
    );
  });

  it("agrees with Date about the offset", () => {
    const two = (n: number): string => String(n).padStart(2, "0");
    fc.assert(
      fc.property(
        fc.integer({ min: Date.parse("1900-01-01T00:00:00Z"), max: Date.parse("2100-01-01T00:00:00Z") }),
        fc.integer({ min: -(23 * 60 + 59), max: 23 * 60 + 59 }),
        (ms, minutes) => {
          const size = Math.abs(minutes);
          const offset = `${minutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
          const text = new Date(ms).toISOString().replace("Z", offset);
          const instant = instantOf(text);
          expect(instant && Number(instant.seconds) * 1000 + instant.nanos / 1_000_000).to.equal(Date.parse(text));
        },
      ),
    );
  });

  it("takes only days that the calendar has", () => {
    const upTo = (max: number) => fc.integer({ min: 0, max });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9999 }), upTo(14), upTo(33), (year, month, day) => {
        const pad = (n: number, width: number): string => String(n).padStart(width, "0");
        const text = `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}T12:00:00Z`;
        // Date.parse rolls 30 February over into March, so it exists when it comes back as it went.
        const ms = Date.parse(text);
        const exists = !Number.isNaN(ms) && new Date(ms).toISOString() === text.replace("Z", ".000Z");
        expect(instantOf(text) !== undefined).to.equal(exists);
      }),
      { numRuns: 500 },
    );
  });
});

describe("instantText", () => {
  it("is read back as the same instant", () => {
    const seconds = fc.bigInt({ min: -62_135_596_800n, max: 253_402_300_799n });
    const nanos = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999_999_999 }), fc.constant(1));
    fc.assert(
      fc.property(seconds, nanos, (s, n) => {
        const instant = create(TimestampSchema, { seconds: s, nanos: n });
        expect(instantOf(instantText(instant))).to.deep.equal(instant);
      }),
    );
  });
});

describe("requestTimeMs", () => {
  const times = [
    { text: "1685599933871", ms: 1_685_599_933_871 },
    { text: "2019-05-28T12:12:12+0800", ms: Date.parse("2019-05-28T04:12:12Z") },
    { text: "2019-05-28T12:12:12-0530", ms: Date.parse("2019-05-28T17:42:12Z") },
    { text: "2019-05-28T12:12:12+08:00", ms: Date.parse("2019-05-28T04:12:12Z") },
    { text: "2019-04-04T12:08:56.253+05:30", ms: Date.parse("2019-04-04T06:38:56.253Z") },
    { text: "2025-02-20T08:51:49.09Z", ms: Date.parse("2025-02-20T08:51:49.090Z") },
    { text: "2025-02-20T08:51:49.0909999Z", ms: Date.parse("2025-02-20T08:51:49.090Z") },
  ];
  for (const { text, ms } of times)
    it(`reads ${text}`, () => {
      expect(requestTimeMs(text)).to.equal(ms);
    });

  const refused = [
    "",
    "0",
    "1685599933",
    "16855999338710",
    "168559993387a",
    "-685599933871",
    "1.68559993387",
    " 1685599933871",
    "2025-02-20T08:51:49",
    "2025-02-20T08:51:49+08",
    "2025-02-20T08:51:49+2400",
    "2025-02-30T08:51:49Z",
    "Thu, 20 Feb 2025 08:51:49 GMT",
    "now",
  ];
  for (const text of refused)
    it(`refuses "${text}"`, () => {
      expect(requestTimeMs(text)).to.equal(undefined);
    });
});

describe("wholeSecond", () => {
  it("cuts the fraction off, so that all answers of a second carry one time", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), fc.integer({ min: 0, max: 999 }), (second, ms) => {
        expect(wholeSecond(second * 1000 + ms)).to.equal(new Date(second * 1000).toISOString().replace(".000Z", "Z"));
      }),
    );
  });
});
