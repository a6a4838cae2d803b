// The APIs that the proto files declare, each with the message that its JSON body is.
import { type DescMessage, type DescService, getOption, hasOption } from "@bufbuild/protobuf";
import { endpoint } from "../proto/gen/alipayplus/dialect/v1/dialect_pb.js";
import { TokenLifecycleService } from "../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";

export type Api = {
  /** Name at Alipay+, the last part of the usual path. */
  readonly name: string;
  readonly body: DescMessage;
};

/** The gateway has checked the options at its start: what is wrong there is not told here. */
export function apisOf(services: readonly DescService[]): Api[] {
  return services
    .flatMap(({ methods }) => methods)
    .filter((method) => hasOption(method, endpoint))
    .flatMap((method) => {
      const { api, body } = getOption(method, endpoint);
      const field = method.input.fields.find(({ name }) => name === body);
      return field?.fieldKind === "message" ? [{ name: api, body: field.message }] : [];
    });
}

export const knownApis: readonly Api[] = apisOf([TokenLifecycleService]);
