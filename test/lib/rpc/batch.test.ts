import {
  create,
  type DescMethodUnary,
  type FileRegistry,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import fc from "fast-check";
import { type Batch, type BatchResult, type BatchStream, batchOf, batchStreamOf } from "../../../lib/rpc/batch.js";
import { ErrorInfoSchema } from "../../../proto/gen/google/rpc/error_details_pb.js";
import { type Status, StatusSchema } from "../../../proto/gen/google/rpc/status_pb.js";
import { TokenLifecycleService } from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { compileProto, serviceOf } from "../../support/schema.js";

const item = "{ Ask request = 1; uint32 timeout_ms = 2; }";
const result = "{ oneof result { Reply response = 1; google.rpc.Status error = 2; } }";

/** A service with an rpc and what is to be its batch: members of the batch's messages in the proto's language. */
const service = (
  name: string,
  parts: { item?: string; result?: string; request?: string; response?: string },
): string => {
  const at = (suffix: string) => `${name}${suffix}`;
  return `
message ${at("Item")} ${parts.item ?? item}
message ${at("Result")} ${parts.result ?? result}
message ${at("Request")} ${parts.request ?? `{ repeated ${at("Item")} items = 1; }`}
message ${at("Response")} ${parts.response ?? `{ repeated ${at("Result")} results = 1; }`}
service ${name} {
  rpc Do(Ask) returns (Reply);
  rpc DoMany(${at("Request")}) returns (${at("Response")});
  rpc DoStream(stream ${at("Request")}) returns (${at("Response")});
}`;
};

const noRequest = "Item has no request of type Ask";
const noTimeout = "Item has no uint32 timeout_ms";
const noItems = "Request has no repeated message field items";
const noResults = "Response has no repeated message field results";
const noResult = "Result has no response of type Reply and error of type google.rpc.Status";
const noOneof = "Result has no oneof of response and error";

/** What is wrong with it, and the words for it; the name of the service stands before each name of a message. */
const wrong: { name: string; parts: Parameters<typeof service>[1]; words: string }[] = [
  { name: "NoItems", parts: { request: "{ string a = 1; }" }, words: noItems },
  { name: "OneItem", parts: { request: "{ OneItemItem items = 1; }" }, words: noItems },
  { name: "TextItems", parts: { request: "{ repeated string items = 1; }" }, words: noItems },
  { name: "MappedItems", parts: { request: "{ map<string, MappedItemsItem> items = 1; }" }, words: noItems },
  { name: "NoResults", parts: { response: "{ string a = 1; }" }, words: noResults },
  { name: "OneResult", parts: { response: "{ OneResultResult results = 1; }" }, words: noResults },
  { name: "NoRequest", parts: { item: "{ uint32 timeout_ms = 2; }" }, words: noRequest },
  { name: "OtherRequest", parts: { item: "{ Reply request = 1; uint32 timeout_ms = 2; }" }, words: noRequest },
  { name: "ListedRequest", parts: { item: "{ repeated Ask request = 1; uint32 timeout_ms = 2; }" }, words: noRequest },
  { name: "NoTimeout", parts: { item: "{ Ask request = 1; }" }, words: noTimeout },
  { name: "SignedTimeout", parts: { item: "{ Ask request = 1; int32 timeout_ms = 2; }" }, words: noTimeout },
  { name: "ListedTimeout", parts: { item: "{ Ask request = 1; repeated uint32 timeout_ms = 2; }" }, words: noTimeout },
  { name: "NoResponse", parts: { result: "{ oneof r { google.rpc.Status error = 2; } }" }, words: noResult },
  {
    name: "OtherResponse",
    parts: { result: "{ oneof r { Ask response = 1; google.rpc.Status error = 2; } }" },
    words: noResult,
  },
  { name: "NoError", parts: { result: "{ oneof r { Reply response = 1; } }" }, words: noResult },
  { name: "OtherError", parts: { result: "{ oneof r { Reply response = 1; Reply error = 2; } }" }, words: noResult },
  { name: "NoOneof", parts: { result: "{ Reply response = 1; google.rpc.Status error = 2; }" }, words: noOneof },
  {
    name: "TwoOneofs",
    parts: { result: "{ oneof a { Reply response = 1; } oneof b { google.rpc.Status error = 2; } }" },
    words: noOneof,
  },
];

const streamRequest = "{ uint32 sequence = 1; uint32 timeout_ms = 2; GoodRequest batch = 3; }";
const streamResponse =
  "{ uint32 sequence = 1; oneof result { GoodResponse response = 2; google.rpc.Status error = 3; } }";
/** A service whose rpc is to be the stream of GoodRequests. */
const streamService = (name: string, parts: { request?: string; response?: string; rpc?: string } = {}): string => `
message ${name}Request ${parts.request ?? streamRequest}
message ${name}Response ${parts.response ?? streamResponse}
service ${name} {
  rpc Do(Ask) returns (Reply);
  rpc DoMany(GoodRequest) returns (GoodResponse);
  ${(parts.rpc ?? "rpc DoStream(stream Request) returns (stream Response);").replaceAll(/Re(quest|sponse)/g, `${name}Re$1`)}
}`;

const wrongStreams: { name: string; parts: Parameters<typeof streamService>[1]; words: string }[] = [
  { name: "Missing", parts: { rpc: "" }, words: "the service has no rpc DoStream" },
  ...[
    "rpc DoStream(Request) returns (Response);",
    "rpc DoStream(stream Request) returns (Response);",
    "rpc DoStream(Request) returns (stream Response);",
  ].map((rpc, index) => ({
    ...{ name: `OneWay${index}`, parts: { rpc } },
    words: "DoStream does not stream in both directions",
  })),
  {
    name: "NoSequence",
    parts: { request: "{ uint32 timeout_ms = 2; GoodRequest batch = 3; }" },
    words: "NoSequenceRequest has no uint32 sequence",
  },
  {
    name: "NoStreamTimeout",
    parts: { request: "{ uint32 sequence = 1; GoodRequest batch = 3; }" },
    words: "NoStreamTimeoutRequest has no uint32 timeout_ms",
  },
  {
    name: "NoSequenceBack",
    parts: { response: streamResponse.replace("uint32 sequence", "uint64 sequence") },
    words: "NoSequenceBackResponse has no uint32 sequence",
  },
  {
    name: "OtherBatch",
    parts: { request: streamRequest.replace("GoodRequest", "Ask") },
    words: "OtherBatchRequest has no batch of type GoodRequest",
  },
  {
    name: "OtherAnswer",
    parts: { response: streamResponse.replace("GoodResponse", "Reply") },
    words: "OtherAnswerResponse has no response of type GoodResponse and error of type google.rpc.Status",
  },
];

const extended = "{ oneof r { Reply response = 1; google.rpc.Status error = 2; string later = 3; } }";
const madeUp = `
syntax = "proto3";
package made.up;
import "google/rpc/status.proto";
message Ask { string text = 1; }
message Reply { string text = 1; }
${service("Good", {})}
${service("Extended", { result: extended })}
${streamService("Streamed")}
${wrong.map(({ name, parts }) => service(name, parts)).join("")}
${wrongStreams.map(({ name, parts }) => streamService(name, parts)).join("")}`;

describe("a batch rpc", () => {
  let registry: FileRegistry;
  before(() => {
    registry = compileProto(madeUp);
  });

  const methodOf = (name: string, rpc = "Do"): DescMethodUnary => {
    const method = serviceOf(registry, name).methods.find((each) => each.name === rpc);
    if (method?.methodKind !== "unary") throw new Error(`no unary rpc ${rpc}`);
    return method as DescMethodUnary;
  };
  const batchIn = (name: string): Batch => batchOf(methodOf(name), "DoMany");

  it("of the token service is one", () => {
    const { recordActivation, batchRecordActivations } = TokenLifecycleService.method;
    expect(batchOf(recordActivation, "BatchRecordActivations").method).to.equal(batchRecordActivations);
  });

  for (const { name, words } of wrong)
    it(`is refused by name when it is wrong: ${name}`, () => {
      expect(() => batchIn(name)).to.throw(Error, `${name}${words}`);
    });

  it("is refused when there is none of that name, when it streams, and when it is the rpc itself", () => {
    expect(() => batchOf(methodOf("Good"), "DoAll")).to.throw(Error, "the service has no rpc DoAll");
    expect(() => batchOf(methodOf("Good"), "doMany")).to.throw(Error, "the service has no rpc doMany");
    expect(() => batchOf(methodOf("Good"), "DoStream")).to.throw(Error, "DoStream is not unary");
    expect(() => batchOf(methodOf("Good"), "Do")).to.throw(Error, "Ask has no repeated message field items");
  });

  type Chosen = { case: "response"; value: Message } | { case: "error"; value: Status } | { case: undefined };
  /** The response as a peer would send it. */
  const responseOf = (name: string, chosen: readonly object[]): Message => {
    const desc = batchIn(name).method.output;
    const results = chosen.map((each) => ({ [name === "Good" ? "result" : "r"]: each }));
    return fromBinary(desc, toBinary(desc, create(desc, { results } as never)));
  };
  const textOf = (given: BatchResult | undefined): string =>
    given instanceof ConnectError
      ? `${Code[given.code]} ${given.rawMessage}`
      : ((given as { text?: string } | undefined)?.text ?? "");

  it("carries each request with its deadline, in order", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ text: fc.string(), timeoutMs: fc.integer({ min: 0, max: 2 ** 32 - 1 }) })),
        (all) => {
          const { method, requestOf } = batchIn("Good");
          const request = requestOf(
            all.map(({ text, timeoutMs }) => ({
              request: create(methodOf("Good").input, { text } as never),
              timeoutMs,
            })),
          );
          const read = fromBinary(method.input, toBinary(method.input, request)) as Message & {
            items: { request: { text: string }; timeoutMs: number }[];
          };
          expect(read.items.map(({ request: { text }, timeoutMs }) => ({ text, timeoutMs }))).to.deep.equal(all);
        },
      ),
    );
  });

  const chosen: fc.Arbitrary<{ given: Chosen; text: string }> = fc.oneof(
    fc.string({ unit: "grapheme" }).map((text) => ({
      given: { case: "response" as const, value: create(methodOf("Good").output, { text } as never) },
      text,
    })),
    fc.record({ code: fc.integer({ min: 1, max: 16 }), message: fc.string({ unit: "grapheme" }) }).map((status) => ({
      given: { case: "error" as const, value: create(StatusSchema, status) },
      text: `${Code[status.code]} ${status.message}`,
    })),
    fc.constant({ given: { case: undefined }, text: "Internal an item without a result" }),
  );

  it("gives each item what stands in its position", () => {
    fc.assert(
      fc.property(fc.array(chosen), (all) => {
        const response = responseOf(
          "Good",
          all.map(({ given }) => given),
        );
        const results = batchIn("Good").resultsOf(response, all.length);
        expect(results.map(textOf)).to.deep.equal(all.map(({ text }) => text));
      }),
    );
  });

  it("gives nobody anything when there are more or fewer results than items", () => {
    const response = responseOf("Good", [{ case: "response", value: create(methodOf("Good").output) }]);
    for (const count of [0, 2]) {
      const read = () => batchIn("Good").resultsOf(response, count);
      expect(read).to.throw(ConnectError, `1 results for ${count} items`).with.property("code", Code.Internal);
    }
  });

  it("hands on an error's details, whatever stands before their type", () => {
    const any = anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: "SOME_REASON", domain: "made.up" }));
    for (const before of ["type.googleapis.com/", "https://example.com/of/", ""]) {
      const details = [{ ...any, typeUrl: `${before}google.rpc.ErrorInfo` }];
      const value = create(StatusSchema, { code: Code.AlreadyExists, message: "no", details });
      const [error] = batchIn("Good").resultsOf(responseOf("Good", [{ case: "error", value }]), 1);
      expect(error).to.be.instanceOf(ConnectError);
      expect((error as ConnectError).findDetails(ErrorInfoSchema)[0]).to.include({ reason: "SOME_REASON" });
    }
  });

  for (const code of [0, 17, -1])
    it(`takes the code ${code}, which is none, for Unknown`, () => {
      const value = create(StatusSchema, { code, message: "?" });
      expect(
        batchIn("Good")
          .resultsOf(responseOf("Good", [{ case: "error", value }]), 1)
          .map(textOf),
      ).to.deep.equal(["Unknown ?"]);
    });

  it("takes a result of a kind that it does not know for none, for that item alone", () => {
    const good = { case: "response", value: create(methodOf("Extended").output, { text: "good" } as never) };
    const results = batchIn("Extended").resultsOf(
      responseOf("Extended", [good, { case: "later", value: "x" }, good]),
      3,
    );
    expect(results.map(textOf)).to.deep.equal(["good", "Internal an item without a result", "good"]);
  });

  describe("with a stream of batches", () => {
    const streamIn = (name: string): BatchStream => batchStreamOf(batchIn(name), "DoStream");

    it("has that of the token service", () => {
      const { recordActivation, streamRecordActivations } = TokenLifecycleService.method;
      const batch = batchOf(recordActivation, "BatchRecordActivations");
      expect(batchStreamOf(batch, "StreamRecordActivations").method).to.equal(streamRecordActivations);
    });

    for (const { name, words } of wrongStreams)
      it(`refuses it by name when it is wrong: ${name}`, () => {
        expect(() => streamIn(name)).to.throw(Error, words);
      });

    it("numbers each batch and finds its number and result in the answer", () => {
      const { method, requestOf, sequenceOf, resultOf } = streamIn("Streamed");
      const batch = batchIn("Streamed").requestOf([
        { request: create(methodOf("Streamed").input, { text: "a" } as never), timeoutMs: 5 },
      ]);
      const read = fromBinary(method.input, toBinary(method.input, requestOf(7, 1_500, batch)));
      expect(read).to.deep.include({ sequence: 7, timeoutMs: 1_500 });
      expect((read as unknown as { batch: { items: object[] } }).batch.items).to.have.length(1);

      const answer = (result: object) => create(method.output, { sequence: 2 ** 32 - 1, result } as never);
      const value = responseOf("Good", []);
      expect(sequenceOf(answer({ case: "response", value }))).to.equal(2 ** 32 - 1);
      expect(resultOf(answer({ case: "response", value }))).to.equal(value);
      const status = create(StatusSchema, { code: Code.Aborted, message: "again" });
      expect(textOf(resultOf(answer({ case: "error", value: status })))).to.equal("Aborted again");
      expect(textOf(resultOf(answer({ case: undefined })))).to.match(/^Internal /);
    });
  });
});
