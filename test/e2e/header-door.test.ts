import { expect } from "chai";
import type { Endpoint } from "../../gateway/alipayplus/endpoints.js";
import { Refusal } from "../../gateway/alipayplus/result.js";
import { isSignedBy, parseSignatureHeader, signatureBytes } from "../../gateway/alipayplus/signature.js";
import type { Client } from "../../gateway/keys.js";
import { admit } from "../../gateway/stages/admit.js";
import type { RawRequest } from "../../gateway/stages/messages.js";
import { verify } from "../../gateway/stages/verify.js";
import { privateKey, publicKey, testClientId, writeClient } from "../support/keys.js";
import { apiPath, notification } from "../support/notification.js";
import { startTestGateway, type TestGateway } from "../support/stand-in-service.js";
import {
  type Headers,
  headBytes,
  isSignedFor,
  requestBytes,
  sendBytes,
  signatureFor,
  signedHeaders,
  type WireAnswer,
  withHeader,
} from "../support/wire.js";

const body = JSON.stringify(notification({ tokenReferenceId: "T-header-door" }));
const signatureIn = (header: string): string => decodeURIComponent(header.slice(header.indexOf("signature=") + 10));
const headerWith = (value: string): string => `algorithm=RSA256,keyVersion=1,signature=${value}`;

