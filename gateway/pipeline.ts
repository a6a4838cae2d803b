// The story of a request: admit -> read -> verify -> decode -> invoke -> encode -> sign.
import { Code, ConnectError } from "@connectrpc/connect";
import type { Endpoint, Endpoints } from "./alipayplus/endpoints.js";
import {
  type ConflictCode,
  type Fault,
  faultOf,
  isOurFault,
  Refusal,
  type Result,
  resultOf,
  resultOfError,
} from "./alipayplus/result.js";
import type { Clients } from "./keys.js";
import type { Leave, Limits } from "./limits.js";
import type { Spread } from "./spread.js";
import { admit } from "./stages/admit.js";
import { decode } from "./stages/decode.js";
import { encode } from "./stages/encode.js";
import { invoke } from "./stages/invoke.js";
import type { Answer, RawRequest, RequestHead, SignedAnswer, Trace, VerifiedRequest } from "./stages/messages.js";
import { type Signer, sign } from "./stages/sign.js";
import { type Checks, verify } from "./stages/verify.js";

export type PipelineDeps = {
  readonly endpoints: Endpoints;
  readonly clients: () => Clients;
  readonly limits: Limits;
  readonly checks: Checks;
  readonly dialect: DialectSettings;
  readonly spread: Spread;
  readonly deadlineMs: number;
  readonly signer: Signer;
  readonly nowMs: () => number;
  readonly newDeliveryId: () => string;
  /** The trace of a delivery; the header traceparent counts only in a request whose signature held. */
  readonly traceOf: (deliveryId: string, traceparent: string | string[] | undefined) => Trace;
  readonly observe: (journey: Journey) => void;
  /** Says for the log why a request was not verified; undefined where it has nothing to say. */
  readonly hintFor?: (request: RawRequest, result: Result) => string | undefined;
};

/** What Alipay+ leaves open, see docs/alipayplus.md. */
export type DialectSettings = {
  /** JSON names of enum fields whose unknown words count as absent. */
  readonly lenientEnums: ReadonlySet<string>;
  /** What a conflicting repeat is told. */
  readonly conflictCode: ConflictCode;
  /** Sign answers to requests whose signature did not hold. */
  readonly signsUnverified: boolean;
};

/** The stages that take time. */
export type StageName = "read" | "verify" | "decode" | "rpc" | "sign";

/** What is known of one request when its answer is ready; filled on the way. */
export type Journey = {
  readonly deliveryId: string;
  readonly startedMs: number;
  /** When it began, by performance.now(). */
  readonly beganAt: number;
  /** When each stage began, in order; it ended when the next one did, and the last one at `endedAt`. */
  readonly stages: { readonly name: StageName; readonly at: number }[];
  endedAt: number;
  /** The request, once its signature held. */
  verified?: VerifiedRequest;
  tokenReferenceId?: string | undefined;
  trace?: Trace;
  api?: string;
  clientId?: string;
  result?: Result;
  isSigned?: boolean;
  ignoredMembers?: number;
  /** What an F is about. */
  fault?: Fault;
  /** Why the signature does not hold, where hints are wanted. */
  hint?: string | undefined;
  /** What went wrong on our side, for the log. */
  trouble?: unknown;
  /** Somebody must look: the wiring between our own parts is wrong. */
  alert?: boolean;
};

/** Reads the body; throws Refusal when it is larger than the limit. */
export type ReadBody = () => Promise<Buffer>;

/** Answers every request; never throws. */
export async function answerTo(head: RequestHead, readBody: ReadBody, deps: PipelineDeps): Promise<SignedAnswer> {
  const beganAt = performance.now();
  const deliveryId = deps.newDeliveryId();
  const journey: Journey = { deliveryId, startedMs: deps.nowMs(), beganAt, stages: [], endedAt: beganAt };
  const answer = await answerOf(head, readBody, journey, deps);
  const isAuthentic = journey.clientId !== undefined;
  const clients = deps.clients();
  const signsThis = isAuthentic || deps.dialect.signsUnverified;
  const by = signsThis
    ? (clients.clientOf(String(head.headers["client-id"]))?.signatory ?? clients.defaultSignatory)
    : undefined;
  begin(journey, "sign");
  let signed: SignedAnswer;
  try {
    signed = await sign(answer, head, by, isAuthentic, deps.signer, deps.nowMs());
  } catch (error) {
    journey.trouble = error;
    signed = await sign(answer, head, undefined, isAuthentic, deps.signer, deps.nowMs());
  }
  journey.endedAt = performance.now();
  journey.result = answer.result;
  journey.isSigned = signed.headers.Signature !== undefined;
  deps.observe(journey);
  return { body: signed.body, headers: Object.assign({}, signed.headers, { "X-Delivery-Id": deliveryId }) };
}

const begin = (journey: Journey, name: StageName): void => void journey.stages.push({ name, at: performance.now() });

async function answerOf(head: RequestHead, readBody: ReadBody, journey: Journey, deps: PipelineDeps): Promise<Answer> {
  let endpoint: Endpoint | undefined;
  let raw: RawRequest | undefined;
  const places: Leave[] = [];
  try {
    deps.limits.checkRoom();
    const admitted = admit(head, deps.endpoints);
    endpoint = admitted.endpoint;
    journey.api = endpoint.api;
    begin(journey, "read");
    raw = { body: await readBody(), ...admitted };
    places.push(deps.limits.enter());
    begin(journey, "verify");
    const verified = verify(raw, deps.clients().clientOf, deps.checks, journey.startedMs);
    journey.clientId = verified.clientId;
    journey.verified = verified;
    journey.trace = deps.traceOf(journey.deliveryId, verified.headers.traceparent);
    begin(journey, "decode");
    places.push(deps.limits.enterAs(verified.clientId));
    const { traceparent } = journey.trace;
    const call = decode(verified, journey.deliveryId, journey.startedMs, deps.dialect.lenientEnums, traceparent);
    journey.ignoredMembers = call.ignoredMembers;
    journey.tokenReferenceId = call.tokenReferenceId;
    begin(journey, "rpc");
    const reply = await invoke(call, deps.spread, deps.deadlineMs);
    return encode(reply);
  } catch (error) {
    if (raw && error instanceof Refusal) journey.hint = deps.hintFor?.(raw, error.result);
    return { result: resultOfFailure(error, endpoint, journey, deps.dialect), members: {} };
  } finally {
    for (const leave of places) leave();
  }
}

function resultOfFailure(
  error: unknown,
  endpoint: Endpoint | undefined,
  journey: Journey,
  { conflictCode }: DialectSettings,
): Result {
  if (error instanceof Refusal) {
    if (error.fault) journey.fault = error.fault;
    return error.result;
  }
  journey.trouble = error;
  if (!(error instanceof ConnectError)) return resultOf("UNKNOWN_EXCEPTION");
  const jsonPathOf = (path: string) => endpoint?.jsonPathOf(path);
  const result = resultOfError(error, jsonPathOf, conflictCode);
  // An answer that the service decided against the sender is no trouble of ours.
  if (result.resultStatus === "F") {
    delete journey.trouble;
    journey.fault = faultOf(error, jsonPathOf);
  } else if (isOurFault(error.code) || error.code === Code.InvalidArgument) journey.alert = true;
  return result;
}
