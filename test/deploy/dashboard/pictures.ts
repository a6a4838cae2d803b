// npm run screenshots: two gateways over two token services under mixed load, with faults, and pictures of the dashboard's queries.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startBrowser } from "../../support/browser.js";
import { startMixedLoad } from "../../support/mixed-load.js";
import { startTestPart, startTestStack, untilServing } from "../../support/processes.js";
import { startPrometheus } from "../../support/prometheus.js";
import { pictureOf } from "./drawing.js";
import { type Drawn, dashboard, type Panel, seriesOf, type Window } from "./panels.js";

const folder = fileURLToPath(new URL("../../../docs/dashboard/", import.meta.url));
/** How long the load lasts, in milliseconds. */
const loadMs = Number(process.env.LOAD_MS ?? 150_000);
const intervalMs = 1_000;
/** The rows of the dashboard in each picture. */
const pictures: Readonly<Record<string, readonly string[]>> = {
  notifications: ["Is all well?", "Notifications"],
  "time-and-load": ["Time", "Load"],
  parts: ["Parts"],
};

/** The panels below a heading, and it. */
function panelsIn(row: string): Panel[] {
  const first = dashboard.panels.findIndex(({ type, title }) => type === "row" && title === row);
  if (first === -1) throw new Error(`the dashboard has no row ${row}`);
  const next = dashboard.panels.findIndex(({ type }, index) => index > first && type === "row");
  return dashboard.panels.slice(first, next === -1 ? undefined : next);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const hostOf = (url: string): string => new URL(url).host;

const stops: (() => Promise<unknown>)[] = [];
try {
  const browser = await startBrowser();
  if (!browser) process.exit(1);
  stops.push(() => browser.close());
  const stack = await startTestStack();
  stops.push(stack.stop);
  const settings = { DATA_DIR: stack.folder, DURABILITY_CHECK_MS: "500" };
  const start = async (part: "service" | "gateway", name: string, more: Record<string, string>) => {
    const started = await startTestPart(part, { ...settings, ...more }, join(stack.folder, `${name}.log`));
    stops.push(started.stop);
    return started;
  };
  const second = await start("service", "second", { REDIS_URL: stack.redis.url });
  await untilServing(second);
  const spread = { TOKEN_SERVICE_URL: `${stack.service.url},${second.url}`, TOKEN_SERVICE_PROBE_MS: "1000" };
  const gateways = [await start("gateway", "gateway-1", spread), await start("gateway", "gateway-2", spread)];
  const prometheus = await startPrometheus({
    folder: stack.folder,
    targets: {
      gateway: gateways.map(({ adminUrl }) => hostOf(adminUrl)),
      "token-service": [stack.service, second].map(({ adminUrl }) => hostOf(adminUrl)),
    },
    intervalMs,
  });
  if (!prometheus) process.exit(1);
  stops.push(prometheus.stop);

  // The first scrapes, without which a rate has nothing to start from.
  await pause(8_000);
  const startS = Date.now() / 1000;
  const loads = gateways.map((gateway) => startMixedLoad({ service: stack.service, gateway }, 60));
  stops.push(...loads.map(({ stop }) => stop));
  const hang = async (pid: number, ms: number): Promise<void> => {
    process.kill(pid, "SIGSTOP");
    await pause(ms);
    process.kill(pid, "SIGCONT");
  };
  await pause(loadMs * 0.3);
  await hang(second.pid(), loadMs * 0.15);
  await pause(loadMs * 0.2);
  await hang(stack.redis.pid(), 4_000);
  await pause(loadMs * 0.35 - 4_000);

  const window: Window = { startS, endS: Date.now() / 1000, scrapeS: intervalMs / 1000 };
  const drawn = new Map<Panel, Drawn[]>();
  for (const panel of dashboard.panels) {
    const answers = await Promise.all((panel.targets ?? []).map((query) => seriesOf(prometheus, query, window)));
    drawn.set(panel, answers.flat());
  }
  for (const [name, rows] of Object.entries(pictures)) {
    const panels = rows.flatMap(panelsIn);
    const { svg, width, height } = pictureOf(panels, (panel) => drawn.get(panel) ?? [], window);
    const page = await browser.newPage({ viewport: { width, height }, deviceScaleFactor: 1 });
    await page.setContent(`<body style="margin:0">${svg}</body>`);
    await page.screenshot({ path: `${folder}${name}.png` });
    await page.close();
  }
} finally {
  for (const stop of stops.reverse()) await stop();
}
