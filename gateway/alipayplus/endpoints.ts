// The public APIs: routes read from the proto options of the services, and checked at start.
import {
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  type DescService,
  getOption,
  hasOption,
  type Message,
} from "@bufbuild/protobuf";
import { StartError } from "../../lib/program.js";
import { emptyOf } from "../../lib/protobuf/empty.js";
import { type Batch, batchOf, batchStreamOf } from "../../lib/rpc/batch.js";
import { type Delivery, DeliverySchema, endpoint } from "../../proto/gen/alipayplus/dialect/v1/dialect_pb.js";
import { type Decoder, decoderOf, type Encoder, encoderOf } from "./dialect.js";
import { parseJson } from "./json.js";

export type Endpoint = {
  /** Name of the API at Alipay+. */
  readonly api: string;
  readonly method: DescMethodUnary;
  /** The rpc that takes many of these calls at once, where there is one. */
  readonly batch?: Batch;
  readonly decodeBody: Decoder;
  /** The request of the rpc, from the decoded body and the delivery. */
  readonly requestOf: (body: Message, delivery: Omit<Delivery, keyof Message>) => Message;
  /** The members beside `result`, from the response of the rpc. */
  readonly encodeResponse: Encoder;
  /** The JSON field of a field path in the request; undefined for what the gateway filled itself. */
  readonly jsonPathOf: (fieldPath: string) => string | undefined;
  /** The token's reference in a decoded body, for the log; undefined where the API has none that may be said aloud. */
  readonly referenceOf: (body: Message) => string | undefined;
  /** The same in a body that could not be decoded, if it can be found in there at all. */
  readonly referenceIn: (body: Buffer) => string | undefined;
  /** True for a name of a field somewhere in the body: such a name may be said aloud. */
  readonly knowsName: (jsonName: string) => boolean;
};

/** Endpoints by public path. */
export type Endpoints = ReadonlyMap<string, Endpoint>;

/** Builds the routes; throws StartError that names the rpc whose option is wrong. */
export function endpointsOf(
  services: readonly DescService[],
  paths: { readonly prefix: string; readonly byApi: ReadonlyMap<string, string> },
): Endpoints {
  const endpoints = new Map<string, Endpoint>();
  const methods = services.flatMap((service) => service.methods).filter((method) => hasOption(method, endpoint));
  for (const method of methods) {
    const built = endpointOf(method);
    const path = paths.byApi.get(built.api) ?? `${paths.prefix}/${built.api}`;
    if (endpoints.has(path))
      throw new StartError(`two APIs have the path ${path}: give one another in ALIPAYPLUS_PATHS.`);
    endpoints.set(path, built);
  }
  const apis = new Set([...endpoints.values()].map(({ api }) => api));
  for (const api of paths.byApi.keys())
    if (!apis.has(api))
      throw new StartError(`ALIPAYPLUS_PATHS names ${api}, but there is only ${[...apis].join(", ") || "no API"}.`);
  return endpoints;
}

