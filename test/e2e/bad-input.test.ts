// What a sender does wrong is answered F by name of the field, leaves nothing behind and is repeated nowhere.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { expectResult, expectSigned, type ResultCode } from "../support/expectations.js";
import { apiPath, notification, notify } from "../support/notification.js";
import { startTestStack, type TestPart, type TestStack, until } from "../support/processes.js";
import { type Change, sendChanged } from "../support/sending.js";

const tokenNumber = "5345678901234521";
/** Stands for what a member of tokenData that nobody knows may hold. */
const unknownSecret = "cryptogram-of-the-token";

type Case = {
  readonly name: string;
  readonly body?: () => Buffer | string;
  readonly change?: Change;
  readonly resultCode: ResultCode;
  /** Name of the field at fault, as the answer must say it. */
  readonly field?: string;
  /** Values that were sent outside of the body and must not come back. */
  readonly sent?: readonly string[];
};

const json = (members: Record<string, unknown> = {}) => JSON.stringify(notification(members));
const withTokenData = (members: Record<string, unknown>) =>
  json({ tokenData: { token: tokenNumber, expiryMonth: "10", expiryYear: "28", sequenceNumber: "01", ...members } });
/** The usual notification with a piece of its text replaced, for what JSON.stringify would not write. */
const replaced = (piece: string, by: string) => {
  const text = json();
  if (!text.includes(piece)) throw new Error(`the notification has no ${piece}`);
  return text.replace(piece, by);
};

const illegal = (name: string, body: () => Buffer | string, field?: string): Case => ({
  name,
  body,
  resultCode: "PARAM_ILLEGAL",
  ...(field !== undefined && { field }),
});
const changed = (name: string, change: Change, resultCode: ResultCode, sent: readonly string[] = []): Case => ({
  name,
  change,
  resultCode,
  sent,
});
const header = (name: string, value: string, resultCode: ResultCode): Case =>
  changed(`${name}: ${value}`, { headers: { [name]: value } }, resultCode, [value]);

const limits = {
  tokenReferenceId: 64,
  customerId: 64,
  walletId: 16,
  tokenRequestorId: 16,
  secureElementId: 128,
} as const;
const scalars = [...Object.keys(limits), "accountSource", "serviceRequestTime", "tokenActivatedTime"];
const required = ["tokenReferenceId", "serviceRequestTime", "tokenActivatedTime", "tokenData"];
const times = ["serviceRequestTime", "tokenActivatedTime"];
const children = ["token", "expiryMonth", "expiryYear", "sequenceNumber"];

/** Outside the BMP, so that one character is two UTF-16 units and four bytes. */
const astral = "\u{1f4b3}";
const notStrings = [12_345_678, 1.5, true, false, ["12345678"], { value: "12345678" }];
const notTimes = [
  "2026-02-30T10:00:00Z",
  "2025-02-29T10:00:00Z",
  "2026-13-01T10:00:00Z",
  "2026-01-02T24:00:00Z",
  "2026-01-02T11:04:60Z",
  "2026-01-02T11:04:05",
  "2026-01-02T11:04:05+0800",
  "2026-01-02T11:04Z",
  "2026-01-02 11:04:05Z",
  "2026-01-02",
  "1767323045000",
  "yesterday morning",
  "2026-01-02T11:04:05.1234567890Z",
];

