// The suite against an endpoint of somebody else: it fails what is wrong, exactly that, and nothing that nobody published.
import { generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import { type Api, knownApis } from "../../../tools/apis.js";
import { type CaseResult, run } from "../../../tools/conform/run.js";
import { testSender } from "../../support/keys.js";
import { type Defect, startSmallMpp } from "../../support/small-mpp.js";

const { privateKey: stranger } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const [api] = knownApis;

async function resultsWith(...defects: Defect[]): Promise<CaseResult[]> {
  const mpp = await startSmallMpp(...defects);
  try {
    const url = new URL(mpp.url);
    const options = { sender: testSender, stranger, url, api: api as Api, concurrency: 8, timeoutMs: 10_000 };
    return await run(options);
  } finally {
    await mpp.stop();
  }
}

const named = (results: readonly CaseResult[], verdict: CaseResult["verdict"]): string[] =>
  results.filter((result) => result.verdict === verdict).map(({ name }) => name);

const below = (group: string, ...names: string[]): string[] => names.map((name) => `${group}/${name}`);
const texts = ["tokenReferenceId", "customerId", "walletId", "tokenRequestorId", "secureElementId", "accountSource"];
const times = ["serviceRequestTime", "tokenActivatedTime"];
const each = (fields: readonly string[], ...ends: string[]): string[] =>
  fields.flatMap((field) => ends.map((end) => `field/${field}/${end}`));

const forged = [
  ...below("signature", "other-key", "other-body", "no-body", "one-letter", "space-added", "newline-added", "trimmed"),
  ...below("signature", "reordered", "indented", "escaped", "byte-order-mark", "other-time", "other-client-id"),
  ...below("signature", "other-path", "no-path", "path-in-upper-case", "other-method", "method-in-lower-case"),
  ...below("signature", "no-line-feed", "crlf", "body-alone", "sha-1", "pss"),
];

/** Defects that fail other cases stand in one row: what they fail together is what each fails alone. */
const rows: readonly { readonly defects: readonly Defect[]; readonly fails: readonly string[] }[] = [
  {
    defects: ["takes any signature"],
    fails: [...forged, ...below("signature-header", "no-base64", "cut", "one-bit"), "repeat/after-forgery"],
  },
  {
    defects: ["verifies the body written anew"],
    fails: [
      ...below("bytes", "indented", "tabs", "crlf", "spaces-around", "trailing-newline", "trailing-crlf"),
      ...below("bytes", "spaced-colons", "escaped", "escaped-upper-case", "one-escape"),
      "body/latin-1",
      ...below("repeat", "written-indented", "written-escaped"),
    ],
  },
  {
    defects: [
      "remembers what forgers say",
      "reads names of headers as they are written",
      "does not look at Accept",
      "does not look at keyVersion",
    ],
    fails: [
      ...below("header", "lower-case", "upper-case"),
      "accept/xml",
      "signature-header/unknown-key-version",
      "repeat/after-forgery",
    ],
  },
  {
    defects: ["answers other methods with an empty 405", "has a page for unknown paths"],
    fails: [
      ...below("method", "GET", "PUT", "DELETE", "PATCH"),
      ...below("path", "unknown-api", "other-version"),
      ...below("answer", "http-200", "result", "client-id", "response-time", "signature", "content-type"),
    ],
  },
  {
    defects: [
      "takes numbers and booleans for texts",
      "takes empty texts",
      "refuses null",
      "does not miss what is required",
      "takes 30 February",
      "allows one character less in walletId",
      "allows one character more in customerId",
      "does not know EXISTING_TOKEN_CREDENTIAL",
    ],
    fails: [
      ...each(texts, "number", "boolean", "empty"),
      ...each(times, "empty", "date/30-february"),
      ...each(texts.slice(1), "null"),
      ...each(["tokenReferenceId", ...times, "tokenData"], "absent"),
      "field/walletId/longest",
      "field/customerId/too-long",
      "field/accountSource/word/EXISTING_TOKEN_CREDENTIAL",
    ],
  },
  {
    defects: ["refuses what it has seen"],
    fails: [
      ...below("repeat", "same", "later", "earlier", "five-times", "written-indented", "written-reversed"),
      ...below("repeat", "written-escaped", "overlapping", "in-turn"),
    ],
  },
  {
    defects: ["looks before it writes", "leaves out Response-Time"],
    fails: ["repeat/overlapping", "answer/response-time"],
  },
  {
    defects: [
      "answers refusals with HTTP 400",
      "puts off what it refuses",
      "does not sign refusals",
      "has Response-Time in milliseconds",
      "writes a number into answers",
    ],
    fails: below("answer", "http-200", "result-status", "signature", "response-time-form", "strings"),
  },
  {
    defects: ["signs another text than it sends"],
    fails: below("answer", "signature-holds", "refusal-signature-holds"),
  },
  {
    defects: ["answers as another client"],
    fails: below("answer", "same-client-id", "signature-holds", "refusal-signature-holds"),
  },
];

describe("the conformance suite", () => {
  it("fails nobody who keeps what is published, and tells what he does where nothing is", async () => {
    const results = await resultsWith();
    expect(named(results, "fail")).to.deep.equal([]);
    expect(named(results, "notice")).to.include.members([
      "body/byte-order-mark",
      "body/member-twice",
      "field/walletId/longest-in-code-points",
      "field/accountSource/other-word",
      "field/tokenData.token/number",
      "request-time/month-old",
      "repeat/other-zone-tokenActivatedTime",
    ]);
  });

  for (const { defects, fails } of rows)
    it(`fails in ${fails.length} cases and no other an endpoint that ${defects.join(", ")}`, async () => {
      expect(named(await resultsWith(...defects), "fail")).to.have.members(fails);
    });
});
