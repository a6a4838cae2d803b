// Where the keyring's secrets come from: files in clear, or a module of the operator's that asks a KMS for them.
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { stampOf } from "../../../lib/folder.js";
import { StartError } from "../../../lib/program.js";

/** The one interface behind which a KMS is plugged in. */
export type KeySource = {
  /** A text that changes when the secrets may have changed. Asked every KEYS_RELOAD_MS, so it should cost little. */
  readonly stamp: () => string | Promise<string>;
  /** Every version with its secret of 32 bytes. Asked at start, and again when the stamp is another one. */
  readonly secrets: () => Secrets | Promise<Secrets>;
};
export type Secrets = ReadonlyMap<number, Uint8Array>;

/** What the module named by KEYRING_SOURCE exports as `createKeySource`. */
export type CreateKeySource = (options: { readonly keyringDir: string }) => KeySource | Promise<KeySource>;

/** How long a KMS may take for an answer. */
const patienceMs = 10_000;

/** The files of the folder, or what the module at `modulePath` makes of it. Whatever fails is a StartError of one line. */
export async function openKeySource(modulePath: string | undefined, keyringDir: string): Promise<KeySource> {
  if (modulePath === undefined) return fileKeySource(keyringDir);
  const guarded = async <T>(work: () => T | Promise<T>): Promise<T> => {
    try {
      return await inTime(work, patienceMs);
    } catch (error) {
      const reason = (error instanceof Error ? error.message : String(error)).replaceAll(/\s*\n\s*/g, " ");
      throw new StartError(`the key source ${modulePath} (KEYRING_SOURCE) gave no keys: ${reason}`);
    }
  };
  const source = await guarded(async () => {
    const { createKeySource } = (await import(pathToFileURL(resolve(modulePath)).href)) as Record<string, unknown>;
    if (typeof createKeySource !== "function") throw new Error("it exports no function createKeySource");
    return (createKeySource as CreateKeySource)({ keyringDir });
  });
  return {
    stamp: () => guarded(() => source.stamp()),
    secrets: () => guarded(async () => checked(await source.secrets())),
  };
}

/** Reads `token-data.<version>.key` files, each 32 bytes in base64. */
export const fileKeySource = (folder: string): KeySource => ({
  stamp: () => stampOf(folder),
  secrets: () => secretsIn(folder),
});

const fileName = /^token-data\.(\d{1,9})\.key$/;

/** Throws StartError when there is no key or one is wrong. */
export function secretsIn(folder: string): Secrets {
  const secrets = new Map<number, Uint8Array>();
  for (const name of namesIn(folder)) {
    const version = fileName.exec(name)?.[1];
    if (version === undefined) continue;
    const secret = Buffer.from(readFileSync(join(folder, name), "utf8").trim(), "base64");
    if (secret.length !== 32)
      throw new StartError(
        `${join(folder, name)} is no key: it must hold 32 bytes in base64 (openssl rand -base64 32).`,
      );
    secrets.set(Number(version), secret);
  }
  if (secrets.size === 0)
    throw new StartError(
      `no key for token data in ${folder}: put one there as token-data.1.key (openssl rand -base64 32), or set KEYRING_DIR.`,
    );
  return secrets;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** What a module of somebody else's gave us. The words never hold a secret. */
function checked(secrets: unknown): Secrets {
  if (!(secrets instanceof Map) || secrets.size === 0) throw new Error("secrets() gave no Map with a version in it");
  for (const [version, secret] of secrets) {
    if (!Number.isInteger(version) || version < 0 || version > 999_999_999)
      throw new Error("secrets() gave a version that is no whole number from 0 to 999999999");
    if (!(secret instanceof Uint8Array) || secret.length !== 32)
      throw new Error(`secrets() gave version ${version} as something else than 32 bytes`);
  }
  return secrets;
}

function inTime<T>(work: () => T | Promise<T>, ms: number): Promise<T> {
  return new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`no answer within ${ms / 1000} s`)), ms);
    Promise.resolve()
      .then(work)
      .then(done, fail)
      .finally(() => clearTimeout(timer));
  });
}
