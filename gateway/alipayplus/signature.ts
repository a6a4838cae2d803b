// Alipay+ signatures: what text is signed, how the header is written, and RSA256 over it.
import { type KeyObject, sign, verify } from "node:crypto";

/** What a signature covers. `time` is Request-Time or Response-Time, as written in the header. */
export type SignedContent = {
  readonly method: string;
  /** The path as received: raw, without host and query. */
  readonly path: string;
  readonly clientId: string;
  readonly time: string;
  /** The exact bytes on the wire. */
  readonly body: Uint8Array;
};

/** `<method> <path>\n<client-id>.<time>.`: what stands before the body. */
const beforeBody = ({ method, path, clientId, time }: Omit<SignedContent, "body">): string =>
  `${method} ${path}\n${clientId}.${time}.`;

/** `<method> <path>\n<client-id>.<time>.<body>`, as bytes. */
export function contentToSign(content: SignedContent): Buffer {
  return Buffer.concat([Buffer.from(beforeBody(content), "utf8"), content.body]);
}

/** The same of a body that is text; signed in UTF-8. */
export const textToSign = (content: Omit<SignedContent, "body"> & { readonly body: string }): string =>
  beforeBody(content) + content.body;

/** The parts of a Signature header; keyVersion is absent when the header leaves it to the receiver. */
export type SignatureHeader = { readonly keyVersion?: string; readonly signature: string };

/** As Alipay+ writes the header. */
const usualHeader = /^algorithm=RSA256, ?keyVersion=(\d+), ?signature=([^,\s]+)$/;

/** Reads `algorithm=RSA256, keyVersion=1, signature=<value>`. Undefined when it is not that, or of another algorithm. */
export function parseSignatureHeader(header: string): SignatureHeader | undefined {
  const usual = usualHeader.exec(header);
  if (usual) return { keyVersion: usual[1] as string, signature: usual[2] as string };
  const parts = new Map<string, string>();
  for (const part of header.split(",")) {
    const equals = part.indexOf("=");
    const name = part.slice(0, Math.max(equals, 0)).trim();
    // A name given twice leaves open which one counts.
    if (name === "" || parts.has(name)) return undefined;
    parts.set(name, part.slice(equals + 1).trim());
  }
  const [algorithm, keyVersion, signature] = [parts.get("algorithm"), parts.get("keyVersion"), parts.get("signature")];
  if (!signature || (algorithm ?? "RSA256").toUpperCase() !== "RSA256") return undefined;
  return keyVersion === undefined ? { signature } : { keyVersion, signature };
}

export function formatSignatureHeader(keyVersion: number, signature: Uint8Array): string {
  const value = encodeURIComponent(Buffer.from(signature).toString("base64"));
  return `algorithm=RSA256,keyVersion=${keyVersion},signature=${value}`;
}

/**
 * The bytes of a signature value: percent-encoded or plain, in the standard or the URL alphabet, padded or not, and then
 * canonical base64 of exactly `length` bytes. Undefined for anything else.
 */
export function signatureBytes(value: string, length: number): Buffer | undefined {
  let text = value;
  if (value.includes("%")) {
    try {
      text = decodeURIComponent(value); // leaves "+" alone, unlike form decoding
    } catch {
      return undefined;
    }
  }
  // Before any search: the sender of a header this long has not proved anything yet.
  if (text.length > Math.ceil(length / 3) * 4) return undefined;
  const digits = withoutPadding(text);
  const padding = text.slice(digits.length);
  if (padding !== "" && (text.length % 4 !== 0 || (padding !== "=" && padding !== "=="))) return undefined;
  const encoding = /^[A-Za-z0-9_-]*$/.test(digits) ? "base64url" : "base64";
  const bytes = Buffer.from(digits, encoding);
  // Decoding skips what it does not know; only what encodes back to the same text was canonical.
  if (bytes.length !== length || withoutPadding(bytes.toString(encoding)) !== digits) return undefined;
  return bytes;
}

function withoutPadding(base64: string): string {
  const end = base64.indexOf("=");
  return end === -1 ? base64 : base64.slice(0, end);
}

/** RSASSA-PKCS1-v1_5 with SHA-256. Synchronous: a verification costs less than a hop to the thread pool. */
export function isSignedBy(content: Buffer, signature: SignatureHeader, publicKey: KeyObject): boolean {
  const length = Math.ceil((publicKey.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
  const bytes = signatureBytes(signature.signature, length);
  return bytes !== undefined && verify("sha256", content, publicKey, bytes);
}

/** RSASSA-PKCS1-v1_5 with SHA-256, in the thread pool: it costs some twenty times a verification. */
export function rsaSign(content: Buffer, privateKey: KeyObject): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    sign("sha256", content, privateKey, (error, signature) => (error ? reject(error) : resolve(signature)));
  });
}
