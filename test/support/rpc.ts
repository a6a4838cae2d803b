// Requests to the token service.
import { randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { AccountSource, type TokenActivationSchema } from "../../proto/gen/mpp/token/v1/token_activation_pb.js";
import {
  type RecordActivationRequest,
  RecordActivationRequestSchema,
} from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";

/** A full request for a new token; fields given replace the usual ones. */
export function activationRequest(
  fields: Exclude<MessageInitShape<typeof TokenActivationSchema>, { $typeName: string }> = {},
): RecordActivationRequest {
  return create(RecordActivationRequestSchema, {
    activation: {
      tokenReferenceId: `T-${randomUUID()}`,
      customerId: "customer-1",
      walletId: "103",
      accountSource: AccountSource.ACCOUNT_ON_FILE,
      serviceRequestTime: timestampFromDate(new Date("2026-01-02T03:04:05Z")),
      tokenActivatedTime: timestampFromDate(new Date("2026-01-02T03:05:06.789Z")),
      tokenData: { token: "5345678901234521", expiryMonth: "10", expiryYear: "28" },
      ...fields,
    },
    delivery: { clientId: "BACK_OFFICE", deliveryId: randomUUID(), receivedTime: timestampFromDate(new Date()) },
  });
}
