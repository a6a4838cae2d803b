import { randomUUID } from "node:crypto";
import { expect } from "chai";
import fc from "fast-check";
import { sampling, traceContextOf, traceIdsOf, traceparentOf } from "../../lib/trace.js";

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const spanId = "00f067aa0ba902b7";

describe("traceparent", () => {
  const good: { text: string; isSampled: boolean }[] = [
    { text: `00-${traceId}-${spanId}-01`, isSampled: true },
    { text: `00-${traceId}-${spanId}-00`, isSampled: false },
    { text: `00-${traceId}-${spanId}-ff`, isSampled: true },
    { text: `01-${traceId}-${spanId}-01`, isSampled: true },
    { text: `cc-${traceId}-${spanId}-02-what-the-future-will-be-like`, isSampled: false },
  ];
  for (const { text, isSampled } of good)
    it(`reads ${text}`, () => {
      expect(traceContextOf(text)).to.deep.equal({ traceId, spanId, isSampled });
    });

  const bad: (string | undefined)[] = [
    ...[undefined, "", "00", `${traceId}-${spanId}`, `00-${traceId}-${spanId}`, ` 00-${traceId}-${spanId}-01`],
    ...[`ff-${traceId}-${spanId}-01`, `00-${traceId}-${spanId}-01-more`, `00-${traceId}-${spanId}-1`],
    ...[`00-${"0".repeat(32)}-${spanId}-01`, `00-${traceId}-${"0".repeat(16)}-01`],
    ...[
      `00-${traceId.toUpperCase()}-${spanId}-01`,
      `00-${traceId.slice(1)}-${spanId}-01`,
      `0x-${traceId}-${spanId}-01`,
    ],
  ];
  for (const text of bad)
    it(`takes ${JSON.stringify(text)} for none`, () => {
      expect(traceContextOf(text)).to.equal(undefined);
    });

  it("is read as it was written, for every random UUID", () => {
    fc.assert(
      fc.property(fc.uuid({ version: 4 }), fc.boolean(), (uuid, isSampled) => {
        const context = { ...traceIdsOf(uuid), isSampled };
        expect(traceContextOf(traceparentOf(context))).to.deep.equal(context);
      }),
    );
  });
});

describe("sampling", () => {
  it("takes all, none, or about the share that is wanted, and always the same ones", () => {
    const ids = Array.from({ length: 2_000 }, () => traceIdsOf(randomUUID()).traceId);
    const taken = (ratio: number): number => ids.filter(sampling(ratio)).length;
    expect([taken(0), taken(1)]).to.deep.equal([0, ids.length]);
    expect(taken(0.25)).to.be.within(350, 650).and.to.equal(taken(0.25));
  });
});
