// Recognises a repeat of an activation, and names the fields in which another content differs, without keeping content.
import { createHmac, type KeyObject } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import {
  type ActivationFingerprint,
  ActivationFingerprintSchema,
} from "../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import type { TokenActivation } from "../../../proto/gen/mpp/token/v1/token_activation_pb.js";

type Field = readonly [jsonName: string, read: (activation: TokenActivation) => string | undefined];

const instant = (time: Timestamp | undefined): string | undefined => time && `${time.seconds}.${time.nanos}`;

// Frozen: a stored fingerprint is compared under the list it was made with. A new field goes into a new version.
// Unknown members are left out on purpose: what we do not know must not turn a repeat into a conflict.
const fieldLists: Readonly<Record<number, readonly Field[]>> = {
  1: [
    ["customerId", (a) => a.customerId],
    ["walletId", (a) => a.walletId],
    ["tokenRequestorId", (a) => a.tokenRequestorId],
    ["secureElementId", (a) => a.secureElementId],
    ["accountSource", (a) => a.accountSource?.toString()],
    ["serviceRequestTime", (a) => instant(a.serviceRequestTime)],
    ["tokenData.token", (a) => a.tokenData?.token],
    ["tokenData.expiryMonth", (a) => a.tokenData?.expiryMonth],
    ["tokenData.expiryYear", (a) => a.tokenData?.expiryYear],
    ["tokenData.sequenceNumber", (a) => a.tokenData?.sequenceNumber],
  ],
};

/** The version of the list that new fingerprints are made with. */
export const currentFieldsVersion = 1;

const macBytes = 8;
const absent = Buffer.alloc(macBytes);

/** Computes the MACs of an activation under one list of fields and one key of at least 32 bytes. */
export function fingerprintOf(
  activation: TokenActivation,
  under: { fieldsVersion: number; keyVersion: number; key: KeyObject },
): ActivationFingerprint {
  const macs = fieldsOf(under.fieldsVersion).map(([name, read]) => {
    const value = read(activation);
    if (value === undefined) return absent;
    // The reference keeps equal values of two tokens from showing as equal.
    const text = `${activation.tokenReferenceId}\0${name}\0${value}`;
    return createHmac("sha256", under.key).update(text, "utf8").digest().subarray(0, macBytes);
  });
  return create(ActivationFingerprintSchema, {
    ...(activation.tokenActivatedTime && { tokenActivatedTime: activation.tokenActivatedTime }),
    fieldsVersion: under.fieldsVersion,
    keyVersion: under.keyVersion,
    macs: Buffer.concat(macs),
  });
}

/** Names of the fields in which two fingerprints of the same list and key differ; empty for a repeat. */
export function differingFields(a: ActivationFingerprint, b: ActivationFingerprint): string[] {
  const [x, y] = [Buffer.from(a.macs), Buffer.from(b.macs)];
  return fieldsOf(a.fieldsVersion).flatMap(([name], index) => {
    const [from, to] = [index * macBytes, (index + 1) * macBytes];
    return x.subarray(from, to).equals(y.subarray(from, to)) ? [] : [name];
  });
}

function fieldsOf(version: number): readonly Field[] {
  const fields = fieldLists[version];
  if (fields === undefined) throw new Error(`no list of fingerprint fields has version ${version}`);
  return fields;
}
