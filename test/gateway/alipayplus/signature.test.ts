import { createHash, createPublicKey, generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { expect } from "chai";
import fc from "fast-check";
import {
  contentToSign,
  formatSignatureHeader,
  isSignedBy,
  parseSignatureHeader,
  rsaSign,
  signatureBytes,
} from "../../../gateway/alipayplus/signature.js";
import { privateKey, publicKey, type Vector, vectors } from "../../support/keys.js";

const contentOf = ({ method, uri, clientId, time, bodyBase64 }: Vector): Buffer =>
  contentToSign({ method, path: uri, clientId, time, body: Buffer.from(bodyBase64, "base64") });

const isAccepted = (vector: Vector): boolean => {
  const header = parseSignatureHeader(vector.signatureHeader);
  return header !== undefined && isSignedBy(contentOf(vector), header, publicKey(vector.key));
};

describe("the signature vectors", () => {
  for (const vector of vectors) {
    const verb = vector.expect === "invalid" ? "refuses" : "accepts";
    it(`${verb} ${vector.id}, a ${vector.direction.split(" ")[0]} that is ${vector.expect}`, () => {
      expect(isAccepted(vector)).to.equal(vector.expect !== "invalid");
    });
  }

  for (const vector of vectors.filter(({ contentSha256 }) => contentSha256 !== undefined))
    it(`signs the content of ${vector.id} to the byte`, () => {
      expect(createHash("sha256").update(contentOf(vector)).digest("hex")).to.equal(vector.contentSha256);
    });

  for (const vector of vectors.filter(({ direction }) => direction.startsWith("response")))
    it(`writes the header of ${vector.id} to the byte`, async () => {
      const signature = await rsaSign(contentOf(vector), privateKey(vector.key));
      expect(formatSignatureHeader(1, signature)).to.equal(vector.signatureHeader);
    });
});

describe("the published notification of the official SDK", () => {
  const file = new URL("../../../../shared/vectors/published-notification.json", import.meta.url);

  type Published = {
    method: string;
    uri: string;
    clientId: string;
    requestTime: string;
    body: string;
    signatureUrlEncodedBase64: string;
    alipayPublicKeySpkiBase64: string;
    contentSha256: string;
    negative: { uri: string };
  };
  let published: Published;

  before(function () {
    if (!existsSync(file)) {
      console.log("      (skipped: the published notification is not part of this repository)");
      this.skip();
    }
    published = JSON.parse(readFileSync(file, "utf8")) as Published;
  });

  const contentAt = (uri: string): Buffer => {
    const { method, clientId, requestTime: time, body } = published;
    return contentToSign({ method, path: uri, clientId, time, body: Buffer.from(body) });
  };
  const isSignedAt = (uri: string): boolean =>
    isSignedBy(
      contentAt(uri),
      { signature: published.signatureUrlEncodedBase64 },
      createPublicKey({
        key: Buffer.from(published.alipayPublicKeySpkiBase64, "base64"),
        format: "der",
        type: "spki",
      }),
    );

  it("verifies with the path alone", () => {
    expect(createHash("sha256").update(contentAt(published.uri)).digest("hex")).to.equal(published.contentSha256);
    expect(isSignedAt(published.uri)).to.equal(true);
  });

  it("does not verify with the query appended", () => {
    expect(isSignedAt(published.negative.uri)).to.equal(false);
  });
});

describe("parseSignatureHeader", () => {
  const full = { keyVersion: "1", signature: "abc" };
  const readable = [
    { header: "algorithm=RSA256, keyVersion=1, signature=abc", parts: full },
    { header: "algorithm=RSA256,keyVersion=1,signature=abc", parts: full },
    { header: "  algorithm = RSA256 ,\tkeyVersion = 1 ,  signature = abc  ", parts: full },
    { header: "signature=abc, keyVersion=1, algorithm=RSA256", parts: full },
    { header: "algorithm=rsa256, keyVersion=1, signature=abc", parts: full },
    { header: "algorithm=Rsa256, keyVersion=1, signature=abc", parts: full },
    { header: "keyVersion=1, signature=abc", parts: full },
    { header: "algorithm=RSA256, signature=abc", parts: { signature: "abc" } },
    { header: "signature=abc", parts: { signature: "abc" } },
    { header: "signature=ab==, keyVersion=0", parts: { keyVersion: "0", signature: "ab==" } },
    { header: "algorithm=RSA256, keyVersion=007, signature=abc", parts: { keyVersion: "007", signature: "abc" } },
    { header: "algorithm=RSA256, keyVersion=1, signature=abc, nonce=x", parts: full },
  ];
  for (const { header, parts } of readable)
    it(`reads "${header}"`, () => {
      expect(parseSignatureHeader(header)).to.deep.equal(parts);
    });

  const unreadable = [
    "",
    ",",
    "abc",
    "=abc",
    "algorithm=RSA256, keyVersion=1",
    "algorithm=RSA256, keyVersion=1, signature=",
    "algorithm=RSA256, keyVersion=1, signature= ",
    "algorithm=RSA256, keyVersion=1, signature=abc,",
    "algorithm=RSA256, keyVersion=1, signature=abc, signature=abc",
    "algorithm=RSA256, keyVersion=1, keyVersion=2, signature=abc",
    "algorithm=RSA256, algorithm=RSA256, signature=abc",
    "algorithm=ECC224, keyVersion=1, signature=abc",
    "algorithm=RSA, keyVersion=1, signature=abc",
    "algorithm=none, keyVersion=1, signature=abc",
    "algorithm=, keyVersion=1, signature=abc",
    "algorithm=RSA256; keyVersion=1; signature=abc",
  ];
  for (const header of unreadable)
    it(`does not read "${header}"`, () => {
      expect(parseSignatureHeader(header)).to.equal(undefined);
    });

  it("reads every header that we write", () => {
    fc.assert(
      fc.property(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 300 }), (version, bytes) => {
        const parts = parseSignatureHeader(formatSignatureHeader(version, bytes));
        expect(parts?.keyVersion).to.equal(String(version));
        expect(signatureBytes(parts?.signature ?? "", bytes.length)).to.deep.equal(Buffer.from(bytes));
      }),
    );
  });
});