describe("the door and its headers", () => {
  let stack: TestGateway;
  before(async () => {
    stack = await startTestGateway({ DEFAULT_CLIENT_ID: testClientId });
    writeClient(stack.keysDir, "OTHER_CLIENT", { 1: "other" });
  });
  after(() => stack.stop());

  const sendHeaders = async (headers: Headers, target = apiPath): Promise<WireAnswer> => {
    const answer = await sendBytes(stack.gateway.url, requestBytes(target, headers, body));
    if (answer === "closed") throw new Error("no answer");
    return answer;
  };
  const expectResult = (answer: WireAnswer, resultCode: string, path = apiPath): void => {
    expect(answer.result.resultCode).to.equal(resultCode);
    expect(answer.status).to.equal(200);
    expect(isSignedFor(answer, path), "signed").to.equal(true);
  };

  describe("writes of one good signature", () => {
    const plain = (): string => signatureIn(signatureFor(body));
    const url = (): string => plain().replaceAll("+", "-").replaceAll("/", "_");
    const unpadded = (text: string): string => text.replace(/=+$/, "");
    // The last digit of 256 bytes carries two bits; the other four must be zero.
    const otherLastDigit = (text: string): string => {
      const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
      const digits = unpadded(text);
      const last = alphabet.indexOf(digits.at(-1) ?? "");
      return `${digits.slice(0, -1)}${alphabet[last | 1]}==`;
    };
    for (const { name, write, resultCode } of [
      { name: "standard base64", write: () => plain(), resultCode: "SUCCESS" },
      { name: "standard base64, percent-encoded", write: () => encodeURIComponent(plain()), resultCode: "SUCCESS" },
      { name: "standard base64 without padding", write: () => unpadded(plain()), resultCode: "SUCCESS" },
      { name: "URL base64", write: () => url(), resultCode: "SUCCESS" },
      { name: "URL base64 without padding", write: () => unpadded(url()), resultCode: "SUCCESS" },
      { name: "every byte percent-encoded", write: () => percentEach(plain()), resultCode: "SUCCESS" },
      { name: "encoded twice", write: () => encodeURIComponent(encodeURIComponent(plain())) },
      { name: "a last digit that decodes to the same bytes", write: () => otherLastDigit(plain()) },
      { name: "one padding sign", write: () => `${unpadded(plain())}=` },
      { name: "three padding signs", write: () => `${unpadded(plain())}===` },
      { name: "padding in the middle", write: () => `${plain().slice(0, 100)}==${plain().slice(100)}` },
      { name: "a space inside", write: () => `${plain().slice(0, 100)} ${plain().slice(100)}` },
      { name: "an encoded line break inside", write: () => `${plain().slice(0, 100)}%0D%0A${plain().slice(100)}` },
      { name: "an encoded NUL at the end", write: () => `${plain()}%00` },
      { name: "a broken percent sign", write: () => `${plain()}%` },
      { name: "percent-encoding of bad UTF-8", write: () => `${plain()}%ff` },
      { name: "quotes around it", write: () => `"${plain()}"` },
      { name: "one byte less", write: () => Buffer.from(plain(), "base64").subarray(1).toString("base64") },
      {
        name: "a zero byte in front",
        write: () => Buffer.concat([Buffer.alloc(1), Buffer.from(plain(), "base64")]).toString("base64"),
      },
      { name: "twice the length", write: () => Buffer.alloc(512, Buffer.from(plain(), "base64")).toString("base64") },
      { name: "hex", write: () => Buffer.from(plain(), "base64").toString("hex") },
      { name: "nothing", write: () => "" },
    ].map((each) => ({ resultCode: "INVALID_SIGNATURE", ...each })))
      it(`answers ${name} with ${resultCode}`, async () => {
        expectResult(await sendHeaders(withHeader(signedHeaders(body), "Signature", headerWith(write()))), resultCode);
      });
  });

  describe("a Signature header", () => {
    const good = (): string => signatureFor(body);
    const bad = (): string => signatureFor(body, { key: privateKey("other") });
    const value = (): string => signatureIn(good());
    for (const { name, lines, resultCode } of [
      { name: "with spaces behind the commas", lines: () => [good().replaceAll(",", ", ")], resultCode: "SUCCESS" },
      { name: "without keyVersion", lines: () => [`algorithm=RSA256,signature=${value()}`], resultCode: "SUCCESS" },
      { name: "in another order", lines: () => [`signature=${value()},keyVersion=1`], resultCode: "SUCCESS" },
      { name: "with two signatures, the good one first", lines: () => [`${good()},signature=${signatureIn(bad())}`] },
      { name: "with two signatures, the good one last", lines: () => [`signature=${signatureIn(bad())},${good()}`] },
      { name: "with the same signature twice", lines: () => [`${good()},signature=${value()}`] },
      { name: "given twice", lines: () => [good(), good()] },
      { name: "given twice, once wrong", lines: () => [bad(), good()] },
      { name: "with two key versions", lines: () => [`keyVersion=1,${good()}`] },
      { name: "of algorithm none", lines: () => [good().replace("RSA256", "none")] },
      { name: "of algorithm ECC224", lines: () => [good().replace("RSA256", "ECC224")] },
      { name: "of two algorithms", lines: () => [`algorithm=none,${good()}`] },
      { name: "with an empty part", lines: () => [`,${good()}`] },
      { name: "with 5,000 parts", lines: () => [`${good()}${",a=b".repeat(2_500)}`] },
      { name: "with a part named __proto__", lines: () => [`__proto__=1,${good()}`], resultCode: "SUCCESS" },
      { name: "that is missing", lines: () => [] },
      { name: "that is empty", lines: () => [""] },
      { name: "of unknown key version", lines: () => [good().replace("=1,", "=2,")], resultCode: "KEY_NOT_FOUND" },
      { name: "of key version 1e0", lines: () => [good().replace("=1,", "=1e0,")], resultCode: "KEY_NOT_FOUND" },
      { name: "of key version -1", lines: () => [good().replace("=1,", "=-1,")], resultCode: "KEY_NOT_FOUND" },
      { name: "of key version ../1", lines: () => [good().replace("=1,", "=../1,")], resultCode: "KEY_NOT_FOUND" },
      { name: "of an empty key version", lines: () => [good().replace("=1,", "=,")], resultCode: "KEY_NOT_FOUND" },
    ].map((each) => ({ resultCode: "INVALID_SIGNATURE", ...each })))
      it(`${name} is answered with ${resultCode}`, async () => {
        const others = withHeader(signedHeaders(body), "Signature", undefined);
        const mine = lines().map((line) => ["Signature", line] as const);
        expectResult(await sendHeaders([...others, ...mine]), resultCode);
      });
  });

  describe("a target", () => {
    const api = apiPath.slice(apiPath.lastIndexOf("/") + 1);
    const folder = apiPath.slice(0, apiPath.lastIndexOf("/"));
    const unknown = [
      `${folder}/%74okenActivationNotification`,
      `${folder}/tokenActivation%4Eotification`,
      `${folder}%2F${api}`,
      `${folder}%2f${api}`,
      `${folder}/x/../${api}`,
      `${folder}/x/%2e%2e/${api}`,
      `${folder}/x/%252e%252e/${api}`,
      `${folder}/./${api}`,
      `/.${apiPath}`,
      `/${apiPath}`,
      `${folder}//${api}`,
      `${apiPath}/`,
      `${apiPath}%20`,
      `${apiPath}%00`,
      `${apiPath};a=b`,
      `${apiPath}#x`,
      apiPath.toUpperCase(),
      `http://localhost${apiPath}`,
      `http://user:password@localhost${apiPath}`,
      "/",
      "/%",
      "*",
      "/__proto__",
      `/${"a".repeat(8_000)}`,
    ];
    // The target counts as it was written, so that no two parts of the way can read it differently.
    for (const target of unknown)
      it(`${target.slice(0, 70)} is answered with a signed NO_INTERFACE_DEF`, async () => {
        const before = stack.service.arrived.length;
        const paths = [target, apiPath];
        for (const path of paths) {
          const answer = await sendHeaders(signedHeaders(body, { path }), target);
          expectResult(answer, "NO_INTERFACE_DEF", target.split("?")[0]);
        }
        expect(stack.service.arrived).to.have.length(before);
      });

    for (const query of ["?", "?a=b", "?a=b?c=d", `?${apiPath}`, "?%00", `?${"q".repeat(4_000)}`])
      it(`with the query ${query.slice(0, 50)} is signed without it`, async () => {
        expectResult(await sendHeaders(signedHeaders(body), apiPath + query), "SUCCESS");
        expectResult(
          await sendHeaders(signedHeaders(body, { path: apiPath + query }), apiPath + query),
          "INVALID_SIGNATURE",
        );
      });
  });

  describe("headers given twice", () => {
    for (const { name, first, second, resultCode } of [
      { name: "Client-Id", first: testClientId, second: testClientId, resultCode: "PARAM_ILLEGAL" },
      { name: "Client-Id", first: testClientId, second: "OTHER_CLIENT", resultCode: "PARAM_ILLEGAL" },
      { name: "Request-Time", first: undefined, second: undefined, resultCode: "PARAM_ILLEGAL" },
      { name: "Request-Time", first: undefined, second: "2000-01-01T00:00:00Z", resultCode: "PARAM_ILLEGAL" },
      {
        name: "Content-Type",
        first: "application/json",
        second: "application/json",
        resultCode: "MEDIA_TYPE_NOT_ACCEPTABLE",
      },
      {
        name: "Content-Type",
        first: "application/json",
        second: "text/plain",
        resultCode: "MEDIA_TYPE_NOT_ACCEPTABLE",
      },
      {
        name: "Content-Type",
        first: "text/plain",
        second: "application/json",
        resultCode: "MEDIA_TYPE_NOT_ACCEPTABLE",
      },
      { name: "Content-Encoding", first: "identity", second: "gzip", resultCode: "MEDIA_TYPE_NOT_ACCEPTABLE" },
    ])
      it(`${name}: ${first ?? "good"}, then ${second ?? "the same"}: ${resultCode}`, async () => {
        const headers = signedHeaders(body);
        const good = headers.find(([each]) => each === name)?.[1] ?? "";
        const two = [[name, first ?? good] as const, [name, second ?? good] as const];
        expectResult(await sendHeaders([...withHeader(headers, name, undefined), ...two]), resultCode);
      });
  });

  describe("header values", () => {
    for (const { name, header, value, resultCode } of [
      { name: "no Client-Id", header: "Client-Id", value: undefined, resultCode: "INVALID_CLIENT" },
      { name: "an empty Client-Id", header: "Client-Id", value: "", resultCode: "INVALID_CLIENT" },
      { name: "an unknown Client-Id", header: "Client-Id", value: "NOBODY", resultCode: "INVALID_CLIENT" },
      { name: "a Client-Id that Object has", header: "Client-Id", value: "constructor", resultCode: "INVALID_CLIENT" },
      { name: "the Client-Id __proto__", header: "Client-Id", value: "__proto__", resultCode: "INVALID_CLIENT" },
      { name: "a Client-Id in other case", header: "Client-Id", value: "test_client", resultCode: "INVALID_CLIENT" },
      {
        name: "a Client-Id that is a path",
        header: "Client-Id",
        value: "../keys/TEST_CLIENT",
        resultCode: "PARAM_ILLEGAL",
      },
      { name: "a percent-encoded Client-Id", header: "Client-Id", value: "TEST%5FCLIENT", resultCode: "PARAM_ILLEGAL" },
      { name: "a Client-Id of 65 characters", header: "Client-Id", value: "A".repeat(65), resultCode: "PARAM_ILLEGAL" },
      { name: "a Client-Id in UTF-8", header: "Client-Id", value: "TEST_CLI\xc3\x89NT", resultCode: "PARAM_ILLEGAL" },
      { name: "a Client-Id in Latin-1", header: "Client-Id", value: "TEST_CLIENT\xa0", resultCode: "PARAM_ILLEGAL" },
      {
        name: "Request-Time in UTF-8",
        header: "Request-Time",
        value: "2026\xe2\x80\x9001",
        resultCode: "PARAM_ILLEGAL",
      },
      { name: "no Request-Time", header: "Request-Time", value: undefined, resultCode: "PARAM_ILLEGAL" },
      {
        name: "bytes above 127 in Signature",
        header: "Signature",
        value: "\xff\xfe\x80",
        resultCode: "INVALID_SIGNATURE",
      },
      {
        name: "bytes above 127 in Content-Type",
        header: "Content-Type",
        value: "application/json\xa0;",
        resultCode: "MEDIA_TYPE_NOT_ACCEPTABLE",
      },
      {
        name: "bytes above 127 in a header of no interest",
        header: "X-Note",
        value: "\xff\x80\xe9",
        resultCode: "SUCCESS",
      },
      {
        name: "a Transfer-Encoding of compressed bodies",
        header: "Content-Encoding",
        value: "gzip",
        resultCode: "MEDIA_TYPE_NOT_ACCEPTABLE",
      },
      { name: "an expectation that nobody knows", header: "Expect", value: "a-miracle", resultCode: "SUCCESS" },
      { name: "Expect: 100-continue", header: "Expect", value: "100-continue", resultCode: "SUCCESS" },
      { name: "an Upgrade", header: "Upgrade", value: "h2c", resultCode: "SUCCESS" },
    ])
      it(`${name}: ${resultCode}`, async () => {
        expectResult(await sendHeaders(withHeader(signedHeaders(body), header, value)), resultCode);
      });

    it("tells a client apart from another by the key, not by the name alone", async () => {
      const asOther = signedHeaders(body, { clientId: "OTHER_CLIENT" });
      const answer = await sendHeaders(asOther);
      expect(answer.result.resultCode).to.equal("INVALID_SIGNATURE");
    });
  });

  // What follows is no HTTP, or more of it than a header may be: Node answers it itself, without a body that we could
  // sign, and closes. It reaches neither the pipeline nor the service.
  describe("headers that are no HTTP", () => {
    const lines = (headers: Headers): string => headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    const length = (): string => `Content-Length: ${Buffer.byteLength(body)}\r\n`;
    const withLines = (extra: string): Buffer =>
      Buffer.from(`POST ${apiPath} HTTP/1.1\r\n${lines(signedHeaders(body))}${length()}${extra}\r\n${body}`, "latin1");
    for (const { name, bytes, statuses } of [
      { name: "17 KiB of one header", bytes: () => withLines(`X-Note: ${"a".repeat(17 * 1024)}\r\n`), statuses: [431] },
      { name: "17 KiB of many headers", bytes: () => withLines("X-N: a\r\n".repeat(4_200)), statuses: [431] },
      { name: "a target of 20 KiB", bytes: () => headBytes(`/${"a".repeat(20_000)}`, []), statuses: [431, 414] },
      { name: "a target of backslashes", bytes: () => headBytes(apiPath.replaceAll("/", "\\"), []), statuses: [400] },
      { name: "NUL in a value", bytes: () => withLines("X-Note: a\0b\r\n"), statuses: [400] },
      { name: "a bare CR in a value", bytes: () => withLines("X-Note: a\rb\r\n"), statuses: [400] },
      { name: "a space before the colon", bytes: () => withLines("X-Note : a\r\n"), statuses: [400] },
      { name: "a name in UTF-8", bytes: () => withLines("X-N\xc3\xb6te: a\r\n"), statuses: [400] },
      {
        name: "no Host",
        bytes: () => requestBytes(apiPath, withHeader(signedHeaders(body), "Host", undefined), body),
        statuses: [400],
      },
    ])
      it(`${name}: refused with ${statuses.join(" or ")} and closed`, async () => {
        const before = stack.service.arrived.length;
        const answer = await sendBytes(stack.gateway.url, bytes());
        if (answer !== "closed") expect(answer.status).to.be.oneOf(statuses);
        expect(stack.service.arrived).to.have.length(before);
      });

    for (const name of ["Client-Id", "Request-Time", "Signature"])
      it(`never takes a folded ${name}`, async () => {
        const before = stack.service.arrived.length;
        const folded = withHeader(signedHeaders(body), name, undefined);
        const value = signedHeaders(body).find(([each]) => each === name)?.[1] ?? "";
        const half = Math.floor(value.length / 2);
        const bytes = requestBytes(
          apiPath,
          [...folded, [name, `${value.slice(0, half)}\r\n ${value.slice(half)}`]],
          body,
        );
        const answer = await sendBytes(stack.gateway.url, bytes);
        if (answer !== "closed") expect(answer.status === 400 || answer.result.resultStatus === "F").to.equal(true);
        expect(stack.service.arrived).to.have.length(before);
      });

    it("answers the next honest request", async () => {
      expectResult(await sendHeaders(signedHeaders(body)), "SUCCESS");
    });
  });
});

