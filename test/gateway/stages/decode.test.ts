import { createHash } from "node:crypto";
import { type MessageShape, toJson } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import { decode } from "../../../gateway/stages/decode.js";
import { RecordActivationRequestSchema } from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { testClientId } from "../../support/keys.js";
import { notification } from "../../support/notification.js";
import { asVerified, endpoint, refusalIn } from "../../support/requests.js";

const receivedMs = Date.parse("2026-01-02T03:04:05.678Z");
const callOf = (body: string | Buffer) => decode(asVerified(body), "delivery-1", receivedMs);

describe("decode", () => {
  it("makes the rpc's request of the body and of how it arrived", () => {
    const body = JSON.stringify(notification({ tokenReferenceId: "T-1", tokenData: { token: "5345678901234521" } }));
    const call = callOf(body);
    const request = call.request as MessageShape<typeof RecordActivationRequestSchema>;
    expect(call.endpoint).to.equal(endpoint);
    expect(request.activation?.tokenReferenceId).to.equal("T-1");
    expect(request.activation?.tokenData?.token).to.equal("5345678901234521");
    const { delivery } = request;
    expect(delivery).to.include({ clientId: testClientId, deliveryId: "delivery-1" });
    expect(delivery?.receivedTime).to.deep.equal(timestampFromMs(receivedMs));
    expect(Buffer.from(delivery?.bodySha256 ?? [])).to.deep.equal(createHash("sha256").update(body).digest());
  });

  it("makes equal activations of bodies that differ in what does not matter", () => {
    const activationOf = (body: string) => {
      const { activation } = callOf(body).request as MessageShape<typeof RecordActivationRequestSchema>;
      return activation;
    };
    const members = notification({ tokenReferenceId: "T-1", customerId: undefined });
    const usual = activationOf(JSON.stringify(members));
    const reversed = Object.fromEntries(Object.entries(members).reverse());
    for (const other of [
      JSON.stringify(members, undefined, 2),
      JSON.stringify(reversed),
      JSON.stringify({ ...members, customerId: null }),
      JSON.stringify({ ...members, somethingNew: "x" }),
      JSON.stringify({ ...members, serviceRequestTime: "2026-01-02T03:04:05.000Z" }),
    ])
      expect(activationOf(other)).to.deep.equal(usual);
  });

  it("counts the members that it ignored", () => {
    expect(callOf(JSON.stringify(notification())).ignoredMembers).to.equal(0);
    expect(callOf(JSON.stringify(notification({ a: "1", b: "2" }))).ignoredMembers).to.equal(2);
  });

  it("sends an empty object on, since what is required is the service's to say", () => {
    const json = toJson(RecordActivationRequestSchema, callOf("{}").request as never) as Record<string, unknown>;
    expect(json.activation).to.deep.equal({});
  });

  const illegal = "Illegal parameters exist.";
  const refused = [
    { name: "no body", body: "", message: `${illegal} the body is not JSON` },
    { name: "text", body: "tokenReferenceId=T-1", message: `${illegal} the body is not JSON` },
    { name: "bad UTF-8", body: Buffer.from([0x7b, 0xff, 0x7d]), message: `${illegal} the body is not UTF-8` },
    { name: "a list", body: "[]", message: `${illegal} the body must be a JSON object` },
    {
      name: "a known member given twice",
      body: '{"tokenData":{"expiryMonth":"1","expiryMonth":"2"}}',
      message: `${illegal} the body has a member twice: expiryMonth`,
    },
    {
      name: "an unknown member given twice, whose name is the sender's own",
      body: '{"5345678901234521":"1","5345678901234521":"2"}',
      message: `${illegal} the body has a member twice`,
    },
    { name: "a number", body: '{"walletId":103}', message: `${illegal} walletId must be a JSON string` },
  ];
  for (const { name, body, message } of refused)
    it(`refuses ${name} as PARAM_ILLEGAL, naming field and rule`, () => {
      expect(refusalIn(() => callOf(body))).to.deep.include({ resultCode: "PARAM_ILLEGAL", resultMessage: message });
    });
});
