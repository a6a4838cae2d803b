// The keys for token data at rest: versions side by side, one file each, the highest seals.
import { createSecretKey, hkdfSync, type KeyObject } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { StartError } from "../../../lib/program.js";

/** Key objects, because bytes would show in whatever prints them. */
export type VaultKey = {
  readonly version: number;
  /** 32 bytes for AES-256-GCM. */
  readonly sealKey: KeyObject;
  /** 32 bytes each for the MACs of fingerprints, in HMAC-SHA-256 and in AES-256. */
  readonly macKey: KeyObject;
  readonly blockKey: KeyObject;
};

export type Keyring = { readonly newest: VaultKey; readonly ofVersion: (version: number) => VaultKey };

const fileName = /^token-data\.(\d{1,9})\.key$/;

/** Reads `token-data.<version>.key` files, each 32 bytes in base64. Throws StartError when one is missing or wrong. */
export function readKeyring(folder: string): Keyring {
  const keys = new Map<number, VaultKey>();
  for (const name of namesIn(folder)) {
    const version = Number(fileName.exec(name)?.[1] ?? Number.NaN);
    if (Number.isNaN(version)) continue;
    const secret = Buffer.from(readFileSync(join(folder, name), "utf8").trim(), "base64");
    if (secret.length !== 32)
      throw new StartError(
        `${join(folder, name)} is no key: it must hold 32 bytes in base64 (openssl rand -base64 32).`,
      );
    keys.set(version, vaultKeyOf(version, secret));
  }
  const newest = keys.get(Math.max(...keys.keys()));
  if (newest === undefined)
    throw new StartError(
      `no key for token data in ${folder}: put one there as token-data.1.key (openssl rand -base64 32), or set KEYRING_DIR.`,
    );
  return {
    newest,
    ofVersion(version) {
      const key = keys.get(version);
      if (key === undefined) throw new Error(`the keyring has no version ${version}`);
      return key;
    },
  };
}

/** Derives a key for each use from one secret, so that none weakens another. */
export function vaultKeyOf(version: number, secret: Uint8Array): VaultKey {
  const derived = (purpose: string) =>
    createSecretKey(new Uint8Array(hkdfSync("sha256", secret, "", `mpp.token ${purpose}`, 32)));
  return {
    version,
    sealKey: derived("seal"),
    macKey: derived("fingerprint"),
    blockKey: derived("fingerprint block"),
  };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
