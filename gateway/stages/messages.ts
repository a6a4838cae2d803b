// What travels between the stages: each arrow of the journey is a type that only its stage can make.
// A stage puts what it adds before what it spreads: to what a spread has made, V8 adds no member without a new hidden class
// for that one object, and all who read it later search for each of its members.
import type { IncomingHttpHeaders } from "node:http";
import type { Message } from "@bufbuild/protobuf";
import type { Endpoint } from "../alipayplus/endpoints.js";
import type { Json } from "../alipayplus/json.js";
import type { Result } from "../alipayplus/result.js";

/** A request line and headers, before any of the body. */
export type RequestHead = {
  readonly method: string;
  /** Path as received: raw, without the query. */
  readonly path: string;
  /** What stands behind "?", where that is there. */
  readonly query?: string | undefined;
  readonly headers: IncomingHttpHeaders;
};

/** A request whose path, method and media type are those of an API. */
export type AdmittedRequest = RequestHead & { readonly endpoint: Endpoint };

/** With the exact bytes of its body. */
export type RawRequest = AdmittedRequest & { readonly body: Buffer };

declare const isVerified: unique symbol;
/** Signed by the client it names. Only verify() makes one. */
export type VerifiedRequest = RawRequest & { readonly clientId: string; readonly [isVerified]: true };

/** An rpc to make. */
export type Call = {
  readonly endpoint: Endpoint;
  readonly request: Message;
  readonly ignoredMembers: number;
  /** The token's reference, for the log. */
  readonly tokenReferenceId?: string | undefined;
};

/** The trace that a delivery belongs to, and the delivery's own span in it. */
export type Trace = {
  readonly traceId: string;
  readonly spanId: string;
  readonly isSampled: boolean;
  /** The three, as they travel. */
  readonly traceparent: string;
  /** The sender's span. */
  readonly parentSpanId?: string;
};

/** What the rpc answered. */
export type Reply = { readonly endpoint: Endpoint; readonly response: Message };

/** What Alipay+ is told: the result, and the members beside it. */
export type Answer = { readonly result: Result; readonly members: { [name: string]: Json } };

/** The text to send and the headers that go with it. */
export type SignedAnswer = { readonly body: string; readonly headers: Readonly<Record<string, string>> };
