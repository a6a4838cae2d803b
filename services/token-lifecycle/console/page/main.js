// Starts the page: asks where the token service is, then searches, follows and measures.
import { byId, say } from "./dom.js";
import { startFeed } from "./feed.js";
import { startRates } from "./rates.js";
import { startSearch } from "./search.js";
import { zone } from "./words.js";

const { service } = await (await fetch("settings.json", { cache: "no-store" })).json();
say(byId("where"), `read only  ·  ${new URL(service).host}  ·  times in ${zone}`);
startFeed(service, startSearch(service));
startRates();