function endpointOf(method: DescMethod): Endpoint {
  const { api, body, responseBody, batch, batchStream } = getOption(method, endpoint);
  const wrong = (what: string): never => {
    throw new StartError(`rpc ${method.parent.typeName}/${method.name}: option endpoint ${what}.`);
  };
  if (!isUnary(method)) return wrong("is only for unary rpcs");
  if (!/^[A-Za-z][A-Za-z0-9]*$/.test(api)) return wrong("has no usable api name");
  const bodyField = messageField(method.input, body) ?? wrong("names a body that is no message field of the request");
  const deliveryField = messageField(method.input, "delivery");
  if (deliveryField?.message.typeName !== DeliverySchema.typeName)
    return wrong(`needs a field "delivery" of type ${DeliverySchema.typeName} in the request`);
  const responseField =
    responseBody === ""
      ? undefined
      : (messageField(method.output, responseBody) ?? wrong("names a response_body that is no message field"));
  if (responseField?.message.fields.some(({ jsonName }) => jsonName === "result"))
    return wrong('names a response_body with a field "result", which is the gateway\'s own');
  if (batchStream !== "" && batch === "") return wrong("names a batch_stream without a batch");
  const batched = batch === "" ? {} : { batch: batchNamed(batch, batchStream, method, wrong) };
  try {
    const encodeResponse = responseField && encoderOf(responseField.message);
    const emptyRequest = emptyOf(method.input);
    return {
      api,
      method,
      ...batched,
      decodeBody: decoderOf(bodyField.message),
      requestOf(message, delivery) {
        const request = emptyRequest() as Message & Record<string, unknown>;
        request[bodyField.localName] = message;
        request[deliveryField.localName] = { $typeName: DeliverySchema.typeName, ...delivery };
        return request;
      },
      encodeResponse(response) {
        const value = responseField && (response as Message & Record<string, unknown>)[responseField.localName];
        return encodeResponse && value ? encodeResponse(value as Message) : {};
      },
      jsonPathOf: (fieldPath) => jsonPath(bodyField, fieldPath),
      ...referenceReading(bodyField.message),
      knowsName: (name) => namesIn(bodyField.message).has(name),
    };
  } catch (error) {
    return wrong(`needs another schema: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function batchNamed(name: string, streamName: string, method: DescMethodUnary, wrong: (what: string) => never): Batch {
  try {
    const batch = batchOf(method, name);
    return streamName === "" ? batch : { ...batch, stream: batchStreamOf(batch, streamName) };
  } catch (error) {
    return wrong(`names a batch that is none: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Longest that Alipay+ assigns, in characters. What is longer is no reference and might be anything. */
const referenceLimit = 64;

function referenceReading(desc: DescMessage): Pick<Endpoint, "referenceOf" | "referenceIn"> {
  const field = desc.fields.find(({ jsonName }) => jsonName === "tokenReferenceId");
  if (field?.fieldKind !== "scalar" || field.proto.options?.debugRedact)
    return { referenceOf: () => undefined, referenceIn: () => undefined };
  const { localName, jsonName } = field;
  const told = (value: unknown): string | undefined =>
    typeof value === "string" && value !== "" && [...value].length <= referenceLimit ? value : undefined;
  return {
    referenceOf: (body) => told((body as Message & Record<string, unknown>)[localName]),
    referenceIn(body) {
      try {
        const json = parseJson(body);
        return typeof json === "object" && json !== null && !Array.isArray(json) ? told(json[jsonName]) : undefined;
      } catch {
        return undefined;
      }
    },
  };
}

const isUnary = (method: DescMethod): method is DescMethodUnary => method.methodKind === "unary";

type MessageField = DescField & { fieldKind: "message" };

function messageField(desc: DescMessage, name: string): MessageField | undefined {
  const field = desc.fields.find((each) => each.name === name);
  return field?.fieldKind === "message" ? field : undefined;
}

/** "activation.token_data.expiry_month" becomes "tokenData.expiryMonth"; indexes become "[]". */
function jsonPath(bodyField: MessageField, fieldPath: string): string | undefined {
  const [first, ...rest] = fieldPath.split(".");
  if (first !== bodyField.name) return undefined;
  if (rest.length === 0) return "the body";
  let desc: DescMessage | undefined = bodyField.message;
  const names: string[] = [];
  for (const step of rest) {
    const name = step.replace(/\[.*$/, "");
    const field: DescField | undefined = desc?.fields.find((each) => each.name === name);
    if (field === undefined) return undefined;
    names.push(step.includes("[") ? `${field.jsonName}[]` : field.jsonName);
    desc = field.message;
  }
  return names.join(".");
}

function namesIn(desc: DescMessage, seen = new Set<DescMessage>()): Set<string> {
  if (seen.has(desc)) return new Set();
  seen.add(desc);
  return new Set(
    desc.fields.flatMap((field) => [field.jsonName, ...(field.message ? namesIn(field.message, seen) : [])]),
  );
}
