// Empty messages: what create(desc) makes, as copies of one that is made once. create() asks the descriptor each time.
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";

/**
 * Makes empty messages of a type, the same as create(desc) does. Copied by Object.assign: to what a spread makes, V8 adds no
 * member without a new hidden class for that one object, and whoever reads such messages finds each of another class.
 */
export function emptyOf<Desc extends DescMessage>(desc: Desc): () => MessageShape<Desc> {
  const template = create(desc) as MessageShape<Desc> & Record<string, unknown>;
  // Other syntaxes keep defaults in a prototype, which a copy would lose.
  if (Object.getPrototypeOf(template) !== Object.prototype) return () => create(desc);
  // Empty bytes cannot change, so all messages may share them.
  const ownOf = (value: unknown): (() => unknown) | undefined =>
    Array.isArray(value)
      ? () => []
      : typeof value === "object" && !(value instanceof Uint8Array)
        ? () => Object.assign({}, value)
        : undefined;
  const own = Object.entries(template).flatMap(([name, value]) => {
    const make = ownOf(value);
    return make ? [{ name, make }] : [];
  });
  return () => {
    const message: Record<string, unknown> = Object.assign({}, template);
    for (const { name, make } of own) message[name] = make();
    return message as MessageShape<Desc>;
  };
}
