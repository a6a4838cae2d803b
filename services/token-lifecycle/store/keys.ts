// The names of everything in Redis. docs/redis.md tells type, life and writer of each.

/** Partitions of tokens and events. Part of the data: a change would lose every token. */
export const partitions = 16;

const basis = 0x811c9dc5;

/** FNV-1a, 32 bits, over the UTF-8 bytes. */
export function hashOf(tokenReferenceId: string): number {
  let hash = basis;
  // Several parts of a notification ask for it: what is ASCII, and nearly all is, needs no copy of its bytes.
  for (let i = 0; i < tokenReferenceId.length; i++) {
    const code = tokenReferenceId.charCodeAt(i);
    if (code > 0x7f) return Buffer.from(tokenReferenceId, "utf8").reduce(step, basis) >>> 0;
    hash = step(hash, code);
  }
  return hash >>> 0;
}

const step = (hash: number, byte: number): number => Math.imul(hash ^ byte, 0x01000193);

/** The hash modulo the number of partitions. Frozen, see test/services/token-lifecycle/store. */
export const partitionOf = (tokenReferenceId: string): number => hashOf(tokenReferenceId) % partitions;

// The braces are Redis Cluster's hash tag: a token and the events of its partition share a slot, so one script may
// write both.
const tag = (partition: number): string => `{${partition.toString().padStart(2, "0")}}`;

export const tokenKey = (tokenReferenceId: string): string =>
  `token:${tag(partitionOf(tokenReferenceId))}:${tokenReferenceId}`;
export const eventsKey = (partition: number): string => `events:${tag(partition)}`;
export const deliveriesKey = (tokenReferenceId: string): string =>
  `deliveries:${tag(partitionOf(tokenReferenceId))}:${tokenReferenceId}`;
export const customerKey = (customerId: string): string => `customer:${customerId}`;
export const deactivatedKey = "deactivated";

/** The beginning of a key with a tag. Keys that share it share a slot. */
export const sameSlotOf = (key: string): string => key.slice(0, key.indexOf("}") + 1);
