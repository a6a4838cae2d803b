// Law of the doctor: whatever is done to a signed request, it names it.
import { constants, createHash, sign } from "node:crypto";
import { expect } from "chai";
import fc from "fast-check";
import { type Cause, causes } from "../../../gateway/alipayplus/causes.js";
import { type Diagnosis, type DoctorKey, diagnose, type Evidence } from "../../../gateway/alipayplus/doctor.js";
import { contentToSign } from "../../../gateway/alipayplus/signature.js";
import type { ReceivedRequest } from "../../../gateway/alipayplus/signed-forms.js";
import { privateKey, publicKey, type VectorKey, vectors } from "../../support/keys.js";

type Draft = {
  method: string;
  path: string;
  query: string;
  clientId: string;
  time: string;
  body: string | Buffer;
  keyVersion: string;
  key: VectorKey;
  /** What is signed in place of what is sent. */
  signed?: Partial<{ method: string; path: string; clientId: string; time: string; body: string | Buffer }>;
  /** The last word on the text to sign. */
  layout?: (content: Buffer) => Buffer | string;
  hash?: string;
  padding?: object;
};

const plain: Draft = {
  method: "POST",
  path: "/aps/api/v1/tokenActivationNotification",
  query: "",
  clientId: "TEST_CLIENT",
  time: "2026-01-02T03:04:05Z",
  body: '{"tokenReferenceId":"T-1","customerId":"J\u00fcrgen & \u4e2d/\u56fd","walletId":null,"tokenData":{"token":"5345678901234521","expiryMonth":"10"}}',
  keyVersion: "1",
  key: "aplus",
};

function signatureOf({
  method,
  path,
  clientId,
  time,
  body,
  key,
  signed,
  layout,
  hash = "sha256",
  padding,
}: Draft): string {
  const parts = { method, path, clientId, time, body, ...signed };
  const content = contentToSign({ ...parts, body: Buffer.from(parts.body as string) });
  const text = layout ? Buffer.from(layout(content) as string) : content;
  return sign(hash, text, { key: privateKey(key), ...padding }).toString("base64");
}

function requestOf(draft: Draft, signature = encodeURIComponent(signatureOf(draft))): ReceivedRequest {
  const { method, path, query, clientId, time, body, keyVersion } = draft;
  return {
    method,
    target: query === "" ? path : `${path}?${query}`,
    headers: {
      host: "mpp.example.com",
      "client-id": clientId,
      "request-time": time,
      signature: `algorithm=RSA256, keyVersion=${keyVersion}, signature=${signature}`,
    },
    body: Buffer.from(body as string),
  };
}

const keys: DoctorKey[] = [
  { name: "alipayplus.1 of TEST_CLIENT", key: publicKey("aplus"), clientId: "TEST_CLIENT", version: 1 },
  { name: "alipayplus.2 of TEST_CLIENT", key: publicKey("mpp"), clientId: "TEST_CLIENT", version: 2 },
  { name: "alipayplus.1 of OTHER", key: publicKey("other"), clientId: "OTHER", version: 1 },
];
const budgetBytes = 1 << 28;
const see = (request: ReceivedRequest, more: Partial<Evidence> = {}): Diagnosis =>
  diagnose(request, { keys, clientIds: ["TEST_CLIENT", "OTHER"], budgetBytes, ...more });

type Case = {
  name: string;
  cause: Cause;
  says?: RegExp;
  request: (draft: Draft) => ReceivedRequest;
  more?: Partial<Evidence>;
};
const sent =
  (change: (draft: Draft) => Partial<Draft>) =>
  (draft: Draft): ReceivedRequest => {
    const { headers } = requestOf(draft);
    const changed = requestOf({ ...draft, ...change(draft) });
    return { ...changed, headers: { ...changed.headers, signature: headers.signature } };
  };
