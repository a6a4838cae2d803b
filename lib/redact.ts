// Turns messages into something that may be logged, by the proto's own debug_redact.
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

/** The message as plain data; a field marked debug_redact says only that it is there, bytes say their length. */
export function redacted(desc: DescMessage, message: Message): unknown {
  return plainOf(reflect(desc, message));
}

function plainOf(message: ReflectMessage): unknown {
  if (message.desc.typeName === "google.protobuf.Timestamp") return instantOf(message.message as Timestamp);
  const fields = message.sortedFields.filter((field) => message.isSet(field));
  return Object.fromEntries(
    fields.map((field) => {
      if (field.proto.options?.debugRedact) return [field.name, "[redacted]"];
      switch (field.fieldKind) {
        case "message":
          return [field.name, plainOf(message.get(field))];
        case "list":
          return [field.name, `[${message.get(field).size} items]`];
        case "map":
          return [field.name, `[${message.get(field).size} entries]`];
        case "enum":
          return [field.name, field.enum.value[message.get(field)]?.name ?? message.get(field)];
        default: {
          const value: unknown = message.get(field);
          if (value instanceof Uint8Array) return [field.name, `[${value.length} bytes]`];
          return [field.name, typeof value === "bigint" ? value.toString() : value];
        }
      }
    }),
  );
}

/** A log line must not fail over what a caller sent: 64 bits of seconds reach further than any calendar. */
function instantOf(timestamp: Timestamp): string {
  const date = timestampDate(timestamp);
  return Number.isNaN(date.getTime()) ? `${timestamp.seconds} s` : date.toISOString();
}
