// What browsers may do at the service's port and at the console's: the console's own page reads, and no other page does anything.

import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { request as requestTls } from "node:https";
import { join } from "node:path";
import { expect } from "chai";
import { readConfig } from "../../services/token-lifecycle/config.js";
import { createAuthority, writeTlsFolder } from "../support/certificates.js";
import { temporaryFolder } from "../support/processes.js";
import { type ServiceStack, startServiceStack } from "../support/token-client.js";

type Answer = { status: number; headers: Record<string, string | string[] | undefined>; body: string };
type Asked = {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
  tls?: { ca: Buffer; cert?: Buffer; key?: Buffer };
};

/** Exactly this request, with the Host of the URL unless the headers name another. */
function ask(url: string, { method = "GET", headers = {}, body, tls }: Asked = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const send = tls ? requestTls : request;
    const sent = send(url, { method, headers, agent: false, ...tls }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
    });
    sent.on("error", reject).end(body);
  });
}

const rpc = (name: string): string => `/mpp.token.v1.TokenLifecycleService/${name}`;
const json = { "content-type": "application/json" };
const unknownToken = JSON.stringify({ tokenReferenceId: "nobody" });
const getOf = (name: string): string =>
  `${rpc(name)}?encoding=json&connect=v1&message=${encodeURIComponent(unknownToken)}`;
const reasonIn = ({ body }: Answer): string => /"reason":"(\w+)"/.exec(body)?.[1] ?? "";
const preflight = (origin: string) => ({
  method: "OPTIONS",
  headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type" },
});

