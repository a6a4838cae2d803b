// Bodies for any API that the proto files declare: law is that each keeps every rule, and that they differ.
import { readFileSync } from "node:fs";
import { createValidator } from "@bufbuild/protovalidate";
import { expect } from "chai";
import fc from "fast-check";
import { decoderOf } from "../../../gateway/alipayplus/dialect.js";
import { apisOf, knownApis } from "../../../tools/apis.js";
import { seeded } from "../../../tools/random.js";
import { type BodySpec, bodyMaker } from "../../../tools/simulate/bodies.js";
import { compileProto, serviceOf } from "../../support/schema.js";

const source = readFileSync(new URL("../../support/made_up.proto", import.meta.url), "utf8");
const madeUp = apisOf([
  serviceOf(compileProto(source.replace("package made.up.v1", "package made.up")), "ParcelService"),
]);
const spec = (seed: number, more: Partial<BodySpec> = {}): BodySpec => ({
  identity: "SIM-1",
  timeMs: Date.UTC(2026, 0, 2, 3, 4, 5),
  optionalMembers: 50,
  members: {},
  random: seeded(seed),
  ...more,
});

describe("a made-up body", () => {
  for (const { name, body } of [...knownApis, ...madeUp]) {
    const make = bodyMaker(body);

    it(`keeps every rule of ${name}, and is the same for the same seed`, () => {
      const validator = createValidator();
      fc.assert(
        fc.property(fc.nat(), fc.integer({ min: 0, max: 100 }), (seed, optionalMembers) => {
          const made = make(spec(seed, { optionalMembers }));
          const notes = { ignoredMembers: 0 };
          expect(validator.validate(body, decoderOf(body)(made, notes)).kind).to.equal("valid");
          expect(notes.ignoredMembers).to.equal(0);
          expect(make(spec(seed, { optionalMembers }))).to.deep.equal(made);
        }),
        { numRuns: 100 },
      );
    });

    it(`differs from others of ${name} in all but identity and times`, () => {
      const random = seeded(1);
      const made = Array.from({ length: 20 }, () => JSON.stringify(make(spec(0, { random }))));
      expect(new Set(made).size).to.be.above(15);
      for (const each of made) expect(each).to.match(/"SIM-1"/);
    });
  }

  it("has the members that were asked for, and an identity that fits", () => {
    const [activation] = knownApis;
    const make = bodyMaker(activation?.body ?? expect.fail());
    const made = make(spec(1, { members: { customerId: "ours" }, identity: `${"x".repeat(80)}-7` }));
    expect(made.customerId).to.equal("ours");
    expect(made.tokenReferenceId).to.match(/^x{62}-7$/);
  });
});
