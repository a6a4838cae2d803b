// What makes an rpc the batch of another: the names of its fields, checked once. See Endpoint.batch in dialect.proto.
import { type DescMessage, type DescMethod, type DescMethodUnary, type Message, ScalarType } from "@bufbuild/protobuf";
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
};

/** The batch rpc `name` beside `single`. Throws Error that says what is wrong with it. */
export function batchOf(single: DescMethodUnary, name: string): Batch {
  const method = single.parent.methods.find((each) => each.name === name);
  if (method === undefined) throw new Error(`the service has no rpc ${name}`);
  if (!isUnary(method)) throw new Error(`${name} is not unary`);
  const item = listOf(method.input, "items");
  const result = listOf(method.output, "results");
  const [request, timeout] = [one(item, "request"), one(item, "timeout_ms")];
  const [response, error] = [one(result, "response"), one(result, "error")];
  if (request?.message !== single.input) throw new Error(`${item.name} has no request of type ${single.input.name}`);
  if (timeout?.scalar !== ScalarType.UINT32) throw new Error(`${item.name} has no uint32 timeout_ms`);
  const oneof = response?.oneof;
  if (response?.message !== single.output || error?.message?.typeName !== StatusSchema.typeName)
    throw new Error(`${result.name} has no response of type ${single.output.name} and error of type google.rpc.Status`);
  if (oneof === undefined || error.oneof !== oneof)
    throw new Error(`${result.name} has no oneof of response and error`);
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
      return results.map((each) => resultOf(each[oneof.localName] as Chosen));
    },
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
