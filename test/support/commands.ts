// Commands for the state machine: ready-made ones, and random ones that collide often enough to be worth something.
import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { SealedTokenDataSchema } from "../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { TokenActivationSchema, TokenDataSchema } from "../../proto/gen/mpp/token/v1/token_activation_pb.js";
import { Suspender } from "../../proto/gen/mpp/token/v1/token_pb.js";
import type { CompleteActivation, RecordActivation } from "../../services/token-lifecycle/core/decide-activation.js";
import { decideActivation } from "../../services/token-lifecycle/core/decide-activation.js";
import { decideErasure, decideLifecycle } from "../../services/token-lifecycle/core/decide-lifecycle.js";
import { currentFieldsVersion, fingerprintOf } from "../../services/token-lifecycle/core/fingerprint.js";
import type { Bet } from "../../services/token-lifecycle/core/ports.js";
import type { Current, Decision } from "../../services/token-lifecycle/core/token.js";
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
  const under = { fieldsVersion: currentFieldsVersion, keys: testKey };
  return {
    activation: message,
    sealedTokenData: () =>
      create(SealedTokenDataSchema, { keyVersion: 1, nonce: Buffer.alloc(12), ciphertext: Buffer.alloc(24) }),
    fingerprint: fingerprintOf(message, under),
    fingerprintLike: ({ fieldsVersion }) => fingerprintOf(message, { fieldsVersion, keys: testKey }),
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

/** Something to do to a token, as the store takes it. */
export type AnyCommand = {
  readonly reference: string;
  readonly bet: Bet;
  readonly decide: (current: Current) => Decision;
};

const anyMove: fc.Arbitrary<AnyCommand> = fc
  .record({
    reference: fc.constantFrom("T-1", "T-2"),
    move: fc.constantFrom("suspend" as const, "suspend" as const, "resume" as const, "deactivate" as const),
    suspender: fc.constantFrom(Suspender.ISSUER, Suspender.CARDHOLDER),
    requestId: fc.constantFrom("r-1", "r-2", "r-3", "r-4"),
    expectedVersion: fc.option(fc.bigInt({ min: 1n, max: 4n }), { nil: undefined, freq: 6 }),
    nowS: fc.integer({ min: 2_000, max: 2_010 }),
  })
  .map(({ reference, nowS, ...rest }) => ({
    reference,
    bet: "known",
    decide: (current) =>
      decideLifecycle(current, {
        ...rest,
        ...{ reason: "r", actor: "a", clientId: "SERVICE", deliveryId: "d", now: at(nowS) },
        contentHash: Buffer.from(`${rest.move} ${rest.suspender}`),
      }),
  }));

const anyErasure: fc.Arbitrary<AnyCommand> = fc.constantFrom("T-1", "T-2").map((reference) => ({
  reference,
  bet: "known",
  decide: (current) =>
    decideErasure(current, { reason: "r", actor: "a", clientId: "SERVICE", deliveryId: "d", now: at(3_000) }),
}));

/** Activations, moves, and now and then an erasure. */
export const anyCommand: fc.Arbitrary<AnyCommand> = fc.oneof(
  {
    weight: 6,
    arbitrary: anyActivation.map((command) => ({
      reference: command.activation.tokenReferenceId,
      bet: "new" as const,
      decide: (current: Current) => decideActivation(current, command),
    })),
  },
  { weight: 6, arbitrary: anyMove },
  { weight: 1, arbitrary: anyErasure },
);
