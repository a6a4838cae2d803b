// Notifications that were answered U and wait for their repeat: what has been decided since, and what never came again.
import { createHash } from "node:crypto";
import type { ResultStatus } from "./alipayplus/result.js";

/** A genuine notification, as far as its repeat is recognised by it: the bytes of a repeat are the same. */
export type Notification = { readonly api: string; readonly clientId: string; readonly body: Buffer };

/** What is kept to tell of it later. */
export type UndecidedEntry = {
  readonly sinceMs: number;
  readonly deliveryId: string;
  readonly api: string;
  readonly clientId: string;
  readonly tokenReferenceId: string | undefined;
};

export type UndecidedOptions = {
  /** How long the sender repeats, in milliseconds. */
  readonly horizonMs: number;
  /** Most notifications that are remembered; past it the oldest are dropped. */
  readonly limit: number;
  readonly onOpened: () => void;
  readonly onDecided: () => void;
  readonly onExpired: (entry: UndecidedEntry) => void;
  readonly onDropped: () => void;
};

export type Undecided = {
  /** Says what a genuine notification was answered. Costs nothing for S and F while nothing is undecided. */
  readonly note: (
    notification: Notification,
    status: ResultStatus,
    entryOf: () => Pick<UndecidedEntry, "deliveryId" | "tokenReferenceId">,
    nowMs: number,
  ) => void;
  /** Gives up those whose time is over. */
  readonly sweep: (nowMs: number) => void;
  readonly size: () => number;
};

/** Kept in the memory of one gateway: it does not know what another one answered, and forgets with its end. */
export function createUndecided(options: UndecidedOptions): Undecided {
  // In the order of their first U, which is that of a Map.
  const entries = new Map<string, UndecidedEntry>();
  return {
    note({ api, clientId, body }, status, entryOf, nowMs) {
      if (status !== "U" && entries.size === 0) return;
      const key = createHash("sha256").update(`${clientId} ${api} `).update(body).digest("base64");
      if (status !== "U") {
        if (entries.delete(key)) options.onDecided();
        return;
      }
      if (entries.has(key)) return;
      entries.set(key, { sinceMs: nowMs, api, clientId, ...entryOf() });
      options.onOpened();
      const oldest = entries.size > options.limit ? entries.keys().next().value : undefined;
      if (oldest !== undefined && entries.delete(oldest)) options.onDropped();
    },
    sweep(nowMs) {
      for (const [key, entry] of entries) {
        if (nowMs - entry.sinceMs < options.horizonMs) return;
        entries.delete(key);
        options.onExpired(entry);
      }
    },
    size: () => entries.size,
  };
}