const cases: readonly Case[] = [
  // The signature.
  changed("no Signature", { headers: { Signature: undefined } }, "INVALID_SIGNATURE"),
  header("Signature", "RSA256", "INVALID_SIGNATURE"),
  header("Signature", "algorithm=RSA256, keyVersion=1, signature=AAAA", "INVALID_SIGNATURE"),
  header("Signature", "algorithm=ECC224, keyVersion=1, signature=AAAA", "INVALID_SIGNATURE"),
  changed("a signature over another body", { signed: json() }, "INVALID_SIGNATURE"),
  {
    ...changed(
      "a body written anew after it was signed",
      { signed: JSON.stringify(notification({ tokenReferenceId: "T-1" }), undefined, 2) },
      "INVALID_SIGNATURE",
    ),
    body: () => json({ tokenReferenceId: "T-1" }),
  },
  changed("a keyVersion without a key", { keyVersion: 4711 }, "KEY_NOT_FOUND", ["4711"]),
  changed("no Client-Id", { headers: { "Client-Id": undefined } }, "INVALID_CLIENT"),
  changed("a Client-Id that nobody has", { clientId: "WHO_IS_THAT" }, "INVALID_CLIENT", ["WHO_IS_THAT"]),
  ...["../TEST_CLIENT", "TEST CLIENT", "TEST_CLIENT, TEST_CLIENT", "x".repeat(65)].map((value) =>
    header("Client-Id", value, "PARAM_ILLEGAL"),
  ),
  ...["yesterday", "2026-01-02T11:04:05", "99", "0x18d0"].map((value) =>
    header("Request-Time", value, "PARAM_ILLEGAL"),
  ),
  changed("no Request-Time", { headers: { "Request-Time": undefined } }, "PARAM_ILLEGAL"),
  changed("a Request-Time of 27 hours ago", { nowMs: Date.now() - 27 * 3_600_000 }, "ACCESS_DENIED"),
  changed("a Request-Time an hour ahead", { nowMs: Date.now() + 3_600_000 }, "UNKNOWN_EXCEPTION"),

  // The form of the request.
  ...["GET", "PUT", "DELETE", "PATCH", "OPTIONS"].map((method) =>
    changed(`${method}`, { method }, "METHOD_NOT_SUPPORTED"),
  ),
  ...["/", "/aps/api/v1/tokenactivationnotification", `${apiPath}/`, "/aps/api/v2/tokenActivationNotification"].map(
    (path) => changed(`the path ${path}`, { path }, "NO_INTERFACE_DEF", path === "/" ? [] : [path]),
  ),
  ...[
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/jsonp",
    "application/json; charset=ISO-8859-1",
    "application/json; charset=UTF-16",
  ].map((value) => header("Content-Type", value, "MEDIA_TYPE_NOT_ACCEPTABLE")),
  ...["text/html", "application/json;q=0", "application/xml, text/*;q=0.9", "application/*;q=0, */*"].map((value) =>
    header("Accept", value, "MEDIA_TYPE_NOT_ACCEPTABLE"),
  ),
  header("Content-Encoding", "gzip", "MEDIA_TYPE_NOT_ACCEPTABLE"),
  ...[64 * 1024 + 1, 512 * 1024].flatMap((bytes) => {
    const body = () => json({ secureElementId: "E".repeat(bytes) });
    return [
      illegal(`a body of more than ${bytes} bytes with its length declared`, body),
      {
        ...illegal(`a body of more than ${bytes} bytes in chunks`, body),
        change: { headers: { "Transfer-Encoding": "chunked" } },
      },
    ];
  }),

  // The JSON.
  illegal("an empty body", () => ""),
  illegal("a body that is no JSON", () => `token=${tokenNumber}`),
  illegal("JSON that ends early", () => json().slice(0, -20)),
  illegal("JSON with something behind it", () => `${json()}{}`),
  illegal("JSON with a trailing comma", () => `${json().slice(0, -1)},}`),
  illegal("a JSON array", () => `[${json()}]`),
  illegal("a JSON string", () => JSON.stringify(json())),
  illegal("a JSON null", () => "null"),
  illegal("a byte order mark", () => `\ufeff${json()}`),
  illegal("UTF-16", () => Buffer.from(json(), "utf16le")),
  illegal("Latin-1", () => Buffer.from(json({ customerId: "Jürgen-12345" }), "latin1")),
  illegal("half a surrogate pair", () => replaced('"customer-1"', String.raw`"customer-\ud83d"`)),
  illegal("arrays in arrays without end", () => `${"[".repeat(20_000)}${"]".repeat(20_000)}`),
  illegal("objects deep inside tokenData", () =>
    replaced('"token":', `"deep":${'{"a":'.repeat(40)}"secret-value"${"}".repeat(40)},"token":`),
  ),
  illegal("a member twice", () => replaced('"walletId"', '"customerId":"customer-2","walletId"'), "customerId"),
  illegal(
    "a member twice, once with an escape in its name",
    () => replaced('"walletId"', String.raw`"customer\u0049d":"customer-2","walletId"`),
    "customerId",
  ),
  illegal(
    "a member of tokenData twice",
    () => replaced('"expiryMonth"', `"token":"${tokenNumber}","expiryMonth"`),
    "token",
  ),
  illegal(
    "a member of tokenData twice, once with an escape in its name",
    () => replaced('"expiryMonth"', String.raw`"tok\u0065n":"${tokenNumber}","expiryMonth"`),
    "token",
  ),
  illegal("an unknown member twice", () => replaced('"walletId"', '"mystery":"one-1","mystery":"two-2","walletId"')),

  // The fields.
  ...scalars.flatMap((field) => [
    ...notStrings.map((value) =>
      illegal(`${field} as ${JSON.stringify(value)}`, () => json({ [field]: value }), field),
    ),
    illegal(`${field} empty`, () => json({ [field]: "" }), field),
  ]),
  ...required.flatMap((field) => [
    illegal(`${field} null`, () => json({ [field]: null }), field),
    illegal(`${field} absent`, () => json({ [field]: undefined }), field),
  ]),
  ...Object.entries(limits).flatMap(([field, limit]) => [
    illegal(`${field} of ${limit + 1} letters`, () => json({ [field]: "Q".repeat(limit + 1) }), field),
    illegal(
      `${field} of ${limit + 1} characters outside the BMP`,
      () => json({ [field]: astral.repeat(limit + 1) }),
      field,
    ),
  ]),
  ...["PIGGY_BANK", "account_on_file", "ACCOUNT_SOURCE_ACCOUNT_ON_FILE", "UNSPECIFIED", "1"].map((word) =>
    illegal(`accountSource ${word}`, () => json({ accountSource: word }), "accountSource"),
  ),
  ...times.flatMap((field) =>
    notTimes.map((time) => illegal(`${field} ${time}`, () => json({ [field]: time }), field)),
  ),

  // The token data.
  ...[tokenNumber, 5_345_678, true, [{ token: tokenNumber }]].map((value) =>
    illegal(`tokenData as ${JSON.stringify(value)}`, () => json({ tokenData: value }), "tokenData"),
  ),
  illegal("tokenData empty", () => json({ tokenData: {} }), "tokenData"),
  illegal("tokenData with nothing but nulls", () => json({ tokenData: { token: null, other: null } }), "tokenData"),
  ...children.flatMap((child) => [
    illegal(`tokenData.${child} as a number`, () => withTokenData({ [child]: 12_345 }), `tokenData.${child}`),
    illegal(`tokenData.${child} empty`, () => withTokenData({ [child]: "" }), `tokenData.${child}`),
  ]),
  illegal("a number in a member of tokenData that nobody knows", () => withTokenData({ later: 77_777 }), "tokenData"),
  illegal(
    "a boolean deep in a member of tokenData that nobody knows",
    () => withTokenData({ later: { list: [{ flag: true, text: unknownSecret }] } }),
    "tokenData",
  ),
  illegal("an empty text in a member of tokenData that nobody knows", () => withTokenData({ later: "" }), "tokenData"),
];

