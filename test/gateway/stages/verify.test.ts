import type { IncomingHttpHeaders } from "node:http";
import { expect } from "chai";
import type { RawRequest } from "../../../gateway/stages/messages.js";
import { type Peer, type VerifyingKey, verify } from "../../../gateway/stages/verify.js";
import { publicKey, testClientId } from "../../support/keys.js";
import { refusalIn, refusalOf, signedRequest } from "../../support/requests.js";

const nowMs = Date.parse("2026-01-02T03:04:05Z");
const checks = { maxAgeMs: 60_000, maxAheadMs: 10_000, withQuery: false };

/** A client whose keys are asked for by the header's own text; "latest" stands for a header without a version. */
function clientWith(keys: Record<string, VerifyingKey>, denied = false): Peer {
  return {
    denied,
    verifyingKey: (version) => keys[version ?? "latest"],
  };
}

const usual = clientWith({ 1: publicKey("aplus"), latest: publicKey("aplus") });

const verifyWith = (request: RawRequest, client: Peer | undefined = usual, now = nowMs) =>
  verify(request, (clientId) => (clientId === testClientId ? client : undefined), checks, now);

const withHeaders = (request: RawRequest, headers: IncomingHttpHeaders): RawRequest => {
  const merged = { ...request.headers, ...headers };
  const present = Object.entries(merged).filter(([, value]) => value !== undefined);
  return { ...request, headers: Object.fromEntries(present) };
};

