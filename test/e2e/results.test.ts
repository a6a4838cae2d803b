// Every result code over real HTTP, and above all: an F is said only about what another try cannot change.
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { BadRequestSchema, ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import { signRequest } from "../../tools/sender.js";
import { expectResult, expectSigned, type ResultCode, resultStatusOf } from "../support/expectations.js";
import { privateKey, testSender } from "../support/keys.js";
import { apiPath, notification, notify, sendRaw, type TestAnswer } from "../support/notification.js";
import { startTestPart, startTestStack, type TestPart, type TestStack } from "../support/processes.js";
import { answering, type Behaviour, page, refusing, startUpstream, type Upstream } from "../support/upstream.js";

type Detail = { desc: DescMessage; value: MessageInitShape<DescMessage> };

const errorInfo = (reason: string, domain = "token.mpp"): Detail => {
  const value: MessageInitShape<typeof ErrorInfoSchema> = { reason, domain };
  return { desc: ErrorInfoSchema, value };
};

const badRequest = (...fields: string[]): Detail => {
  const value: MessageInitShape<typeof BadRequestSchema> = {
    fieldViolations: fields.map((field) => ({ field, description: "must be better" })),
  };
  return { desc: BadRequestSchema, value };
};

const error = (code: Code, ...details: Detail[]): Behaviour =>
  refusing(new ConnectError("words that the gateway never reads", code, undefined, details));

const serviceError = (code: Code, reason: string, ...more: Detail[]): Behaviour =>
  error(code, errorInfo(reason), ...more);

/** Writes headers and half of what it promised, then cuts the stream. */
const cutReply: Behaviour = {
  call(request, response) {
    request.resume();
    request.on("end", () => {
      response.writeHead(200, { "content-type": "application/proto", "content-length": "6" });
      response.write(Buffer.from([0x08, 0x01]), () => response.stream.close(2));
    });
  },
};

const codes = Object.entries(Code).filter((entry): entry is [string, Code] => typeof entry[1] === "number");

describe("the result of a notification", () => {
  let stack: TestStack;
  let upstream: Upstream;
  let gateway: TestPart;

  before(async () => {
    stack = await startTestStack();
    upstream = await startUpstream();
    gateway = await startTestPart(
      "gateway",
      { KEYS_DIR: stack.keysDir, TOKEN_SERVICE_URL: upstream.url, RPC_DEADLINE_MS: "400", LOG_LEVEL: "debug" },
      `${stack.folder}/gateway-to-upstream.log`,
    );
  });
  after(async () => {
    await gateway?.stop();
    await upstream?.stop();
    await stack?.stop();
  });

  type Send = (url: string) => Promise<TestAnswer>;
  const raw =
    (change: {
      method?: string;
      path?: string;
      headers?: Record<string, string>;
      without?: string;
      nowMs?: number;
    }): Send =>
    async (url) => {
      const { method = "POST", path = apiPath, headers = {}, without = "", nowMs } = change;
      const target = new URL(url + path);
      const body = Buffer.from(JSON.stringify(notification()));
      const signed = await signRequest(testSender, target, body, nowMs);
      const sent: Record<string, string> = { ...signed.headers, ...headers };
      delete sent[without];
      return sendRaw(target.href, { method, headers: sent, ...(method === "HEAD" ? {} : { body }) });
    };

  const cases: { name: string; send: Send; resultCode: ResultCode; to?: { method?: string; path?: string } }[] = [
    { name: "a signed notification", send: (url) => notify(url, notification()), resultCode: "SUCCESS" },
    {
      name: "a Request-Time of three days ago",
      send: raw({ nowMs: Date.now() - 3 * 86_400_000 }),
      resultCode: "ACCESS_DENIED",
    },
    {
      name: "a Client-Id without keys",
      send: (url) => notify(url, notification(), { sender: { ...testSender, clientId: "SOMEBODY_ELSE" } }),
      resultCode: "INVALID_CLIENT",
    },
    {
      name: "a signature with another key",
      send: (url) => notify(url, notification(), { sender: { ...testSender, privateKey: privateKey("other") } }),
      resultCode: "INVALID_SIGNATURE",
    },
    {
      name: "a keyVersion that does not exist",
      send: (url) => notify(url, notification(), { sender: { ...testSender, keyVersion: 7 } }),
      resultCode: "KEY_NOT_FOUND",
    },
    {
      name: "XML",
      send: raw({ headers: { "Content-Type": "application/xml" } }),
      resultCode: "MEDIA_TYPE_NOT_ACCEPTABLE",
    },
    { name: "a PUT", send: raw({ method: "PUT" }), resultCode: "METHOD_NOT_SUPPORTED", to: { method: "PUT" } },
    {
      name: "a path without an API",
      send: raw({ path: "/aps/api/v1/pay" }),
      resultCode: "NO_INTERFACE_DEF",
      to: { path: "/aps/api/v1/pay" },
    },
    {
      name: "a missing field",
      send: (url) => notify(url, notification({ tokenReferenceId: undefined })),
      resultCode: "PARAM_ILLEGAL",
    },
    {
      name: "another content at the time of an activation on record",
      async send(url) {
        const first = notification();
        expectResult(await notify(url, first), "SUCCESS");
        return notify(url, { ...first, walletId: "104" });
      },
      resultCode: "PROCESS_FAIL",
    },
    {
      name: "a Request-Time of tomorrow",
      send: raw({ nowMs: Date.now() + 86_400_000 }),
      resultCode: "UNKNOWN_EXCEPTION",
    },
  ];

  for (const { name, send, resultCode, to } of cases)
    it(`is a signed ${resultCode} for ${name}`, async () => {
      expectResult(await send(stack.gateway.url), resultCode, to);
    });

  it("is a signed answer without a body for HEAD", async () => {
    const answer = await raw({ method: "HEAD" })(stack.gateway.url);
    expect(answer.body.length).to.equal(0);
    expectSigned(answer, { method: "HEAD" });
  });

  const upstreamCases: { name: string; behaviour: Behaviour; resultCode: ResultCode; message?: string }[] = [
    {
      name: "OK",
      behaviour: answering(() => ({ version: 1n })),
      resultCode: "SUCCESS",
    },
    {
      name: "a field violation",
      behaviour: serviceError(
        Code.InvalidArgument,
        "FIELD_VIOLATION",
        badRequest("activation.token_data.expiry_month", "activation.wallet_id"),
      ),
      resultCode: "PARAM_ILLEGAL",
      message: "Illegal parameters exist. tokenData.expiryMonth must be better",
    },
    {
      name: "an activation conflict",
      behaviour: serviceError(Code.AlreadyExists, "ACTIVATION_CONFLICT"),
      resultCode: "PROCESS_FAIL",
    },
    {
      name: "a client conflict",
      behaviour: serviceError(Code.AlreadyExists, "CLIENT_CONFLICT"),
      resultCode: "PROCESS_FAIL",
    },
    {
      name: "RESOURCE_EXHAUSTED",
      behaviour: error(Code.ResourceExhausted),
      resultCode: "REQUEST_TRAFFIC_EXCEED_LIMIT",
    },
    {
      name: "a field violation in what the gateway itself filled",
      behaviour: serviceError(Code.InvalidArgument, "FIELD_VIOLATION", badRequest("delivery.delivery_id")),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "a field violation that names no field",
      behaviour: serviceError(Code.InvalidArgument, "FIELD_VIOLATION"),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "a field violation of a foreign domain",
      behaviour: error(
        Code.InvalidArgument,
        errorInfo("FIELD_VIOLATION", "example.com"),
        badRequest("activation.wallet_id"),
      ),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "a conflict of a foreign domain",
      behaviour: error(Code.AlreadyExists, errorInfo("ACTIVATION_CONFLICT", "example.com")),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "a conflict without a domain",
      behaviour: error(Code.AlreadyExists, errorInfo("ACTIVATION_CONFLICT", "")),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "a conflict under the code of another reason",
      behaviour: serviceError(Code.NotFound, "ACTIVATION_CONFLICT"),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "a reason that a newer service may give",
      behaviour: serviceError(Code.AlreadyExists, "SOMETHING_NEW"),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "an unknown token",
      behaviour: serviceError(Code.NotFound, "TOKEN_NOT_FOUND"),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "a store that does not answer",
      behaviour: serviceError(Code.Unavailable, "STORE_UNAVAILABLE"),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "a store that does not keep its promise",
      behaviour: serviceError(Code.Unavailable, "DURABILITY_NOT_MET"),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "contention",
      behaviour: serviceError(Code.Aborted, "CONTENTION"),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "an exception without a code",
      behaviour: answering(() => {
        throw new Error("unexpected");
      }),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "UNIMPLEMENTED of an older service",
      behaviour: { call: (_, response) => void response.writeHead(404, { "content-type": "application/json" }).end() },
      resultCode: "UNKNOWN_EXCEPTION",
    },
    ...codes
      .filter(([, code]) => code !== Code.ResourceExhausted)
      .map(([name, code]) => ({
        name: `${name} without a reason`,
        behaviour: error(code),
        resultCode: "UNKNOWN_EXCEPTION" as const,
      })),
    ...[301, 400, 401, 403, 404, 407, 413, 429, 500, 502, 503, 504].map((status) => ({
      name: `a proxy's page with status ${status}`,
      behaviour: page(status, "<html><title>Forbidden</title></html>"),
      resultCode: "UNKNOWN_EXCEPTION" as const,
    })),
    {
      name: "a proxy's page with status 200",
      behaviour: page(200, "<html>Welcome</html>"),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "a proxy's JSON that looks like an error of ours",
      behaviour: page(409, '{"code":"already_exists","message":"ACTIVATION_CONFLICT token.mpp"}', "application/json"),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "a reply that is no message",
      behaviour: page(200, "\xff\xff\xff\xff", "application/proto"),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    { name: "a cut reply", behaviour: cutReply, resultCode: "UNKNOWN_EXCEPTION" },
    {
      name: "a connection that dies during the call",
      behaviour: { call: (request) => void request.stream.session?.destroy() },
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "a connection that ends at once",
      behaviour: { connection: (socket) => void socket.destroy() },
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "a server that speaks only HTTP/1.1",
      behaviour: {
        connection: (socket) => void socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
      },
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "a black hole that takes the call",
      behaviour: { call: () => {} },
      resultCode: "UNKNOWN_EXCEPTION",
    },
    {
      name: "a black hole that takes the connection",
      behaviour: { connection: () => {} },
      resultCode: "UNKNOWN_EXCEPTION",
    },
  ];

  for (const { name, behaviour, resultCode, message } of upstreamCases)
    it(`is a signed ${resultCode} when the token service's side answers ${name}`, async () => {
      upstream.behave(behaviour);
      const answer = await notify(gateway.url, notification());
      expectResult(answer, resultCode);
      if (message !== undefined) expect(answer.result.resultMessage).to.equal(message);
      expect(upstream.count(), "calls that met this behaviour").to.be.at.least(1);
      expect(answer.ms, "time to the answer in ms").to.be.below(1_500);
    });

  it("is a signed UNKNOWN_EXCEPTION when nothing listens where the token service should be", async () => {
    await upstream.stop();
    try {
      expectResult(await notify(gateway.url, notification()), "UNKNOWN_EXCEPTION");
    } finally {
      await upstream.start();
    }
  });

  it("is a signed UNKNOWN_EXCEPTION for each of many calls on a connection that dies", async () => {
    upstream.behave({ call: (request) => void request.stream.session?.destroy() });
    const answers = await Promise.all(Array.from({ length: 64 }, () => notify(gateway.url, notification())));
    for (const answer of answers) expectResult(answer, "UNKNOWN_EXCEPTION");
  });

  it("is checked above for every code that Alipay+ lists", () => {
    const seen = new Set([...cases, ...upstreamCases].map(({ resultCode }) => resultCode));
    expect([...seen]).to.have.members(Object.keys(resultStatusOf));
  });
});
