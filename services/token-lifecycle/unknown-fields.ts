// Fields that a newer caller knows and we do not: nobody can say whether they are secret, so they must not be stored in clear.
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { Interceptor } from "@connectrpc/connect";
import { TokenDataSchema } from "../../proto/gen/mpp/token/v1/token_activation_pb.js";

/** Drops the unknown fields of each request message but those of token data, which is sealed as a whole. */
export const droppingUnknownFields: Interceptor = (next) => (request) => {
  if (!request.stream) dropUnknownFields(request.method.input, request.message);
  return next(request);
};

export function dropUnknownFields(desc: DescMessage, message: Message): void {
  dropIn(reflect(desc, message));
}

function dropIn(message: ReflectMessage): void {
  if (message.desc.typeName === TokenDataSchema.typeName) return;
  delete message.message.$unknown;
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    if (field.fieldKind === "message") dropIn(message.get(field));
    else if (field.fieldKind === "list" && field.listKind === "message")
      for (const item of message.get(field)) dropIn(item as ReflectMessage);
  }
}
