import { readFileSync } from "node:fs";
import type { DescMessage } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { expect } from "chai";
import { decoderOf } from "../../gateway/alipayplus/dialect.js";
import { apisOf, knownApis } from "../../tools/apis.js";
import { identityOf, placesOf, sampleOf } from "../../tools/samples.js";
import { textMatching } from "../../tools/text-matching.js";
import { compileProto, serviceOf } from "../support/schema.js";

const options = { identity: "T-1", timeMs: Date.UTC(2026, 0, 2, 3, 4, 5) };

describe("a sample of a body", () => {
  const registry = compileProto(
    readFileSync(new URL("../support/made_up.proto", import.meta.url), "utf8").replace(
      "package made.up.v1",
      "package made.up",
    ),
  );
  const madeUp = apisOf([serviceOf(registry, "ParcelService")]);

  it("is made for every API that is declared, and for no other rpc", () => {
    expect(knownApis.map(({ name }) => name)).to.deep.equal(["tokenActivationNotification"]);
    expect(madeUp.map(({ name, body }) => [name, body.typeName])).to.deep.equal([["deliverParcel", "made.up.Parcel"]]);
  });

  const valid = (desc: DescMessage): boolean => {
    const notes = { ignoredMembers: 0 };
    const message = decoderOf(desc)(sampleOf(desc, options), notes);
    return createValidator().validate(desc, message).kind === "valid" && notes.ignoredMembers === 0;
  };
  for (const { name, body } of [...knownApis, ...madeUp])
    it(`keeps every rule of ${name}`, () => {
      expect(valid(body)).to.equal(true);
    });

  it("has every member, with the identity that was asked for", () => {
    expect(sampleOf(madeUp[0]?.body as DescMessage, options)).to.deep.equal({
      parcelId: "parcelId-1",
      weight: "1",
      serialNumber: "1",
      fragile: "true",
      speed: "SLOW",
      orderTime: "2026-01-02T11:04:05+08:00",
      items: [{ name: "name-1", quantity: "1" }],
    });
    const [activation] = knownApis;
    if (activation === undefined) throw new Error("there is no API");
    expect(identityOf(activation.body)?.path).to.deep.equal(["tokenReferenceId"]);
    const sample = sampleOf(activation.body, options);
    expect(sample).to.include({ tokenReferenceId: "T-1", walletId: "103", accountSource: "ACCOUNT_ON_FILE" });
    const paths = placesOf(activation.body).map(({ path }) => path.join("."));
    expect(paths).to.include.members([...Object.keys(sample), "tokenData.token"]);
  });

  it("knows what is published and what is not", () => {
    const inferred = placesOf(knownApis[0]?.body as DescMessage).filter(({ isInferred }) => isInferred);
    expect(inferred.map(({ path }) => path.join("."))).to.deep.equal(
      ["token", "expiryMonth", "expiryYear", "sequenceNumber"].map((name) => `tokenData.${name}`),
    );
  });
});

describe("a text for a pattern", () => {
  for (const [pattern, text] of [
    ["^[0-9]{12,19}$", "999999999999"],
    ["^(0[1-9]|1[0-2])$", "09"],
    ["^[A-Za-z0-9_-]{1,64}$", "-"],
    ["^a?b*c+(d|e){2}\\.\\d$", "cdd.9"],
    ["^[^a]$", undefined],
    ["^(?:a)$", undefined],
    ["^\\w$", undefined],
  ] as const)
    it(`is ${text} for ${pattern}`, () => {
      expect(textMatching(pattern)).to.equal(text);
    });
});
