// Who may call what: a file maps a name in the caller's certificate to rights.
import { readFileSync } from "node:fs";
import { StartError } from "../../../lib/program.js";
import { type Suspender, SuspenderSchema } from "../../../proto/gen/mpp/token/v1/token_pb.js";

export const rights = ["record", "read", "lifecycle", "watch", "reveal", "erase"] as const;
export type Right = (typeof rights)[number];

/** A caller that is let in. */
export type Caller = {
  /** Name in audit log and history. */
  readonly name: string;
  readonly rights: ReadonlySet<Right>;
  /** Parties that the caller may act as. */
  readonly suspenders: ReadonlySet<Suspender>;
};

/** Callers by subject alternative name, written as `DNS:name` or `URI:uri`. */
export type Policy = ReadonlyMap<string, Caller>;

const words = new Map(
  SuspenderSchema.values
    .filter(({ number }) => number !== 0)
    .map(({ name, number }) => [name.slice(SuspenderSchema.sharedPrefix?.length ?? 0), number as Suspender]),
);
export const allSuspenders: ReadonlySet<Suspender> = new Set(words.values());

/**
 * Reads `{"callers": [{"san": "URI:...", "rights": ["read"], "suspenders": ["ISSUER"]}]}`. Throws StartError that names the
 * entry and the mistake.
 */
export function readPolicy(file: string): Policy {
  const wrong = (what: string): never => {
    throw new StartError(`wrong policy file ${file}: ${what}.`);
  };
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return wrong(code ? `it cannot be read (${code})` : "it is not JSON");
  }
  const callers = (content as { callers?: unknown } | null)?.callers;
  if (!Array.isArray(callers)) return wrong('it needs a list "callers"');
  const policy = new Map<string, Caller>();
  for (const [index, entry] of (callers as unknown[]).entries()) {
    const at = `callers[${index}]`;
    const { san, rights: wanted, suspenders = [], ...rest } = (entry ?? {}) as Record<string, unknown>;
    if (typeof san !== "string" || !/^(?:DNS|URI):\S+$/.test(san))
      return wrong(`${at}.san must be "DNS:..." or "URI:..."`);
    if (policy.has(san)) return wrong(`${at}.san stands twice`);
    const [unknown] = Object.keys(rest);
    if (unknown !== undefined) return wrong(`${at} has an unknown member ${unknown}`);
    policy.set(san, {
      name: san,
      rights: setOf(wanted, (word) => rights.find((right) => right === word), `${at}.rights`, wrong),
      suspenders: setOf(suspenders, (word) => words.get(word), `${at}.suspenders`, wrong),
    });
  }
  return policy;
}

function setOf<T>(
  list: unknown,
  meaning: (word: string) => T | undefined,
  at: string,
  wrong: (what: string) => never,
): Set<T> {
  if (!Array.isArray(list)) return wrong(`${at} must be a list`);
  return new Set(
    list.map((word: unknown) => {
      const value = typeof word === "string" ? meaning(word) : undefined;
      return value === undefined ? wrong(`${at} has an unknown word ${JSON.stringify(word)}`) : value;
    }),
  );
}
