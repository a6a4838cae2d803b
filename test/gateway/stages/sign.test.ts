import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { expect } from "chai";
import { resultOf } from "../../../gateway/alipayplus/result.js";
import { contentToSign, isSignedBy, parseSignatureHeader } from "../../../gateway/alipayplus/signature.js";
import { createSigner, type Signatory, type Signer, sign } from "../../../gateway/stages/sign.js";
import { privateKey, publicKey, testClientId } from "../../support/keys.js";
import { apiPath } from "../../support/notification.js";

const by: Signatory = { clientId: testClientId, keyVersion: 3, key: privateKey("mpp") };
const nowMs = Date.parse("2026-01-02T03:04:05.678Z");
const limits = { memoSize: 4, refusalsPerSecond: 2, atOnce: 2, mostWaiting: 16 };

const text = (n: number | string): string => `text ${n}`;

describe("sign", () => {
  const answer = { result: resultOf("SUCCESS"), members: { decision: "APPROVED" } };
  const head = { method: "POST", path: apiPath, headers: {} };
  const signer = createSigner(limits, () => nowMs);

  it("signs the very text that it hands out, with the method and path of the request", async () => {
    const { body, headers } = await sign(answer, head, by, true, signer, nowMs);
    expect(JSON.parse(body)).to.deep.equal({ result: resultOf("SUCCESS"), decision: "APPROVED" });
    expect(headers).to.include({
      "Content-Type": "application/json; charset=UTF-8",
      "Response-Time": "2026-01-02T03:04:05Z",
      "Client-Id": testClientId,
    });
    const time = headers["Response-Time"] ?? "";
    const content = contentToSign({
      method: "POST",
      path: apiPath,
      clientId: testClientId,
      time,
      body: Buffer.from(body),
    });
    const signature = parseSignatureHeader(headers.Signature ?? "");
    expect(signature?.keyVersion).to.equal("3");
    expect(signature && isSignedBy(content, signature, publicKey("mpp"))).to.equal(true);
  });

  it("answers HEAD with an empty body, signed as such", async () => {
    const { body, headers } = await sign(answer, { ...head, method: "HEAD" }, by, true, signer, nowMs);
    expect(body).to.equal("");
    const time = headers["Response-Time"] ?? "";
    const content = contentToSign({
      method: "HEAD",
      path: apiPath,
      clientId: testClientId,
      time,
      body: Buffer.alloc(0),
    });
    const signature = parseSignatureHeader(headers.Signature ?? "");
    expect(signature && isSignedBy(content, signature, publicKey("mpp"))).to.equal(true);
  });

  it("answers without Client-Id and Signature when nobody can sign", async () => {
    const { body, headers } = await sign(answer, head, undefined, true, signer, nowMs);
    expect(body).to.include("SUCCESS");
    expect(headers).to.have.all.keys("Content-Type", "Response-Time");
  });

  it("answers without Signature when the signer declines", async () => {
    const declining: Signer = { sign: async () => undefined, waiting: () => 0 };
    const { headers } = await sign(answer, head, by, false, declining, nowMs);
    expect(headers).to.have.all.keys("Content-Type", "Response-Time", "Client-Id");
  });
});

describe("createSigner", () => {
  it("answers equal texts with one signing: a second call joins the first, a later one finds it", async () => {
    const signer = createSigner({ ...limits, refusalsPerSecond: 1 }, () => nowMs);
    // Only one signing may be bought, so every other answer is that one.
    const together = await Promise.all([1, 2, 3].map(() => signer.sign(text(1), by, false)));
    const later = await signer.sign(text(1), by, false);
    expect(together[0]).to.be.a("string");
    expect(new Set([...together, later]).size).to.equal(1);
  });

  it("keeps texts, versions of the key and clients apart", async () => {
    const signer = createSigner(limits, () => nowMs);
    const signatures = await Promise.all([
      signer.sign(text(1), by, true),
      signer.sign(text(2), by, true),
      signer.sign(text(1), { ...by, keyVersion: 4 }, true),
    ]);
    expect(new Set(signatures).size).to.equal(3);
  });

  it("forgets the oldest text when it holds more than it may", async () => {
    const signer = createSigner({ ...limits, memoSize: 2, refusalsPerSecond: 1 }, () => nowMs);
    for (const n of [1, 2, 3]) await signer.sign(text(n), by, true);
    expect(await signer.sign(text(3), by, false), "the newest is known").to.be.a("string");
    expect(await signer.sign(text(2), by, false), "the one before is known").to.be.a("string");
    // The budget pays for one text that is not known, so a second one shows that the first was not.
    expect(await signer.sign(text(1), by, false)).to.be.a("string");
    expect(await signer.sign(text("new"), by, false)).to.equal(undefined);
  });

  it("signs as much as the budget allows for requests that proved nothing, anew each second", async () => {
    let now = nowMs;
    const signer = createSigner({ ...limits, memoSize: 100, refusalsPerSecond: 2 }, () => now);
    const bought = async (from: number): Promise<boolean[]> => {
      const signatures = [];
      for (let n = from; n < from + 4; n++) signatures.push(await signer.sign(text(n), by, false));
      return signatures.map((signature) => signature !== undefined);
    };
    expect(await bought(0)).to.deep.equal([true, true, false, false]);
    now += 300;
    expect(await bought(10), "still the same second").to.deep.equal([false, false, false, false]);
    now += 30;
    expect(await bought(20), "the next second").to.deep.equal([true, true, false, false]);
  });

  it("signs for authentic requests whatever the budget, and does not charge them to it", async () => {
    const signer = createSigner({ ...limits, memoSize: 100, refusalsPerSecond: 1 }, () => nowMs);
    for (const n of [1, 2, 3]) expect(await signer.sign(text(n), by, true)).to.be.a("string");
    expect(await signer.sign(text(4), by, false)).to.be.a("string");
    expect(await signer.sign(text(5), by, false)).to.equal(undefined);
    expect(await signer.sign(text(6), by, true)).to.be.a("string");
  });

  it("tells every caller of a signing that fails, and tries again for the next", async () => {
    const signer = createSigner(limits, () => nowMs);
    const unfit: KeyObject = generateKeyPairSync("x25519").privateKey;
    const failures = await Promise.allSettled([1, 2].map(() => signer.sign(text(1), { ...by, key: unfit }, true)));
    expect(failures.map(({ status }) => status)).to.deep.equal(["rejected", "rejected"]);
    expect(await signer.sign(text(1), by, true)).to.be.a("string");
  });

  it("declines what would wait behind more than it may, and goes on with the rest", async () => {
    const signer = createSigner({ ...limits, memoSize: 0, atOnce: 1, mostWaiting: 2 }, () => nowMs);
    const signing = [1, 2, 3, 4, 5].map((n) => signer.sign(text(n), by, true));
    expect(signer.waiting()).to.equal(2);
    const isSigned = (await Promise.all(signing)).map((signature) => signature !== undefined);
    expect(isSigned).to.deep.equal([true, true, true, false, false]);
    expect(signer.waiting()).to.equal(0);
    expect(await signer.sign(text(6), by, true)).to.be.a("string");
  });

  it("signs every answer anew without a memo", async () => {
    const signer = createSigner({ ...limits, memoSize: 0, refusalsPerSecond: 1 }, () => nowMs);
    expect(await signer.sign(text(1), by, false)).to.be.a("string");
    expect(await signer.sign(text(1), by, false), "bought again, past the budget").to.equal(undefined);
  });
});