describe("signatureBytes", () => {
  // Holds "+" and "/" in the standard alphabet, and two characters of padding.
  const bytes = Buffer.from([0xfb, 0xff, 0xbf, 0x01]);
  const standard = "+/+/AQ==";

  const spellings = [
    { name: "plain base64", value: "+/+/AQ==" },
    { name: "base64 without padding", value: "+/+/AQ" },
    { name: "the URL alphabet", value: "-_-_AQ==" },
    { name: "the URL alphabet without padding", value: "-_-_AQ" },
    { name: "percent-encoded base64", value: "%2B%2F%2B%2FAQ%3D%3D" },
    { name: "percent-encoded base64 in lower case", value: "%2b%2f%2b%2fAQ%3d%3d" },
    { name: "a percent-encoded padding beside a plain plus", value: "+/+/AQ%3D%3D" },
    { name: "needless percent-encoding", value: "+/+/%41Q==" },
  ];
  for (const { name, value } of spellings)
    it(`takes ${name}`, () => {
      expect(signatureBytes(value, bytes.length)).to.deep.equal(bytes);
    });

  const refused = [
    { name: "nothing", value: "", length: 4 },
    { name: "too few bytes", value: standard, length: 5 },
    { name: "too many bytes", value: standard, length: 3 },
    { name: "one character of padding where two belong", value: "+/+/AQ=", length: 4 },
    { name: "three characters of padding", value: "+/+/A===", length: 4 },
    { name: "a group of padding alone", value: "+/+/====", length: 3 },
    { name: "padding where none belongs", value: "+/+/=", length: 3 },
    { name: "padding in the middle", value: "AQ==+/+/", length: 4 },
    { name: "bits that no byte needs", value: "+/+/AR==", length: 4 },
    { name: "both alphabets", value: "+/-_AQ==", length: 4 },
    { name: "both alphabets without padding", value: "-/+_AQ", length: 4 },
    { name: "a space for a plus, as form decoding leaves it", value: " / /AQ==", length: 4 },
    { name: "white space", value: "+/+/ AQ==", length: 4 },
    { name: "a character of no alphabet", value: "+/+/A!==", length: 4 },
    { name: "a character beyond ASCII", value: "+/+/Aé==", length: 4 },
    { name: "half a percent escape", value: "+/+/AQ%3", length: 4 },
    { name: "a percent escape that is not UTF-8", value: "+/+/AQ%FF", length: 4 },
    { name: "percent-encoding twice", value: encodeURIComponent(encodeURIComponent(standard)), length: 4 },
    { name: "a NUL at the end", value: "+/+/AQ==\0", length: 4 },
  ];
  for (const { name, value, length } of refused)
    it(`refuses ${name}`, () => {
      expect(signatureBytes(value, length)).to.equal(undefined);
    });

  it("gives the same bytes back for every spelling of any bytes, and nothing for another length", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (some) => {
        const buffer = Buffer.from(some);
        const plain = buffer.toString("base64");
        const url = buffer.toString("base64url");
        for (const value of [plain, plain.replace(/=+$/, ""), encodeURIComponent(plain), url]) {
          expect(signatureBytes(value, buffer.length)).to.deep.equal(buffer);
          expect(signatureBytes(value, buffer.length + 1)).to.equal(undefined);
          expect(signatureBytes(value, buffer.length - 1)).to.equal(undefined);
        }
      }),
    );
  });

  it("refuses a value far too long without searching it", () => {
    // A search whose time grows with the square of the length takes seconds here.
    const value = `${"=".repeat(60_000)}x`;
    const started = performance.now();
    expect(signatureBytes(value, 256)).to.equal(undefined);
    expect(performance.now() - started).to.be.below(500);
  });
});

describe("isSignedBy", () => {
  const content = Buffer.from("POST /p\nC.1.{}");

  it("accepts what rsaSign signed, and no other content", async () => {
    const signature = (await rsaSign(content, privateKey("aplus"))).toString("base64");
    expect(isSignedBy(content, { signature }, publicKey("aplus"))).to.equal(true);
    expect(isSignedBy(Buffer.concat([content, Buffer.from("\n")]), { signature }, publicKey("aplus"))).to.equal(false);
    expect(isSignedBy(content, { signature }, publicKey("other"))).to.equal(false);
  });

  it("accepts keys whose length is no multiple of eight bits", async () => {
    const pair = generateKeyPairSync("rsa", { modulusLength: 2050 });
    const signature = (await rsaSign(content, pair.privateKey)).toString("base64");
    expect(isSignedBy(content, { signature }, pair.publicKey)).to.equal(true);
  });

  it("signs equal contents equally, which lets equal answers share one signature", async () => {
    const [first, second] = await Promise.all([1, 2].map(() => rsaSign(content, privateKey("mpp"))));
    expect(first).to.deep.equal(second);
  });
});

describe("contentToSign", () => {
  it("keeps the body's bytes as they are, even when they are no UTF-8", () => {
    const body = Buffer.from([0x00, 0xff, 0xfe, 0x0a]);
    const content = contentToSign({ method: "POST", path: "/p", clientId: "C", time: "T", body });
    expect(content).to.deep.equal(Buffer.concat([Buffer.from("POST /p\nC.T."), body]));
  });
});