const accepted: readonly { name: string; body: () => string; change?: Change }[] = [
  ...Object.entries(limits).flatMap(([field, limit]) => [
    // Each a token of its own, so no row repeats another.
    { name: `${field} of ${limit} letters`, body: () => json({ [field]: "A".repeat(limit) }) },
    { name: `${field} of ${limit} characters outside the BMP`, body: () => json({ [field]: astral.repeat(limit) }) },
  ]),
  ...scalars
    .filter((field) => !required.includes(field))
    .flatMap((field) => [
      { name: `${field} null`, body: () => json({ [field]: null }) },
      { name: `${field} absent`, body: () => json({ [field]: undefined }) },
    ]),
  ...[
    "ACCOUNT_ON_FILE",
    "ACCOUNT_ADDED_MANUALLY",
    "ACCOUNT_ADDED_VIA_APPLICATION",
    "EXISTING_TOKEN_CREDENTIAL",
    "ACCOUNT_ADDED_VIA_BROWSER",
    "ACCOUNT_ADDED_VIA_CHIP_DATA",
  ].map((word) => ({ name: `accountSource ${word}`, body: () => json({ accountSource: word }) })),
  ...["2024-02-29T23:59:59Z", "2026-01-02T11:04:05.123456789+05:30", "2026-01-02T11:04:05-00:00"].map((time) => ({
    name: `a time of ${time}`,
    body: () => json({ tokenActivatedTime: time, serviceRequestTime: time }),
  })),
  { name: "a member that nobody knows", body: () => json({ later: "something", count: 1 }) },
  { name: "tokenData with members that nobody knows alone", body: () => json({ tokenData: { later: unknownSecret } }) },
  { name: "no Content-Type", body: () => json(), change: { headers: { "Content-Type": undefined } } },
  { name: "Accept: */*", body: () => json(), change: { headers: { Accept: "*/*" } } },
  { name: "a body of 64 KiB", body: () => json().padEnd(64 * 1024, " ") },
  { name: "a Request-Time of 25 hours ago", body: () => json(), change: { nowMs: Date.now() - 25 * 3_600_000 } },
];

/** What a sender put into a body as a value: texts and numbers long enough to be told from our own words. */
function valuesIn(body: string): string[] {
  const found = body.matchAll(/[:[]\s*(?:"((?:[^"\\]|\\.)*)"|(\d[\d.]*))/g);
  return [...found].map(([, text, number]) => text ?? number ?? "").filter((value) => value.length >= 4);
}

/** Every file below a folder. */
const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

async function misfits(service: TestPart): Promise<Record<string, number>> {
  const metrics = await (await fetch(`${service.adminUrl}/metrics`)).text();
  const lines = metrics.matchAll(/^token_service_token_data_misfits_total\{field="(\w+)"\} (\d+)$/gm);
  return Object.fromEntries([...lines].map(([, field, count]) => [field, Number(count)]));
}

