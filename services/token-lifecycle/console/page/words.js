// How the page says things: instants, states, events and troubles in words.
import { CallError } from "./connect.js";
import { el } from "./dom.js";

/** @typedef {import("./types.d.ts").TokenEvent} TokenEvent */

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hour12: false,
});
const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "2-digit" });

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/**
 * An instant in the reader's zone, with the exact one behind it.
 * @param {string | undefined} iso
 * @param {{ withDay?: boolean }} how
 */
export function time(iso, { withDay = true } = {}) {
  if (!iso) return "-";
  const date = new Date(iso);
  const text = withDay ? `${day.format(date)}, ${clock.format(date)}` : clock.format(date);
  return el("time", { datetime: iso, title: iso }, text);
}

/**
 * TOKEN_STATE_ACTIVE to ACTIVE.
 * @param {string | undefined} value
 * @param {string} prefix
 */
export const word = (value, prefix) => value?.replace(prefix, "") ?? "";

/** @param {string | undefined} state */
export const stateOf = (state) => word(state, "TOKEN_STATE_") || "UNKNOWN";

/** @param {string | undefined} state */
export const stateMark = (state) => el("span", { class: "state", "data-state": stateOf(state) }, stateOf(state));

/** @param {string} text @param {string} kind */
export const badge = (text, kind) => el("span", { class: "badge", "data-kind": kind }, text);

/** @param {TokenEvent} event */
export const eventWord = (event) => word(event.type, "TOKEN_EVENT_TYPE_").toLowerCase();

/** @type {Record<string, [text: string, kind: string]>} */
const outcomes = {
  OUTCOME_RECORDED_LATE: ["late", "late"],
  OUTCOME_RECORDED_NO_EFFECT: ["no effect", "idle"],
};

/** What is unusual about an event; undefined when nothing is. @param {TokenEvent} event */
export function outcomeBadge(event) {
  const [text, kind] = outcomes[event.outcome] ?? [];
  return text && kind ? badge(text, kind) : undefined;
}

const spans = /** @type {const} */ ([
  ["day", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1],
]);

/** A length of time, roughly. @param {number} ms */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const index = spans.findIndex(([, size]) => seconds >= size);
  const [unit, size] = spans[index] ?? spans[3];
  const next = spans[index + 1];
  const count = Math.floor(seconds / size);
  const rest = next ? Math.floor((seconds % size) / next[1]) : 0;
  const plural = unit === "day" && count !== 1 ? "s" : "";
  return rest > 0 && next ? `${count} ${unit}${plural} ${rest} ${next[0]}` : `${count} ${unit}${plural}`;
}

/** @type {Record<string, string>} */
const troubles = {
  TOKEN_NOT_FOUND: "No token has this reference.",
  RIGHT_MISSING: "You do not have the right to see this. Ask whoever keeps the policy file of the token service.",
  NO_CERTIFICATE: "The token service wants a certificate: install yours in this browser.",
  STORE_UNAVAILABLE: "The token service is up, but Redis does not answer it. Try again.",
};

/** @param {unknown} error */
export function troubleOf(error) {
  if (!(error instanceof CallError)) return "This page has a fault of its own.";
  const known = troubles[error.reason];
  if (known) return known;
  if (error.code === "unavailable") return "The token service does not answer this page. Try again.";
  return `The token service refuses: ${error.message || error.code}.`;
}
