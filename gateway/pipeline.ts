// The story of a request: admit -> read -> verify -> decode -> invoke -> encode -> sign.
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import type { Endpoint, Endpoints } from "./alipayplus/endpoints.js";
import { isOurFault, Refusal, type Result, resultOf, resultOfError } from "./alipayplus/result.js";
import type { Clients } from "./keys.js";
import { admit } from "./stages/admit.js";
import { decode } from "./stages/decode.js";
import { encode } from "./stages/encode.js";
import { invoke } from "./stages/invoke.js";
import type { Answer, RequestHead, SignedAnswer } from "./stages/messages.js";
import { type Signer, sign } from "./stages/sign.js";
import { type TimeWindow, verify } from "./stages/verify.js";

export type PipelineDeps = {
  readonly endpoints: Endpoints;
  readonly clients: () => Clients;
  readonly window: TimeWindow;
  /** The channel to make the next call on. */
  readonly nextTransport: () => Transport;
  readonly deadlineMs: number;
  readonly signer: Signer;
  readonly nowMs: () => number;
  readonly newDeliveryId: () => string;
  readonly observe: (journey: Journey) => void;
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
  const by = clients.clientOf(String(head.headers["client-id"]))?.signatory ?? clients.defaultSignatory;
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
  try {
    const admitted = admit(head, deps.endpoints);
    endpoint = admitted.endpoint;
    journey.api = endpoint.api;
    const raw = { ...admitted, body: await readBody() };
    const verified = verify(raw, deps.clients().clientOf, deps.window, journey.startedMs);
    journey.clientId = verified.clientId;
    const call = decode(verified, journey.deliveryId, journey.startedMs);
    journey.ignoredMembers = call.ignoredMembers;
    const reply = await invoke(call, deps.nextTransport, deps.deadlineMs);
    return encode(reply);
  } catch (error) {
    return { result: resultOfFailure(error, endpoint, journey), members: {} };
  }
}

function resultOfFailure(error: unknown, endpoint: Endpoint | undefined, journey: Journey): Result {
  if (error instanceof Refusal) return error.result;
  journey.trouble = error;
  if (!(error instanceof ConnectError)) return resultOf("UNKNOWN_EXCEPTION");
  const result = resultOfError(error, (path) => endpoint?.jsonPathOf(path));
  // An answer that the service decided against the sender is no trouble of ours.
  if (result.resultStatus === "F") delete journey.trouble;
  else if (isOurFault(error.code) || error.code === Code.InvalidArgument) journey.alert = true;
  return result;
}
