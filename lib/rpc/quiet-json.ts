// Decodes messages in JSON without quoting them: the library's errors repeat what was sent, and that may be a secret.
import { type DescMessage, fromJsonString, type JsonReadOptions } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

/** Options for an rpc with this input. Its JSON is decoded twice, for the library takes no decoder of ours. */
export function quietJson<T extends Partial<JsonReadOptions>>(input: DescMessage, options: T) {
  const utf8 = new TextDecoder();
  // What the library calls before it decodes; a ConnectError from here reaches the caller as it is.
  const textDecoder = {
    decode(bytes: Uint8Array): string {
      const text = utf8.decode(bytes);
      try {
        fromJsonString(input, text, { ignoreUnknownFields: true, ...options });
      } catch (error) {
        // The words before this are names of the schema; what follows them was sent.
        const [, place] = /^(cannot decode (?:message|field) [A-Za-z0-9_.]+) from JSON/.exec(messageOf(error)) ?? [];
        throw new ConnectError(`${place ?? `cannot decode ${input}`} from JSON`, Code.InvalidArgument);
      }
      return text;
    },
  };
  return { ...options, textDecoder };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : "");
