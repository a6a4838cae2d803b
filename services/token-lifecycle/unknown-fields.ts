// Fields that a newer caller knows and we do not: nobody can say whether they are secret, so they must not be stored in clear.
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import type { Interceptor } from "@connectrpc/connect";
import { TokenDataSchema } from "../../proto/gen/mpp/token/v1/token_activation_pb.js";

/** Drops the unknown fields of each request message but those of token data, which is sealed as a whole. */
export const droppingUnknownFields: Interceptor = (next) => (request) => {
  if (!request.stream) dropUnknownFields(request.method.input, request.message);
  return next(request);
};

export function dropUnknownFields(desc: DescMessage, message: Message): void {
  dropperOf(desc)(message);
}

type Drop = (message: Message) => void;
type Slots = Record<string, unknown>;

const droppers = new Map<DescMessage, Drop>();

/** Made once for each type, since it is run for each request. */
function dropperOf(desc: DescMessage): Drop {
  const known = droppers.get(desc);
  if (known) return known;
  const inner: Drop[] = [];
  const drop: Drop = (message) => {
    if (message.$unknown !== undefined) delete message.$unknown;
    for (const dropInField of inner) dropInField(message);
  };
  droppers.set(desc, drop); // before its fields, which may refer back to it
  for (const field of desc.fields) {
    const type = field.message;
    if (type === undefined || type.typeName === TokenDataSchema.typeName) continue;
    // In a field of its own a Struct is a plain object, which has no unknown fields.
    if (field.fieldKind === "message" && type.typeName === StructSchema.typeName) continue;
    const dropInType = dropperOf(type);
    const { localName, oneof, fieldKind } = field;
    inner.push((message) => {
      const value = valueIn(message as unknown as Slots, localName, oneof?.localName);
      if (value === undefined) return;
      if (fieldKind === "message") dropInType(value as Message);
      else for (const item of Object.values(value as Message[])) dropInType(item);
    });
  }
  return drop;
}

function valueIn(slots: Slots, name: string, oneofName: string | undefined): unknown {
  if (oneofName === undefined) return slots[name];
  const chosen = slots[oneofName] as { case?: string; value?: unknown };
  return chosen.case === name ? chosen.value : undefined;
}