describe("what a refusal costs", () => {
  const standing = { denied: false, signatory: undefined, clientId: testClientId };
  const clients: Readonly<Record<string, Client>> = {
    KNOWN: { ...standing, verifyingKey: (version) => (version === "1" ? publicKey("aplus") : undefined) },
    DENIED: { ...standing, denied: true, verifyingKey: () => publicKey("aplus") },
    UNREADABLE: { ...standing, verifyingKey: () => "unreadable" },
  };
  const verifications = (clientId: string, signature: string): { bits: (number | undefined)[]; resultCode: string } => {
    const bits: (number | undefined)[] = [];
    const headers = { "client-id": clientId, "request-time": "2026-01-02T03:04:05Z", signature };
    const request = { method: "POST", path: apiPath, headers, body: Buffer.from(body) } as unknown as RawRequest;
    const checks = { maxAgeMs: 1_000, maxAheadMs: 1_000, withQuery: false };
    try {
      verify(
        request,
        (id) => clients[id],
        checks,
        Date.parse("2026-01-02T03:04:05Z"),
        (content, header, key) => {
          bits.push(key.asymmetricKeyDetails?.modulusLength);
          return isSignedBy(content, header, key);
        },
      );
      return { bits, resultCode: "SUCCESS" };
    } catch (error) {
      return { bits, resultCode: (error as Refusal).result.resultCode };
    }
  };
  const time = "2026-01-02T03:04:05Z";
  for (const { name, clientId, signature, resultCode } of [
    {
      name: "a good signature",
      clientId: "KNOWN",
      signature: signatureFor(body, { clientId: "KNOWN", time }),
      resultCode: "SUCCESS",
    },
    { name: "a wrong signature", clientId: "KNOWN", signature: signatureFor(body), resultCode: "INVALID_SIGNATURE" },
    { name: "an unknown client", clientId: "NOBODY", signature: signatureFor(body), resultCode: "INVALID_CLIENT" },
    {
      name: "an unknown key",
      clientId: "KNOWN",
      signature: signatureFor(body, { keyVersion: 9 }),
      resultCode: "KEY_NOT_FOUND",
    },
    {
      name: "a key that cannot be read",
      clientId: "UNREADABLE",
      signature: signatureFor(body),
      resultCode: "UNKNOWN_EXCEPTION",
    },
    { name: "a client that is denied", clientId: "DENIED", signature: signatureFor(body), resultCode: "ACCESS_DENIED" },
  ])
    it(`is one verification with a key of 2,048 bits for ${name}`, () => {
      expect(verifications(clientId, signature)).to.deep.equal({ bits: [2048], resultCode });
    });

  for (const [name, text] of [
    ["padding signs", `${"=".repeat(200_000)}x`],
    ["percent signs", "%3D".repeat(100_000)],
    ["digits", "A".repeat(400_000)],
  ] as const)
    it(`is little for a long signature of ${name}`, () => {
      const started = performance.now();
      expect(signatureBytes(text, 256)).to.equal(undefined);
      // Work that grows with the square of the length would be many seconds.
      expect(performance.now() - started).to.be.below(1_000);
    });

  it("is little for long headers of blanks and commas", () => {
    const started = performance.now();
    for (const value of [`a${" ".repeat(200_000)}x`, ",".repeat(200_000), ";".repeat(200_000), "a=b,".repeat(50_000)]) {
      expect(parseSignatureHeader(value)).to.equal(undefined);
      const headers = { "content-type": value, accept: value, "content-encoding": value };
      const endpoints = new Map([[apiPath, {} as Endpoint]]);
      expect(() => admit({ method: "POST", path: apiPath, headers }, endpoints)).to.throw(Refusal);
      const accept = { method: "POST", path: apiPath, headers: { accept: value } };
      expect(() => admit(accept, endpoints)).to.throw(Refusal);
    }
    expect(performance.now() - started).to.be.below(2_000);
  });
});

const percentEach = (text: string): string =>
  [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
