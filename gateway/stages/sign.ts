// Answer -> SignedAnswer: the very text that is sent, signed. Equal texts are signed once.
import type { KeyObject } from "node:crypto";
import { contentToSign, formatSignatureHeader, rsaSign } from "../alipayplus/signature.js";
import { wholeSecond } from "../alipayplus/time.js";
import type { Answer, RequestHead, SignedAnswer } from "./messages.js";

/** Who signs: the client the request names, or the default one. */
export type Signatory = { readonly clientId: string; readonly keyVersion: number; readonly key: KeyObject };

export type Signer = {
  /** The Signature header for a text, or undefined when nobody may buy another private-key operation now. */
  readonly sign: (content: Buffer, by: Signatory, isAuthentic: boolean) => Promise<string | undefined>;
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
  const plain = { "Content-Type": "application/json; charset=UTF-8", "Response-Time": time };
  if (by === undefined) return { body, headers: plain };
  const content = contentToSign({
    method: head.method,
    path: head.path,
    clientId: by.clientId,
    time,
    body: Buffer.from(body, "utf8"),
  });
  const signature = await signer.sign(content, by, isAuthentic);
  const headers = { ...plain, "Client-Id": by.clientId };
  return { body, headers: signature === undefined ? headers : { ...headers, Signature: signature } };
}

export type SignerLimits = {
  /** Signatures kept; older ones go first. All of them are stale after a second. */
  readonly memoSize: number;
  /** Private-key operations a second that requests without a valid signature may cause. */
  readonly refusalsPerSecond: number;
};

/**
 * A signer that remembers: Response-Time in whole seconds and PKCS#1 v1.5 make equal answers of a second equal texts with
 * equal signatures. Calls for a text that is being signed wait for that one signature.
 */
export function createSigner({ memoSize, refusalsPerSecond }: SignerLimits, nowMs: () => number): Signer {
  const memo = new Map<string, Promise<string>>();
  let second = 0;
  let spent = 0;
  const mayBuy = (): boolean => {
    const now = Math.floor(nowMs() / 1000);
    if (now !== second) [second, spent] = [now, 0];
    spent += 1;
    return spent <= refusalsPerSecond;
  };
  return {
    async sign(content, by, isAuthentic) {
      const text = `${by.keyVersion} ${content.toString("latin1")}`;
      const known = memo.get(text);
      if (known) return known;
      if (!isAuthentic && !mayBuy()) return undefined;
      const signing = rsaSign(content, by.key).then((signature) => formatSignatureHeader(by.keyVersion, signature));
      memo.set(text, signing);
      signing.catch(() => memo.delete(text));
      const oldest = memo.size > memoSize ? memo.keys().next().value : undefined;
      if (oldest !== undefined) memo.delete(oldest);
      return signing;
    },
  };
}
