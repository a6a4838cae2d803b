// Fills the store with tokens through the token service itself, in batches, so that what lies in Redis is what the product writes.
import { createHash } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { AccountSource } from "../proto/gen/mpp/token/v1/token_activation_pb.js";
import { TokenLifecycleService } from "../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { undeclaredMembers } from "./corpus.js";

/** Items of a batch, and batches under way at once. */
const [batchSize, atOnce] = [128, 6];

export type Filler = {
  /** Records the tokens from..to; throws when one of them was not recorded. */
  readonly fill: (from: number, to: number, onFilled: (count: number) => void) => Promise<void>;
  readonly close: () => void;
};

export const filledReference = (index: number): string => `FILL-${index.toString().padStart(9, "0")}`;

export function createFiller(serviceUrl: string, clientId: string): Filler {
  const sessionManager = new Http2SessionManager(serviceUrl);
  const transport = createConnectTransport({ baseUrl: serviceUrl, httpVersion: "2", sessionManager });
  const client = createClient(TokenLifecycleService, transport);

  async function record(from: number, to: number): Promise<void> {
    const items = Array.from({ length: to - from }, (_, i) => ({ request: requestOf(from + i, clientId) }));
    const { results } = await client.batchRecordActivations({ items }, { timeoutMs: 20_000 });
    const failed = results.find(({ result }) => result.case !== "response");
    if (failed || results.length !== items.length) throw new Error("the token service did not record a token");
  }

  return {
    async fill(from, to, onFilled) {
      let next = from;
      const work = async (): Promise<void> => {
        while (next < to) {
          const first = next;
          next = Math.min(first + batchSize, to);
          const end = next;
          await record(first, end);
          onFilled(end - first);
        }
      };
      await Promise.all(Array.from({ length: atOnce }, work));
    },
    close: () => sessionManager.abort(),
  };
}

/** An activation like those that the load sends. */
function requestOf(index: number, clientId: string) {
  const tokenReferenceId = filledReference(index);
  return {
    activation: {
      tokenReferenceId,
      customerId: `fill-${index >> 1}`,
      walletId: "103",
      tokenRequestorId: "50110030273",
      secureElementId: "04AABBCCDDEEFF00112233445566778899AABBCCDDEEFF00",
      accountSource: AccountSource.ACCOUNT_ON_FILE,
      serviceRequestTime: timestampFromMs(Date.UTC(2026, 0, 2, 3, 4, 5)),
      tokenActivatedTime: timestampFromMs(Date.UTC(2026, 0, 2, 3, 5, 6, 789)),
      tokenData: {
        token: (5_345_678_900_000_000 + index).toString(),
        expiryMonth: "10",
        expiryYear: "28",
        sequenceNumber: "01",
        unknownMembers: undeclaredMembers(index),
      },
    },
    delivery: {
      clientId,
      deliveryId: `fill-${index}`,
      receivedTime: timestampFromMs(Date.now()),
      bodySha256: createHash("sha256").update(tokenReferenceId).digest(),
    },
  };
}
