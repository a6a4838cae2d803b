import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { join } from "node:path";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { expect } from "chai";
import { batchOf, batchStreamOf } from "../../lib/rpc/batch.js";
import { Health, HealthCheckResponse_ServingStatus } from "../../proto/gen/grpc/health/v1/health_pb.js";
import { TokenLifecycleService } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { Suspender, TokenState } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { readPolicy, rights } from "../../services/token-lifecycle/access/policy.js";
import { type Authority, type Certificate, createAuthority, writeTlsFolder } from "../support/certificates.js";
import { writeClient } from "../support/keys.js";
import { notification, notify } from "../support/notification.js";
import { startTestPart, type TestPart, temporaryFolder, until, untilServing } from "../support/processes.js";
import {
  allRights,
  type ClientTls,
  connectTo,
  newReference,
  recordActivation,
  refusalOf,
  type ServiceStack,
  startServiceStack,
  type TokenClient,
} from "../support/token-client.js";

const words = { reason: "because", actor: "agent 7" };
const tokenReferenceId = "T-none";
const move = { tokenReferenceId, suspender: Suspender.ISSUER, requestId: "r", ...words };
type Rpc = Exclude<keyof TokenClient, "close">;

/** Each rpc with the right it needs, and a call that is answered or finds no token when it is let in. */
const rpcs: Record<Rpc, { right: (typeof rights)[number]; call: (client: TokenClient) => Promise<unknown> }> = {
  recordActivation: { right: "record", call: (client) => recordActivation(client) },
  batchRecordActivations: { right: "record", call: (client) => client.batchRecordActivations({ items: [{}] }) },
  streamRecordActivations: { right: "record", call: streamOne },
  getToken: { right: "read", call: (client) => client.getToken({ tokenReferenceId }) },
  batchGetTokens: { right: "read", call: (client) => client.batchGetTokens({ tokenReferenceIds: ["T-none"] }) },
  listTokens: { right: "read", call: (client) => client.listTokens({ customerId: "c" }) },
  getTokenHistory: { right: "read", call: (client) => client.getTokenHistory({ tokenReferenceId }) },
  suspendToken: { right: "lifecycle", call: (client) => client.suspendToken(move) },
  resumeToken: { right: "lifecycle", call: (client) => client.resumeToken(move) },
  deactivateToken: { right: "lifecycle", call: (client) => client.deactivateToken(move) },
  watchTokenEvents: {
    right: "watch",
    call: async (client) => {
      for await (const _ of client.watchTokenEvents({}, { timeoutMs: 0 })) return;
    },
  },
  revealTokenData: { right: "reveal", call: (client) => client.revealTokenData({ tokenReferenceId, ...words }) },
  eraseToken: { right: "erase", call: (client) => client.eraseToken({ tokenReferenceId, ...words }) },
};
const names = Object.keys(rpcs) as Rpc[];

const stream = batchStreamOf(
  batchOf(TokenLifecycleService.method.recordActivation, "BatchRecordActivations"),
  "StreamRecordActivations",
);

/** Each batch of a stream is a call of its own. */
const auditedAs = (name: Rpc): string =>
  name === "streamRecordActivations" ? "BatchRecordActivations" : name.charAt(0).toUpperCase() + name.slice(1);

/** One batch over a stream. What is wrong with it is in its answer. */
async function streamOne(client: TokenClient): Promise<void> {
  const batches = (async function* () {
    yield { batch: { items: [{}] } };
  })();
  for await (const reply of client.streamRecordActivations(batches, { timeoutMs: 0 })) {
    const result = stream.resultOf(reply);
    if (result instanceof ConnectError) throw result;
  }
}

/** "let in", or the code and reason of the refusal, for each rpc. */
async function outcomes(client: TokenClient): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of names) {
    const outcome = rpcs[name].call(client).then(
      () => "let in",
      async (error) => {
        const { code, reason } = await refusalOf(Promise.reject(error));
        return reason === "TOKEN_NOT_FOUND" ? "let in" : `${code} ${reason}`;
      },
    );
    found[name] = await outcome;
  }
  return found;
}
const expectedFor = (outcome: (name: Rpc) => string): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, outcome(name)]));

