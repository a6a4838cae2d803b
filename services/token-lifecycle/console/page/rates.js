// The health of the parts, and small plots of how much they answered.
import { byId, el, say, svg } from "./dom.js";
import { createRates, samplesIn } from "./metrics.js";
import { span } from "./words.js";

/** @typedef {import("./types.d.ts").Part} Part */

const everyMs = 2_000;
/** Samples in a plot: five minutes. While there are fewer, they spread over a plot of one minute or more. */
const keep = 150;
const fewest = 30;

/** Codes that are no F: everything that is not here is final. @type {Record<string, "S" | "U">} */
export const statusOf = { SUCCESS: "S", UNKNOWN_EXCEPTION: "U", REQUEST_TRAFFIC_EXCEED_LIMIT: "U" };

/** Outcomes that are no refusal of a notification. @type {Record<string, "S" | "U">} */
const kindOf = { APPLIED: "S", REPEATED: "S", RECORDED_LATE: "S", RECORDED_NO_EFFECT: "S", UNAVAILABLE: "U" };

export function startRates() {
  const answers = createRates("gateway_answers_total", "result_code", keep);
  const activations = createRates("token_service_activations_total", "outcome", keep);
  let troubled = "";

  const look = async () => {
    /** @type {Part[]} */
    let parts;
    try {
      const response = await fetch("parts.json", { cache: "no-store", signal: AbortSignal.timeout(4_000) });
      if (!response.ok) throw new Error("no parts");
      parts = await response.json();
    } catch {
      parts = [{ name: "console", address: location.host, state: "away", reasons: ["no answer"], metrics: "" }];
    }
    byId("parts").replaceChildren(...parts.map(partCard));
    const trouble = parts.filter(({ state }) => state !== "ready").map(({ name, state }) => `${name} is ${state}`);
    if (trouble.join(", ") !== troubled) byId("parts-news").textContent = trouble.join(", ") || "all parts are ready";
    troubled = trouble.join(", ");
    const now = performance.now();
    answers.take(parts, now);
    activations.take(parts, now);
    byId("answers").replaceChildren(plotsOf(answers.rows, statusOf, "No answer yet.", parts.some(isGateway)));
    byId("activations").replaceChildren(plotsOf(activations.rows, kindOf, "No activation yet.", true));
    say(byId("rates-hint"), "Since this page was opened, five minutes at most. Totals since the start of the parts.");
  };
  const again = () => look().finally(() => setTimeout(again, everyMs));
  void again();
}

/** @param {Part} part */
const isGateway = ({ name }) => name === "gateway";

/** @param {Part} part */
function partCard({ name, address, state, reasons, metrics }) {
  const value = (/** @type {string} */ wanted) => samplesIn(metrics).find((each) => each.name === wanted)?.value;
  const [started, bytes, lag] = [
    "process_start_time_seconds",
    "process_resident_memory_bytes",
    "nodejs_eventloop_lag_p99_seconds",
  ].map(value);
  const facts = [
    started && `up ${span(Date.now() - started * 1000)}`,
    bytes && `${Math.round(bytes / 2 ** 20)} MiB`,
    lag && `loop ${Math.round(lag * 1000)} ms`,
  ].filter(Boolean);
  return el(
    "li",
    { class: "part", "data-state": state },
    el("span", { class: "name" }, name),
    el("span", { class: "pill", "data-state": state }, state),
    el("span", { class: address ? "hint id" : "hint" }, address || "as the token service sees it"),
    el("span", { class: "hint" }, facts.join("  ·  ")),
    ...(reasons.length > 0 ? [el("span", { class: "why" }, reasons.join("; "))] : []),
  );
}

/**
 * @param {ReadonlyMap<string, { rates: number[], total: number }>} rows
 * @param {Readonly<Record<string, "S" | "U">>} status
 * @param {string} nothing
 * @param {boolean} isAsked
 */
function plotsOf(rows, status, nothing, isAsked) {
  if (!isAsked && rows.size === 0)
    return el("p", { class: "hint" }, "No gateway answers the console: name its admin address in CONSOLE_PARTS.");
  if (rows.size === 0) return el("p", { class: "hint" }, nothing);
  const order = { S: 0, U: 1, F: 2 };
  const sorted = [...rows]
    .map(([code, row]) => ({ code, status: status[code] ?? /** @type {const} */ ("F"), ...row }))
    .sort((a, b) => order[a.status] - order[b.status] || b.total - a.total);
  return el("ul", { class: "plots" }, ...sorted.map(plotOf));
}

/** @param {{ code: string, status: "S" | "U" | "F", rates: number[], total: number }} row */
function plotOf({ code, status, rates, total }) {
  const [width, height] = [300, 30];
  const highest = Math.max(0, ...rates);
  const now = rates.at(-1) ?? 0;
  const shown = Math.max(rates.length, fewest);
  const x = (/** @type {number} */ index) => ((shown - rates.length + index) / (shown - 1)) * width;
  const y = (/** @type {number} */ rate) => height - 1 - (highest > 0 ? (rate / highest) * (height - 3) : 0);
  const line = rates.map((rate, index) => `${x(index).toFixed(1)},${y(rate).toFixed(1)}`).join(" ");
  const label = `${code}: ${figure(now)} a second now, ${figure(highest)} at most`;
  return el(
    "li",
    { "data-status": status },
    el(
      "span",
      { class: "code" },
      el("b", { title: { S: "success", U: "unknown, will be repeated", F: "final" }[status] }, status),
      " ",
      code,
    ),
    el("span", { class: "hint" }, `${total.toLocaleString()} in all, at most ${figure(highest)}`),
    el("span", { class: "now" }, figure(now)),
    svg(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, preserveAspectRatio: "none" },
      svg("line", { x1: 0, x2: width, y1: height - 1, y2: height - 1, class: "ground" }),
      ...(rates.length > 1
        ? [
            svg("polygon", { points: `${x(0)},${height - 1} ${line} ${width},${height - 1}`, class: "area" }),
            svg("polyline", { points: line, class: "line" }),
          ]
        : []),
    ),
  );
}

/** @param {number} rate */
const figure = (rate) => (rate === 0 || rate >= 100 ? rate.toFixed(0) : rate.toFixed(1));
