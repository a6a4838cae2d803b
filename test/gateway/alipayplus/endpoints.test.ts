import { create, type FileRegistry, toJson } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import { type Endpoint, endpointsOf } from "../../../gateway/alipayplus/endpoints.js";
import { StartError } from "../../../lib/program.js";
import { TokenActivationSchema } from "../../../proto/gen/mpp/token/v1/token_activation_pb.js";
import {
  RecordActivationRequestSchema,
  RecordActivationResponseSchema,
  TokenLifecycleService,
} from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { compileProto, serviceOf } from "../../support/schema.js";

const prefix = "/aps/api/v1";
const usual = { prefix, byApi: new Map<string, string>() };

const service = (name: string, option: string, input = "Ask", output = "Reply", more = ""): string => `
service ${name} {
  rpc Do(${input}) returns (${output}) { option (alipayplus.dialect.v1.endpoint) = {${option}}; }
  ${more}
}`;

const batch = (name: string, rpc: string, option = ""): string =>
  service(name, `api: "a", body: "body", batch: "DoMany"${option}`, "Ask", "Reply", rpc);

const madeUp = `
syntax = "proto3";
package made.up;
import "alipayplus/dialect/v1/dialect.proto";
import "google/rpc/status.proto";

message Body { string some_text = 1; Body inner = 2; repeated Body more = 3; }
message Words { map<string, string> words = 1; }
message Decision { string decision = 1; }
message WithResult { string decision = 1; string result = 2; }
message WithRenamedResult { string decision = 1 [json_name = "result"]; }
message Ask {
  Body body = 1;
  alipayplus.dialect.v1.Delivery delivery = 2;
  string text = 3;
  Words words = 4;
  repeated Body bodies = 5;
}
message AskWithoutDelivery { Body body = 1; }
message AskWithWrongDelivery { Body body = 1; Body delivery = 2; }
message Reply {
  Decision decision = 1;
  string text = 2;
  WithResult with_result = 3;
  WithRenamedResult with_renamed_result = 4;
  Words words = 5;
}
${service("Good", 'api: "tokenDigitizeDecision", body: "body", response_body: "decision"')}
${service("SameApi", 'api: "tokenDigitizeDecision", body: "body"')}
${service("OtherApi", 'api: "sendActivationCode", body: "body"')}
${service("Streaming", 'api: "a", body: "body"', "stream Ask")}
${service("StreamingBack", 'api: "a", body: "body"', "Ask", "stream Reply")}
${service("NoApi", 'body: "body"')}
${service("ApiWithSlash", 'api: "v1/notify", body: "body"')}
${service("ApiWithDigitFirst", 'api: "1a", body: "body"')}
${service("NoBody", 'api: "a"')}
${service("UnknownBody", 'api: "a", body: "nothing"')}
${service("JsonNameAsBody", 'api: "a", body: "Body"')}
${service("ScalarBody", 'api: "a", body: "text"')}
${service("ListBody", 'api: "a", body: "bodies"')}
${service("UnsupportedBody", 'api: "a", body: "words"')}
${service("NoDelivery", 'api: "a", body: "body"', "AskWithoutDelivery")}
${service("WrongDelivery", 'api: "a", body: "body"', "AskWithWrongDelivery")}
${service("UnknownResponse", 'api: "a", body: "body", response_body: "nothing"')}
${service("ScalarResponse", 'api: "a", body: "body", response_body: "text"')}
${service("ResponseWithResult", 'api: "a", body: "body", response_body: "with_result"')}
${service("ResponseWithRenamedResult", 'api: "a", body: "body", response_body: "with_renamed_result"')}
${service("UnsupportedResponse", 'api: "a", body: "body", response_body: "words"')}
message Item { Ask request = 1; uint32 timeout_ms = 2; }
message Result { oneof result { Reply response = 1; google.rpc.Status error = 2; } }
message Items { repeated Item items = 1; }
message Results { repeated Result results = 1; }
message ItemWithoutTimeout { Ask request = 1; }
message ItemsWithoutTimeout { repeated ItemWithoutTimeout items = 1; }
${batch("Batched", "rpc DoMany(Items) returns (Results);")}
${batch("NoBatch", "rpc DoAll(Items) returns (Results);")}
${batch("StreamingBatch", "rpc DoMany(stream Items) returns (Results);")}
${batch("BatchOfNothing", "rpc DoMany(Ask) returns (Results);")}
${batch("BatchWithoutTimeouts", "rpc DoMany(ItemsWithoutTimeout) returns (Results);")}
${batch("BatchWithoutResults", "rpc DoMany(Items) returns (Reply);")}
message StreamIn { uint32 sequence = 1; uint32 timeout_ms = 2; Items batch = 3; }
message StreamOut { uint32 sequence = 1; oneof result { Results response = 2; google.rpc.Status error = 3; } }
${batch(
  "StreamedBatch",
  "rpc DoMany(Items) returns (Results); rpc DoStream(stream StreamIn) returns (stream StreamOut);",
  ', batch_stream: "DoStream"',
)}
${batch("NoStream", "rpc DoMany(Items) returns (Results);", ', batch_stream: "DoStream"')}
${service("StreamWithoutBatch", 'api: "a", body: "body", batch_stream: "DoStream"')}
service NoEndpoint { rpc Do(Ask) returns (Reply); }
`;

