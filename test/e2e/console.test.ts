// The console in a real browser: what an engineer and customer care do with it.
import { randomUUID } from "node:crypto";
import { expect } from "chai";
import type { Browser, Page } from "playwright-core";
import { resultCodes } from "../../gateway/alipayplus/result.js";
import { Suspender } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { startBrowser } from "../support/browser.js";
import { notification, notify } from "../support/notification.js";
import { startTestStack, type TestStack, until, untilServing } from "../support/processes.js";
import { freePort } from "../support/programs.js";
import { connectTo, type TokenClient } from "../support/token-client.js";

const number = "5345678901234521";
const page = (name: string) => new URL(`../../services/token-lifecycle/console/page/${name}`, import.meta.url).href;

describe("the console", () => {
  let browser: Browser | undefined;
  let stack: TestStack;
  let client: TokenClient;
  before(async function () {
    browser = await startBrowser();
    if (!browser) return this.skip();
    const [adminPort, servicePort] = [await freePort(), await freePort()];
    stack = await startTestStack({
      service: { CONSOLE_PARTS: `http://127.0.0.1:${adminPort}`, TOKEN_SERVICE_ADMIN_PORT: `${servicePort}` },
      gateway: { ADMIN_PORT: `${adminPort}` },
    });
    client = connectTo(stack.service.url);
  });
  after(async () => {
    client?.close();
    await browser?.close();
    await stack?.stop();
  });

  /** What a page complained about, the Content-Security-Policy included. */
  let complaints: string[] = [];
  const open: Page[] = [];
  afterEach(async () => {
    for (const each of open.splice(0)) await each.close();
    complaints = [];
  });
  async function visit(place = "", viewport = { width: 1280, height: 900 }): Promise<Page> {
    if (!browser) throw new Error("there is a browser by now");
    const visited = await browser.newPage({ viewport });
    open.push(visited);
    visited.on("console", (line) => void (line.type() === "error" && complaints.push(line.text())));
    visited.on("pageerror", (error) => void complaints.push(error.message));
    await visited.goto(`${stack.service.adminUrl}/console/${place}`);
    await visited.getByText("live", { exact: true }).waitFor();
    return visited;
  }
  const newReference = (): string => `T-${randomUUID()}`;
  const send = (members: Record<string, unknown>) => notify(stack.gateway.url, members);
  const timeline = (on: Page) => on.getByRole("list", { name: "Timeline, newest first" }).getByRole("listitem");

  it("opens without a complaint, and shows that every part is ready", async () => {
    const visited = await visit();
    const parts = visited.locator("#parts .part");
    await parts.nth(2).waitFor();
    expect(await parts.locator(".name").allTextContents()).to.deep.equal(["redis", "token service", "gateway"]);
    expect(await parts.locator(".pill").allTextContents()).to.deep.equal(["ready", "ready", "ready"]);
    expect(complaints).to.deep.equal([]);
  });

  it("shows an activation as it arrives, and counts the answer", async () => {
    const visited = await visit();
    const reference = newReference();
    await send(notification({ tokenReferenceId: reference, customerId: "customer-live" }));
    const row = visited.getByRole("row", { name: reference });
    await row.waitFor();
    expect(await row.getByRole("cell").allTextContents()).to.include.members(["activated", "ACTIVE", "customer-live"]);
    await visited.getByRole("img", { name: /^SUCCESS: .* a second now/ }).waitFor();
    await visited.getByRole("img", { name: /^APPLIED: .* a second now/ }).waitFor();
    await visited.getByText(/^\d+ new events?$/).waitFor({ state: "attached" });
  });

  it("tells a token's story with what came late, again and in conflict, by keyboard alone", async () => {
    const reference = newReference();
    const first = notification({ tokenReferenceId: reference });
    await send(first);
    await send(first);
    await send({ ...first, walletId: "104" });
    await send({ ...first, tokenActivatedTime: "2026-01-01T00:00:00Z" });
    const request = { tokenReferenceId: reference, suspender: Suspender.CARDHOLDER };
    await client.suspendToken({ ...request, reason: "phone lost", actor: "care desk", requestId: "r-1" });
    const visited = await visit();
    await visited.keyboard.press("/");
    await visited.keyboard.type(reference);
    await visited.keyboard.press("Enter");
    await until("everything is there", async () => (await timeline(visited).count()) === 5);
    const story = (await timeline(visited).locator("strong").allTextContents()).reverse();
    expect(story.slice(0, 1).concat(story.slice(1).sort())).to.deep.equal([
      ...["activated", "activated", "refused", "repeated", "suspended"],
    ]);
    const text = await visited.locator("#found").innerText();
    expect(text).to.include("late").and.include("activation conflict").and.include("differs in walletId");
    expect(text).to.include("by care desk as cardholder").and.include("reason: phone lost");
    expect(await visited.evaluate("document.activeElement.id")).to.equal("found-title");
    expect(await visited.title()).to.include(reference);
    await visited.keyboard.press("Escape");
    await visited.locator("#found").waitFor({ state: "hidden" });
    expect(complaints).to.deep.equal([]);
  });

  it("keeps an open timeline fresh", async () => {
    const reference = newReference();
    const first = notification({ tokenReferenceId: reference });
    await send(first);
    const visited = await visit(`#/token/${reference}`);
    await timeline(visited).first().waitFor();
    await send({ ...first, tokenActivatedTime: "2026-01-03T00:00:00Z" });
    await until("the second activation is there", async () => (await timeline(visited).count()) === 2);
  });

  it("lists a customer's tokens, and goes from there to one of them and back", async () => {
    const customerId = `customer-${randomUUID()}`;
    const references = [newReference(), newReference()].sort();
    for (const tokenReferenceId of references) await send(notification({ tokenReferenceId, customerId }));
    const visited = await visit();
    await visited.getByLabel("Search by").selectOption("Customer ID");
    await visited.getByRole("searchbox").fill(customerId);
    await visited.getByRole("button", { name: "Search" }).click();
    const found = visited.locator("#found").getByRole("link");
    await until("both are there", async () => (await found.count()) === 2);
    expect(await found.allTextContents()).to.deep.equal(references);
    await found.first().click();
    await timeline(visited).first().waitFor();
    await visited.goBack();
    await until("both are there again", async () => (await found.count()) === 2);
  });

  it("shows token numbers with their last four digits alone", async () => {
    const reference = newReference();
    const answers: string[] = [];
    await send(notification({ tokenReferenceId: reference }));
    const visited = await visit();
    visited.on("response", async (response) => {
      if (response.url().includes("GetTokenHistory")) answers.push(await response.text());
    });
    await visited.evaluate(`location.hash = "#/token/${reference}"`);
    await visited.getByText("************4521").waitFor();
    expect(await visited.content()).to.not.include(number);
    await until("the answer was read", () => answers.length > 0);
    expect(answers.join("")).to.not.include(number);
  });

  it("says that there is no such token", async () => {
    const visited = await visit("#/token/nobody");
    await visited.getByRole("alert").getByText("No token has this reference.").waitFor();
  });

  it("takes what comes from outside for text", async () => {
    const customerId = `<img src=x onerror="document.title='taken'">`;
    const reference = newReference();
    const visited = await visit();
    await send(notification({ tokenReferenceId: reference, customerId }));
    await visited.getByRole("row", { name: reference }).getByText(customerId).waitFor();
    await visited.getByRole("link", { name: reference }).click();
    await visited.locator("dd").getByText(customerId).waitFor();
    expect(await visited.locator("main img").count()).to.equal(0);
    expect(await visited.title()).to.not.equal("taken");
  });

  it("goes on behind the last event when the token service was away", async () => {
    const visited = await visit();
    const [before, after] = [newReference(), newReference()];
    await send(notification({ tokenReferenceId: before }));
    await visited.getByRole("row", { name: before }).waitFor();
    await stack.service.kill();
    await visited.locator("#feed-state").getByText("connecting").waitFor();
    await stack.service.start();
    await untilServing(stack.service);
    await send(notification({ tokenReferenceId: after }));
    await visited.getByRole("row", { name: after }).waitFor();
    expect(await visited.getByRole("row", { name: before }).count()).to.equal(1);
  });

  it("can be held still and let go on", async () => {
    const visited = await visit();
    await visited.getByRole("button", { name: "Pause" }).click();
    const reference = newReference();
    await send(notification({ tokenReferenceId: reference }));
    await visited.getByRole("button", { name: "Go on (1 new)", pressed: true }).click();
    await visited.getByRole("row", { name: reference }).waitFor();
  });

  it("fits a narrow window", async () => {
    const reference = newReference();
    await send(notification({ tokenReferenceId: reference }));
    const visited = await visit(`#/token/${reference}`, { width: 360, height: 740 });
    await timeline(visited).first().waitFor();
    expect(await visited.evaluate("document.documentElement.scrollWidth - innerWidth")).to.equal(0);
  });

  it("names each control, and has one heading of the first level", async () => {
    const visited = await visit();
    const silent = `[...document.querySelectorAll("button, input, select, a")]
      .filter((each) => !(each.textContent.trim() || each.labels?.length)).map((each) => each.outerHTML)`;
    expect(await visited.evaluate(silent)).to.deep.equal([]);
    expect(await visited.getByRole("heading", { level: 1 }).allTextContents()).to.deep.equal(["Token console"]);
  });

  it("says who lacks a right, and does not ask again and again", async () => {
    const other = await startTestStack({ service: { LOOPBACK_RIGHTS: "record" } });
    try {
      const visited = await browser?.newPage();
      if (!visited) throw new Error("there is a browser by now");
      open.push(visited);
      await visited.goto(`${other.service.adminUrl}/console/`);
      await visited.locator("#feed-notice").getByText("You do not have the right to see this.").waitFor();
      await visited.locator("#feed-state").getByText("stopped").waitFor();
    } finally {
      await other.stop();
    }
  });

  it("lets no page of another origin read from the token service", async () => {
    if (!browser) throw new Error("there is a browser by now");
    const stranger = await browser.newPage();
    open.push(stranger);
    await stranger.goto(`${stack.gateway.adminUrl}/livez`);
    const ask = (rpc: string, more: string) =>
      stranger.evaluate(
        `fetch("${stack.service.url}/mpp.token.v1.TokenLifecycleService/${rpc}", ${more}).then((r) => r.status, (e) => e.name)`,
      );
    const post = `{ method: "POST", headers: { "content-type": "application/json" }, body: "{}" }`;
    expect(await ask("GetToken", post)).to.equal("TypeError");
    await until("it is noted", () => stack.service.log().includes(`"caller":"page ${stack.gateway.adminUrl}"`));
  });
});

