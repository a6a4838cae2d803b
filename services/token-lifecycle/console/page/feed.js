// The live feed: every recorded change as it happens, and over a broken connection from where it broke.
import { CallError, stream } from "./connect.js";
import { byId, el, say } from "./dom.js";
import { tokenLink } from "./links.js";
import { eventWord, outcomeBadge, stateMark, stateOf, time, troubleOf } from "./words.js";

/** @typedef {import("./types.d.ts").TokenEvent} TokenEvent */
/** @typedef {import("./types.d.ts").WatchMessage} WatchMessage */

const mostRows = 200;
/** Most rows that are drawn at a time: a page can show no more than that of a flood. */
const mostWaiting = 200;
const firstPauseMs = 500;
const longestPauseMs = 15_000;
/** What another try does not mend. */
const final = new Set(["RIGHT_MISSING", "NO_CERTIFICATE"]);

/**
 * @param {string} base
 * @param {(event: TokenEvent) => void} onEvent
 */
export function startFeed(base, onEvent) {
  const [rows, empty, state, pause] = [byId("feed"), byId("feed-empty"), byId("feed-state"), byId("pause")];
  const [notice, news] = [byId("feed-notice"), byId("feed-news")];
  let paused = false;
  /** @type {TokenEvent[]} */
  const waiting = [];
  let missed = 0;
  let unheard = 0;

  /** @param {"live" | "connecting" | "stopped"} word */
  const become = (word) => {
    state.dataset.state = word;
    say(state, word);
  };

  const draw = () => {
    if (paused) return say(pause, `Go on (${waiting.length + missed} new)`);
    if (waiting.length === 0) return;
    empty.hidden = true;
    rows.prepend(...waiting.splice(0).map(rowOf).reverse());
    while (rows.children.length > mostRows) rows.lastChild?.remove();
    if (missed > 0) say(notice, `${missed} events were too many to show; each is in its token's timeline.`);
    missed = 0;
  };

  /** @param {TokenEvent} event */
  const take = (event) => {
    onEvent(event);
    unheard++;
    waiting.push(event);
    if (waiting.length > mostWaiting) {
      waiting.shift();
      missed++;
    }
    if (waiting.length === 1) requestAnimationFrame(draw);
    if (paused) draw();
  };

  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", `${paused}`);
    say(pause, paused ? "Go on" : "Pause");
    draw();
  });
  // One sentence now and then, or a screen reader would read a flood.
  setInterval(() => {
    if (unheard > 0) news.textContent = `${unheard} new ${unheard === 1 ? "event" : "events"}`;
    unheard = 0;
  }, 3_000);

  void follow();

  async function follow() {
    let cursor = "";
    let pauseMs = firstPauseMs;
    for (;;) {
      become("connecting");
      try {
        const request = cursor ? { cursor } : {};
        for await (const message of stream(base, "WatchTokenEvents", request, new AbortController().signal)) {
          become("live");
          if (pauseMs !== firstPauseMs) say(notice, "");
          pauseMs = firstPauseMs;
          cursor = /** @type {WatchMessage} */ (message).cursor;
          if (message.event) take(message.event);
        }
      } catch (error) {
        const reason = error instanceof CallError ? error.reason : "";
        if (final.has(reason)) {
          become("stopped");
          return say(notice, troubleOf(error));
        }
        if (reason === "CURSOR_EXPIRED" || reason === "CURSOR_INVALID") {
          cursor = "";
          say(notice, "Events were missed while the connection was away.");
        } else if (pauseMs > firstPauseMs) say(notice, `${troubleOf(error)} Connecting again by itself.`);
      }
      become("connecting");
      await new Promise((resolve) => setTimeout(resolve, pauseMs * (0.75 + Math.random() / 2)));
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    }
  }
}

/** @param {TokenEvent} event */
function rowOf(event) {
  const was = event.previousState ? stateOf(event.previousState) : "";
  const change = was && was !== stateOf(event.state) ? `${was} to ` : "";
  const mark = outcomeBadge(event);
  return el(
    "tr",
    {},
    el("td", {}, time(event.receivedTime, { withDay: false })),
    el("td", {}, eventWord(event), ...(mark ? [" ", mark] : [])),
    el("td", { class: "id" }, tokenLink(event.tokenReferenceId ?? "")),
    el("td", {}, el("span", { class: "hint" }, change), stateMark(event.state)),
    el("td", { class: "id" }, event.customerId ?? "-"),
  );
}
