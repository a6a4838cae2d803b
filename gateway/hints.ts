// Tells the log why a signature did not hold, where DOCTOR_HINTS asks for it: once a second at most, and within a bounded time.
import type { KeyObject } from "node:crypto";
import { attempt } from "./alipayplus/attempt.js";
import { type DoctorKey, diagnose, doctorKeyOf } from "./alipayplus/doctor.js";
import type { Result, ResultCode } from "./alipayplus/result.js";
import type { RawRequest } from "./stages/messages.js";

/** Results that a signature has to do with. */
const aboutSignatures: ReadonlySet<ResultCode> = new Set(["INVALID_SIGNATURE", "KEY_NOT_FOUND", "INVALID_CLIENT"]);
/** Some ten milliseconds of hashing for a usual body. */
const budgetBytes = 512 * 1024;
const pauseMs = 1_000;

/** `keysByFile` gives every key that was read, by its file; those of Alipay+ among them are tried. */
export function createHints(
  keysByFile: () => ReadonlyMap<string, KeyObject>,
  paths: readonly string[],
  nowMs: () => number,
) {
  let next = 0;
  return ({ method, path, query, headers, body }: RawRequest, { resultCode }: Result): string | undefined => {
    const now = nowMs();
    if (now < next || !aboutSignatures.has(resultCode)) return undefined;
    next = now + pauseMs;
    const keys = [...keysByFile()]
      .map(([file, key]) => doctorKeyOf(file, key))
      .filter(({ version }) => version !== undefined);
    const plain = Object.entries(headers).map(([name, value]) => [name, typeof value === "string" ? value : undefined]);
    const target = query === undefined ? path : `${path}?${query}`;
    const request = { method, target, headers: Object.fromEntries(plain), body };
    // A hint must not cost an answer.
    return attempt(() => diagnose(request, { keys, clientIds: clientIdsIn(keys), paths, budgetBytes }).line);
  };
}

const clientIdsIn = (keys: readonly DoctorKey[]): string[] => [
  ...new Set(keys.flatMap(({ clientId }) => clientId ?? [])),
];
