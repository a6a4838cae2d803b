import { create, fromBinary, toBinary, type UnknownField } from "@bufbuild/protobuf";
import { expect } from "chai";
import { RecordActivationRequestSchema } from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { dropUnknownFields } from "../../../services/token-lifecycle/unknown-fields.js";
import { activationRequest } from "../../support/rpc.js";

/** A field of text, as a newer caller would send it. */
const unknown = (text: string): UnknownField[] => [
  { no: 200, wireType: 2, data: Buffer.from([text.length, ...Buffer.from(text)]) },
];

describe("fields of a request that this version does not know", () => {
  const sent = activationRequest();
  sent.$unknown = unknown("in the request");
  for (const message of [
    sent.activation,
    sent.activation?.tokenData,
    sent.activation?.tokenActivatedTime,
    sent.delivery,
    sent.delivery?.receivedTime,
  ])
    if (message) message.$unknown = unknown(`in ${message.$typeName}`);
  const request = fromBinary(RecordActivationRequestSchema, toBinary(RecordActivationRequestSchema, sent));
  const textOf = () => Buffer.from(toBinary(RecordActivationRequestSchema, request)).toString("latin1");
  const before = textOf();
  dropUnknownFields(RecordActivationRequestSchema, request);
  const after = textOf();

  for (const place of ["the request", "mpp.token.v1.TokenActivation", "google.protobuf.Timestamp"])
    it(`are dropped in ${place}`, () => {
      expect(before).to.include(`in ${place}`);
      expect(after).to.not.include(`in ${place}`);
    });

  it("are kept in token data, which is sealed as a whole", () => {
    expect(after).to.include("in mpp.token.v1.TokenData");
  });

  it("take nothing known with them", () => {
    const known = create(RecordActivationRequestSchema, { ...activationRequest() });
    expect(Object.keys(request.activation ?? {})).to.include.members(Object.keys(known.activation ?? {}));
    expect(request.delivery?.deliveryId).to.equal(sent.delivery?.deliveryId);
  });
});
