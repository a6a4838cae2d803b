// Throw-away keys for one machine: made on first use, marked as such, never made in production.
import { generateKeyPair, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const newKeyPair = promisify(generateKeyPair);

export const devClientId = "SANDBOX_DEVELOPMENT";

/** Where the keys of Alipay+'s side lie, which only a sender needs. */
export const senderFolder = (dataDir: string): string => join(dataDir, "sender", devClientId);

const mark = "Development key, made by npm start. Not for production.\n";

function write(folder: string, name: string, text: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, name), text, { mode: 0o600 });
}

async function pemPair(): Promise<{ publicPem: string; privatePem: string }> {
  const { publicKey, privateKey } = await newKeyPair("rsa", { modulusLength: 2048 });
  return {
    publicPem: mark + publicKey.export({ type: "spki", format: "pem" }),
    privatePem: mark + privateKey.export({ type: "pkcs8", format: "pem" }),
  };
}

/** Makes what is missing; true when it made something. */
export async function makeDevKeys(dataDir: string, keysDir: string): Promise<boolean> {
  if (existsSync(keysDir)) return false;
  const [theirs, ours] = await Promise.all([pemPair(), pemPair()]);
  const sender = senderFolder(dataDir);
  write(sender, "alipayplus.1.private.pem", theirs.privatePem);
  write(sender, "own.1.public.pem", ours.publicPem);
  const client = join(keysDir, devClientId);
  write(client, "own.1.private.pem", ours.privatePem);
  write(client, "alipayplus.1.public.pem", theirs.publicPem);
  return true;
}

/** Makes a key for token data at rest when the folder is missing; true when it made one. */
export function makeDevKeyring(keyringDir: string): boolean {
  if (existsSync(keyringDir)) return false;
  write(keyringDir, "token-data.1.key", `${randomBytes(32).toString("base64")}\n`);
  return true;
}
