// Commands for the state machine: ready-made ones, and random ones that collide often enough to be worth something.
import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { SealedTokenDataSchema } from "../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { TokenActivationSchema, TokenDataSchema } from "../../proto/gen/mpp/token/v1/token_activation_pb.js";
import type { CompleteActivation, RecordActivation } from "../../services/token-lifecycle/core/decide-activation.js";
import { currentFieldsVersion, fingerprintOf } from "../../services/token-lifecycle/core/fingerprint.js";
import { vaultKeyOf } from "../../services/token-lifecycle/vault/keyring.js";

export const testKey = vaultKeyOf(1, Buffer.alloc(32, 7));

export const at = (seconds: number, nanos = 0): Timestamp =>
  create(TimestampSchema, { seconds: BigInt(seconds), nanos });

export type ActivationSpec = {
  reference?: string;
  clientId?: string;
  activatedS?: number;
  customerId?: string;
  token?: string;
  nowS?: number;
  deliveryId?: string;
};

/** An activation command; what is not given is the same in all of them. */
export function activation(spec: ActivationSpec = {}): RecordActivation {
  const message = create(TokenActivationSchema, {
    tokenReferenceId: spec.reference ?? "T-1",
    ...(spec.customerId !== undefined && { customerId: spec.customerId }),
    serviceRequestTime: at(1_000),
    tokenActivatedTime: at(spec.activatedS ?? 2_000),
    tokenData: create(TokenDataSchema, { token: spec.token ?? "5345678901234521" }),
  }) as CompleteActivation;
  const under = { fieldsVersion: currentFieldsVersion, keyVersion: testKey.version, key: testKey.macKey };
  return {
    activation: message,
    tokenData: create(SealedTokenDataSchema, { keyVersion: 1, nonce: Buffer.alloc(12), ciphertext: Buffer.alloc(24) }),
    fingerprint: fingerprintOf(message, under),
    fingerprintLike: ({ fieldsVersion, keyVersion }) =>
      fingerprintOf(message, { fieldsVersion, keyVersion, key: testKey.macKey }),
    clientId: spec.clientId ?? "CLIENT",
    deliveryId: spec.deliveryId ?? "delivery-1",
    receivedTime: at(spec.nowS ?? 10_000),
    now: at(spec.nowS ?? 10_000),
    futureToleranceS: 300,
  };
}

/** Few tokens, times, contents and clients, so that repeats, conflicts and late news are common. */
export const anyActivation: fc.Arbitrary<RecordActivation> = fc
  .record({
    reference: fc.constantFrom("T-1", "T-2"),
    clientId: fc.constantFrom("CLIENT", "CLIENT", "CLIENT", "OTHER"),
    activatedS: fc.integer({ min: 2_000, max: 2_006 }),
    customerId: fc.constantFrom("c-1", "c-2"),
    token: fc.constantFrom("5345678901234521", "5345678901234521", "x"),
  })
  .map(activation);
