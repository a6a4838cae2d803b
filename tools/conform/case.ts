// What a case is: requests that differ from a good one in a known way, and what may come back.
import type { Json } from "../../gateway/alipayplus/json.js";
import type { ResultCode } from "../../gateway/alipayplus/result.js";
import type { Members } from "../samples.js";
import type { ReceivedAnswer } from "../sender.js";
import type { RuleName } from "./rules.js";

/** Sets a member by its path, through the first item of an array; undefined takes it out. */
export type Change = readonly [path: readonly string[], value: Json | undefined];

/** A header as it is written; undefined leaves out the one that usually has this name. */
export type HeaderChange = readonly [name: string, value: string | undefined];

/** What is signed, where that is not what is sent. */
export type Signing = {
  readonly method?: string;
  readonly path?: (path: string) => string;
  readonly clientId?: string;
  readonly time?: string;
  readonly body?: (body: Buffer) => Buffer;
  /** Changes all that is signed. */
  readonly content?: (content: Buffer) => Buffer;
  readonly by?: "sender" | "stranger";
  readonly scheme?: "PKCS#1 v1.5 with SHA-256" | "PKCS#1 v1.5 with SHA-1" | "PSS with SHA-256";
};

/** Writes the Signature header from the key version and the base64 of the signature. */
export type SignatureSpelling = (keyVersion: number, base64: string) => string | undefined;

export type Exchange = {
  /** Exchanges of a case with the same number are about the same thing. */
  readonly about?: number;
  readonly changes?: readonly Change[];
  /** How the members become bytes. */
  readonly write?: (members: Members) => string | Buffer;
  readonly method?: string;
  /** The request target, from the path of the API. */
  readonly target?: (path: string) => string;
  /** The Client-Id to send and to sign, from the sender's. */
  readonly clientId?: (clientId: string) => string;
  readonly keyVersion?: number;
  /** Request-Time, from now in milliseconds. */
  readonly time?: (nowMs: number) => string;
  readonly sign?: Signing;
  readonly spell?: SignatureSpelling;
  readonly headers?: readonly HeaderChange[];
  /** The names of all headers, changed. */
  readonly nameHeaders?: (name: string) => string;
  readonly isChunked?: boolean;
  /** How many of it are sent at once. */
  readonly copies?: number;
  readonly expect: Expectation;
};

export type Expectation = {
  /** Each of these codes is right. */
  readonly codes: readonly ResultCode[];
  /** These are not what the rule asks for, and no breach of it either: reported without failing. */
  readonly tolerated?: readonly ResultCode[];
};

type Named = {
  /** Unique and stable: a path of words. */
  readonly name: string;
  /** What is sent, or looked at, in a few words. */
  readonly what: string;
  readonly rule: RuleName;
};

/** A case that sends. */
export type ExchangeCase = Named & { readonly exchanges: readonly Exchange[] };

/** An answer of the run and what it answered. */
export type Seen = {
  readonly caseName: string;
  /** Place of the case in the suite. */
  readonly number: number;
  readonly method: string;
  readonly path: string;
  readonly clientId: string;
  /** The request was signed by the sender, under his Client-Id and key version. */
  readonly isAuthentic: boolean;
  readonly sentMs: number;
  /** What was sent and must not come back. */
  readonly secrets: readonly string[];
  readonly answer: ReceivedAnswer;
  readonly result: unknown;
  /** Whether the answer's signature holds for that method in place of the request's. */
  readonly holdsFor: (method: string) => boolean;
};

/** A case that looks at the answers that the strict cases got. */
export type AnswerCase = Named & {
  readonly among: (seen: Seen) => boolean;
  /** What is wrong with an answer; undefined when nothing is. */
  readonly check: (seen: Seen) => string | undefined;
};

export type Case = ExchangeCase | AnswerCase;

export const succeeds: Expectation = { codes: ["SUCCESS"] };
/** Content that keeps the rules may still be refused for a reason of business, such as a customer who does not exist. */
export const isTaken: Expectation = { codes: ["SUCCESS"], tolerated: ["PROCESS_FAIL"] };
export const isRefusedAs = (...codes: ResultCode[]): Expectation => ({ codes });
export const isIllegal: Expectation = isRefusedAs("PARAM_ILLEGAL");

/** A case of one exchange. */
export const single = (
  name: string,
  rule: RuleName,
  what: string,
  exchange: Omit<Exchange, "expect">,
  expect: Expectation,
): ExchangeCase => ({ name, rule, what, exchanges: [{ ...exchange, expect }] });
