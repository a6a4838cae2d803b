// The keys for token data at rest: versions side by side, of which the highest seals.
import { createSecretKey, hkdfSync, type KeyObject } from "node:crypto";
import { every } from "../../../lib/every.js";
import type { Loaded } from "../../../lib/folder.js";
import type { KeySource, Secrets } from "./key-source.js";

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

/** A keyring of these secrets, of which there must be one. */
export function keyringOf(secrets: Secrets): Keyring {
  const keys = new Map([...secrets].map(([version, secret]) => [version, vaultKeyOf(version, secret)]));
  const newest = keys.get(Math.max(...keys.keys()));
  if (newest === undefined) throw new Error("a keyring needs a key");
  return {
    newest,
    ofVersion(version) {
      const key = keys.get(version);
      if (key === undefined) throw new Error(`the keyring has no version ${version}`);
      return key;
    },
  };
}

/**
 * The keyring of a source, taken anew when its stamp changes. The first time may throw; a later failure keeps the keyring at
 * hand, goes to `onFailure`, and is tried again after `everyMs`.
 */
export async function loadKeyring(
  source: KeySource,
  everyMs: number,
  onChange: (keyring: Keyring) => void,
  onFailure: (error: unknown) => void,
): Promise<Loaded<Keyring>> {
  let seen = await source.stamp();
  let keyring = keyringOf(await source.secrets());
  const { stop } = every(
    everyMs,
    async () => {
      const stamp = await source.stamp();
      if (stamp === seen) return;
      keyring = keyringOf(await source.secrets());
      seen = stamp;
      onChange(keyring);
    },
    onFailure,
  );
  return { current: () => keyring, stop };
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
