// RecordActivation: an activation becomes a command, the decision a response or a refusal.
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { ErrorReason } from "../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import type { TokenActivation } from "../../../proto/gen/mpp/token/v1/token_activation_pb.js";
import type { TokenLifecycleService } from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { Outcome, OutcomeSchema } from "../../../proto/gen/mpp/token/v1/token_pb.js";
import { type CompleteActivation, decideActivation, type RecordActivation } from "../core/decide-activation.js";
import { currentFieldsVersion, fingerprintOf } from "../core/fingerprint.js";
import type { Decision } from "../core/token.js";
import { refusal, storeRefusal, wordOf } from "../errors.js";
import { seal } from "../vault/seal.js";
import type { ServiceDeps } from "./deps.js";

export function recordActivation(deps: ServiceDeps): ServiceImpl<typeof TokenLifecycleService>["recordActivation"] {
  return async (request) => {
    const { activation, delivery } = request;
    if (!isComplete(activation) || !delivery?.receivedTime) throw new Error("validation lets no such request in");
    const { tokenReferenceId, tokenActivatedTime } = activation;
    const { clientId, deliveryId, receivedTime } = delivery;
    const keyring = deps.keyring();
    const under = {
      fieldsVersion: currentFieldsVersion,
      keyVersion: keyring.newest.version,
      key: keyring.newest.macKey,
    };
    const command: RecordActivation = {
      activation,
      tokenData: seal(activation.tokenData, tokenReferenceId, keyring),
      fingerprint: fingerprintOf(activation, under),
      fingerprintLike: ({ fieldsVersion, keyVersion }) =>
        fingerprintOf(activation, { fieldsVersion, keyVersion, key: keyring.ofVersion(keyVersion).macKey }),
      clientId,
      deliveryId,
      receivedTime,
      now: timestampFromMs(deps.now()),
      futureToleranceS: deps.futureToleranceS,
    };
    try {
      const decision = await deps.store.apply(tokenReferenceId, "new", (current) => decideActivation(current, command));
      deps.onActivation(outcomeWord(decision), request);
      if (decision.kind !== "change")
        deps.store.noteDelivery(tokenReferenceId, {
          $typeName: "mpp.token.v1.UneventfulDelivery",
          clientId,
          deliveryId,
          receivedTime,
          eventTime: tokenActivatedTime,
          refusedFor: decision.kind === "refuse" ? wordOf(decision.reason) : "",
          differingFields: decision.kind === "refuse" ? [...decision.fields] : [],
        });
      if (decision.kind === "refuse") throw activationRefusal(decision);
      const token = decision.kind === "change" ? decision.next : decision.token;
      const outcome = decision.kind === "change" ? decision.event.outcome : Outcome.REPEATED;
      return { outcome, state: token.state, version: token.version };
    } catch (error) {
      const refused = storeRefusal(error);
      if (refused !== error) deps.onActivation("UNAVAILABLE", request, error);
      throw refused;
    }
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
  if (reason === ErrorReason.ACTIVATION_CONFLICT)
    return refusal(reason, `this activation is on record with other content in ${fields.join(", ")}`, {
      fields: fields.join(","),
    });
  return refusal(reason, "the token belongs to another client");
}
