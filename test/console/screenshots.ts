// npm run screenshots: runs the product with a made-up day in it and writes pictures of the console to docs/console.
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { Suspender } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { startBrowser } from "../support/browser.js";
import { notification, notify } from "../support/notification.js";
import { startTestStack } from "../support/processes.js";
import { freePort } from "../support/programs.js";
import { connectTo } from "../support/token-client.js";

const folder = fileURLToPath(new URL("../../docs/console/", import.meta.url));
/** How long notifications come in before the pictures are taken, in milliseconds. */
const loadMs = Number(process.env.LOAD_MS ?? 75_000);

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const browser = await startBrowser();
if (!browser) process.exit(1);
const adminPort = await freePort();
const stack = await startTestStack({
  service: { CONSOLE_PARTS: `http://127.0.0.1:${adminPort}` },
  gateway: { ADMIN_PORT: `${adminPort}` },
});
const client = connectTo(stack.service.url);
try {
  const reference = "T-20261124-000417";
  const ago = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString();
  const customerId = "customer-4711";
  const first = notification({ tokenReferenceId: reference, customerId, tokenActivatedTime: ago(3) });
  const pages: Page[] = [];
  for (const [colorScheme, width, height] of [
    ["light", 1280, 900],
    ["dark", 1280, 900],
    ["light", 390, 844],
  ] as const) {
    const page = await browser.newPage({ colorScheme, viewport: { width, height }, deviceScaleFactor: 1 });
    await page.goto(`${stack.service.adminUrl}/console/`);
    pages.push(page);
  }

  const send = (members: Record<string, unknown>) => notify(stack.gateway.url, members);
  await send(first);
  await send(first);
  await send({ ...first, walletId: "104" });
  await send({ ...first, tokenActivatedTime: ago(190) });
  const move = {
    tokenReferenceId: reference,
    suspender: Suspender.CARDHOLDER,
    reason: "phone lost",
    actor: "care desk 12",
  };
  await client.suspendToken({ ...move, requestId: "r-1" });
  await pause(1_500);
  await send({ ...first, tokenActivatedTime: ago(0) });
  await pause(1_500);
  await client.resumeToken({ ...move, reason: "phone found", requestId: "r-2" });
  await pause(1_500);
  await send({ ...first, tokenActivatedTime: ago(0) });
  await send(first);

  const started = performance.now();
  let sent = 0;
  while (performance.now() - started < loadMs) {
    const phase = (performance.now() - started) / 9_000;
    const burst = Math.round(2 + 2 * Math.sin(phase) + Math.random() * 2);
    const one = notification({
      customerId: `customer-${1000 + (sent % 40)}`,
      tokenActivatedTime: ago(sent % 9 === 0 ? 45 : 0),
    });
    await Promise.all(
      Array.from({ length: burst }, (_, index) => send(notification({ customerId: `customer-${1000 + index}` }))),
    );
    await send(one);
    if (sent % 4 === 0) await send(one);
    if (sent % 11 === 0) await send({ ...one, walletId: "999" });
    if (sent % 17 === 0) await notify(stack.gateway.url, "{}");
    if (sent % 13 === 0)
      await client.suspendToken({ ...move, tokenReferenceId: String(one.tokenReferenceId), requestId: `s-${sent}` });
    sent += burst;
    await pause(200);
  }
  const names = ["light", "dark", "narrow"];
  for (const [index, page] of pages.entries()) {
    await page.bringToFront();
    await page.screenshot({ path: `${folder}overview-${names[index]}.png` });
    await page.getByRole("searchbox").fill(reference);
    await page.getByRole("searchbox").press("Enter");
    await page.getByText("refused", { exact: true }).first().waitFor();
    await page.locator("#found").screenshot({ path: `${folder}timeline-${names[index]}.png` });
  }
} finally {
  client.close();
  await browser.close();
  await stack.stop();
}