describe("the service's port on one machine, asked by a browser", () => {
  let stack: ServiceStack;
  let url: string;
  let origin: string;
  before(async () => {
    stack = await startServiceStack();
    url = stack.service.url;
    origin = stack.service.adminUrl;
  });
  after(() => stack.stop());

  const read = (headers: Record<string, string>): Asked => ({
    method: "POST",
    headers: { ...json, ...headers },
    body: unknownToken,
  });

  it("lets a page of the console ask beforehand, and then read", async () => {
    for (const name of ["127.0.0.1", "localhost", "[::1]"]) {
      const from = origin.replace("127.0.0.1", name);
      const before = await ask(url + rpc("GetToken"), preflight(from));
      expect([before.status, before.headers["access-control-allow-origin"]]).to.deep.equal([204, from]);
      expect(before.headers["access-control-allow-methods"]).to.equal("POST");
      expect(String(before.headers["access-control-allow-headers"])).to.match(
        /content-type.*connect-protocol-version/i,
      );
      const answer = await ask(url + rpc("GetToken"), read({ origin: from }));
      expect([answer.status, reasonIn(answer)]).to.deep.equal([404, "TOKEN_NOT_FOUND"]);
      expect(answer.headers["access-control-allow-origin"]).to.equal(from);
      expect(answer.headers["access-control-allow-credentials"]).to.equal(undefined);
      expect(answer.headers.vary).to.include("Origin");
    }
  });

  for (const name of [
    "SuspendToken",
    "ResumeToken",
    "DeactivateToken",
    "RecordActivation",
    "RevealTokenData",
    "EraseToken",
  ])
    it(`lets no page call ${name}, not even the console's`, async () => {
      expect((await ask(url + rpc(name), preflight(origin))).status).to.equal(403);
      expect((await ask(url + rpc(name), read({ origin }))).status).to.equal(403);
    });

  it("lets no page look at its schema or health", async () => {
    expect((await ask(`${url}/grpc.health.v1.Health/Check`, { ...read({ origin }), body: "{}" })).status).to.equal(403);
  });

  const strangers: { name: string; headers: (own: string) => Record<string, string> }[] = [
    { name: "another site", headers: () => ({ origin: "https://shop.example" }) },
    { name: "another port of this machine", headers: () => ({ origin: "http://127.0.0.1:1" }) },
    { name: "a page in a sandbox", headers: () => ({ origin: "null" }) },
    { name: "a host that begins like ours", headers: (own) => ({ origin: `${own}.shop.example` }) },
    { name: "the console's host over HTTPS", headers: (own) => ({ origin: own.replace("http:", "https:") }) },
    { name: "a page that embeds", headers: () => ({ "sec-fetch-site": "cross-site" }) },
    { name: "a name that was pointed at us", headers: () => ({ host: "shop.example", origin: "http://shop.example" }) },
  ];
  for (const { name, headers } of strangers)
    it(`refuses ${name}, whatever it asks`, async () => {
      for (const asked of [read(headers(origin)), { headers: headers(origin) }]) {
        const answer = await ask(url + (asked.method ? rpc("GetToken") : getOf("GetToken")), asked);
        expect([answer.status, answer.headers["access-control-allow-origin"]]).to.deep.equal([403, undefined]);
      }
    });

  it("refuses a GET under a name, which a page may have had pointed at us", async () => {
    expect((await ask(url + getOf("GetToken"), { headers: { host: "shop.example:50051" } })).status).to.equal(403);
    expect((await ask(url + getOf("GetToken"))).status).to.equal(404);
    expect((await ask(url + getOf("GetToken"), { headers: { host: "localhost:50051" } })).status).to.equal(404);
  });

  it("answers programs as ever", async () => {
    expect(reasonIn(await ask(url + rpc("GetToken"), read({ host: "token-service:50051" })))).to.equal(
      "TOKEN_NOT_FOUND",
    );
  });

  it("writes each refusal to the audit log", async () => {
    await ask(url + rpc("EraseToken"), read({ origin: "https://audited.example" }));
    const line = stack.service
      .log()
      .split("\n")
      .find((each) => each.includes("audited.example"));
    expect(JSON.parse(line ?? "{}")).to.include({
      ...{ part: "audit", outcome: "denied", call: rpc("EraseToken"), caller: "page https://audited.example" },
    });
  });

  describe("serves the console", () => {
    it("with a policy that lets it load its own files and call the service alone", async () => {
      const { status, headers, body } = await ask(`${origin}/console/`);
      expect([status, headers["content-type"]]).to.deep.equal([200, "text/html; charset=utf-8"]);
      expect(body).to.include("Token console");
      const policy = String(headers["content-security-policy"]);
      expect(policy).to.match(/^default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';/);
      expect(policy).to.match(new RegExp(`connect-src 'self' ${url}$`));
      expect(policy).to.include("frame-ancestors 'none'").and.include("require-trusted-types-for 'script'");
      expect(policy).to.not.match(/unsafe|\*/);
      expect(headers["x-content-type-options"]).to.equal("nosniff");
      expect(headers["referrer-policy"]).to.equal("no-referrer");
    });

    it("with nothing that comes from elsewhere", async () => {
      const { body } = await ask(`${origin}/console/`);
      for (const [, file = ""] of body.matchAll(/(?:src|href)="([^"#]+)"/g)) {
        const answer = await ask(`${origin}/console/${file}`);
        expect(answer.status, file).to.equal(200);
        expect(answer.body.replaceAll("http://www.w3.org/2000/svg", ""), file).to.not.match(/https?:\/\//);
      }
      expect(body).to.not.match(/https?:\/\//);
    });

    const places: { name: string; path: string; asked?: Asked; status: number }[] = [
      { name: "no file that is not the console's", path: "/console/../main.js", status: 404 },
      { name: "no file by a written-out path", path: "/console/%2e%2e/main.js", status: 404 },
      { name: "its address without the slash by the one with it", path: "/console", status: 308 },
      { name: "nothing to write", path: "/console/", asked: { method: "POST" }, status: 405 },
      {
        name: "nothing under a foreign name",
        path: "/console/",
        asked: { headers: { host: "shop.example" } },
        status: 403,
      },
      {
        name: "no facts under a foreign name",
        path: "/console/parts.json",
        asked: { headers: { host: "shop.example" } },
        status: 403,
      },
      {
        name: "no facts to other pages",
        path: "/console/parts.json",
        asked: { headers: { "sec-fetch-site": "same-site" } },
        status: 403,
      },
    ];
    for (const { name, path, asked, status } of places)
      it(`with ${name}`, async () => {
        expect((await ask(origin + path, asked)).status).to.equal(status);
      });
  });
});

describe("the service's port where others reach it, asked by a browser", () => {
  const folder = temporaryFolder();
  const origin = "https://console.tokens.internal";
  const names = ["DNS:localhost", "IP:127.0.0.1"];
  let tls: { ca: Buffer; cert: Buffer; key: Buffer };
  let settings: Record<string, string>;
  before(() => {
    const authority = createAuthority(folder.path, "CA");
    tls = { ca: authority.ca, ...authority.issue("URI:spiffe://test/care") };
    const policyFile = join(folder.path, "policy.json");
    writeFileSync(policyFile, JSON.stringify({ callers: [{ san: "URI:spiffe://test/care", rights: ["read"] }] }));
    settings = {
      TOKEN_SERVICE_TLS_DIR: writeTlsFolder(join(folder.path, "tls"), authority.issue(...names), authority.ca),
      TOKEN_SERVICE_POLICY_FILE: policyFile,
    };
  });
  after(folder.remove);

  const withStack = async (more: Record<string, string>, use: (stack: ServiceStack, url: string) => Promise<void>) => {
    const stack = await startServiceStack({ ...settings, ...more });
    try {
      await use(stack, stack.service.url.replace("http:", "https:"));
    } finally {
      await stack.stop();
    }
  };
  const read = (from: string): Asked => ({
    ...{ method: "POST", headers: { ...json, origin: from }, body: unknownToken, tls },
  });

  it("lets no page in, not even the console's, until a setting names its origin", () =>
    withStack({}, async ({ service }, url) => {
      for (const from of [service.adminUrl, origin]) {
        expect((await ask(url + rpc("GetToken"), { ...preflight(from), tls: { ca: tls.ca } })).status).to.equal(403);
        expect((await ask(url + rpc("GetToken"), read(from))).status).to.equal(403);
      }
    }));

  it("lets the named origin ask beforehand without a certificate, and read with one", () =>
    withStack(
      { CONSOLE_ORIGINS: origin, CONSOLE_SERVICE_URL: "https://tokens.internal:50051" },
      async ({ service }, url) => {
        const before = await ask(url + rpc("GetToken"), { ...preflight(origin), tls: { ca: tls.ca } });
        expect([before.status, before.headers["access-control-allow-credentials"]]).to.deep.equal([204, "true"]);
        expect(reasonIn(await ask(url + rpc("GetToken"), read(origin)))).to.equal("TOKEN_NOT_FOUND");
        const nobody = await ask(url + rpc("GetToken"), { ...read(origin), tls: { ca: tls.ca } });
        expect([nobody.status, reasonIn(nobody)]).to.deep.equal([401, "NO_CERTIFICATE"]);
        expect((await ask(url + rpc("GetToken"), read(service.adminUrl))).status).to.equal(403);
        const page = await ask(`${service.adminUrl}/console/`, { headers: { host: "console.tokens.internal" } });
        expect(page.headers["content-security-policy"]).to.match(/connect-src 'self' https:\/\/tokens.internal:50051$/);
      },
    ));

  it("lets no page record an activation over HTTP/2, where the gateway's calls take a shorter way", () =>
    withStack({ CONSOLE_ORIGINS: origin }, async (_, url) => {
      const session = connectHttp2(url, { ca: tls.ca, cert: tls.cert, key: tls.key });
      const stream = session.request({
        ...{ ":method": "POST", ":path": rpc("RecordActivation"), "content-type": "application/proto" },
        ...{ "connect-protocol-version": "1", origin },
      });
      stream.end();
      const [headers] = await once(stream, "response");
      expect(headers[":status"]).to.equal(403);
      session.destroy();
    }));

  it("does not start with an origin that is none", () => {
    for (const wrong of ["https://console.tokens.internal/", "console.tokens.internal", "*", "null"])
      expect(() => readConfig({ REDIS_URL: "redis://r", CONSOLE_ORIGINS: wrong }), wrong).to.throw(
        "CONSOLE_ORIGINS must be",
      );
  });
});