describe("the endpoints of the token service", () => {
  const endpoint = endpointsOf([TokenLifecycleService], usual).get(`${prefix}/tokenActivationNotification`) as Endpoint;

  it("are tokenActivationNotification alone, below the prefix", () => {
    const endpoints = endpointsOf([TokenLifecycleService], usual);
    expect([...endpoints.keys()]).to.deep.equal([`${prefix}/tokenActivationNotification`]);
    expect(endpoint.method).to.equal(TokenLifecycleService.method.recordActivation);
  });

  it("move to the path that ALIPAYPLUS_PATHS gives them, and leave the other", () => {
    const byApi = new Map([["tokenActivationNotification", "/notify"]]);
    expect([...endpointsOf([TokenLifecycleService], { prefix, byApi }).keys()]).to.deep.equal(["/notify"]);
  });

  it("build the request of the body and the delivery", () => {
    const body = create(TokenActivationSchema, { tokenReferenceId: "T-1" });
    const delivery = {
      clientId: "C",
      deliveryId: "d",
      receivedTime: timestampFromMs(0),
      bodySha256: new Uint8Array(32),
      traceparent: "",
    };
    const request = endpoint.requestOf(body, delivery);
    expect(toJson(RecordActivationRequestSchema, request as never)).to.deep.equal(
      toJson(RecordActivationRequestSchema, create(RecordActivationRequestSchema, { activation: body, delivery })),
    );
  });

  it("answer nothing beside the result, since the API has no other member", () => {
    const response = create(RecordActivationResponseSchema, { version: 7n });
    expect(endpoint.encodeResponse(response)).to.deep.equal({});
  });

  const paths = [
    { path: "activation", json: "the body" },
    { path: "activation.token_reference_id", json: "tokenReferenceId" },
    { path: "activation.token_data", json: "tokenData" },
    { path: "activation.token_data.expiry_month", json: "tokenData.expiryMonth" },
    { path: "delivery", json: undefined },
    { path: "delivery.client_id", json: undefined },
    { path: "", json: undefined },
    { path: "token_reference_id", json: undefined },
    { path: "activation.nothing", json: undefined },
    { path: "activation.token_reference_id.inner", json: undefined },
  ];
  for (const { path, json } of paths)
    it(`call the request's "${path}" ${json ?? "nothing that Alipay+ sent"}`, () => {
      expect(endpoint.jsonPathOf(path)).to.equal(json);
    });

  const names = { tokenReferenceId: true, expiryMonth: true, token_reference_id: false, clientId: false, "": false };
  for (const [name, isKnown] of Object.entries(names))
    it(`may ${isKnown ? "" : "not "}say the name "${name}" aloud`, () => {
      expect(endpoint.knowsName(name)).to.equal(isKnown);
    });
});

