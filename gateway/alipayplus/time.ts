// Times as Alipay+ writes them: strict RFC 3339 in bodies, more forms in headers.
import type { Timestamp } from "@bufbuild/protobuf/wkt";

const rfc3339 = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:Z|([+-])(\d{2}):(\d{2}))$/;

const firstSecond = -62_135_596_800; // 0001-01-01T00:00:00Z
const lastSecond = 253_402_300_799; // 9999-12-31T23:59:59Z

/**
 * An instant in RFC 3339 with seconds, up to nine fraction digits and an offset. Undefined for anything else: another form,
 * a date that does not exist, hour 24, second 60, an instant outside the years 1 to 9999.
 */
export function instantOf(text: string): Timestamp | undefined {
  const match = rfc3339.exec(text);
  if (match === null) return undefined;
  const part = (index: number): number => Number(match[index] ?? 0);
  const [year, month, day, hour, minute, second] = [part(1), part(2), part(3), part(4), part(5), part(6)];
  if (hour > 23 || minute > 59 || second > 59 || part(9) > 23 || part(10) > 59) return undefined;
  // Date.UTC takes the years 0 to 99 for 1900 to 1999, setUTCFullYear does not.
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCFullYear() !== year || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const offsetMinutes = (part(9) * 60 + part(10)) * (match[8] === "-" ? -1 : 1);
  const seconds = date.getTime() / 1000 + hour * 3600 + minute * 60 + second - offsetMinutes * 60;
  if (seconds < firstSecond || seconds > lastSecond) return undefined;
  return {
    $typeName: "google.protobuf.Timestamp",
    seconds: BigInt(seconds),
    nanos: Number((match[7] ?? "").padEnd(9, "0")),
  };
}

/** Milliseconds since 1970 of a Request-Time: RFC 3339, also with `+0800` for `+08:00`, or epoch milliseconds. */
export function requestTimeMs(text: string): number | undefined {
  if (/^\d{13}$/.test(text)) return Number(text);
  const instant = instantOf(text.replace(/([+-]\d{2})(\d{2})$/, "$1:$2"));
  return instant && Number(instant.seconds) * 1000 + Math.floor(instant.nanos / 1_000_000);
}

/** RFC 3339 in UTC and whole seconds, so that all answers of a second carry the same time. */
export function wholeSecond(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** RFC 3339 in UTC with as many fraction digits as the instant has. */
export function instantText(instant: Timestamp): string {
  const fraction = instant.nanos === 0 ? "" : `.${instant.nanos.toString().padStart(9, "0").replace(/0+$/, "")}`;
  return wholeSecond(Number(instant.seconds) * 1000).replace("Z", `${fraction}Z`);
}
