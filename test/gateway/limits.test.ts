import { expect } from "chai";
import { createLimits, type LimitName } from "../../gateway/limits.js";

const settings = { maxInFlight: 3, clientMaxInFlight: 2, clientRatePerSecond: 4 };

describe("limits", () => {
  const shed: LimitName[] = [];
  let nowMs = 0;
  const create = () =>
    createLimits(
      settings,
      (limit) => shed.push(limit),
      () => nowMs,
    );
  beforeEach(() => {
    shed.length = 0;
    nowMs = 1_000_000;
  });

  const refuses = (take: () => unknown, limit: LimitName): void => {
    expect(take).to.throw("The request traffic exceeds the limit.");
    expect(shed.splice(0)).to.deep.equal([limit]);
  };

  it("give places to everyone together, and take them back", () => {
    const limits = create();
    const leave = [1, 2, 3].map(() => limits.enter())[0];
    refuses(limits.checkRoom, "in_flight");
    refuses(limits.enter, "in_flight");
    leave?.();
    expect(limits.inFlight()).to.equal(2);
    limits.checkRoom();
  });

  it("give each client places of its own", () => {
    const limits = create();
    const leave = limits.enterAs("A");
    limits.enterAs("A");
    refuses(() => limits.enterAs("A"), "client_in_flight");
    limits.enterAs("B");
    leave();
    limits.enterAs("A");
  });

  it("let each client have so many requests a second, which begins with the first of them", () => {
    const limits = create();
    const request = (clientId: string) => limits.enterAs(clientId)();
    for (let count = 0; count < settings.clientRatePerSecond; count++) request("A");
    nowMs += 999;
    refuses(() => request("A"), "client_rate");
    request("B");
    nowMs += 1;
    for (let count = 0; count < settings.clientRatePerSecond; count++) request("A");
    refuses(() => request("A"), "client_rate");
    // What was turned away holds no place.
    nowMs += 1000;
    limits.enterAs("A");
    limits.enterAs("A");
  });
});