describe("the endpoints of a made-up service", () => {
  let registry: FileRegistry;
  before(() => {
    registry = compileProto(madeUp);
  });

  const routesOf = (names: string[], paths = usual) =>
    endpointsOf(
      names.map((name) => serviceOf(registry, name)),
      paths,
    );
  const complaintOf = (names: string[], paths = usual): string => {
    try {
      routesOf(names, paths);
    } catch (error) {
      if (error instanceof StartError) return error.message;
      throw error;
    }
    return "none";
  };

  it("carry the members of the response's own field", () => {
    const endpoint = routesOf(["Good"]).get(`${prefix}/tokenDigitizeDecision`) as Endpoint;
    const replyWith = (init: Record<string, unknown>) => endpoint.encodeResponse(create(endpoint.method.output, init));
    expect(replyWith({ decision: { decision: "APPROVED" } })).to.deep.equal({ decision: "APPROVED" });
    expect(replyWith({})).to.deep.equal({});
  });

  it("write an item of a list without its index", () => {
    const endpoint = routesOf(["Good"]).get(`${prefix}/tokenDigitizeDecision`) as Endpoint;
    expect(endpoint.jsonPathOf("body.more[3].inner.some_text")).to.equal("more[].inner.someText");
  });

  it("have the batch rpc that their option names, and none without", () => {
    const batched = routesOf(["Batched"]).get(`${prefix}/a`) as Endpoint;
    expect(batched.batch?.method.name).to.equal("DoMany");
    expect(routesOf(["Good"]).get(`${prefix}/tokenDigitizeDecision`)).to.not.have.property("batch");
  });

  it("have the stream of batches that their option names, and none without", () => {
    const streamed = routesOf(["StreamedBatch"]).get(`${prefix}/a`) as Endpoint;
    expect(streamed.batch?.stream?.method.name).to.equal("DoStream");
    expect((routesOf(["Batched"]).get(`${prefix}/a`) as Endpoint).batch).to.not.have.property("stream");
  });

  it("leave rpcs without the option alone", () => {
    expect([...routesOf(["NoEndpoint", "OtherApi"]).keys()]).to.deep.equal([`${prefix}/sendActivationCode`]);
  });

  const noBatch = (what: string) => `names a batch that is none: ${what}`;
  const wrong = [
    { service: "Streaming", what: "is only for unary rpcs" },
    { service: "StreamingBack", what: "is only for unary rpcs" },
    { service: "NoApi", what: "has no usable api name" },
    { service: "ApiWithSlash", what: "has no usable api name" },
    { service: "ApiWithDigitFirst", what: "has no usable api name" },
    { service: "NoBody", what: "names a body that is no message field of the request" },
    { service: "UnknownBody", what: "names a body that is no message field of the request" },
    { service: "JsonNameAsBody", what: "names a body that is no message field of the request" },
    { service: "ScalarBody", what: "names a body that is no message field of the request" },
    { service: "ListBody", what: "names a body that is no message field of the request" },
    { service: "UnsupportedBody", what: "needs another schema: made.up.Words.words: the dialect has no maps" },
    { service: "NoDelivery", what: 'needs a field "delivery" of type alipayplus.dialect.v1.Delivery in the request' },
    {
      service: "WrongDelivery",
      what: 'needs a field "delivery" of type alipayplus.dialect.v1.Delivery in the request',
    },
    { service: "UnknownResponse", what: "names a response_body that is no message field" },
    { service: "ScalarResponse", what: "names a response_body that is no message field" },
    { service: "ResponseWithResult", what: 'names a response_body with a field "result", which is the gateway\'s own' },
    {
      service: "ResponseWithRenamedResult",
      what: 'names a response_body with a field "result", which is the gateway\'s own',
    },
    { service: "UnsupportedResponse", what: "needs another schema: made.up.Words.words: the dialect has no maps" },
    { service: "NoBatch", what: noBatch("the service has no rpc DoMany") },
    { service: "StreamingBatch", what: noBatch("DoMany is not unary") },
    { service: "BatchOfNothing", what: noBatch("Ask has no repeated message field items") },
    { service: "BatchWithoutTimeouts", what: noBatch("ItemWithoutTimeout has no uint32 timeout_ms") },
    { service: "NoStream", what: noBatch("the service has no rpc DoStream") },
    { service: "StreamWithoutBatch", what: "names a batch_stream without a batch" },
    { service: "BatchWithoutResults", what: noBatch("Reply has no repeated message field results") },
  ];
  for (const { service: name, what } of wrong)
    it(`stop the start when the option of ${name} ${what}`, () => {
      expect(complaintOf([name])).to.equal(`rpc made.up.${name}/Do: option endpoint ${what}.`);
    });

  it("stop the start when two rpcs are one API", () => {
    expect(complaintOf(["Good", "SameApi"])).to.equal(
      `two APIs have the path ${prefix}/tokenDigitizeDecision: give one another in ALIPAYPLUS_PATHS.`,
    );
  });

  it("stop the start when ALIPAYPLUS_PATHS gives two APIs one path", () => {
    const byApi = new Map([["sendActivationCode", `${prefix}/tokenDigitizeDecision`]]);
    expect(complaintOf(["Good", "OtherApi"], { prefix, byApi })).to.include("two APIs have the path");
  });

  it("let two APIs change their paths", () => {
    const byApi = new Map([
      ["sendActivationCode", `${prefix}/tokenDigitizeDecision`],
      ["tokenDigitizeDecision", `${prefix}/sendActivationCode`],
    ]);
    const routes = routesOf(["Good", "OtherApi"], { prefix, byApi });
    expect([...routes].map(([path, { api }]) => [api, path])).to.deep.equal([...byApi].reverse());
  });

  it("stop the start when ALIPAYPLUS_PATHS names an API that there is not", () => {
    const byApi = new Map([["tokenActivatedNotification", "/x"]]);
    expect(complaintOf(["Good", "OtherApi"], { prefix, byApi })).to.equal(
      "ALIPAYPLUS_PATHS names tokenActivatedNotification, but there is only tokenDigitizeDecision, sendActivationCode.",
    );
  });
});
