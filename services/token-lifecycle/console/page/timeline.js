// A token's story: what was recorded, and what came and changed nothing, in the order in which it came.
import { el, svg } from "./dom.js";
import { customerPlace } from "./links.js";
import { badge, eventWord, outcomeBadge, span, stateMark, stateOf, time, word } from "./words.js";

/** @typedef {import("./types.d.ts").TokenEvent} TokenEvent */
/** @typedef {import("./types.d.ts").Delivery} Delivery */
/** @typedef {import("./types.d.ts").History} History */
/** @typedef {{ kind: "event", atMs: number, event: TokenEvent } | { kind: "delivery", atMs: number, delivery: Delivery }} Entry */

/** @param {History} history */
export function timelineOf({ token, events = [], explanation = "", uneventfulDeliveries = [] }) {
  /** @type {Entry[]} */
  const entries = [
    ...events.map((event) => ({ kind: /** @type {const} */ ("event"), atMs: Date.parse(event.receivedTime), event })),
    ...uneventfulDeliveries.map((delivery) => ({
      kind: /** @type {const} */ ("delivery"),
      atMs: Date.parse(delivery.receivedTime),
      delivery,
    })),
  ].sort((a, b) => b.atMs - a.atMs || (a.kind === b.kind ? 0 : a.kind === "delivery" ? -1 : 1));
  return [
    el("p", { class: "verdict" }, stateMark(token.state), " ", explanation.replace(`${stateOf(token.state)} `, "")),
    factsOf(token),
    el("h3", {}, "Timeline"),
    el("p", { class: "hint" }, countsOf(entries)),
    ...(events.length > 0 ? [stripOf(events, entries)] : []),
    el("ol", { class: "timeline", "aria-label": "Timeline, newest first" }, ...entries.map(itemOf)),
  ];
}

/** @param {import("./types.d.ts").Token} token */
function factsOf(token) {
  /** @type {[string, string | Node | undefined][]} */
  const facts = [
    ["Token number", token.tokenData?.token],
    ["Customer", token.customerId && el("a", { href: customerPlace(token.customerId) }, token.customerId)],
    ["Reported by", token.clientId],
    ["Wallet", token.walletId],
    ["Token requestor", token.tokenRequestorId],
    ["Secure element", token.secureElementId],
    ["Card known from", word(token.accountSource, "ACCOUNT_SOURCE_").toLowerCase().replaceAll("_", " ") || undefined],
    ["Suspended by", token.suspenders?.map((each) => word(each, "SUSPENDER_").toLowerCase()).join(", ") || undefined],
    ["Asked for", token.serviceRequestTime && time(token.serviceRequestTime)],
    ["Activated", token.tokenActivatedTime && time(token.tokenActivatedTime)],
    ["First heard of", token.createTime && time(token.createTime)],
    ["Last change", token.updateTime && time(token.updateTime)],
    ["Erased", token.eraseTime && time(token.eraseTime)],
    ["Version", token.version],
  ];
  return el(
    "dl",
    { class: "facts" },
    ...facts.flatMap(([name, value]) => (value ? [el("div", {}, el("dt", {}, name), el("dd", {}, value))] : [])),
  );
}

/** @param {Entry[]} entries */
function countsOf(entries) {
  const count = (/** @type {(entry: Entry) => boolean} */ is) => entries.filter(is).length;
  const counts = /** @type {const} */ ([
    ["recorded", count(({ kind }) => kind === "event")],
    ["of them late", count((each) => each.kind === "event" && each.event.outcome === "OUTCOME_RECORDED_LATE")],
    [
      "of them without effect",
      count((each) => each.kind === "event" && each.event.outcome === "OUTCOME_RECORDED_NO_EFFECT"),
    ],
    ["repeated", count((each) => each.kind === "delivery" && !each.delivery.refusedFor)],
    ["refused", count((each) => each.kind === "delivery" && Boolean(each.delivery.refusedFor))],
  ]);
  return counts.flatMap(([text, number]) => (number > 0 ? [`${number} ${text}`] : [])).join(", ");
}

/** @param {Entry} entry */
function itemOf(entry) {
  return entry.kind === "event" ? eventItem(entry.event) : deliveryItem(entry.delivery);
}

