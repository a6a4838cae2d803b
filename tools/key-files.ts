// RSA keys as files and as lines: made, read in whatever form they come, and told apart by their fingerprints.
import { createHash, createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";

const newKeyPair = promisify(generateKeyPair);

export type PemPair = { readonly privatePem: string; readonly publicPem: string };

/** A new pair: the private key as PKCS#8, the public one as SPKI. */
export async function newPemPair(bits = 2048): Promise<PemPair> {
  const { publicKey, privateKey } = await newKeyPair("rsa", { modulusLength: bits });
  return {
    privatePem: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    publicPem: publicKey.export({ type: "spki", format: "pem" }) as string,
  };
}

const spkiOf = (key: KeyObject): Buffer => key.export({ type: "spki", format: "der" });

/** The public key in one line of base64: SPKI in DER, as Alipay+ takes it. */
export const publicLineOf = (key: KeyObject): string => spkiOf(key).toString("base64");

/** SHA-256 of the public key's SPKI in DER, in hex: what `openssl pkey -pubin -outform DER | sha256sum` prints. */
export const fingerprintOf = (key: KeyObject): string => createHash("sha256").update(spkiOf(key)).digest("hex");

export type KeyForm = "PKCS#8" | "PKCS#1" | "SPKI" | "certificate";

export type ReadKey = {
  readonly form: KeyForm;
  /** Whether the file holds it in PEM; in one line of base64 otherwise. */
  readonly isPem: boolean;
  readonly privateKey?: KeyObject;
  readonly publicKey: KeyObject;
};

/** A file that holds no key; the message names the file and says why, never what is in it. */
export class KeyFileError extends Error {}

const pemForms: readonly [label: RegExp, form: KeyForm, isPrivate: boolean][] = [
  [/-----BEGIN PRIVATE KEY-----/, "PKCS#8", true],
  [/-----BEGIN RSA PRIVATE KEY-----/, "PKCS#1", true],
  [/-----BEGIN PUBLIC KEY-----/, "SPKI", false],
  [/-----BEGIN RSA PUBLIC KEY-----/, "PKCS#1", false],
  [/-----BEGIN CERTIFICATE-----/, "certificate", false],
];

/** Reads a private or public key: PEM of any form, or a line of base64 as Alipay+ shows it. Throws KeyFileError. */
export function readKey(file: string): ReadKey {
  const text = textOf(file);
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text))
    throw new KeyFileError(`the key in ${file} is encrypted: decrypt it with openssl pkey -in ${file}`);
  const [, form, isPrivate] = pemForms.find(([label]) => label.test(text)) ?? [];
  if (form !== undefined) {
    const key = attempt(() => (isPrivate ? createPrivateKey(text) : createPublicKey(text)));
    if (key) return { form, isPem: true, ...halvesOf(key) };
  }
  const line = text.replaceAll(/\s/g, "");
  if (/^[A-Za-z0-9+/]+={0,2}$/.test(line)) {
    const der = Buffer.from(line, "base64");
    const publicKey = attempt(() => createPublicKey({ key: der, format: "der", type: "spki" }));
    if (publicKey) return { form: "SPKI", isPem: false, publicKey };
    const privateKey = attempt(() => createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
    if (privateKey) return { form: "PKCS#8", isPem: false, ...halvesOf(privateKey) };
  }
  throw new KeyFileError(`there is no key in ${file}: it must be PEM, or one line of base64`);
}

/** The private key in a file; throws KeyFileError when it holds a public one or none. */
export function readPrivateKey(file: string): KeyObject {
  const { privateKey } = readKey(file);
  if (privateKey === undefined) throw new KeyFileError(`${file} holds a public key where a private one is needed`);
  return privateKey;
}

/** The public key in a file, of a private one too. */
export const readPublicKey = (file: string): KeyObject => readKey(file).publicKey;

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new KeyFileError(`there is no key in ${file} (${(error as NodeJS.ErrnoException).code})`);
  }
}

function attempt(parse: () => KeyObject): KeyObject | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}

const halvesOf = (key: KeyObject): Pick<ReadKey, "privateKey" | "publicKey"> =>
  key.type === "private" ? { privateKey: key, publicKey: createPublicKey(key) } : { publicKey: key };
