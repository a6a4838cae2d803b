// Throw-away keys for tests: those of the signature vectors, laid out as the gateway wants them.
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Sender } from "../../tools/sender.js";

export type VectorKey = "aplus" | "mpp" | "other";
export type Vector = {
  id: string;
  direction: string;
  key: VectorKey;
  method: string;
  uri: string;
  clientId: string;
  time: string;
  bodyBase64: string;
  contentSha256?: string;
  signatureHeader: string;
  expect: "valid" | "lenient" | "invalid";
};

const file = new URL("../vectors/signature.json", import.meta.url);
const content = JSON.parse(readFileSync(file, "utf8")) as {
  keys: Record<VectorKey, { privatePkcs8Base64: string; publicSpkiBase64: string }>;
  vectors: Vector[];
};

export const { vectors } = content;

export const privateKey = (name: VectorKey): KeyObject =>
  createPrivateKey({ key: Buffer.from(content.keys[name].privatePkcs8Base64, "base64"), format: "der", type: "pkcs8" });
export const publicKey = (name: VectorKey): KeyObject =>
  createPublicKey({ key: Buffer.from(content.keys[name].publicSpkiBase64, "base64"), format: "der", type: "spki" });

export const publicPem = (name: VectorKey): string => publicKey(name).export({ type: "spki", format: "pem" }) as string;
export const privatePem = (name: VectorKey): string =>
  privateKey(name).export({ type: "pkcs8", format: "pem" }) as string;

export const testClientId = "TEST_CLIENT";

/** The sender that `writeClient` lets in by default. */
export const testSender: Sender = {
  clientId: testClientId,
  keyVersion: 1,
  privateKey: privateKey("aplus"),
  receiverKey: publicKey("mpp"),
};

/** Writes a client's folder of keys: Alipay+'s public keys by version, and our own private one. */
export function writeClient(
  keysDir: string,
  clientId = testClientId,
  theirs: Record<number, VectorKey> = { 1: "aplus" },
  ours: Record<number, VectorKey> = { 1: "mpp" },
): string {
  const folder = join(keysDir, clientId);
  mkdirSync(folder, { recursive: true });
  for (const [version, name] of Object.entries(theirs))
    writeFileSync(join(folder, `alipayplus.${version}.public.pem`), publicPem(name));
  for (const [version, name] of Object.entries(ours))
    writeFileSync(join(folder, `own.${version}.private.pem`), privatePem(name));
  return folder;
}

export function writeKeyring(keyringDir: string, version = 1): void {
  mkdirSync(keyringDir, { recursive: true });
  writeFileSync(join(keyringDir, `token-data.${version}.key`), randomBytes(32).toString("base64"));
}