/** @param {TokenEvent} event */
function eventItem(event) {
  const mark = outcomeBadge(event);
  const lateMs = Date.parse(event.receivedTime) - Date.parse(event.eventTime);
  const by = event.suspender ? `as ${word(event.suspender, "SUSPENDER_").toLowerCase()}` : "";
  const details = [
    event.type === "TOKEN_EVENT_TYPE_ACTIVATED" && lateMs > 60_000 && `reached us ${span(lateMs)} after it happened`,
    event.actor && `by ${event.actor} ${by}`.trim(),
    event.reason && `reason: ${event.reason}`,
    event.clientId && `from ${event.clientId}`,
    event.deliveryId && `delivery ${event.deliveryId}`,
  ];
  return item(
    event.receivedTime,
    mark?.dataset.kind ?? "applied",
    [
      el("strong", {}, eventWord(event)),
      " ",
      ...(mark ? [mark] : [el("span", { class: "hint" }, "now "), stateMark(event.state)]),
      el("span", { class: "hint" }, ` happened `),
      time(event.eventTime),
    ],
    details,
    `version ${event.version}`,
  );
}

/** @param {Delivery} delivery */
function deliveryItem(delivery) {
  const { refusedFor, differingFields = [] } = delivery;
  const details = [
    differingFields.length > 0 && `differs in ${differingFields.join(", ")}`,
    delivery.clientId && `from ${delivery.clientId}`,
    delivery.deliveryId && `delivery ${delivery.deliveryId}`,
  ];
  const what = refusedFor
    ? [el("strong", {}, "refused"), " ", badge(refusedFor.toLowerCase().replaceAll("_", " "), "conflict")]
    : [el("strong", {}, "repeated"), " ", badge("repeat", "repeat")];
  return item(
    delivery.receivedTime,
    refusedFor ? "conflict" : "repeat",
    [...what, el("span", { class: "hint" }, " about "), time(delivery.eventTime)],
    details,
    "changed nothing",
  );
}

/**
 * @param {string} receivedTime
 * @param {string} kind
 * @param {(Node | string)[]} what
 * @param {(string | false | undefined)[]} details
 * @param {string} side
 */
function item(receivedTime, kind, what, details, side) {
  return el(
    "li",
    { "data-kind": kind },
    el("div", { class: "when" }, time(receivedTime), el("span", { class: "hint" }, side)),
    el("div", {}, el("div", {}, ...what), el("div", { class: "details" }, details.filter(Boolean).join("  ·  "))),
  );
}

/**
 * The states one after the other as they were set, and a mark for every arrival; each step as wide as any other, since
 * minutes and months lie side by side.
 * @param {TokenEvent[]} events
 * @param {Entry[]} entries
 */
function stripOf(events, entries) {
  const arrivals = [...entries].reverse();
  const [width, step] = [600, 600 / arrivals.length];
  const parts = [];
  let state = "UNKNOWN";
  for (const [index, entry] of arrivals.entries()) {
    if (entry.kind === "event") state = stateOf(entry.event.state);
    const kind = entry.kind === "delivery" ? (entry.delivery.refusedFor ? "conflict" : "repeat") : markOf(entry.event);
    const x = index * step;
    parts.push(
      svg("rect", { x, y: 0, width: step, height: 14, class: "phase", "data-state": state }),
      svg("circle", { cx: x + Math.min(step / 2, 12), cy: 25, r: 4, class: "arrival", "data-kind": kind }),
    );
  }
  const label = `${arrivals.length} arrivals, oldest first; the last state is ${stateOf(events.at(-1)?.state)}`;
  return el(
    "div",
    { class: "strip" },
    svg(
      "svg",
      { viewBox: `0 0 ${width} 32`, role: "img", "aria-label": label, preserveAspectRatio: "xMinYMid meet" },
      ...parts,
    ),
    el(
      "p",
      { class: "legend", "aria-hidden": "true" },
      ...["applied", "late", "idle", "repeat", "conflict"].map((kind) =>
        el("span", { "data-kind": kind }, { idle: "no effect", conflict: "refused" }[kind] ?? kind),
      ),
    ),
  );
}

/** @param {TokenEvent} event */
const markOf = (event) => outcomeBadge(event)?.dataset.kind ?? "applied";
