// Times as Alipay+ writes them: strict RFC 3339 in bodies, more forms in headers.
import type { Timestamp } from "@bufbuild/protobuf/wkt";

const rfc3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

const earliestSecond = -62_135_596_800; // 0001-01-01T00:00:00Z
const latestSecond = 253_402_300_799; // 9999-12-31T23:59:59Z

/**
 * An instant in RFC 3339 with seconds, up to nine fraction digits and an offset. Undefined for anything else: another form,
 * a date that does not exist, hour 24, second 60, an instant outside the years 1 to 9999.
 */
export function instantOf(text: string): Timestamp | undefined {
  if (!rfc3339.test(text)) return undefined;
  // From here on everything stands where it must; digits are read in place, since parts of a text cost more than all the rest.
  const [year, month, day] = [digits(text, 0, 4), digits(text, 5, 7), digits(text, 8, 10)];
  const [hour, minute, second] = [digits(text, 11, 13), digits(text, 14, 16), digits(text, 17, 19)];
  const end = text.endsWith("Z") ? text.length - 1 : text.length - 6;
  const [offsetHour, offsetMinute] = [digits(text, end + 1, end + 3), digits(text, end + 4, end + 6)];
  if (hour > 23 || minute > 59 || second > 59 || offsetHour > 23 || offsetMinute > 59) return undefined;
  // Date.UTC takes the years 0 to 99 for 1900 to 1999, setUTCFullYear does not.
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCFullYear() !== year || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const offsetMinutes = (offsetHour * 60 + offsetMinute) * (text[end] === "-" ? -1 : 1);
  const seconds = date.getTime() / 1000 + hour * 3600 + minute * 60 + second - offsetMinutes * 60;
  if (seconds < earliestSecond || seconds > latestSecond) return undefined;
  return {
    $typeName: "google.protobuf.Timestamp",
    seconds: BigInt(seconds),
    nanos: end > 20 ? digits(text, 20, end) * 10 ** (29 - end) : 0,
  };
}

/** The whole number whose digits stand from `start` up to `end`; 0 where the text has ended. */
function digits(text: string, start: number, end: number): number {
  let number = 0;
  for (let at = start; at < end && at < text.length; at++) number = number * 10 + text.charCodeAt(at) - 0x30;
  return number;
}

/** Milliseconds since 1970 of a Request-Time: RFC 3339, also with `+0800` for `+08:00`, or epoch milliseconds. */
export function requestTimeMs(text: string): number | undefined {
  if (/^\d{13}$/.test(text)) return Number(text);
  const instant = instantOf(text) ?? instantOf(text.replace(/([+-]\d{2})(\d{2})$/, "$1:$2"));
  return instant && Number(instant.seconds) * 1000 + Math.floor(instant.nanos / 1_000_000);
}

let lastSecond = { second: Number.NaN, text: "" };

/** RFC 3339 in UTC and whole seconds, so that all answers of a second carry the same time. It is written once a second. */
export function wholeSecond(ms: number): string {
  const second = Math.floor(ms / 1000);
  if (second !== lastSecond.second) lastSecond = { second, text: `${new Date(ms).toISOString().slice(0, 19)}Z` };
  return lastSecond.text;
}

/** The instant of milliseconds since 1970. */
export function instantOfMs(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1000);
  const nanos = (ms - seconds * 1000) * 1_000_000;
  return { $typeName: "google.protobuf.Timestamp", seconds: BigInt(seconds), nanos };
}

/** RFC 3339 in UTC with as many fraction digits as the instant has. */
export function instantText(instant: Timestamp): string {
  const fraction = instant.nanos === 0 ? "" : `.${instant.nanos.toString().padStart(9, "0").replace(/0+$/, "")}`;
  return wholeSecond(Number(instant.seconds) * 1000).replace("Z", `${fraction}Z`);
}