const misshapen: readonly { child: string; value: unknown }[] = [
  { child: "token", value: "FPAN-not-digits" },
  { child: "token", value: "12345678901" },
  { child: "token", value: "12345678901234567890" },
  { child: "expiryMonth", value: "13" },
  { child: "expiryYear", value: "2028" },
  { child: "sequenceNumber", value: "1" },
  { child: "token", value: { encrypted: "FPAN-not-digits" } },
  { child: "sequenceNumber", value: ["01"] },
];

describe("a notification that breaks a rule", () => {
  let stack: TestStack;
  let keys: () => Promise<string[]>;
  before(async () => {
    stack = await startTestStack();
    const redis = await stack.redis.connect();
    keys = async () => (await redis.keys("*")).sort();
  });
  after(() => stack?.stop());

  for (const { name, body = json, change = {}, resultCode, field, sent = [] } of cases)
    it(`is answered with a signed ${resultCode} and leaves nothing behind: ${name.slice(0, 80)}`, async () => {
      const bytes = body();
      const before = await keys();
      const answer = await sendChanged(stack.gateway.url, bytes, change);
      const { method = "POST", path = apiPath } = change;
      expectResult(answer, resultCode, { method, path });
      const { resultMessage } = answer.result;
      if (field !== undefined) expect(resultMessage.split(/[ ;:,]+/)).to.include(field);
      for (const value of [...valuesIn(bytes.toString()), ...sent])
        expect(answer.body.toString().includes(value), `the answer says ${value}: ${resultMessage}`).to.equal(false);
      expect(await keys()).to.deep.equal(before);
    });

  it("is answered with a signed METHOD_NOT_SUPPORTED without a body for HEAD", async () => {
    const answer = await sendChanged(stack.gateway.url, "", { method: "HEAD" });
    expect(answer.body.length).to.equal(0);
    expectSigned(answer, { method: "HEAD" });
  });

  for (const { name, body, change = {} } of accepted)
    it(`is not one with ${name}`, async () => {
      expectResult(await sendChanged(stack.gateway.url, body(), change), "SUCCESS");
    });

  for (const { child, value } of misshapen)
    it(`is not one with tokenData.${child} ${JSON.stringify(value)}, whose shape is inferred: it is counted`, async () => {
      const before = await misfits(stack.service);
      expectResult(await notify(stack.gateway.url, withTokenData({ [child]: value })), "SUCCESS");
      expect(await misfits(stack.service)).to.deep.equal({ ...before, [child]: (before[child] ?? 0) + 1 });
    });

  it("leaves no token data in any log or file of the store", async () => {
    const reference = "T-the-last-one";
    expectResult(
      await notify(
        stack.gateway.url,
        JSON.parse(withTokenData({ later: unknownSecret }).replace(/T-[^"]+/, reference)),
      ),
      "SUCCESS",
    );
    const secrets = [tokenNumber, unknownSecret, "FPAN-not-digits"].flatMap((secret) => [
      Buffer.from(secret),
      Buffer.from(Buffer.from(secret).toString("hex")),
      Buffer.from(secret, "utf16le"),
    ]);
    // The log is written behind the answer.
    await until("the reference is logged", () => stack.service.log().includes(reference));
    const files = filesIn(stack.folder);
    const found = files.filter((file) => {
      const content = readFileSync(file);
      return secrets.some((secret) => content.includes(secret));
    });
    expect(found).to.deep.equal([]);
    // The search looked at the right places: the reference, which is no secret, is in the store and in the service's log.
    const holding = files.filter((file) => readFileSync(file).includes(reference));
    expect(holding.some((file) => file.endsWith(".aof"))).to.equal(true);
    expect(holding).to.include(join(stack.folder, "service.log"));
    expect(stack.gateway.log()).to.include('"resultCode":"PARAM_ILLEGAL"');
  });
});

describe("a notification whose tokenData does not fit its inferred shape, with TOKEN_DATA_STRICT", () => {
  let stack: TestStack;
  before(async () => {
    stack = await startTestStack({ service: { TOKEN_DATA_STRICT: "true" } });
  });
  after(() => stack?.stop());

  for (const { child, value } of misshapen)
    it(`is answered with PARAM_ILLEGAL that names tokenData.${child} and not ${JSON.stringify(value)}`, async () => {
      const answer = await notify(stack.gateway.url, withTokenData({ [child]: value }));
      expectResult(answer, "PARAM_ILLEGAL");
      expect(answer.result.resultMessage).to.include(`tokenData.${child}`);
      expect(answer.result.resultMessage.split(" ")).to.not.include(value);
      expect(answer.result.resultMessage).to.not.include("FPAN");
    });

  it("is answered with SUCCESS when only members that nobody knows are added", async () => {
    expectResult(await notify(stack.gateway.url, withTokenData({ later: unknownSecret })), "SUCCESS");
  });
});