const signs = (change: (draft: Draft) => Partial<Draft>) => (draft: Draft) => requestOf({ ...draft, ...change(draft) });
const withHeader = (name: string, change: (value: string) => string | undefined) => (draft: Draft) => {
  const request = requestOf(draft);
  return { ...request, headers: { ...request.headers, [name]: change(request.headers[name] ?? "") } };
};
const withValue = (change: (base64: string) => string) => (draft: Draft) =>
  requestOf(draft, change(signatureOf(draft)));
const text = ({ body }: Draft): string => body.toString();
const pretty = (indent: string | number) => (draft: Draft) => ({
  body: JSON.stringify(JSON.parse(text(draft)), undefined, indent),
});
const escaped = (body: string): string =>
  body.replaceAll(/\P{ASCII}/gu, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
const sorted = (draft: Draft) => ({
  body: JSON.stringify(JSON.parse(text(draft)), (_, value) =>
    value === null || typeof value !== "object"
      ? value
      : Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))),
  ),
});
const order = ["tokenReferenceId", "customerId", "walletId", "tokenData", "token", "expiryMonth"];
const other = requestOf({ ...plain, time: "2026-01-02T03:09:59Z", body: '{"tokenReferenceId":"T-2"}' });

const cases: Case[] = [
  {
    name: "path signed with its query",
    cause: "query-included",
    request: signs(({ path }) => ({ query: "a=b", signed: { path: `${path}?a=b` } })),
  },
  {
    name: "URL signed",
    cause: "full-url",
    says: /"https:\/\/mpp\.example\.com\/aps/,
    request: signs(({ path }) => ({ signed: { path: `https://mpp.example.com${path}` } })),
  },
  { name: "URL arrived", cause: "full-url", request: sent(({ path }) => ({ path: `http://mpp.example.com${path}` })) },
  {
    name: "usual prefix removed",
    cause: "proxy-prefix-removed",
    says: /"\/aps\/api\/v1\/tokenActivationNotification"/,
    request: sent(() => ({ path: "/tokenActivationNotification" })),
  },
  {
    name: "known prefix removed",
    cause: "proxy-prefix-removed",
    request: signs(({ path }) => ({ signed: { path: `/mpp-7${path}` } })),
    more: { paths: ["https://mpp.example.com/mpp-7/aps/api/v1/tokenActivationNotification"] },
  },
  {
    name: "prefix removed by a proxy that tells",
    cause: "proxy-prefix-removed",
    request: (draft) => {
      const request = sent(({ path }) => ({ path: path.replace("/aps", "") }))({ ...draft, path: `/x${draft.path}` });
      return { ...request, target: draft.path, headers: { ...request.headers, "x-forwarded-prefix": "/x" } };
    },
  },
  { name: "prefix added", cause: "proxy-prefix-added", request: sent(({ path }) => ({ path: `/internal/gw${path}` })) },
  { name: "slash added", cause: "wrong-path", request: sent(({ path }) => ({ path: `${path}/` })) },
  {
    name: "other path",
    cause: "wrong-path",
    request: sent(() => ({ path: "/notify" })),
    more: { paths: [plain.path] },
  },
  {
    name: "path decoded",
    cause: "path-decoded",
    request: (draft) => sent(() => ({ path: "/a b/x" }))({ ...draft, path: "/a%20b/x" }),
  },
  {
    name: "path encoded",
    cause: "path-encoded",
    request: (draft) => sent(() => ({ path: "/a%2Bb/x" }))({ ...draft, path: "/a+b/x" }),
  },
  { name: "BOM added", cause: "bom-added", request: sent((draft) => ({ body: `\u{feff}${text(draft)}` })) },
  {
    name: "BOM signed",
    cause: "bom-removed",
    request: signs((draft) => ({ signed: { body: `\u{feff}${text(draft)}` } })),
  },
  {
    name: "LF to CR LF",
    cause: "line-ends",
    request: (draft) =>
      sent((each) => ({ body: text(each).replaceAll("\n", "\r\n") }))({ ...draft, ...pretty(2)(draft) }),
  },
  {
    name: "CR LF to LF",
    cause: "line-ends",
    request: (draft) =>
      sent((each) => ({ body: text(each).replaceAll("\r\n", "\n") }))({
        ...draft,
        body: text({ ...draft, ...pretty(2)(draft) }).replaceAll("\n", "\r\n"),
      }),
  },
  {
    name: "line ends removed",
    cause: "line-ends",
    request: (draft) =>
      signs((each) => ({ body: text(each), signed: { body: text(each).replaceAll("\n", "") } }))({
        ...draft,
        ...pretty(2)(draft),
      }),
  },
  {
    name: "line ends taken away on its way",
    cause: "line-ends",
    request: (draft) =>
      sent((each) => ({ body: text(each).replaceAll("\n", "") }))({ ...draft, body: `${pretty(2)(draft).body}\n` }),
  },
  {
    name: "line feed added at the end",
    cause: "end-of-body",
    request: sent((draft) => ({ body: `${text(draft)}\n` })),
  },
  {
    name: "line feed signed at the end",
    cause: "end-of-body",
    request: signs((draft) => ({ signed: { body: `${text(draft)}\n` } })),
  },
  { name: "indented on its way", cause: "whitespace", request: sent(pretty(2)) },
  {
    name: "indentation removed on its way",
    cause: "whitespace",
    request: (draft) => sent(() => ({ body: text(draft) }))({ ...draft, ...pretty("\t")(draft) }),
  },
  {
    name: "blanks as Python writes them",
    cause: "whitespace",
    request: sent((draft) => ({ body: text(draft).replaceAll('":', '": ').replaceAll(',"', ', "') })),
  },
  {
    name: "escapes written out",
    cause: "body-reserialised",
    request: (draft) => sent(() => ({ body: text(draft) }))({ ...draft, body: escaped(text(draft)) }),
  },
  {
    name: "escapes added",
    cause: "body-reserialised",
    request: sent((draft) => ({ body: escaped(text(draft)).replaceAll("/", "\\/") })),
  },
  {
    name: "HTML signs escaped",
    cause: "body-reserialised",
    request: signs((draft) => ({ signed: { body: text(draft).replaceAll("&", "\\u0026") } })),
  },
  {
    name: "members sorted by the sender before it signed",
    cause: "body-reserialised",
    request: signs((draft) => ({ signed: sorted(draft) })),
  },
  {
    name: "members sorted on their way",
    cause: "body-reserialised",
    request: sent(sorted),
    more: { memberOrder: order },
  },
  {
    name: "members that are null left out",
    cause: "body-reserialised",
    request: signs((draft) => ({ signed: { body: text(draft).replace('"walletId":null,', "") } })),
  },
  {
    name: "signed in Latin-1",
    cause: "charset",
    request: (draft) =>
      signs((each) => ({ signed: { body: Buffer.from(text(each), "latin1") } }))({
        ...draft,
        body: '{"a":"J\u00fcrgen"}',
      }),
  },
  {
    name: "sent in Latin-1",
    cause: "charset",
    request: (draft) =>
      sent((each) => ({ body: Buffer.from(text(each), "latin1") }))({ ...draft, body: '{"a":"J\u00fcrgen"}' }),
  },
  {
    name: "encoded as UTF-8 twice",
    cause: "charset",
    request: sent((draft) => ({ body: Buffer.from(Buffer.from(text(draft)).toString("latin1")) })),
  },
  {
    name: "signed in GBK",
    cause: "charset",
    request: (draft) =>
      signs(() => ({ signed: { body: Buffer.from("7b2261223a22d6d0b9fa227d", "hex") } }))({
        ...draft,
        body: '{"a":"\u4e2d\u56fd"}',
      }),
  },
  {
    name: "sent in GBK",
    cause: "charset",
    request: (draft) =>
      sent(() => ({ body: Buffer.from("7b2261223a22d6d0b9fa227d", "hex") }))({
        ...draft,
        body: '{"a":"\u4e2d\u56fd"}',
      }),
  },
  {
    name: "signed in ASCII",
    cause: "charset",
    request: signs((draft) => ({ signed: { body: text(draft).replaceAll(/\P{ASCII}/gu, "?") } })),
  },
  {
    name: "bytes lost",
    cause: "charset",
    says: /U\+FFFD/,
    request: (draft) => sent((each) => ({ body: text(each).replaceAll(/\P{ASCII}/gu, "\u{fffd}") }))(draft),
  },
  {
    name: "body decoded",
    cause: "body-decoded",
    request: (draft) =>
      sent((each) => ({ body: decodeURIComponent(text(each)) }))({ ...draft, body: encodeURIComponent(text(draft)) }),
  },
  {
    name: "body encoded",
    cause: "body-encoded",
    request: sent((draft) => ({ body: encodeURIComponent(text(draft)) })),
  },
  {
    name: "body in a form field",
    cause: "body-encoded",
    request: sent((draft) => ({ body: `data=${encodeURIComponent(text(draft)).replaceAll("%20", "+")}` })),
  },
  { name: "empty body signed", cause: "body-left-out", request: signs(() => ({ signed: { body: "" } })) },
  {
    name: "version 2 signs as version 1",
    cause: "key-version",
    says: /keyVersion="1", and alipayplus\.2 of TEST_CLIENT made it/,
    request: signs(() => ({ key: "mpp" })),
  },
  { name: "version that nobody has", cause: "key-version", request: signs(() => ({ keyVersion: "9" })) },
  { name: "version of no number", cause: "key-version", request: signs(() => ({ keyVersion: "one" })) },
  {
    name: "key of another client",
    cause: "wrong-key",
    says: /alipayplus\.1 of OTHER made the signature/,
    request: signs(() => ({ key: "other" })),
  },
  {
    name: "key that nobody knows",
    cause: "wrong-key",
    says: /none of the 2 at hand/,
    request: signs(() => ({ key: "other" })),
    more: { keys: keys.slice(0, 2) },
  },
  {
    name: "Request-Time of another request",
    cause: "header-of-another-request",
    says: /Request-Time is that of request 2/,
    request: (draft) =>
      sent(() => ({ time: other.headers["request-time"] ?? "" }))({ ...draft, time: "2026-01-02T03:09:54Z" }),
    more: { others: [other] },
  },
  {
    name: "Request-Times of two requests changed over",
    cause: "header-of-another-request",
    says: /came with request 2/,
    request: signs(() => ({ signed: { time: other.headers["request-time"] ?? "" } })),
    more: { others: [other] },
  },
  {
    name: "Signature of another request",
    cause: "header-of-another-request",
    says: /Signature is that of request 2/,
    request: withHeader("signature", () => other.headers.signature),
    more: { others: [other] },
  },
  {
    name: "body of another request",
    cause: "body-of-another-request",
    request: signs(() => ({ signed: { body: Buffer.from(other.body) } })),
    more: { others: [other] },
  },
  {
    name: "Client-Id of another request",
    cause: "client-id",
    says: /"TEST_CLIENT"/,
    request: sent(() => ({ clientId: "OTHER2" })),
  },
  {
    name: "Client-Id in small letters",
    cause: "client-id",
    request: sent(({ clientId }) => ({ clientId: clientId.toLowerCase() })),
    more: { clientIds: [] },
  },
  {
    name: "clock read twice",
    cause: "clock",
    says: /"2026-01-02T03:04:04Z"/,
    request: signs(() => ({ signed: { time: "2026-01-02T03:04:04Z" } })),
  },
  {
    name: "clock of milliseconds read twice",
    cause: "clock",
    request: (draft) => signs(() => ({ signed: { time: "1767323045123" } }))({ ...draft, time: "1767323045130" }),
  },
  ...[
    "2026-01-02T03:04:05.000Z",
    "2026-01-02T03:04:05+00:00",
    "2026-01-02T11:04:05+08:00",
    "2026-01-02T08:34:05.000+0530",
    "1767323045000",
    "1767323045",
    "2026-01-02T03:04:05.678Z",
    "2026-01-02 11:04:05",
  ].map(
    (time): Case => ({
      name: `time signed as ${time}`,
      cause: "time-reformatted",
      request: signs(() => ({ signed: { time } })),
    }),
  ),
  {
    name: "time with its offset decoded as a form",
    cause: "time-reformatted",
    request: (draft) =>
      sent(({ time }) => ({ time: time.replace("+", " ") }))({ ...draft, time: "2026-01-02T11:04:05+08:00" }),
  },
  { name: "Client-Id that nobody has", cause: "unknown-client", request: signs(() => ({ clientId: "NOBODY" })) },
  { name: "post signed", cause: "method", request: signs(() => ({ signed: { method: "post" } })) },
  ...(
    [
      ["CR LF", (content) => content.toString().replace("\n", "\r\n")],
      ["a written-out line feed", (content) => content.toString().replace("\n", "\\n")],
      ["no method and path", (content) => content.subarray(content.indexOf("\n") + 1)],
      ["a hash of the text", (content) => createHash("sha256").update(content).digest()],
      ["UTF-16", (content) => Buffer.from(content.toString(), "utf16le")],
    ] as [string, NonNullable<Draft["layout"]>][]
  ).map(([what, layout]): Case => ({ name: `${what} signed`, cause: "layout", request: signs(() => ({ layout })) })),
  { name: "SHA-1", cause: "wrong-hash", says: /SHA1/, request: signs(() => ({ hash: "sha1" })) },
  {
    name: "PSS",
    cause: "wrong-hash",
    says: /PSS/,
    request: signs(() => ({ padding: { padding: constants.RSA_PKCS1_PSS_PADDING } })),
  },
  {
    name: "+ turned into blanks",
    cause: "signature-decoded",
    request: withValue((base64) => base64.replaceAll("+", " ")),
  },
  {
    name: "value encoded twice",
    cause: "signature-encoded",
    request: withValue((base64) => encodeURIComponent(encodeURIComponent(base64))),
  },
  {
    name: "value in lines",
    cause: "signature-form",
    request: withValue((base64) => encodeURIComponent(base64.replaceAll(/(.{76})/g, "$1\r\n"))),
  },
  { name: "value in quotes", cause: "signature-form", request: withValue((base64) => `"${base64}"`) },
  {
    name: "value in hex",
    cause: "signature-form",
    request: withValue((base64) => Buffer.from(base64, "base64").toString("hex")),
  },
  { name: "value cut off", cause: "signature-cut", request: withValue((base64) => base64.slice(0, 100)) },
  {
    name: "value alone in the header",
    cause: "signature-header",
    request: withHeader("signature", (value) => value.split("signature=")[1]),
  },
  {
    name: "semicolons in the header",
    cause: "signature-header",
    request: withHeader("signature", (value) => value.replaceAll(",", ";")),
  },
  ...["signature", "client-id", "request-time"].map(
    (header): Case => ({ name: `no ${header}`, cause: "header-missing", request: withHeader(header, () => undefined) }),
  ),
  { name: "other body", cause: "other-content", request: sent(() => ({ body: '{"tokenReferenceId":"T-9"}' })) },
];

