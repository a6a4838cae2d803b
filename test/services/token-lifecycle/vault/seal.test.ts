import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import { TokenDataSchema } from "../../../../proto/gen/mpp/token/v1/token_activation_pb.js";
import { type Keyring, type VaultKey, vaultKeyOf } from "../../../../services/token-lifecycle/vault/keyring.js";
import { mask, open, seal } from "../../../../services/token-lifecycle/vault/seal.js";

const ring = (...keys: VaultKey[]): Keyring => ({
  newest: keys.at(-1) as VaultKey,
  ofVersion: (version) => {
    const key = keys.find((each) => each.version === version);
    if (!key) throw new Error("no such key");
    return key;
  },
});
const [first, second] = [vaultKeyOf(1, Buffer.alloc(32, 1)), vaultKeyOf(2, Buffer.alloc(32, 2))];
const data = create(TokenDataSchema, { token: "5345678901234521", unknownMembers: { more: { deep: ["x"] } } });

describe("sealed token data", () => {
  it("opens to what was sealed, for any content", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (token, month) => {
        const any = create(TokenDataSchema, { token: token.toWellFormed(), expiryMonth: month.toWellFormed() });
        expect(open(seal(any, "T-1", ring(first)), "T-1", ring(first))).to.deep.equal(any);
      }),
    );
  });

  it("keeps members that the schema does not know", () => {
    expect(open(seal(data, "T-1", ring(first)), "T-1", ring(first)).unknownMembers).to.deep.equal(data.unknownMembers);
  });

  it("holds nothing of the content in clear", () => {
    expect(Buffer.from(seal(data, "T-1", ring(first)).ciphertext).includes("5345678901234521")).to.equal(false);
  });

  it("is never the same twice", () => {
    const [a, b] = [seal(data, "T-1", ring(first)), seal(data, "T-1", ring(first))];
    expect(Buffer.from(a.nonce).equals(b.nonce)).to.equal(false);
    expect(Buffer.from(a.ciphertext).equals(b.ciphertext)).to.equal(false);
  });

  it("does not open for another token, under another key, or changed by one bit", () => {
    const sealed = seal(data, "T-1", ring(first));
    expect(() => open(sealed, "T-2", ring(first))).to.throw();
    expect(() => open({ ...sealed, keyVersion: 2 }, "T-1", ring(first, second))).to.throw();
    for (const index of [0, sealed.ciphertext.length - 1]) {
      const changed = Uint8Array.from(sealed.ciphertext, (byte, i) => (i === index ? byte ^ 1 : byte));
      expect(() => open({ ...sealed, ciphertext: changed }, "T-1", ring(first))).to.throw();
    }
  });

  it("is sealed under the newest key and stays readable after a roll", () => {
    const before = seal(data, "T-1", ring(first));
    expect(open(before, "T-1", ring(first, second))).to.deep.equal(data);
    expect(seal(data, "T-1", ring(first, second)).keyVersion).to.equal(2);
  });
});

describe("masked token data", () => {
  const cases: [what: string, token: string | undefined, shown: string][] = [
    ["shows the last four digits of a token number", "5345678901234521", "************4521"],
    ["shows nothing of what is no token number", "tok-5345678901234521", "*"],
    ["shows nothing of a number that is too short", "12345678901", "*"],
    ["is empty when there is none", undefined, ""],
  ];
  for (const [what, token, shown] of cases)
    it(what, () => expect(mask(create(TokenDataSchema, token === undefined ? {} : { token })).token).to.equal(shown));

  it("counts members that the schema does not know and shows none of them", () => {
    expect(JSON.stringify(mask(data))).to.not.include("deep");
    expect(mask(data).unknownMemberCount).to.equal(1);
  });
});