describe("the modules of the console", () => {
  it("knows the status of each result code", async () => {
    // It is a module for browsers: it wants a page only when it starts.
    const { statusOf } = await import(page("rates.js"));
    for (const [code, [status]] of Object.entries(resultCodes)) expect(statusOf[code] ?? "F", code).to.equal(status);
  });

  it("reads messages of a stream however they are cut", async () => {
    const { envelope, messagesIn } = await import(page("connect.js"));
    const sent = [{ cursor: "a" }, { cursor: "ü".repeat(300) }, {}];
    const bytes = Buffer.concat(sent.map((each) => envelope(each)));
    for (const size of [1, 4, 7, 1_000]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      );
      const got: unknown[] = [];
      for await (const { message } of messagesIn(ReadableStream.from(pieces))) got.push(message);
      expect(got, `in pieces of ${size}`).to.deep.equal(sent);
    }
  });

  it("makes rates of counters, also when a part starts anew or is away for a while", async () => {
    const { createRates } = await import(page("metrics.js"));
    const rates = createRates("answers_total", "code", 3);
    const at = (seconds: number, ...values: [string, number][]) =>
      rates.take(
        values.map(([address, value]) => ({ address, metrics: `answers_total{api="a",code="S"} ${value}` })),
        seconds * 1000,
      );
    const row = () => rates.rows.get("S");
    at(0, ["a", 100], ["b", 50]);
    at(2, ["a", 110], ["b", 60]);
    expect(row()).to.deep.equal({ rates: [10], total: 170 });
    at(4, ["a", 4]);
    expect(row()?.rates).to.deep.equal([10, 2]);
    at(6, ["a", 4], ["b", 70]);
    expect(row()).to.deep.equal({ rates: [10, 2, 5], total: 74 });
    at(8, ["a", 4], ["b", 70]);
    expect(row()?.rates).to.deep.equal([2, 5, 0]);
  });
});