describe("the doctor", () => {
  it("says that a good signature holds, and by which key", () => {
    expect(see(requestOf(plain))).to.deep.include({
      holds: true,
      causes: [],
      line: "the signature holds, by alipayplus.1 of TEST_CLIENT",
    });
  });

  it("says of every vector what the vector says", () => {
    for (const {
      key,
      method,
      uri,
      clientId,
      time,
      bodyBase64,
      signatureHeader,
      expect: wanted,
      direction,
    } of vectors) {
      if (direction !== "request") continue;
      const headers = { "client-id": clientId, "request-time": time, signature: signatureHeader };
      const request = { method, target: uri, headers, body: Buffer.from(bodyBase64, "base64") };
      const { holds } = diagnose(request, { keys: [{ name: key, key: publicKey(key) }], budgetBytes });
      expect(holds, signatureHeader).to.equal(wanted !== "invalid");
    }
  });

  for (const { name, cause, says = /./, request, more } of cases)
    it(`names ${cause} for ${name}`, () => {
      const diagnosis = see(request(plain), more);
      expect(diagnosis.causes, diagnosis.line).to.deep.equal([cause]);
      expect(diagnosis.line).to.match(says);
      expect(diagnosis.line).to.match(/^[^\n]+$/);
      expect(diagnosis.holds).to.equal(false);
    });

  it("has a case for every cause", () => {
    expect(new Set(cases.map(({ cause }) => cause))).to.deep.equal(new Set(Object.keys(causes)));
  });

  it("names two causes at once", () => {
    const request = signs((draft) => ({ key: "mpp", signed: { ...sorted(draft), time: "2026-01-02T03:04:05+00:00" } }))(
      plain,
    );
    expect(see(request).causes).to.have.members(["key-version", "body-reserialised", "time-reformatted"]);
  });

  it("never quotes the body, the signature or a query", () => {
    for (const { request, more } of cases) {
      const { line } = see(request({ ...plain, query: "secret=1" }), more);
      expect(line).to.not.match(/5345678901234521|rgen|secret|%2[BF]/);
    }
  });

  it("stops at its budget", () => {
    const request = sent(() => ({ body: JSON.stringify({ a: "x".repeat(60_000) }) }))(plain);
    const { causes, tried } = see(request, { budgetBytes: 1 << 20 });
    expect(causes).to.deep.equal(["other-content"]);
    expect(tried).to.be.below(30);
  });

  it("spends nothing on a text when no key at hand made the signature", () => {
    expect(see(signs(() => ({ key: "other" }))(plain), { keys: keys.slice(0, 2) }).tried).to.equal(0);
  });

  it("names what was done to any body", () => {
    const word = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
    const json = fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), word, { minKeys: 2, maxKeys: 5 });
    const done: [Cause, (draft: Draft) => Partial<Draft>][] = [
      ["bom-added", (draft) => ({ body: `\u{feff}${text(draft)}` })],
      ["end-of-body", (draft) => ({ body: `${text(draft)}\r\n` })],
      ["whitespace", pretty(4)],
      ["body-encoded", (draft) => ({ body: encodeURIComponent(text(draft)) })],
      ["clock", () => ({ time: "2026-01-02T03:04:15Z" })],
      ["proxy-prefix-added", ({ path }) => ({ path: `/a/b${path}` })],
      ["key-version", () => ({ keyVersion: "2" })],
    ];
    fc.assert(
      fc.property(json, fc.constantFrom(...done), (members, [cause, change]) => {
        const draft = { ...plain, body: JSON.stringify(members) };
        const changed = { ...draft, ...change(draft) };
        expect(see(requestOf(changed, encodeURIComponent(signatureOf(draft)))).causes).to.deep.equal([cause]);
      }),
      { numRuns: 60 },
    );
  });

  it("does not throw, whatever comes", () => {
    const any = fc.string({ unit: "binary", maxLength: 60 });
    fc.assert(
      fc.property(any, any, any, fc.uint8Array({ maxLength: 60 }), any, (target, time, value, body, name) => {
        const request = { ...requestOf({ ...plain, time, clientId: name }), target, body };
        expect(see(request, { budgetBytes: 1 << 16 }).line).to.be.a("string");
        expect(see({ ...request, headers: { ...request.headers, signature: value } }).holds).to.equal(false);
      }),
      { numRuns: 60 },
    );
  });
});
