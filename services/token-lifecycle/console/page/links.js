// Where the page goes: the part of its address behind #, which no server sees.
import { el } from "./dom.js";

/** @param {string} reference */
export const tokenPlace = (reference) => `#/token/${encodeURIComponent(reference)}`;

/** @param {string} customerId */
export const customerPlace = (customerId) => `#/customer/${encodeURIComponent(customerId)}`;

/** @param {string} reference */
export const tokenLink = (reference) => el("a", { href: tokenPlace(reference) }, reference);

/**
 * @param {string} hash
 * @returns {{ kind: "token" | "customer", words: string } | undefined}
 */
export function placeOf(hash) {
  const [, kind, text = ""] = /^#\/(token|customer)\/(.+)$/.exec(hash) ?? [];
  try {
    return kind === "token" || kind === "customer" ? { kind, words: decodeURIComponent(text) } : undefined;
  } catch {
    return undefined;
  }
}
