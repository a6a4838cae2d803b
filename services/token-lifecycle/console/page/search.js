// What was searched for: a token's timeline, kept fresh, or a customer's tokens.
import { call } from "./connect.js";
import { byId, el, say } from "./dom.js";
import { customerPlace, placeOf, tokenLink, tokenPlace } from "./links.js";
import { timelineOf } from "./timeline.js";
import { stateMark, time, troubleOf } from "./words.js";

/** @typedef {import("./types.d.ts").TokenEvent} TokenEvent */
/** @typedef {import("./types.d.ts").TokenPage} TokenPage */

const freshEveryMs = 5_000;
const pageSize = 50;

/** @param {string} base */
export function startSearch(base) {
  const [panel, title] = [byId("found"), byId("found-title")];
  const [trouble, body] = [byId("found-trouble"), byId("found-body")];
  const form = /** @type {HTMLFormElement} */ (byId("search"));
  const kind = /** @type {HTMLSelectElement} */ (byId("kind"));
  const words = /** @type {HTMLInputElement} */ (byId("words"));
  let shown = "";
  /** Counts the searches, so that an answer that comes late is dropped. */
  let turn = 0;

  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const text = words.value.trim();
    if (text === "") return;
    const place = kind.value === "customer" ? customerPlace(text) : tokenPlace(text);
    if (location.hash === place) void open();
    else location.hash = place;
  });
  byId("close").addEventListener("click", close);
  addEventListener("keydown", (pressed) => {
    const typing = pressed.target instanceof HTMLInputElement || pressed.target instanceof HTMLSelectElement;
    if (pressed.key === "/" && !typing && !pressed.ctrlKey && !pressed.metaKey && !pressed.altKey) {
      pressed.preventDefault();
      words.focus();
      words.select();
    }
    if (pressed.key === "Escape" && !panel.hidden) close();
  });
  addEventListener("hashchange", () => void open());
  setInterval(() => {
    if (document.visibilityState === "visible" && placeOf(location.hash)?.kind === "token") void refresh();
  }, freshEveryMs);
  void open();

  function close() {
    turn++;
    history.pushState(null, "", location.pathname);
    hide();
    words.focus();
  }

  function hide() {
    panel.hidden = true;
    document.title = "Token console";
  }

  async function open() {
    const place = placeOf(location.hash);
    if (!place) return location.hash === "" ? hide() : undefined;
    kind.value = place.kind;
    words.value = place.words;
    panel.hidden = false;
    title.textContent = `${place.kind === "token" ? "Token" : "Customer"} ${place.words}`;
    document.title = `${place.words} - Token console`;
    body.replaceChildren();
    say(trouble, "");
    shown = "";
    await (place.kind === "token" ? refresh() : listTokens(place.words));
    title.focus({ preventScroll: true });
    panel.scrollIntoView({ block: "start" });
  }

  /** Draws the token anew when its story has changed. */
  async function refresh() {
    const place = placeOf(location.hash);
    if (place?.kind !== "token") return;
    const own = ++turn;
    try {
      const history = await call(base, "GetTokenHistory", { tokenReferenceId: place.words });
      const text = JSON.stringify(history);
      if (own !== turn) return;
      say(trouble, "");
      if (text === shown) return;
      shown = text;
      body.replaceChildren(...timelineOf(history));
    } catch (error) {
      if (own === turn) say(trouble, troubleOf(error));
    }
  }

  /** @param {string} customerId */
  async function listTokens(customerId) {
    const own = ++turn;
    const rows = el("tbody");
    const more = el("button", { type: "button" }, "More");
    let pageToken = "";
    const load = async () => {
      try {
        /** @type {TokenPage} */
        const page = await call(base, "ListTokens", { customerId, pageSize, pageToken });
        if (own !== turn) return;
        say(trouble, "");
        const { tokens = [] } = page;
        pageToken = page.nextPageToken ?? "";
        const firstNew = rows.children.length;
        rows.append(...tokens.map(tokenRow));
        if (firstNew > 0) rows.children[firstNew]?.querySelector("a")?.focus();
        more.hidden = pageToken === "";
        if (rows.children.length === 0 && more.hidden)
          return body.replaceChildren(el("p", { class: "hint" }, "No token is known of this customer."));
        if (!rows.isConnected) body.replaceChildren(tableOf(rows), more);
      } catch (error) {
        if (own === turn) say(trouble, troubleOf(error));
      }
    };
    more.addEventListener("click", () => void load());
    await load();
  }

  /** An event may belong to the token that is shown. @param {TokenEvent} event */
  return (event) => {
    const place = placeOf(location.hash);
    if (place?.kind === "token" && place.words === event.tokenReferenceId) void refresh();
  };
}

/** @param {HTMLElement} rows */
function tableOf(rows) {
  const heads = ["Token", "State", "Token number", "Activated", "Last change"];
  return el(
    "div",
    { class: "scroll" },
    el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((each) => el("th", { scope: "col" }, each)))), rows),
  );
}

/** @param {import("./types.d.ts").Token} token */
function tokenRow(token) {
  return el(
    "tr",
    {},
    el("td", { class: "id" }, tokenLink(token.tokenReferenceId)),
    el("td", {}, stateMark(token.state)),
    el("td", { class: "id" }, token.tokenData?.token ?? "-"),
    el("td", {}, time(token.tokenActivatedTime)),
    el("td", {}, time(token.updateTime)),
  );
}
