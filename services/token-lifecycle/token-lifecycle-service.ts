// The rpcs of TokenLifecycleService: a request becomes a command, a decision becomes a response or a refusal.
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { StoredToken } from "../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { ErrorReason } from "../../proto/gen/mpp/token/v1/error_reason_pb.js";
import type { TokenActivation } from "../../proto/gen/mpp/token/v1/token_activation_pb.js";
import type {
  RecordActivationRequest,
  TokenLifecycleService,
} from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { Outcome, OutcomeSchema, type Token, TokenSchema } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { type CompleteActivation, type Decision, decideActivation, type RecordActivation } from "./core/decide.js";
import { currentFieldsVersion, fingerprintOf } from "./core/fingerprint.js";
import type { TokenStore } from "./core/ports.js";
import { refusal, storeRefusal, wordOf } from "./errors.js";
import type { Keyring } from "./vault/keyring.js";
import { mask, open, seal } from "./vault/seal.js";

export type ServiceDeps = {
  readonly store: TokenStore;
  readonly keyring: () => Keyring;
  readonly now: () => number;
  /** How far ahead of our clock an event time may order, in seconds. */
  readonly futureToleranceS: number;
  readonly onActivation: (outcome: string, request: RecordActivationRequest, trouble?: unknown) => void;
};

export function tokenLifecycleService(deps: ServiceDeps): ServiceImpl<typeof TokenLifecycleService> {
  return {
    async recordActivation(request, context) {
      const { activation, delivery } = request;
      if (!isComplete(activation) || !delivery?.receivedTime) throw new Error("validation lets no such request in");
      const keyring = deps.keyring();
      const command: RecordActivation = {
        activation,
        tokenData: seal(activation.tokenData, activation.tokenReferenceId, keyring),
        fingerprint: fingerprintOf(activation, {
          fieldsVersion: currentFieldsVersion,
          keyVersion: keyring.newest.version,
          key: keyring.newest.macKey,
        }),
        fingerprintLike: ({ fieldsVersion, keyVersion }) =>
          fingerprintOf(activation, { fieldsVersion, keyVersion, key: keyring.ofVersion(keyVersion).macKey }),
        clientId: delivery.clientId,
        deliveryId: delivery.deliveryId,
        receivedTime: delivery.receivedTime,
        now: timestampFromMs(deps.now()),
        futureToleranceS: deps.futureToleranceS,
      };
      try {
        const applying = deps.store.apply(activation.tokenReferenceId, (current) => decideActivation(current, command));
        const decision = await untilAborted(applying, context);
        deps.onActivation(outcomeWord(decision), request);
        if (decision.kind === "refuse") throw activationRefusal(decision);
        const token = decision.kind === "change" ? decision.next : decision.token;
        const outcome = decision.kind === "change" ? decision.event.outcome : Outcome.REPEATED;
        return { outcome, state: token.state, version: token.version };
      } catch (error) {
        const refused = storeRefusal(error);
        if (refused !== error) deps.onActivation("UNAVAILABLE", request, error);
        throw refused;
      }
    },

    async getToken({ tokenReferenceId }, context) {
      try {
        const stored = await untilAborted(deps.store.read(tokenReferenceId), context);
        if (stored === undefined) throw refusal(ErrorReason.TOKEN_NOT_FOUND, "no token has this reference");
        return { token: tokenOf(stored, deps.keyring()) };
      } catch (error) {
        throw storeRefusal(error);
      }
    },
  };
}

const isComplete = (activation: TokenActivation | undefined): activation is CompleteActivation =>
  activation?.tokenActivatedTime !== undefined && activation.tokenData !== undefined;

function outcomeWord(decision: Decision): string {
  switch (decision.kind) {
    case "change":
      return OutcomeSchema.value[decision.event.outcome]?.localName ?? "";
    case "repeat":
      return "REPEATED";
    case "refuse":
      return wordOf(decision.reason);
  }
}

function activationRefusal({ reason, fields }: Decision & { kind: "refuse" }) {
  switch (reason) {
    case ErrorReason.ACTIVATION_CONFLICT:
      return refusal(reason, `this activation is on record with other content in ${fields.join(", ")}`, {
        fields: fields.join(","),
      });
    case ErrorReason.CLIENT_CONFLICT:
      return refusal(reason, "the token belongs to another client");
    default:
      return new Error(`no answer to a refusal for ${wordOf(reason)}`);
  }
}

/** The token as everyone may see it. */
function tokenOf(stored: StoredToken, keyring: Keyring): Token {
  const { activation } = stored;
  const known = <K extends string, V>(name: K, value: V | undefined) =>
    (value === undefined ? {} : { [name]: value }) as { [P in K]?: V };
  return create(TokenSchema, {
    tokenReferenceId: stored.tokenReferenceId,
    state: stored.state,
    suspenders: stored.suspenders,
    version: stored.version,
    clientId: stored.clientId,
    ...known("stateTime", stored.stateTime),
    ...known("customerId", activation?.customerId),
    ...known("walletId", activation?.walletId),
    ...known("tokenRequestorId", activation?.tokenRequestorId),
    ...known("secureElementId", activation?.secureElementId),
    ...known("accountSource", activation?.accountSource),
    ...known("serviceRequestTime", activation?.serviceRequestTime),
    ...known("tokenActivatedTime", activation?.tokenActivatedTime),
    ...known("tokenData", stored.tokenData && mask(open(stored.tokenData, stored.tokenReferenceId, keyring))),
    ...known("createTime", stored.createTime),
    ...known("updateTime", stored.updateTime),
  });
}

/** Stops waiting when the caller's deadline passes or it goes away; what was sent to Redis may still happen. */
function untilAborted<T>(work: Promise<T>, { signal }: HandlerContext): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
