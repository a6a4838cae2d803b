// Throw-away keys for one machine: made on first use, marked as such, never made in production.
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newPemPair } from "./key-files.js";

export const devClientId = "SANDBOX_DEVELOPMENT";

/** Where the keys of Alipay+'s side lie, which only a sender needs. */
export const senderFolder = (dataDir: string): string => join(dataDir, "sender", devClientId);

const mark = "Development key, made by npm start. Not for production.\n";

function write(folder: string, name: string, text: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, name), text, { mode: 0o600 });
}

/** Makes what is missing; true when it made something. */
export async function makeDevKeys(dataDir: string, keysDir: string): Promise<boolean> {
  if (existsSync(keysDir)) return false;
  const [theirs, ours] = await Promise.all([newPemPair(), newPemPair()]);
  const sender = senderFolder(dataDir);
  write(sender, "alipayplus.1.private.pem", mark + theirs.privatePem);
  write(sender, "own.1.public.pem", mark + ours.publicPem);
  const client = join(keysDir, devClientId);
  write(client, "own.1.private.pem", mark + ours.privatePem);
  write(client, "alipayplus.1.public.pem", mark + theirs.publicPem);
  return true;
}

/** Makes a key for token data at rest when the folder is missing; true when it made one. */
export function makeDevKeyring(keyringDir: string): boolean {
  if (existsSync(keyringDir)) return false;
  write(keyringDir, "token-data.1.key", `${randomBytes(32).toString("base64")}\n`);
  return true;
}
