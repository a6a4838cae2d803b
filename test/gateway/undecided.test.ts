import { expect } from "chai";
import { createUndecided, type UndecidedEntry } from "../../gateway/undecided.js";

function ledger(limit = 10, horizonMs = 1_000) {
  const told = { opened: 0, decided: 0, dropped: 0, expired: [] as UndecidedEntry[] };
  const undecided = createUndecided({
    ...{ limit, horizonMs },
    onOpened: () => void told.opened++,
    onDecided: () => void told.decided++,
    onDropped: () => void told.dropped++,
    onExpired: (entry) => void told.expired.push(entry),
  });
  const note = (body: string, status: "S" | "F" | "U", nowMs = 0, clientId = "C1", deliveryId = "d") =>
    undecided.note(
      { api: "a", clientId, body: Buffer.from(body) },
      status,
      () => ({ deliveryId, tokenReferenceId: body }),
      nowMs,
    );
  return { told, undecided, note };
}

describe("the undecided notifications", () => {
  for (const status of ["S", "F"] as const)
    it(`end with ${status} to a repeat`, () => {
      const { told, undecided, note } = ledger();
      note("x", "U");
      expect(undecided.size()).to.equal(1);
      note("x", status);
      expect({ ...told, size: undecided.size() }).to.deep.include({ opened: 1, decided: 1, size: 0 });
      undecided.sweep(10_000);
      expect(told.expired).to.deep.equal([]);
    });

  it("count a repeat that is U again as the same one, from its first time", () => {
    const { told, undecided, note } = ledger();
    note("x", "U", 0, "C1", "first");
    note("x", "U", 900, "C1", "second");
    undecided.sweep(999);
    expect(told).to.deep.include({ opened: 1, expired: [] });
    undecided.sweep(1_000);
    expect(told.expired).to.deep.equal([
      { sinceMs: 0, deliveryId: "first", api: "a", clientId: "C1", tokenReferenceId: "x" },
    ]);
    expect(undecided.size()).to.equal(0);
  });

  it("are told apart by content and by client", () => {
    const { told, undecided, note } = ledger();
    note("x", "U");
    note("y", "S");
    note("x", "S", 0, "C2");
    expect({ ...told, size: undecided.size() }).to.deep.include({ decided: 0, size: 1 });
  });

  it("are the newest when there are too many, and what is dropped is told", () => {
    const { told, undecided, note } = ledger(2);
    for (const body of ["x", "y", "z"]) note(body, "U");
    expect({ ...told, size: undecided.size() }).to.deep.include({ opened: 3, dropped: 1, size: 2 });
    note("x", "S");
    expect(told.decided).to.equal(0);
  });

  it("leave those whose time is not over", () => {
    const { told, undecided, note } = ledger();
    note("x", "U", 0);
    note("y", "U", 500);
    undecided.sweep(1_200);
    expect(told.expired.map(({ tokenReferenceId }) => tokenReferenceId)).to.deep.equal(["x"]);
    expect(undecided.size()).to.equal(1);
  });

  it("cost no look at the body while there are none", () => {
    const { undecided } = ledger();
    const body = new Proxy(Buffer.from("x"), { get: () => expect.fail("the body was looked at") });
    undecided.note({ api: "a", clientId: "C1", body }, "S", () => expect.fail("an entry was made"), 0);
  });
});
