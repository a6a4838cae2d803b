// The cases as data: each names one rule, each request is what it says, and a new API needs proto alone.
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import type { DescMessage } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { expect } from "chai";
import { DialectError, decoderOf } from "../../../gateway/alipayplus/dialect.js";
import { JsonError, parseJson } from "../../../gateway/alipayplus/json.js";
import { contentToSign, isSignedBy, parseSignatureHeader } from "../../../gateway/alipayplus/signature.js";
import { type Api, apisOf, knownApis } from "../../../tools/apis.js";
import type { Exchange } from "../../../tools/conform/case.js";
import { requestOf } from "../../../tools/conform/request.js";
import { isStrict, rules, sources } from "../../../tools/conform/rules.js";
import { casesOf, suiteOf } from "../../../tools/conform/suite.js";
import { sampleOf } from "../../../tools/samples.js";
import { testSender } from "../../support/keys.js";
import { compileProto, serviceOf } from "../../support/schema.js";

const madeUpProto = readFileSync(new URL("../../support/made_up.proto", import.meta.url), "utf8");
const registry = compileProto(madeUpProto.replace("package made.up.v1", "package made.up"));
const [activation] = knownApis as [Api];
const [parcel] = apisOf([serviceOf(registry, "ParcelService")]) as [Api];

const { privateKey: stranger } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const desk = { sender: testSender, stranger, url: new URL("http://127.0.0.1/aps/api/v1/anApi") };
const prepared = ({ body }: Api, exchange: Exchange) =>
  requestOf(exchange, sampleOf(body, { identity: "T-1", timeMs: 1_767_323_045_000 }), desk, Date.now());

describe("the cases", () => {
  it("are 120 or more, each under a name of its own", () => {
    const names = casesOf(activation, "").map(({ name }) => name);
    expect(names.length).to.be.at.least(120);
    expect(new Set(names).size).to.equal(names.length);
    for (const name of names) expect(name).to.match(/^[a-z-]+(?:\/[\w.-]+)+$/);
  });

  it("check every rule, and rules name documents that are listed", () => {
    const used = new Set([...casesOf(activation, ""), ...casesOf(parcel, "")].map(({ rule }) => rule));
    expect([...used].sort()).to.deep.equal(Object.keys(rules).sort());
    const places = Object.values(rules).map(({ at }) => at);
    for (const source of Object.keys(sources))
      expect(
        places.some((place) => place.includes(source)),
        source,
      ).to.equal(true);
    for (const { says } of Object.values(rules)) expect(says).to.match(/^[A-Z].*\.$/);
  });

  it("provoke every result code that can be provoked from outside", () => {
    const codes = suiteOf(activation, "").exchanges.flatMap(({ exchanges }) =>
      exchanges.flatMap(({ expect: { codes } }) => codes),
    );
    expect(new Set(codes)).to.include.all.keys(
      ...["SUCCESS", "ACCESS_DENIED", "INVALID_CLIENT", "INVALID_SIGNATURE", "KEY_NOT_FOUND"],
      ...["MEDIA_TYPE_NOT_ACCEPTABLE", "METHOD_NOT_SUPPORTED", "NO_INTERFACE_DEF", "PARAM_ILLEGAL", "PROCESS_FAIL"],
    );
  });

  it("are signed as they say: what must be refused for its signature does not hold, and all else does", async () => {
    const stranger = new Set(["INVALID_SIGNATURE", "INVALID_CLIENT", "KEY_NOT_FOUND"]);
    for (const { name, exchanges } of suiteOf(activation, "").exchanges)
      for (const exchange of exchanges) {
        const { method, path, headers, body, isAuthentic } = await prepared(activation, exchange);
        const isForged = exchange.expect.codes.some((code) => stranger.has(code)) && !name.startsWith("request-time/");
        expect(isAuthentic, name).to.equal(!isForged);
        const header = (wanted: string) => headers.find(([each]) => each.toLowerCase() === wanted)?.[1] ?? "";
        const signature = parseSignatureHeader(header("signature"));
        const content = contentToSign({
          method,
          path,
          clientId: header("client-id"),
          time: header("request-time"),
          body,
        });
        const holds = signature && isSignedBy(content, signature, createPublicKey(testSender.privateKey));
        if (isAuthentic) expect(holds, name).to.equal(true);
      }
  });
});

/** What the product's own decoder and validator make of a body. */
function verdictOf(desc: DescMessage, body: Buffer): "SUCCESS" | "PARAM_ILLEGAL" {
  try {
    const message = decoderOf(desc)(parseJson(body), { ignoredMembers: 0 });
    return createValidator().validate(desc, message).kind === "valid" ? "SUCCESS" : "PARAM_ILLEGAL";
  } catch (error) {
    if (error instanceof DialectError || error instanceof JsonError) return "PARAM_ILLEGAL";
    throw error;
  }
}

describe("the cases of an API that exists by its proto alone", () => {
  const { exchanges } = suiteOf(parcel, "T-");

  it("cover every member of every kind", () => {
    const names = exchanges.map(({ name }) => name).filter((name) => name.startsWith("field/"));
    expect(names).to.include.members([
      "field/parcelId/number",
      "field/weight/not-numeric",
      "field/serialNumber/out-of-range",
      "field/fragile/not-boolean",
      "field/speed/word/FAST",
      "field/orderTime/date/30-february",
      "field/items/not-an-array",
      "field/items.name/empty",
      "field/items.quantity/not-numeric",
    ]);
  });

  for (const api of [parcel, activation])
    it(`want of ${api.name} what its schema wants`, async () => {
      const { body } = api;
      for (const { name, rule, exchanges } of suiteOf(api, "T-").exchanges) {
        if (!name.startsWith("field/") || !isStrict(rule)) continue;
        const [exchange] = exchanges;
        if (exchange === undefined) throw new Error(`${name} sends nothing`);
        const request = await prepared(api, exchange);
        expect(exchange.expect.codes, name).to.include(verdictOf(body, request.body));
      }
    });
});
