// SuspendToken, ResumeToken and DeactivateToken: what the MPP's own services do to a token.
import { createHash, randomUUID } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { traceContextOf } from "../../../lib/trace.js";
import { ErrorReason } from "../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import type {
  DeactivateTokenRequest,
  ResumeTokenRequest,
  SuspendTokenRequest,
  TokenLifecycleService,
} from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { type Suspender, SuspenderSchema, TokenStateSchema } from "../../../proto/gen/mpp/token/v1/token_pb.js";
import { callerOf } from "../access/caller.js";
import { decideLifecycle, type Move } from "../core/decide-lifecycle.js";
import type { Decision } from "../core/token.js";
import { refusal, storeRefusal } from "../errors.js";
import type { ServiceDeps } from "./deps.js";

type MoveRequest = SuspendTokenRequest | ResumeTokenRequest | DeactivateTokenRequest;
type MovingRpcs = Pick<ServiceImpl<typeof TokenLifecycleService>, "suspendToken" | "resumeToken" | "deactivateToken">;

export function moveToken({ store, now, audit }: Pick<ServiceDeps, "store" | "now" | "audit">): MovingRpcs {
  const moving = (move: Move) => async (request: MoveRequest, context: HandlerContext) => {
    const { tokenReferenceId, suspender, reason, actor, requestId, expectedVersion } = request;
    const caller = callerOf(context.values);
    if (!caller.suspenders.has(suspender)) {
      const right = `lifecycle as ${wordOfSuspender(suspender)}`;
      audit({ call: context.method.name, caller: caller.name, outcome: "denied", as: wordOfSuspender(suspender) });
      throw refusal(ErrorReason.RIGHT_MISSING, `this needs the right ${right}`, { right });
    }
    const command = {
      ...{ move, suspender, reason, actor, requestId, expectedVersion },
      contentHash: contentHash(move, request),
      clientId: caller.name,
      deliveryId: randomUUID(),
      traceparent: traceparentIn(context.requestHeader),
      now: timestampFromMs(now()),
    };
    const decision = await store
      .apply(tokenReferenceId, "known", (current) => decideLifecycle(current, command))
      .catch((error: unknown) => {
        throw storeRefusal(error);
      });
    switch (decision.kind) {
      case "change":
        return { state: decision.next.state, version: decision.next.version, repeated: false };
      case "repeat": {
        const { state, version } = decision.answered ?? decision.token;
        return { state, version, repeated: true };
      }
      case "refuse":
        throw moveRefusal(move, decision);
    }
  };
  return { suspendToken: moving("suspend"), resumeToken: moving("resume"), deactivateToken: moving("deactivate") };
}

/** The caller's traceparent; empty where there is none, or one that is none. */
const traceparentIn = (header: Headers): string => {
  const traceparent = header.get("traceparent") ?? "";
  return traceContextOf(traceparent) ? traceparent : "";
};

const wordOfSuspender = (suspender: Suspender): string => SuspenderSchema.value[suspender]?.localName ?? "";

/** What makes a request the same as another with its request_id. The expected version is how, not what. */
function contentHash(move: Move, { suspender, reason, actor }: MoveRequest): Uint8Array {
  return createHash("sha256")
    .update(JSON.stringify([move, suspender, reason, actor]))
    .digest()
    .subarray(0, 16);
}

const messages: Partial<Record<ErrorReason, string>> = {
  [ErrorReason.TOKEN_NOT_FOUND]: "no token has this reference",
  [ErrorReason.REQUEST_ID_CONFLICT]: "this request_id was answered for other content",
  [ErrorReason.VERSION_MISMATCH]: "the token has another version than expected",
  [ErrorReason.ALREADY_SUSPENDED]: "this party holds the token suspended already",
  [ErrorReason.NOT_SUSPENDED_BY_CALLER]: "this party does not hold the token suspended",
};

function moveRefusal(move: Move, { reason, token }: Decision & { kind: "refuse" }) {
  const state = TokenStateSchema.value[token?.state ?? 0]?.localName ?? "";
  const facts: Record<string, string> = token ? { state, version: token.version.toString() } : {};
  return refusal(reason, messages[reason] ?? `one cannot ${move} a token that is ${state}`, facts);
}
