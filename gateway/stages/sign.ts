// Answer -> SignedAnswer: the very text that is sent, signed. Equal texts are signed once.
import type { KeyObject } from "node:crypto";
import { bounded } from "../../lib/bounded.js";
import { formatSignatureHeader, rsaSign, textToSign } from "../alipayplus/signature.js";
import { wholeSecond } from "../alipayplus/time.js";
import type { Answer, RequestHead, SignedAnswer } from "./messages.js";

/** Who signs: the client the request names, or the default one. */
export type Signatory = { readonly clientId: string; readonly keyVersion: number; readonly key: KeyObject };

export type Signer = {
  /** The Signature header for a text, or undefined when nobody may buy another private-key operation now. */
  readonly sign: (text: string, by: Signatory, isAuthentic: boolean) => Promise<string | undefined> | undefined;
  /** Private-key operations that wait for a core. */
  readonly waiting: () => number;
};

export async function sign(
  answer: Answer,
  head: RequestHead,
  by: Signatory | undefined,
  isAuthentic: boolean,
  signer: Signer,
  nowMs: number,
): Promise<SignedAnswer> {
  // An answer to HEAD has no body, and what is signed is what is sent.
  const body = head.method === "HEAD" ? "" : JSON.stringify({ result: answer.result, ...answer.members });
  const time = wholeSecond(nowMs);
  const plain = { "Content-Type": contentType, "Response-Time": time };
  if (by === undefined) return { body, headers: plain };
  const text = textToSign({ method: head.method, path: head.path, clientId: by.clientId, time, body });
  const signature = await signer.sign(text, by, isAuthentic);
  const headers = { "Content-Type": contentType, "Response-Time": time, "Client-Id": by.clientId };
  return { body, headers: signature === undefined ? headers : Object.assign(headers, { Signature: signature }) };
}

const contentType = "application/json; charset=UTF-8";

export type SignerLimits = {
  /** Signatures kept; older ones go first. All of them are stale after a second. 0 signs every answer anew. */
  readonly memoSize: number;
  /** Private-key operations at once, and how many may wait for their turn; what comes then goes out unsigned. */
  readonly atOnce: number;
  readonly mostWaiting: number;
  /** Private-key operations a second that requests without a valid signature may cause. */
  readonly refusalsPerSecond: number;
};

/**
 * A signer that remembers: Response-Time in whole seconds and PKCS#1 v1.5 make equal answers of a second equal texts with
 * equal signatures. Calls for a text that is being signed wait for that one signature.
 */
export function createSigner(limits: SignerLimits, nowMs: () => number): Signer {
  const { memoSize, refusalsPerSecond, atOnce, mostWaiting } = limits;
  const memo = new Map<string, Promise<string>>();
  const operations = bounded(atOnce, mostWaiting);
  let second = 0;
  let spent = 0;
  const mayBuy = (): boolean => {
    const now = Math.floor(nowMs() / 1000);
    if (now !== second) [second, spent] = [now, 0];
    spent += 1;
    return spent <= refusalsPerSecond;
  };
  return {
    waiting: operations.waiting,
    sign(text, by, isAuthentic) {
      const key = `${by.keyVersion} ${text}`;
      const known = memo.get(key);
      if (known) return known;
      if (!isAuthentic && !mayBuy()) return undefined;
      const signing = operations
        .run(() => rsaSign(Buffer.from(text, "utf8"), by.key))
        ?.then((signature) => formatSignatureHeader(by.keyVersion, signature));
      if (signing === undefined || memoSize === 0) return signing;
      memo.set(key, signing);
      signing.catch(() => memo.delete(key));
      const oldest = memo.size > memoSize ? memo.keys().next().value : undefined;
      if (oldest !== undefined) memo.delete(oldest);
      return signing;
    },
  };
}
