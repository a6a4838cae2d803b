import { createRouterTransport } from "@connectrpc/connect";
import { expect } from "chai";
import fc from "fast-check";
import { createSpread, failuresToPutAside, type Instance, isSound } from "../../gateway/spread.js";

const transport = createRouterTransport(() => {});

/** A spread over instances named a, b, c and so on, which all say that they serve. */
function spreadOf(count: number) {
  const putAside: string[] = [];
  const addresses = [..."abcdefgh"].slice(0, count);
  const spread = createSpread(
    addresses,
    () => transport,
    (address) => putAside.push(address),
  );
  for (const address of addresses) spread.probed(address, true);
  const instance = (address: string): Instance => {
    const found = spread.instances.find((each) => each.address === address);
    if (found === undefined) throw new Error(`no ${address}`);
    return found;
  };
  /** Where first tries go that end at once. */
  const firsts = (tries: number, end: "answered" | "failed" = "answered"): string =>
    Array.from({ length: tries }, () => {
      const chosen = spread.next(undefined);
      spread[end](chosen);
      return chosen.address;
    }).join("");
  /** The instances of a call's tries, each of which fails. */
  const tries = (count: number): string => {
    let last: Instance | undefined;
    let way = "";
    for (let index = 0; index < count; index++) {
      last = spread.next(last);
      spread.failed(last);
      way += last.address;
    }
    return way;
  };
  return { spread, instance, firsts, tries, putAside };
}

const failInARow = ({ spread, instance }: ReturnType<typeof spreadOf>, address: string, times: number): void => {
  for (let index = 0; index < times; index++) {
    instance(address).inFlight += 1;
    spread.failed(instance(address));
  }
};

describe("the spread of calls", () => {
  it("takes the instances in turn", () => {
    expect(spreadOf(3).firsts(7)).to.equal("abcabca");
  });

  it("takes each try of a call to another instance", () => {
    expect(spreadOf(3).tries(3)).to.equal("abc");
    expect(spreadOf(2).tries(4)).to.equal("abab");
    expect(spreadOf(1).tries(2)).to.equal("aa");
  });

  it("takes of two instances the one with fewer tries under way, so that few calls meet one that hangs", () => {
    const { spread, firsts } = spreadOf(2);
    const hanging = spread.next(undefined);
    expect(hanging.address).to.equal("a");
    expect(firsts(6)).to.equal("bbbbbb");
    spread.answered(hanging);
    expect(firsts(4)).to.equal("baba");
  });

  it("leaves out an instance that does not say SERVING, until it does", () => {
    const { spread, firsts } = spreadOf(3);
    spread.probed("b", false);
    expect(firsts(6)).to.match(/^[ac]+$/);
    spread.probed("b", true);
    expect(firsts(3)).to.include("b");
  });

  it("tries all of them when none says SERVING", () => {
    const { spread, firsts, tries } = spreadOf(2);
    for (const address of ["a", "b"]) spread.probed(address, false);
    expect(firsts(4)).to.equal("abab");
    expect(tries(3)).to.equal("aba");
  });

  it("tries an instance that is not sound after the only sound one has failed", () => {
    const { spread, tries } = spreadOf(2);
    spread.probed("b", false);
    expect(tries(3)).to.equal("aba");
  });

  it("puts an instance aside after a row of failures, until the next probe", () => {
    const all = spreadOf(2);
    failInARow(all, "a", failuresToPutAside - 1);
    expect(all.putAside).to.deep.equal([]);
    failInARow(all, "a", 1);
    expect(all.putAside).to.deep.equal(["a"]);
    expect(all.firsts(3)).to.equal("bbb");
    all.spread.probed("a", true);
    expect(all.firsts(2)).to.include("a");
  });

  it("puts it aside again after a single failure more, and forgets the row with an answer", () => {
    const all = spreadOf(2);
    failInARow(all, "a", failuresToPutAside);
    all.spread.probed("a", true);
    failInARow(all, "a", 1);
    expect(all.putAside).to.deep.equal(["a", "a"]);
    all.spread.probed("a", true);
    all.instance("a").inFlight += 1;
    all.spread.answered(all.instance("a"));
    failInARow(all, "a", failuresToPutAside - 1);
    expect(isSound(all.instance("a"))).to.equal(true);
  });

  it("says nothing of an instance put aside when no other is left, and takes it as before", () => {
    const all = spreadOf(2);
    all.spread.probed("b", false);
    failInARow(all, "a", failuresToPutAside);
    expect(all.putAside).to.deep.equal([]);
    expect(all.firsts(2)).to.include("a");
  });

  it("does not take an answer for the word of the probe: one that drains answers, and wants no more calls", () => {
    const { spread, firsts } = spreadOf(2);
    const draining = spread.next(undefined);
    spread.probed(draining.address, false);
    spread.answered(draining);
    expect(firsts(3)).to.equal("bbb");
  });

  it("knows whether another instance is sound", () => {
    const { spread, instance } = spreadOf(2);
    expect(spread.hasOther(instance("a"))).to.equal(true);
    spread.probed("b", false);
    expect(spread.hasOther(instance("a"))).to.equal(false);
    expect(spread.hasOther(instance("b"))).to.equal(true);
  });

  it("never refuses a try, never prefers a sick instance, and keeps its books, whatever happens", () => {
    const step = fc.record({
      what: fc.constantFrom("first", "again", "answered", "failed", "up", "down"),
      at: fc.nat(7),
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 60 }), (count, steps) => {
        const { spread } = spreadOf(count);
        const underWay: Instance[] = [];
        let last: Instance | undefined;
        for (const { what, at } of steps) {
          const address = spread.instances[at % count]?.address ?? "";
          if (what === "up" || what === "down") spread.probed(address, what === "up");
          else if (what === "answered" || what === "failed") {
            const [ended] = underWay.splice(at % Math.max(underWay.length, 1), 1);
            if (ended) spread[what](ended);
          } else {
            const from = what === "again" ? last : undefined;
            const sound = spread.instances.filter((each) => isSound(each) && each !== from);
            last = spread.next(from);
            underWay.push(last);
            if (sound.length > 0) expect(sound).to.include(last);
          }
          for (const each of spread.instances)
            expect(each.inFlight).to.equal(underWay.filter((one) => one === each).length);
        }
      }),
    );
  });
});
