// StreamRecordActivations: where in its messages a batch is, and its answer.
import { create } from "@bufbuild/protobuf";
import type { StreamedCalls } from "../../../lib/rpc/streamed-calls.js";
import {
  type BatchRecordActivationsRequest,
  BatchRecordActivationsRequestSchema,
  type BatchRecordActivationsResponse,
  type StreamRecordActivationsRequest,
  type StreamRecordActivationsResponse,
  TokenLifecycleService,
} from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { statusOf } from "../errors.js";

const noBatch: BatchRecordActivationsRequest = create(BatchRecordActivationsRequestSchema);

export const streamOfBatches: Pick<StreamedCalls, "method" | "callIn" | "replyTo"> = {
  method: TokenLifecycleService.method.streamRecordActivations,
  callIn(message) {
    const { batch = noBatch, timeoutMs } = message as StreamRecordActivationsRequest;
    return { request: batch, timeoutMs };
  },
  replyTo(message, result): StreamRecordActivationsResponse {
    const { sequence } = message as StreamRecordActivationsRequest;
    return {
      $typeName: "mpp.token.v1.StreamRecordActivationsResponse",
      sequence,
      result:
        "response" in result
          ? { case: "response", value: result.response as BatchRecordActivationsResponse }
          : { case: "error", value: statusOf(result.error) },
    };
  },
};
