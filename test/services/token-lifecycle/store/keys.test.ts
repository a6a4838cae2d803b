import { expect } from "chai";
import fc from "fast-check";
import { eventsKey, partitionOf, partitions, tokenKey } from "../../../../services/token-lifecycle/store/keys.js";

describe("keys in Redis", () => {
  // Frozen: another partition would lose every token on record.
  const frozen: [reference: string, partition: number][] = [
    ["", 5],
    ["T-1", 1],
    ["TRF202502200000000000000000000001", 7],
    ["ünïcødé 😀", 13],
  ];
  for (const [reference, partition] of frozen)
    it(`keep ${JSON.stringify(reference)} in partition ${partition}`, () =>
      expect(partitionOf(reference)).to.equal(partition));

  it("spread over all partitions", () => {
    const counts = Array.from({ length: partitions }, () => 0);
    for (let i = 0; i < 16_000; i++) counts[partitionOf(`T-${i}`)] = (counts[partitionOf(`T-${i}`)] ?? 0) + 1;
    for (const count of counts) expect(count).to.be.within(800, 1_200);
  });

  it("of a token and of its partition's events share a hash tag, whatever the reference holds", () => {
    const tagOf = (key: string) => /\{([^}]*)\}/.exec(key)?.[1];
    fc.assert(
      fc.property(fc.string(), (reference) => {
        expect(tagOf(tokenKey(reference))).to.equal(tagOf(eventsKey(partitionOf(reference))));
      }),
    );
  });
});
