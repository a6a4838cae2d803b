// What makes an rpc the batch of another, and a third one the stream of such batches: the names of their fields, checked once. See
// Endpoint.batch and Endpoint.batch_stream in dialect.proto.
import {
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodUnary,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Status, StatusSchema } from "../../proto/gen/google/rpc/status_pb.js";
import { emptyOf } from "../protobuf/empty.js";

export type BatchItem = { readonly request: Message; readonly timeoutMs: number };

/** A response, or the error that the peer chose for this item. */
export type BatchResult = Message | ConnectError;

export type Batch = {
  /** The batch rpc. */
  readonly method: DescMethodUnary;
  readonly requestOf: (items: readonly BatchItem[]) => Message;
  /** One result for each item; throws ConnectError for a response with another number of them. */
  readonly resultsOf: (response: Message, count: number) => BatchResult[];
  /** The rpc that takes many batches over one call, where there is one. */
  readonly stream?: BatchStream;
};

export type BatchStream = {
  /** The rpc that takes the batches. */
  readonly method: DescMethodBiDiStreaming;
  readonly requestOf: (sequence: number, timeoutMs: number, batch: Message) => Message;
  readonly sequenceOf: (response: Message) => number;
  /** The response of the batch rpc, or the error that the peer chose for the batch. */
  readonly resultOf: (response: Message) => BatchResult;
};

/** The batch rpc `name` beside `single`. Throws Error that says what is wrong with it. */
export function batchOf(single: DescMethodUnary, name: string): Batch {
  const method = single.parent.methods.find((each) => each.name === name);
  if (method === undefined) throw new Error(`the service has no rpc ${name}`);
  if (!isUnary(method)) throw new Error(`${name} is not unary`);
  const item = listOf(method.input, "items");
  const result = listOf(method.output, "results");
  const [request, timeout] = [one(item, "request"), one(item, "timeout_ms")];
  if (request?.message !== single.input) throw new Error(`${item.name} has no request of type ${single.input.name}`);
  if (timeout?.scalar !== ScalarType.UINT32) throw new Error(`${item.name} has no uint32 timeout_ms`);
  const resultName = resultOneof(result, single.output);
  const [emptyRequest, emptyItem] = [emptyOf(method.input), emptyOf(item)];
  return {
    method,
    requestOf: (items) =>
      Object.assign(emptyRequest(), {
        items: items.map((each) => Object.assign(emptyItem(), each)),
      }),
    resultsOf(message, count) {
      const { results } = message as Message & { results: Record<string, Chosen>[] };
      if (results.length !== count)
        throw new ConnectError(`${results.length} results for ${count} items`, Code.Internal);
      return results.map((each) => resultOf(each[resultName] as Chosen));
    },
  };
}

/** The rpc `name` that takes batches over a call that lasts. Throws Error that says what is wrong with it. */
export function batchStreamOf(batch: Batch, name: string): BatchStream {
  const method = batch.method.parent.methods.find((each) => each.name === name);
  if (method === undefined) throw new Error(`the service has no rpc ${name}`);
  if (!isBiDiStreaming(method)) throw new Error(`${name} does not stream in both directions`);
  const { input, output } = method;
  for (const [desc, field] of [
    [input, "sequence"],
    [input, "timeout_ms"],
    [output, "sequence"],
  ] as const)
    if (one(desc, field)?.scalar !== ScalarType.UINT32) throw new Error(`${desc.name} has no uint32 ${field}`);
  if (one(input, "batch")?.message !== batch.method.input)
    throw new Error(`${input.name} has no batch of type ${batch.method.input.name}`);
  const resultName = resultOneof(output, batch.method.output);
  const emptyRequest = emptyOf(input);
  return {
    method,
    requestOf: (sequence, timeoutMs, message) => Object.assign(emptyRequest(), { sequence, timeoutMs, batch: message }),
    sequenceOf: (response) => (response as Message & { sequence: number }).sequence,
    resultOf: (response) => resultOf((response as Message & Record<string, unknown>)[resultName] as Chosen),
  };
}

type Chosen = { case: "response"; value: Message } | { case: "error"; value: Status } | { case: undefined };

function resultOf(chosen: Chosen): BatchResult {
  if (chosen.case === "response") return chosen.value;
  // A oneof may have more members than those that are asked for.
  if (chosen.case !== "error") return new ConnectError("an item without a result", Code.Internal);
  const { code, message, details } = chosen.value;
  const error = new ConnectError(message, code in Code ? code : Code.Unknown);
  error.details = details.map(({ typeUrl, value }) => ({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value }));
  return error;
}

/** The name of the oneof of `response`, a message of that type, and `error`. */
function resultOneof(desc: DescMessage, type: DescMessage): string {
  const [response, error] = [one(desc, "response"), one(desc, "error")];
  if (response?.message !== type || error?.message?.typeName !== StatusSchema.typeName)
    throw new Error(`${desc.name} has no response of type ${type.name} and error of type google.rpc.Status`);
  if (response.oneof === undefined || error.oneof !== response.oneof)
    throw new Error(`${desc.name} has no oneof of response and error`);
  return response.oneof.localName;
}

const isBiDiStreaming = (method: DescMethod): method is DescMethodBiDiStreaming =>
  method.methodKind === "bidi_streaming";

const isUnary = (method: DescMethod): method is DescMethodUnary => method.methodKind === "unary";

const field = (desc: DescMessage, name: string) => desc.fields.find((each) => each.name === name);

/** A field that is neither a list nor a map. */
function one(desc: DescMessage, name: string) {
  const found = field(desc, name);
  return found?.fieldKind === "message" || found?.fieldKind === "scalar" ? found : undefined;
}

function listOf(desc: DescMessage, name: string): DescMessage {
  const list = field(desc, name);
  if (list?.fieldKind !== "list" || list.listKind !== "message")
    throw new Error(`${desc.name} has no repeated message field ${name}`);
  return list.message;
}
