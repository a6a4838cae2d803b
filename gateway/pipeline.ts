// The story of a request: admit -> read -> verify -> decode -> invoke -> encode -> sign.
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import type { Endpoint, Endpoints } from "./alipayplus/endpoints.js";
import { type ConflictCode, isOurFault, Refusal, type Result, resultOf, resultOfError } from "./alipayplus/result.js";
import type { Clients } from "./keys.js";
import type { Leave, Limits } from "./limits.js";
import { admit } from "./stages/admit.js";
import { decode } from "./stages/decode.js";
import { encode } from "./stages/encode.js";
import { invoke } from "./stages/invoke.js";
import type { Answer, RawRequest, RequestHead, SignedAnswer } from "./stages/messages.js";
import { type Signer, sign } from "./stages/sign.js";
import { type Checks, verify } from "./stages/verify.js";

export type PipelineDeps = {
  readonly endpoints: Endpoints;
  readonly clients: () => Clients;
  readonly limits: Limits;
  readonly checks: Checks;
  readonly dialect: DialectSettings;
  /** For one call: a function that gives the channel for each of its tries. */
  readonly newTurn: () => () => Transport;
  readonly deadlineMs: number;
  readonly signer: Signer;
  readonly nowMs: () => number;
  readonly newDeliveryId: () => string;
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

/** What is known of one request when its answer is ready; filled on the way. */
export type Journey = {
  readonly deliveryId: string;
  readonly startedMs: number;
  api?: string;
  clientId?: string;
  result?: Result;
  isSigned?: boolean;
  ignoredMembers?: number;
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
  const journey: Journey = { deliveryId: deps.newDeliveryId(), startedMs: deps.nowMs() };
  const answer = await answerOf(head, readBody, journey, deps);
  const isAuthentic = journey.clientId !== undefined;
  const clients = deps.clients();
  const signsThis = isAuthentic || deps.dialect.signsUnverified;
  const by = signsThis
    ? (clients.clientOf(String(head.headers["client-id"]))?.signatory ?? clients.defaultSignatory)
    : undefined;
  const signed = await sign(answer, head, by, isAuthentic, deps.signer, deps.nowMs()).catch((error: unknown) => {
    journey.trouble = error;
    return sign(answer, head, undefined, isAuthentic, deps.signer, deps.nowMs());
  });
  journey.result = answer.result;
  journey.isSigned = signed.headers.Signature !== undefined;
  deps.observe(journey);
  return signed;
}

async function answerOf(head: RequestHead, readBody: ReadBody, journey: Journey, deps: PipelineDeps): Promise<Answer> {
  let endpoint: Endpoint | undefined;
  let raw: RawRequest | undefined;
  const places: Leave[] = [];
  try {
    deps.limits.checkRoom();
    const admitted = admit(head, deps.endpoints);
    endpoint = admitted.endpoint;
    journey.api = endpoint.api;
    raw = { ...admitted, body: await readBody() };
    places.push(deps.limits.enter());
    const verified = verify(raw, deps.clients().clientOf, deps.checks, journey.startedMs);
    journey.clientId = verified.clientId;
    places.push(await deps.limits.enterAs(verified.clientId));
    const call = decode(verified, journey.deliveryId, journey.startedMs, deps.dialect.lenientEnums);
    journey.ignoredMembers = call.ignoredMembers;
    const reply = await invoke(call, deps.newTurn(), deps.deadlineMs);
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
  if (error instanceof Refusal) return error.result;
  journey.trouble = error;
  if (!(error instanceof ConnectError)) return resultOf("UNKNOWN_EXCEPTION");
  const result = resultOfError(error, (path) => endpoint?.jsonPathOf(path), conflictCode);
  // An answer that the service decided against the sender is no trouble of ours.
  if (result.resultStatus === "F") delete journey.trouble;
  else if (isOurFault(error.code) || error.code === Code.InvalidArgument) journey.alert = true;
  return result;
}
