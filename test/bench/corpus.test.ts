import { createPublicKey } from "node:crypto";
import { expect } from "chai";
import { benchKeys, bodyOf, forged, readCorpus, signCorpus } from "../../bench/corpus.js";
import { headersIn } from "../../bench/generator/answers.js";
import { contentToSign, isSignedBy, parseSignatureHeader } from "../../gateway/alipayplus/signature.js";
import { temporaryFolder } from "../support/processes.js";

describe("the signed notifications of a bench", () => {
  const folder = temporaryFolder();
  after(folder.remove);

  it("are whole requests about distinct tokens, kept for the next run, and false when forged", async () => {
    const { sender } = await benchKeys(folder.path);
    await signCorpus(folder.path, sender, 5, () => {});
    const first = readCorpus(folder.path, 5);
    await signCorpus(folder.path, sender, 8, () => {});
    const requests = readCorpus(folder.path, 8);
    expect(requests).to.have.length(8);
    expect(requests.slice(0, 5)).to.deep.equal(first);
    const partsOf = (request: Buffer) => {
      const end = request.indexOf("\r\n\r\n");
      return { headers: headersIn(request.toString("latin1", 0, end)), body: request.subarray(end + 4) };
    };
    const key = createPublicKey(sender.privateKey);
    const isGood = (request: Buffer): boolean => {
      const { headers, body } = partsOf(request);
      const [clientId = "", time = ""] = [headers["client-id"], headers["request-time"]];
      const signature = parseSignatureHeader(headers.signature ?? "");
      const path = "/aps/api/v1/tokenActivationNotification";
      const content = contentToSign({ method: "POST", path, clientId, time, body });
      return signature !== undefined && isSignedBy(content, signature, key);
    };
    expect(requests.map(isGood)).to.deep.equal(requests.map(() => true));
    expect(forged(requests).map(isGood)).to.deep.equal(requests.map(() => false));
    for (const { headers, body } of requests.map(partsOf)) expect(headers["content-length"]).to.equal(`${body.length}`);
    const references = requests.map((request) => JSON.parse(partsOf(request).body.toString()).tokenReferenceId);
    expect(new Set(references).size).to.equal(8);
  });

  it("are of 0.9 KB", () => {
    expect(bodyOf(1, "12345678").length).to.be.within(850, 950);
  });
});
