// A real Chromium for tests: Debian's package, without a window and without words to anyone on the network.
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

export const chromiumProgram = "/usr/bin/chromium";

const switches = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
const silence = ["--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Undefined where there is none and nobody insists; an error in CI, so that nothing passes unseen. */
export async function startBrowser(): Promise<Browser | undefined> {
  if (!existsSync(chromiumProgram)) {
    const remedy = `${chromiumProgram} is missing: apt-get install -y --no-install-recommends chromium`;
    if (process.env.CI) throw new Error(remedy);
    process.stderr.write(`The console is not tested here. ${remedy}\n`);
    return undefined;
  }
  return chromium.launch({ executablePath: chromiumProgram, headless: true, args: [...switches, ...silence] });
}
