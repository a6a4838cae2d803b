// Encrypts token data at rest, opens it, and shows of it what may be shown.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { create, fromBinary } from "@bufbuild/protobuf";
import { encoderOf } from "../../../lib/protobuf/encoder.js";
import type { SealedTokenData } from "../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { type TokenData, TokenDataSchema } from "../../../proto/gen/mpp/token/v1/token_activation_pb.js";
import { type MaskedTokenData, MaskedTokenDataSchema } from "../../../proto/gen/mpp/token/v1/token_pb.js";
import type { Keyring } from "./keyring.js";

const tagBytes = 16;
const encodeTokenData = encoderOf(TokenDataSchema);

// A sealed value moved to another token must not open.
const boundTo = (tokenReferenceId: string): Buffer =>
  Buffer.from(`mpp.token.v1.TokenData\0${tokenReferenceId}`, "utf8");

const nonceBytes = 12;
let random = Buffer.alloc(0);

/** Random bytes, taken from the system many at a time: each of its calls costs as much as half a sealing. */
function nextNonce(): Buffer {
  if (random.length < nonceBytes) random = randomBytes(nonceBytes * 256);
  const nonce = random.subarray(0, nonceBytes);
  random = random.subarray(nonceBytes);
  return nonce;
}

/** AES-256-GCM under the newest key of the ring, with a random nonce of 96 bits. */
export function seal(tokenData: TokenData, tokenReferenceId: string, keyring: Keyring): SealedTokenData {
  const { version, sealKey } = keyring.newest;
  const nonce = nextNonce();
  const cipher = createCipheriv("aes-256-gcm", sealKey, nonce, { authTagLength: tagBytes });
  cipher.setAAD(boundTo(tokenReferenceId));
  const encrypted = cipher.update(encodeTokenData(tokenData));
  // GCM is a stream: nothing is left to come but the tag.
  cipher.final();
  const ciphertext = Buffer.concat([encrypted, cipher.getAuthTag()]);
  return { $typeName: "mpp.token.store.v1.SealedTokenData", keyVersion: version, nonce, ciphertext };
}

/** Throws when the key is gone or the value was changed or moved. */
export function open(sealed: SealedTokenData, tokenReferenceId: string, keyring: Keyring): TokenData {
  const { sealKey } = keyring.ofVersion(sealed.keyVersion);
  const decipher = createDecipheriv("aes-256-gcm", sealKey, sealed.nonce, { authTagLength: tagBytes });
  decipher.setAAD(boundTo(tokenReferenceId));
  decipher.setAuthTag(sealed.ciphertext.subarray(-tagBytes));
  const bytes = Buffer.concat([decipher.update(sealed.ciphertext.subarray(0, -tagBytes)), decipher.final()]);
  return fromBinary(TokenDataSchema, bytes);
}

/** Shows the last four digits of a token number and nothing of anything else. */
export function mask(tokenData: TokenData): MaskedTokenData {
  const { token, unknownMembers } = tokenData;
  return create(MaskedTokenDataSchema, {
    token: token === undefined ? "" : /^\d{12,19}$/.test(token) ? token.slice(-4).padStart(token.length, "*") : "*",
    unknownMemberCount: Object.keys(unknownMembers ?? {}).length,
  });
}