describe("verify", () => {
  let request: RawRequest;
  before(async () => {
    request = await signedRequest({ body: '{"a":"1"}' });
  });

  it("hands on the request with the client who signed it", () => {
    expect(verifyWith(request)).to.deep.equal({ ...request, clientId: testClientId });
  });

  const changes: { name: string; change: (request: RawRequest) => RawRequest }[] = [
    { name: "another body", change: (r) => ({ ...r, body: Buffer.from('{"a":"2"}') }) },
    { name: "a line feed after the body", change: (r) => ({ ...r, body: Buffer.from('{"a":"1"}\n') }) },
    { name: "no body", change: (r) => ({ ...r, body: Buffer.alloc(0) }) },
    { name: "another path", change: (r) => ({ ...r, path: `${r.path}2` }) },
    { name: "another method", change: (r) => ({ ...r, method: "PUT" }) },
    { name: "another time", change: (r) => withHeaders(r, { "request-time": "2026-01-02T03:04:06Z" }) },
    {
      name: "the same time in other words",
      change: (r) => withHeaders(r, { "request-time": "2026-01-02T03:04:05+00:00" }),
    },
  ];
  for (const { name, change } of changes)
    it(`refuses ${name} than was signed as INVALID_SIGNATURE`, () => {
      expect(refusalOf(() => verifyWith(change(request)))).to.equal("INVALID_SIGNATURE");
    });

  const wrongHeaders: { header: string; value: string | undefined; resultCode: string }[] = [
    { header: "client-id", value: undefined, resultCode: "INVALID_CLIENT" },
    { header: "client-id", value: "", resultCode: "INVALID_CLIENT" },
    { header: "client-id", value: "SOMEBODY_ELSE", resultCode: "INVALID_CLIENT" },
    { header: "client-id", value: "x".repeat(64), resultCode: "INVALID_CLIENT" },
    { header: "client-id", value: "x".repeat(65), resultCode: "PARAM_ILLEGAL" },
    { header: "client-id", value: "../TEST_CLIENT", resultCode: "PARAM_ILLEGAL" },
    { header: "client-id", value: "TEST CLIENT", resultCode: "PARAM_ILLEGAL" },
    { header: "client-id", value: "TEST_CLIENT, TEST_CLIENT", resultCode: "PARAM_ILLEGAL" },
    { header: "client-id", value: "TEST_CLIENT\n", resultCode: "PARAM_ILLEGAL" },
    { header: "request-time", value: undefined, resultCode: "PARAM_ILLEGAL" },
    { header: "request-time", value: "", resultCode: "PARAM_ILLEGAL" },
    { header: "request-time", value: "yesterday", resultCode: "PARAM_ILLEGAL" },
    { header: "request-time", value: "2026-01-02T03:04:05", resultCode: "PARAM_ILLEGAL" },
    { header: "signature", value: undefined, resultCode: "INVALID_SIGNATURE" },
    { header: "signature", value: "", resultCode: "INVALID_SIGNATURE" },
    { header: "signature", value: "algorithm=RSA256, keyVersion=1", resultCode: "INVALID_SIGNATURE" },
    { header: "signature", value: "keyVersion=1, signature=AAAA", resultCode: "INVALID_SIGNATURE" },
    { header: "signature", value: "keyVersion=2, signature=AAAA", resultCode: "KEY_NOT_FOUND" },
  ];
  for (const { header, value, resultCode } of wrongHeaders)
    it(`refuses ${header} ${value === undefined ? "left out" : JSON.stringify(value)} as ${resultCode}`, () => {
      expect(refusalOf(() => verifyWith(withHeaders(request, { [header]: value })))).to.equal(resultCode);
    });

  it("does not say a header's value back", () => {
    const refusal = refusalIn(() => verifyWith(withHeaders(request, { "client-id": "5345678901234521!" })));
    expect(refusal?.resultMessage).to.equal("Illegal parameters exist. Client-Id has an illegal form");
  });

  it("says what is wrong first in the order headers, client, denied, key, signature, time", () => {
    const stale = nowMs + 10 * checks.maxAgeMs;
    const garbled = { ...request, body: Buffer.from("garbled") };
    const order: [string, () => unknown][] = [
      ["INVALID_CLIENT", () => verifyWith(withHeaders(garbled, { "client-id": undefined, "request-time": "x" }))],
      ["PARAM_ILLEGAL", () => verifyWith(withHeaders(garbled, { "client-id": "SOMEBODY_ELSE", "request-time": "x" }))],
      ["INVALID_SIGNATURE", () => verifyWith(withHeaders(garbled, { "client-id": "SOMEBODY_ELSE", signature: "x" }))],
      ["INVALID_CLIENT", () => verifyWith(withHeaders(garbled, { "client-id": "SOMEBODY_ELSE" }), usual, stale)],
      ["ACCESS_DENIED", () => verifyWith(garbled, clientWith({}, true), stale)],
      ["KEY_NOT_FOUND", () => verifyWith(garbled, clientWith({}), stale)],
      ["UNKNOWN_EXCEPTION", () => verifyWith(garbled, clientWith({ 1: "unreadable" }), stale)],
      ["INVALID_SIGNATURE", () => verifyWith(garbled, usual, stale)],
      ["ACCESS_DENIED", () => verifyWith(request, usual, stale)],
    ];
    expect(order.map(([, act]) => refusalOf(act))).to.deep.equal(order.map(([resultCode]) => resultCode));
  });

  it("answers U for a key that we cannot read, since that is our own trouble", () => {
    const client = clientWith({ 1: "unreadable" });
    expect(refusalOf(() => verifyWith(request, client))).to.equal("UNKNOWN_EXCEPTION");
  });

  it("denies a client although its signature is good", () => {
    const client = clientWith({ 1: publicKey("aplus") }, true);
    expect(refusalOf(() => verifyWith(request, client))).to.equal("ACCESS_DENIED");
  });

  it("takes the latest key when the header names no version", () => {
    const signature = String(request.headers.signature).replace("keyVersion=1,", "");
    const unversioned = withHeaders(request, { signature });
    expect(refusalOf(() => verifyWith(unversioned))).to.equal("none");
    const renewed = clientWith({ 1: publicKey("aplus"), latest: publicKey("other") });
    expect(refusalOf(() => verifyWith(unversioned, renewed))).to.equal("INVALID_SIGNATURE");
  });

  it("does not try another version than the one the header names", () => {
    const client = clientWith({ 1: publicKey("other"), 2: publicKey("aplus"), latest: publicKey("aplus") });
    expect(refusalOf(() => verifyWith(request, client))).to.equal("INVALID_SIGNATURE");
  });

  const moments = [
    { name: "now", agoMs: 0, resultCode: "none" },
    { name: "as old as may be", agoMs: checks.maxAgeMs, resultCode: "none" },
    { name: "older than may be", agoMs: checks.maxAgeMs + 1, resultCode: "ACCESS_DENIED" },
    { name: "as far ahead as may be", agoMs: -checks.maxAheadMs, resultCode: "none" },
    { name: "further ahead than may be", agoMs: -checks.maxAheadMs - 1, resultCode: "UNKNOWN_EXCEPTION" },
  ];
  for (const { name, agoMs, resultCode } of moments)
    it(`answers a Request-Time ${name} with ${resultCode}`, () => {
      expect(refusalOf(() => verifyWith(request, usual, nowMs + agoMs))).to.equal(resultCode);
    });

  for (const time of [
    "1767323045000",
    "2026-01-02T11:04:05+0800",
    "2026-01-02T11:04:05+08:00",
    "2026-01-02T03:04:05.09Z",
  ])
    it(`reads the Request-Time ${time}, and verifies it as it was written`, async () => {
      const signed = await signedRequest({ time });
      expect(refusalOf(() => verifyWith(signed))).to.equal("none");
      expect(refusalOf(() => verifyWith(signed, usual, nowMs + checks.maxAgeMs + 100))).to.equal("ACCESS_DENIED");
    });
});
