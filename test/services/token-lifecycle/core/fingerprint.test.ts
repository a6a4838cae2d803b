import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  AccountSource,
  type TokenActivation,
  TokenActivationSchema,
} from "../../../../proto/gen/mpp/token/v1/token_activation_pb.js";
import { differingFields, fingerprintOf } from "../../../../services/token-lifecycle/core/fingerprint.js";
import { vaultKeyOf } from "../../../../services/token-lifecycle/vault/keyring.js";
import { at, testKey } from "../../../support/commands.js";

const full = {
  tokenReferenceId: "T-1",
  customerId: "c-1",
  walletId: "w-1",
  tokenRequestorId: "r-1",
  secureElementId: "s-1",
  accountSource: AccountSource.ACCOUNT_ON_FILE,
  serviceRequestTime: at(1_000),
  tokenActivatedTime: at(2_000),
  tokenData: { token: "5345678901234521", expiryMonth: "10", expiryYear: "28", sequenceNumber: "01" },
};
const stored: Record<number, string> = {
  1: "f3455a5b05d3e607f11d41ef5fea8134f794f93f17991737c553d194c2866980675c7d0ebdb5ebd84a4dde0125350bcb8309afa92af4e6208bd0e7b595c0486124744853628d16540266a5e188cf7f3c",
  2: "fd2c7dbdd1ee48a3b985e65823874efd1b305c563a7fd7314c2da40eb3f0267839a17bdd6d47eb1ad4493c91a3fd67b43fe330f512a637835bc7824fdb72fa2167b52339b921424395fc7d37c776cdac",
};

for (const fieldsVersion of [1, 2])
  describe(`a fingerprint of version ${fieldsVersion}`, () => {
    const of = (message: TokenActivation) => fingerprintOf(message, { fieldsVersion, keys: testKey });
    const base = of(create(TokenActivationSchema, full));
    const differs = (change: object): string[] =>
      differingFields(base, of(create(TokenActivationSchema, { ...full, ...change })));

    const cases: [field: string, change: object][] = [
      ["customerId", { customerId: "c-2" }],
      ["walletId", { walletId: "w-2" }],
      ["tokenRequestorId", { tokenRequestorId: "r-2" }],
      ["secureElementId", { secureElementId: "s-2" }],
      ["accountSource", { accountSource: AccountSource.ACCOUNT_ADDED_MANUALLY }],
      ["serviceRequestTime", { serviceRequestTime: at(1_000, 1) }],
      ["tokenData.token", { tokenData: { ...full.tokenData, token: "5345678901234520" } }],
      ["tokenData.expiryMonth", { tokenData: { ...full.tokenData, expiryMonth: "11" } }],
      ["tokenData.expiryYear", { tokenData: { ...full.tokenData, expiryYear: "29" } }],
      ["tokenData.sequenceNumber", { tokenData: { ...full.tokenData, sequenceNumber: "02" } }],
    ];
    for (const [field, change] of cases)
      it(`names ${field} when it alone differs`, () => expect(differs(change)).to.deep.equal([field]));

    it("names a field that is absent in one of the two", () => {
      const { customerId: _, ...without } = full;
      expect(differingFields(base, of(create(TokenActivationSchema, without)))).to.deep.equal(["customerId"]);
    });

    it("leaves out what the schema does not know", () => {
      expect(differs({ tokenData: { ...full.tokenData, unknownMembers: { more: "x" } } })).to.deep.equal([]);
    });

    it("shows nothing of equal values of two tokens", () => {
      const other = of(create(TokenActivationSchema, { ...full, tokenReferenceId: "T-2" }));
      expect(differingFields(base, other)).to.have.length(cases.length);
    });

    it("is another under another key", () => {
      const message = create(TokenActivationSchema, full);
      const rolled = fingerprintOf(message, { fieldsVersion, keys: vaultKeyOf(2, Buffer.alloc(32, 9)) });
      expect(Buffer.from(rolled.macs).equals(base.macs)).to.equal(false);
    });

    it("stays what it was: stored ones must be recognised by every later release", () => {
      expect(Buffer.from(base.macs).toString("hex")).to.equal(stored[fieldsVersion]);
    });
  });
