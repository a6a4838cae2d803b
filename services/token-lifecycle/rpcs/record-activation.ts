// RecordActivation and BatchRecordActivations: an activation becomes a command, the decision a response or a refusal.
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { withinMs } from "../../../lib/rpc/deadline.js";
import { traceContextOf } from "../../../lib/trace.js";
import { ErrorReason } from "../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import type { TokenActivation } from "../../../proto/gen/mpp/token/v1/token_activation_pb.js";
import {
  type BatchRecordActivationsItem,
  type BatchRecordActivationsResult,
  type RecordActivationRequest,
  RecordActivationRequestSchema,
  type RecordActivationResponse,
  type TokenLifecycleService,
} from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { Outcome, OutcomeSchema } from "../../../proto/gen/mpp/token/v1/token_pb.js";
import { type CompleteActivation, decideActivation, type RecordActivation } from "../core/decide-activation.js";
import { currentFieldsVersion, fingerprintOf } from "../core/fingerprint.js";
import type { Decision } from "../core/token.js";
import { refusal, statusOf, storeRefusal, wordOf } from "../errors.js";
import { seal } from "../vault/seal.js";
import type { ServiceDeps } from "./deps.js";

type RecordingRpcs = Pick<ServiceImpl<typeof TokenLifecycleService>, "recordActivation" | "batchRecordActivations">;

export function recordActivations(deps: ServiceDeps): RecordingRpcs {
  const { traced } = deps;
  const plainly = recording(deps);
  const record: typeof plainly = traced
    ? (request) => {
        const { traceparent = "", deliveryId = "" } = request.delivery ?? {};
        return traced(traceparent, "RecordActivation", { "delivery.id": deliveryId }, () => plainly(request));
      }
    : plainly;
  // What stands before the single rpc is here before each item, so that a bad item is its own affair.
  const recordItem = async ({ request, timeoutMs }: BatchRecordActivationsItem) => {
    const message = request ?? create(RecordActivationRequestSchema);
    deps.validate(RecordActivationRequestSchema, message);
    return timeoutMs === 0 ? record(message) : withinMs(timeoutMs, record(message));
  };
  return {
    recordActivation: record,
    async batchRecordActivations({ items }) {
      const results = items.map((item) =>
        recordItem(item).then(
          (value) => resultOf({ case: "response", value }),
          (error: unknown) => resultOf({ case: "error", value: statusOf(error) }),
        ),
      );
      return { $typeName: "mpp.token.v1.BatchRecordActivationsResponse", results: await Promise.all(results) };
    },
  };
}

const resultOf = (result: BatchRecordActivationsResult["result"]): BatchRecordActivationsResult => ({
  $typeName: "mpp.token.v1.BatchRecordActivationsResult",
  result,
});

function recording(deps: ServiceDeps) {
  return async (request: RecordActivationRequest): Promise<RecordActivationResponse> => {
    const { activation, delivery } = request;
    if (!isComplete(activation) || !delivery?.receivedTime) throw new Error("validation lets no such request in");
    const { tokenReferenceId, tokenActivatedTime } = activation;
    const { clientId, deliveryId, receivedTime } = delivery;
    // Whoever reads the event goes on with it, so it must be one.
    const traceparent = traceContextOf(delivery.traceparent) ? delivery.traceparent : "";
    const keyring = deps.keyring();
    const command: RecordActivation = {
      activation,
      sealedTokenData: () => seal(activation.tokenData, tokenReferenceId, keyring),
      fingerprint: fingerprintOf(activation, { fieldsVersion: currentFieldsVersion, keys: keyring.newest }),
      fingerprintLike: ({ fieldsVersion, keyVersion }) =>
        fingerprintOf(activation, { fieldsVersion, keys: keyring.ofVersion(keyVersion) }),
      clientId,
      deliveryId,
      receivedTime,
      traceparent,
      now: timestampFromMs(deps.now()),
      futureToleranceS: deps.futureToleranceS,
    };
    try {
      const decision = await deps.store.apply(
        tokenReferenceId,
        "new",
        (current) => decideActivation(current, command),
        activation.customerId,
      );
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
      const { state, version } = token;
      return { $typeName: "mpp.token.v1.RecordActivationResponse", outcome, state, version };
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