describe("who may call the token service", () => {
  const folder = temporaryFolder();
  const [tlsDir, policyDir] = [join(folder.path, "tls"), join(folder.path, "policy")];
  const policyFile = join(policyDir, "policy.json");
  let authority: Authority;
  let stranger: Authority;
  let stack: ServiceStack;
  let url: string;
  const clients: TokenClient[] = [];
  const parts: TestPart[] = [];

  const uri = (name: string): string => `URI:spiffe://test/${name}`;
  const writePolicy = (callers: unknown): void => writeFileSync(policyFile, JSON.stringify({ callers }));
  const callers = [
    ...rights.map((right) => ({ san: uri(right), rights: [right] })),
    { san: uri("gateway"), rights: ["record"] },
    { san: uri("changing"), rights: ["read"] },
    { san: "DNS:wallet.test", rights: ["lifecycle", "read"], suspenders: ["CARDHOLDER", "MOBILE_PIN_LOCKED"] },
    { san: uri("everything"), rights: rights, suspenders: ["ISSUER"] },
    { san: uri("nothing"), rights: [] },
  ];
  const connect = (tls: ClientTls): TokenClient => {
    const client = connectTo(url, tls);
    clients.push(client);
    return client;
  };
  const connectAs = (...sans: string[]): TokenClient => connect({ ...authority.issue(...sans), ca: authority.ca });
  const auditLines = (): Record<string, string>[] =>
    stack.service
      .log()
      .split("\n")
      .filter((line) => line.includes('"part":"audit"'))
      .map((line) => JSON.parse(line));

  before(async () => {
    authority = createAuthority(folder.path, "authority");
    stranger = createAuthority(folder.path, "stranger");
    writeTlsFolder(tlsDir, authority.issue("IP:127.0.0.1", "DNS:localhost"), authority.ca);
    mkdirSync(policyDir);
    writePolicy(callers);
    stack = await startServiceStack({ TOKEN_SERVICE_TLS_DIR: tlsDir, TOKEN_SERVICE_POLICY_FILE: policyFile });
    url = stack.service.url.replace("http:", "https:");
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    for (const part of parts.splice(0)) await part.stop();
  });
  after(async () => {
    await stack.stop();
    folder.remove();
  });

  describe("over TLS", () => {
    for (const right of rights)
      it(`the right ${right} lets in to exactly its rpcs, and every refusal is audited`, async () => {
        const seen = auditLines().length;
        // A caller with `lifecycle` but no party to act as gets as far as that.
        const expected = expectedFor((name) =>
          rpcs[name].right === right && right !== "lifecycle" ? "let in" : "PermissionDenied RIGHT_MISSING",
        );
        expect(await outcomes(connectAs(uri(right)))).to.deep.equal(expected);
        const denied = names.filter((name) => expected[name] !== "let in");
        const lines = () =>
          auditLines()
            .slice(seen)
            .filter(({ outcome }) => outcome === "denied");
        await until("all are audited", () => lines().length >= denied.length);
        expect(lines().map(({ call, caller }) => [call, caller])).to.deep.equal(
          denied.map((name) => [auditedAs(name), uri(right)]),
        );
      });

    it("a caller with every right is let in everywhere", async () => {
      expect(await outcomes(connectAs(uri("everything")))).to.deep.equal(expectedFor(() => "let in"));
    });

    it("a certificate with several names has the rights of the first one that has any", async () => {
      const client = connectAs("DNS:unknown.test", uri("everything"));
      expect(await outcomes(client)).to.deep.equal(expectedFor(() => "let in"));
    });

    const denied: { who: string; tls: () => ClientTls; outcome: string; caller: string }[] = [
      {
        who: "a known caller without rights",
        tls: () => ({ ...authority.issue(uri("nothing")), ca: authority.ca }),
        outcome: "PermissionDenied RIGHT_MISSING",
        caller: uri("nothing"),
      },
      {
        who: "an unknown name",
        tls: () => ({ ...authority.issue("DNS:who.test"), ca: authority.ca }),
        outcome: "PermissionDenied RIGHT_MISSING",
        caller: "DNS:who.test",
      },
      {
        who: "a known name of another type",
        tls: () => ({ ...authority.issue("DNS:spiffe-test-everything", "URI:wallet.test"), ca: authority.ca }),
        outcome: "PermissionDenied RIGHT_MISSING",
        caller: "DNS:spiffe-test-everything URI:wallet.test",
      },
      {
        who: "a certificate without names",
        tls: () => ({ ...authority.issue(), ca: authority.ca }),
        outcome: "PermissionDenied RIGHT_MISSING",
        caller: "",
      },
      {
        who: "a caller without certificate",
        tls: () => ({ ca: authority.ca }),
        outcome: "Unauthenticated NO_CERTIFICATE",
        caller: "",
      },
      {
        who: "a certificate of another authority",
        tls: () => ({ ...stranger.issue(uri("everything")), ca: authority.ca }),
        outcome: "Unauthenticated NO_CERTIFICATE",
        caller: "",
      },
    ];
    for (const { who, tls, outcome, caller } of denied)
      it(`${who} is refused everywhere with ${outcome}, and audited`, async () => {
        const seen = auditLines().length;
        expect(await outcomes(connect(tls()))).to.deep.equal(expectedFor(() => outcome));
        // A call that an earlier caller gave up may still be audited now.
        const own = () =>
          auditLines()
            .slice(seen)
            .filter((line) => line.caller === caller);
        await until("all are audited", () => own().length >= names.length);
        for (const line of own()) expect(line).to.include({ outcome: "denied" });
      });

    it("names the right that is missing", async () => {
      const refusal = await refusalOf(rpcs.eraseToken.call(connectAs(uri("read"))));
      expect(refusal).to.deep.include({ domain: "token.mpp", metadata: { right: "erase" } });
    });

    it("a caller acts only as the parties it may act as", async () => {
      const client = connectAs("DNS:wallet.test");
      const reference = newReference();
      await recordActivation(connectAs(uri("record")), { tokenReferenceId: reference });
      const as = (suspender: Suspender, requestId: string) => ({
        ...move,
        tokenReferenceId: reference,
        suspender,
        requestId,
      });
      for (const rpc of ["suspendToken", "resumeToken", "deactivateToken"] as const) {
        const refusal = await refusalOf(client[rpc](as(Suspender.ISSUER, "as-issuer")));
        expect(refusal).to.deep.include({ code: "PermissionDenied", reason: "RIGHT_MISSING" });
        expect(refusal.metadata).to.deep.equal({ right: "lifecycle as ISSUER" });
      }
      const line = () =>
        auditLines().find(({ call, caller }) => call === "DeactivateToken" && caller === "DNS:wallet.test");
      await until("it is audited", () => line() !== undefined);
      expect(line()).to.include({ outcome: "denied", as: "ISSUER" });
      expect((await client.suspendToken(as(Suspender.CARDHOLDER, "as-cardholder"))).state).to.equal(
        TokenState.SUSPENDED,
      );
      const { events } = await client.getTokenHistory({ tokenReferenceId: reference });
      expect(events.at(-1)).to.deep.include({ clientId: "DNS:wallet.test", suspender: Suspender.CARDHOLDER });
    });

    it("health answers without a certificate", async () => {
      const sessionManager = new Http2SessionManager(url, undefined, { ca: authority.ca });
      const transport = createGrpcTransport({ baseUrl: url, sessionManager, defaultTimeoutMs: 5_000 });
      const { status } = await createClient(Health, transport).check({});
      sessionManager.abort();
      expect(status).to.equal(HealthCheckResponse_ServingStatus.SERVING);
    });

    describe("on HTTP/1.1", () => {
      const post = (tls: ClientTls): Promise<{ status: number; code: string; version: string }> =>
        new Promise((resolve, reject) => {
          const options = { ...tls, method: "POST", agent: false, headers: { "content-type": "application/json" } };
          const path = "/mpp.token.v1.TokenLifecycleService/GetToken";
          const request = httpsRequest(url + path, options, (response) => {
            let body = "";
            response.on("data", (chunk) => {
              body += chunk;
            });
            response.on("end", () =>
              resolve({
                status: response.statusCode ?? 0,
                code: JSON.parse(body).code,
                version: response.httpVersion,
              }),
            );
          });
          request.on("error", reject);
          request.end(JSON.stringify({ tokenReferenceId }));
        });
      const cases = [
        { who: "a caller with the right", tls: () => authority.issue(uri("read")), status: 404, code: "not_found" },
        {
          who: "a caller without it",
          tls: () => authority.issue(uri("watch")),
          status: 403,
          code: "permission_denied",
        },
        { who: "nobody", tls: () => ({}), status: 401, code: "unauthenticated" },
      ];
      for (const { who, tls, status, code } of cases)
        it(`${who} gets ${status}`, async () => {
          expect(await post({ ...tls(), ca: authority.ca })).to.deep.equal({ status, code, version: "1.1" });
        });
    });
  });

  describe("without a restart", () => {
    const mayRead = async (client: TokenClient): Promise<string> => (await outcomes(client)).getToken ?? "";

    it("a policy that was replaced counts, on connections that stand already", async () => {
      const client = connectAs(uri("changing"));
      expect(await mayRead(client)).to.equal("let in");
      writePolicy(
        callers.map((caller) => (caller.san === uri("changing") ? { ...caller, rights: ["watch"] } : caller)),
      );
      await until("the right is gone", async () => (await mayRead(client)) === "PermissionDenied RIGHT_MISSING");
      writePolicy(callers);
      await until("the right is back", async () => (await mayRead(client)) === "let in");
    });

    it("a policy with a mistake does not count, and is complained about", async () => {
      writeFileSync(policyFile, "{");
      await until("it is logged", () => stack.service.log().includes("those at hand stay in use"));
      expect(await mayRead(connectAs(uri("read")))).to.equal("let in");
      writePolicy(callers);
    });

    it("a certificate and an authority that were replaced count for new connections", async () => {
      const isLetIn = (tls: Certificate & { ca: Buffer }) => async () => {
        const client = connectTo(url, tls);
        const outcome = await client.getToken({ tokenReferenceId }).catch((error) => refusalOf(Promise.reject(error)));
        client.close();
        return "reason" in outcome && outcome.reason === "TOKEN_NOT_FOUND";
      };
      const ours = isLetIn({ ...authority.issue(uri("read")), ca: authority.ca });
      const theirs = isLetIn({ ...stranger.issue(uri("read")), ca: stranger.ca });
      expect([await ours(), await theirs()]).to.deep.equal([true, false]);
      writeTlsFolder(tlsDir, stranger.issue("IP:127.0.0.1"), stranger.ca);
      await until("the new ones count", theirs);
      expect(await ours()).to.equal(false);
      writeTlsFolder(tlsDir, authority.issue("IP:127.0.0.1"), authority.ca);
      await until("the old ones count again", ours);
    });
  });

  it("the gateway is let in with its certificate, and answers U with another until it is replaced", async () => {
    const clientTls = writeTlsFolder(join(folder.path, "gateway-tls"), authority.issue(uri("watch")), authority.ca);
    const keysDir = join(folder.path, "keys");
    writeClient(keysDir);
    const settings = {
      KEYS_DIR: keysDir,
      KEYS_RELOAD_MS: "50",
      TOKEN_SERVICE_URL: url,
      TOKEN_CLIENT_TLS_DIR: clientTls,
    };
    const gateway = await startTestPart("gateway", settings, join(folder.path, "gateway.log"));
    parts.push(gateway);
    const message = notification();
    const refused = await notify(gateway.url, message);
    expect(refused.result).to.include({ resultStatus: "U", resultCode: "UNKNOWN_EXCEPTION" });
    expect(refused.isSigned).to.equal(true);
    writeTlsFolder(clientTls, authority.issue(uri("gateway")), authority.ca);
    await until("it is let in", async () => (await notify(gateway.url, message)).result.resultCode === "SUCCESS");
    const { token } = await connectAs(uri("read")).getToken({ tokenReferenceId: String(message.tokenReferenceId) });
    expect(token?.version, "recorded once").to.equal(1n);
  });

  describe("in plain text", () => {
    const start = async (settings: Record<string, string>): Promise<TestPart> => {
      const own = { DATA_DIR: stack.folder, REDIS_URL: stack.redis.url, DURABILITY_CHECK_MS: "100", ...settings };
      const part = await startTestPart("service", own, join(folder.path, "other-service.log"));
      parts.push(part);
      await untilServing(part);
      return part;
    };
    const connectPlain = (part: TestPart): TokenClient => {
      const client = connectTo(part.url.replace("0.0.0.0", "127.0.0.1"));
      clients.push(client);
      return client;
    };
    const granted = (list: string) =>
      expectedFor((name) => (list.split(",").includes(rpcs[name].right) ? "let in" : "PermissionDenied RIGHT_MISSING"));

    for (const [what, settings, list] of [
      ["has every right but reveal and erase", {}, "record,read,lifecycle,watch"],
      ["has the rights of LOOPBACK_RIGHTS", { LOOPBACK_RIGHTS: "read, watch" }, "read,watch"],
    ] as const)
      it(`everyone on this machine ${what}`, async () => {
        const part = await start(settings);
        expect(await outcomes(connectPlain(part))).to.deep.equal(granted(list));
      });

    it("the service listens beyond this machine when that is accepted", async () => {
      const part = await start({
        TOKEN_SERVICE_HOST: "0.0.0.0",
        TOKEN_SERVICE_PLAINTEXT_BEYOND_LOOPBACK_IS_ACCEPTED: "true",
        LOOPBACK_RIGHTS: allRights,
      });
      expect(part.url).to.match(/^http:\/\/0\.0\.0\.0:/);
      expect(await refusalOf(connectPlain(part).getToken({ tokenReferenceId }))).to.include({ code: "NotFound" });
    });

    const brokenTls = (what: string, change: (at: string) => void): string => {
      const at = join(folder.path, `tls-${what}`);
      writeTlsFolder(at, authority.issue("IP:127.0.0.1"), authority.ca);
      change(at);
      return at;
    };
    const policy = { TOKEN_SERVICE_POLICY_FILE: policyFile };
    const refused: { what: string; settings: () => Record<string, string>; says: RegExp }[] = [
      {
        what: "a host that others reach",
        settings: () => ({ TOKEN_SERVICE_HOST: "0.0.0.0" }),
        says: /TOKEN_SERVICE_HOST is 0\.0\.0\.0.*without TLS.*TOKEN_SERVICE_TLS_DIR/,
      },
      {
        what: "TLS without a policy",
        settings: () => ({ TOKEN_SERVICE_TLS_DIR: tlsDir }),
        says: /TOKEN_SERVICE_TLS_DIR and TOKEN_SERVICE_POLICY_FILE go together/,
      },
      {
        what: "a policy without TLS",
        settings: () => policy,
        says: /TOKEN_SERVICE_TLS_DIR and TOKEN_SERVICE_POLICY_FILE go together/,
      },
      {
        what: "an unknown right",
        settings: () => ({ LOOPBACK_RIGHTS: "read,write" }),
        says: /LOOPBACK_RIGHTS must be one of record, read/,
      },
      {
        what: "a policy file that is not there",
        settings: () => ({ TOKEN_SERVICE_TLS_DIR: tlsDir, TOKEN_SERVICE_POLICY_FILE: join(policyDir, "none.json") }),
        says: /wrong policy file .*none\.json: it cannot be read \(ENOENT\)/,
      },
      {
        what: "a key that is not there",
        settings: () => ({ ...policy, TOKEN_SERVICE_TLS_DIR: brokenTls("cut", (at) => rmSync(join(at, "tls.key"))) }),
        says: /tls\.key cannot be read \(ENOENT\)/,
      },
      {
        what: "the key of another certificate",
        settings: () => ({
          ...policy,
          TOKEN_SERVICE_TLS_DIR: brokenTls("mixed", (at) => writeFileSync(join(at, "tls.key"), authority.issue().key)),
        }),
        says: /holds no certificate with its key/,
      },
      {
        what: "an authority that is no certificate",
        settings: () => ({
          ...policy,
          TOKEN_SERVICE_TLS_DIR: brokenTls("blind", (at) => writeFileSync(join(at, "ca.crt"), "none")),
        }),
        says: /holds no certificate with its key/,
      },
    ];
    for (const { what, settings, says } of refused)
      it(`the service does not start with ${what}, and says why in one line`, async () => {
        const why: string = await start(settings()).then(
          () => "it started",
          (error: Error) => error.message,
        );
        expect(why).to.match(says).and.not.include("\n");
      });
  });

  describe("a policy file", () => {
    const mistakes: { what: string; content: string; says: string }[] = [
      { what: "is no JSON", content: "{", says: "it is not JSON" },
      { what: "is null", content: "null", says: 'it needs a list "callers"' },
      { what: "has no callers", content: "{}", says: 'it needs a list "callers"' },
      { what: "has an empty entry", content: '{"callers":[null]}', says: "callers[0].san must be" },
      {
        what: "has a name without type",
        content: '{"callers":[{"san":"a","rights":[]}]}',
        says: "callers[0].san must be",
      },
      {
        what: "has a name twice",
        content: '{"callers":[{"san":"DNS:a","rights":[]},{"san":"DNS:a","rights":[]}]}',
        says: "callers[1].san stands twice",
      },
      { what: "has no rights", content: '{"callers":[{"san":"DNS:a"}]}', says: "callers[0].rights must be a list" },
      {
        what: "has an unknown right",
        content: '{"callers":[{"san":"DNS:a","rights":["read","write"]}]}',
        says: 'callers[0].rights has an unknown word "write"',
      },
      {
        what: "has an unknown suspender",
        content: '{"callers":[{"san":"DNS:a","rights":[],"suspenders":["UNSPECIFIED"]}]}',
        says: 'callers[0].suspenders has an unknown word "UNSPECIFIED"',
      },
      {
        what: "has an unknown member",
        content: '{"callers":[{"san":"DNS:a","rights":[],"right":["read"]}]}',
        says: "callers[0] has an unknown member right",
      },
    ];
    for (const { what, content, says } of mistakes)
      it(`that ${what} is refused with the mistake and where it is`, () => {
        const file = join(folder.path, "mistake.json");
        writeFileSync(file, content);
        expect(() => readPolicy(file)).to.throw(`wrong policy file ${file}: ${says}`);
      });
  });
});
