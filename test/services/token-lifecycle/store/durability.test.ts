import { expect } from "chai";
import { durabilityOf, type RedisFacts, weaknesses } from "../../../../services/token-lifecycle/store/durability.js";

const strong: RedisFacts = {
  role: "master",
  connected_slaves: "0",
  aof_last_write_status: "ok",
  appendonly: "yes",
  appendfsync: "always",
  "no-appendfsync-on-rewrite": "no",
  "maxmemory-policy": "noeviction",
};

describe("durability", () => {
  const cases: { is: string; facts: Record<string, string>; weakFor: string[] }[] = [
    { is: "a Redis that fsyncs every write", facts: {}, weakFor: ["replicated:1"] },
    { is: "one replica", facts: { connected_slaves: "1" }, weakFor: ["replicated:2"] },
    { is: "appendfsync everysec", facts: { appendfsync: "everysec" }, weakFor: ["fsync", "replicated:1"] },
    { is: "appendfsync no", facts: { appendfsync: "no" }, weakFor: ["everysec", "fsync", "replicated:1"] },
    { is: "no AOF", facts: { appendonly: "no" }, weakFor: ["everysec", "fsync", "replicated:1"] },
    {
      is: "no fsync while the AOF is rewritten",
      facts: { "no-appendfsync-on-rewrite": "yes" },
      weakFor: ["fsync", "replicated:1"],
    },
    {
      is: "a failed AOF write",
      facts: { aof_last_write_status: "err" },
      weakFor: ["everysec", "fsync", "replicated:1"],
    },
    {
      is: "eviction of keys",
      facts: { "maxmemory-policy": "allkeys-lru" },
      weakFor: ["memory", "everysec", "fsync", "replicated:1"],
    },
    { is: "a replica", facts: { role: "slave" }, weakFor: ["memory", "everysec", "fsync", "replicated:1"] },
  ];
  for (const { is, facts, weakFor } of cases)
    for (const word of ["memory", "everysec", "fsync", "replicated:1", "replicated:2"])
      if (word !== "replicated:2" || weakFor.includes(word))
        it(`${word} is ${weakFor.includes(word) ? "not met" : "met"} by ${is}`, () =>
          expect(weaknesses({ ...strong, ...facts }, durabilityOf(word)).length > 0).to.equal(weakFor.includes(word)));

  it("is not met by a Redis that tells nothing", () => {
    expect(weaknesses({}, durabilityOf("memory"))).to.have.length(2);
  });

  it("names what Redis has and what it must have", () => {
    expect(weaknesses({ ...strong, appendfsync: "no" }, durabilityOf("fsync"))).to.deep.equal([
      "Redis has appendfsync no, must be always",
    ]);
  });

  for (const word of ["", "FSYNC", "replicated", "replicated:0", "replicated:x"])
    it(`has no class ${JSON.stringify(word)}`, () => expect(() => durabilityOf(word)).to.throw(/must be/));
});
