// Notifications signed before anything is measured: whole HTTP requests as bytes, distinct tokens, kept for a day.
import { createHash, createPrivateKey, createPublicKey } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { devClientId, makeDevKeys, senderFolder } from "../tools/dev-keys.js";
import { type Sender, signRequest } from "../tools/sender.js";

export const apiPath = "/aps/api/v1/tokenActivationNotification";
const url = new URL(`http://127.0.0.1${apiPath}`);

/** Keys of a bench folder: what the receivers read, and the sender's side. */
export type BenchKeys = { readonly keysDir: string; readonly sender: Sender };

/** Makes the keys on first use. All systems have the same ones. */
export async function benchKeys(folder: string): Promise<BenchKeys> {
  const keysDir = resolve(folder, "keys");
  await makeDevKeys(folder, keysDir);
  return { keysDir, sender: senderOf(folder) };
}

export function senderOf(folder: string): Sender {
  const pem = (name: string): string => readFileSync(join(senderFolder(folder), name), "utf8");
  return {
    clientId: devClientId,
    keyVersion: 1,
    privateKey: createPrivateKey(pem("alipayplus.1.private.pem")),
    receiverKey: createPublicKey(pem("own.1.public.pem")),
  };
}

/** The body of a notification about a token of its own: every field, and 0.9 KB in all. */
export function bodyOf(index: number, run: string): Buffer {
  return Buffer.from(
    JSON.stringify({
      tokenReferenceId: `BENCH-${run}-${index.toString().padStart(9, "0")}`,
      customerId: `customer-${index >> 1}`,
      walletId: "103",
      tokenRequestorId: "50110030273",
      secureElementId: "04AABBCCDDEEFF00112233445566778899AABBCCDDEEFF00",
      accountSource: "ACCOUNT_ON_FILE",
      serviceRequestTime: "2026-01-02T11:04:05+08:00",
      tokenActivatedTime: "2026-01-02T11:05:06.789+08:00",
      tokenData: {
        token: (5_345_678_900_000_000 + index).toString(),
        expiryMonth: "10",
        expiryYear: "28",
        sequenceNumber: "01",
        ...undeclaredMembers(index),
      },
    }),
  );
}

/** Members of tokenData that no schema declares, as a card network might send them. */
export const undeclaredMembers = (index: number) => ({
  tokenUniqueReference: `DM4MMC1US000000${index.toString(16).padStart(33, "0")}`,
  paymentAccountReference: `500181${index.toString().padStart(23, "0")}`,
  productCategory: "CREDIT",
  tokenStatus: "ACTIVE",
  issuerName: "the issuer of this token.",
  cardArtReference: "https://assets.example.com/card-art/3789637f32b5411a9ed7f1b8e5a20e91",
  termsAndConditionsReference: "https://assets.example.com/terms/3789637f32b5411a9ed7f1b8e5a20e91",
  supportsAuthentication: "true",
});

/** The bytes of one whole request with keep-alive. */
export async function requestOf(sender: Sender, body: Buffer, nowMs?: number): Promise<Buffer> {
  const { headers } = await signRequest(sender, url, body, nowMs);
  return Buffer.concat([Buffer.from(headText(headers, body.length), "latin1"), body]);
}

function headText(headers: Readonly<Record<string, string>>, length: number): string {
  const all = { Host: "127.0.0.1", ...headers, "Content-Length": String(length) };
  return `POST ${apiPath} HTTP/1.1\r\n${Object.entries(all)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}\r\n`;
}

/** The same requests with the signature of another: well-formed, and false. */
export function forged(requests: readonly Buffer[]): Buffer[] {
  const signature = /\r\nSignature: [^\r]*/;
  const heads = requests.map((request) => {
    const end = request.indexOf("\r\n\r\n");
    return { head: request.toString("latin1", 0, end), rest: request.subarray(end) };
  });
  return heads.map(({ head, rest }, index) => {
    const other = heads[(index + 1) % heads.length]?.head ?? "";
    const foreign = signature.exec(other)?.[0] ?? "";
    return Buffer.concat([
      Buffer.from(
        head.replace(signature, () => foreign),
        "latin1",
      ),
      rest,
    ]);
  });
}

/** Receivers take a Request-Time of 26 hours; a run should end well before. */
const freshForMs = 20 * 3_600_000;

type Kept = { readonly madeMs: number; readonly run: string; readonly lengths: readonly number[] };

/** Reads the corpus that `signCorpus` left. */
export function readCorpus(folder: string, count: number): Buffer[] {
  const { kept, bytes } = keptIn(folder);
  const requests: Buffer[] = [];
  let at = 0;
  for (const length of kept.lengths.slice(0, count)) {
    requests.push(bytes.subarray(at, at + length));
    at += length;
  }
  return requests;
}

const files = (folder: string) => ({ meta: join(folder, "corpus.json"), data: join(folder, "corpus.bin") });

function keptIn(folder: string): { kept: Kept; bytes: Buffer } {
  const { meta, data } = files(folder);
  return { kept: JSON.parse(readFileSync(meta, "utf8")), bytes: readFileSync(data) };
}

/** Signs as many as are missing, and keeps them in the folder. Signing costs 0.8 ms of a core each. */
export async function signCorpus(
  folder: string,
  sender: Sender,
  count: number,
  onSigned: (count: number) => void,
): Promise<void> {
  const { meta, data } = files(folder);
  mkdirSync(folder, { recursive: true });
  const old = existsSync(meta) && existsSync(data) ? keptIn(folder) : undefined;
  const now = Date.now();
  const run = createHash("sha256").update(`${now}`).digest("hex").slice(0, 8);
  const isFresh = old !== undefined && now - old.kept.madeMs < freshForMs;
  const kept: Kept = isFresh ? old.kept : { madeMs: now, run, lengths: [] };
  const missing = count - kept.lengths.length;
  if (missing <= 0) return onSigned(count);
  const more: Buffer[] = [];
  let next = kept.lengths.length;
  onSigned(next);
  const work = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      more[index - kept.lengths.length] = await requestOf(sender, bodyOf(index, kept.run), now);
      onSigned(kept.lengths.length + more.length);
    }
  };
  // As many as the thread pool has threads.
  await Promise.all(Array.from({ length: 4 }, work));
  const bytes = Buffer.concat([...(isFresh ? [old.bytes] : []), ...more]);
  const all: Kept = { ...kept, lengths: [...kept.lengths, ...more.map((request) => request.length)] };
  writeFileSync(`${data}.new`, bytes);
  writeFileSync(`${meta}.new`, JSON.stringify(all));
  renameSync(`${data}.new`, data);
  renameSync(`${meta}.new`, meta);
}
