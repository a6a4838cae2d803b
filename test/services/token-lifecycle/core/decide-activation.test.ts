import { expect } from "chai";
import fc from "fast-check";
import type { StoredToken } from "../../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { ErrorReason } from "../../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import { Outcome, TokenState } from "../../../../proto/gen/mpp/token/v1/token_pb.js";
import {
  activationsLimit,
  decideActivation,
  type RecordActivation,
} from "../../../../services/token-lifecycle/core/decide-activation.js";
import {
  type Current,
  compareInstants,
  type Decision,
  historyLimit,
} from "../../../../services/token-lifecycle/core/token.js";
import { activation, anyActivation, at } from "../../../support/commands.js";

const tokenWith = (current: Current, decision: Decision): Current =>
  decision.kind === "change" ? decision.next : current;

function tokenAfter(...commands: RecordActivation[]): StoredToken {
  let current: Current;
  for (const command of commands) current = tokenWith(current, decideActivation(current, command));
  if (current === undefined) throw new Error("no command made a token");
  return current;
}

const inState = (state: TokenState): StoredToken => ({ ...tokenAfter(activation()), state, stateTime: at(2_500) });

const changed = (decision: Decision): { outcome: Outcome; state: TokenState } => {
  if (decision.kind !== "change") throw new Error(`no change but ${decision.kind}`);
  return { outcome: decision.event.outcome, state: decision.next.state };
};

describe("decideActivation", () => {
  it("makes a token never heard of ACTIVE", () => {
    expect(changed(decideActivation(undefined, activation()))).to.deep.equal({
      outcome: Outcome.APPLIED,
      state: TokenState.ACTIVE,
    });
  });

  it("sees a repeat by its content, and gives back the token as it is", () => {
    const token = tokenAfter(activation());
    expect(decideActivation(token, activation({ nowS: 20_000, deliveryId: "d-2" }))).to.deep.equal({
      kind: "repeat",
      token,
    });
  });

  it("refuses other content at the same time and names the fields", () => {
    const token = tokenAfter(activation({ customerId: "c-1" }));
    const decision = decideActivation(token, activation({ customerId: "c-2", token: "5345678901234520" }));
    expect(decision).to.deep.include({
      kind: "refuse",
      reason: ErrorReason.ACTIVATION_CONFLICT,
      fields: ["customerId", "tokenData.token"],
    });
  });

  it("refuses another client's report, whatever it says", () => {
    const token = tokenAfter(activation());
    for (const activatedS of [1_000, 2_000, 3_000])
      expect(decideActivation(token, activation({ clientId: "OTHER", activatedS }))).to.deep.include({
        kind: "refuse",
        reason: ErrorReason.CLIENT_CONFLICT,
      });
  });

  const newer = [
    { from: TokenState.INACTIVE, to: TokenState.ACTIVE, outcome: Outcome.APPLIED },
    { from: TokenState.ACTIVE, to: TokenState.ACTIVE, outcome: Outcome.APPLIED },
    { from: TokenState.SUSPENDED, to: TokenState.SUSPENDED, outcome: Outcome.RECORDED_NO_EFFECT },
    { from: TokenState.DEACTIVATED, to: TokenState.DEACTIVATED, outcome: Outcome.RECORDED_NO_EFFECT },
  ];
  for (const { from, to, outcome } of newer)
    it(`takes a newer activation of ${TokenState[from]} to ${TokenState[to]} as ${Outcome[outcome]}`, () => {
      const decision = decideActivation(inState(from), activation({ activatedS: 3_000 }));
      expect(changed(decision)).to.deep.equal({ outcome, state: to });
    });

  for (const from of [TokenState.INACTIVE, TokenState.ACTIVE, TokenState.SUSPENDED, TokenState.DEACTIVATED])
    it(`records an older activation of ${TokenState[from]} as late and changes nothing else`, () => {
      const token = inState(from);
      const decision = decideActivation(token, activation({ activatedS: 1_500, token: "5345678901234520" }));
      expect(changed(decision)).to.deep.equal({ outcome: Outcome.RECORDED_LATE, state: from });
      const next = tokenWith(token, decision);
      expect(next?.activation).to.deep.equal(token.activation);
      expect(next?.tokenData).to.deep.equal(token.tokenData);
      expect(next?.stateTime).to.deep.equal(token.stateTime);
      expect(next?.history).to.have.length(token.history.length + 1);
    });

  it("caps the ordering time, so that a clock far ahead freezes no token", () => {
    const future = tokenAfter(activation({ activatedS: 1_000_000, nowS: 10_000 }));
    expect(future.stateTime).to.deep.equal(at(10_300));
    expect(changed(decideActivation(future, activation({ activatedS: 11_000, nowS: 11_000 })))).to.deep.equal({
      outcome: Outcome.APPLIED,
      state: TokenState.ACTIVE,
    });
  });

  it("keeps no token data in what is stored in clear", () => {
    expect(tokenAfter(activation()).activation).to.not.have.property("tokenData");
  });

  it("bounds history and activations, and still knows the dropped ones as recorded", () => {
    const times = Array.from({ length: activationsLimit + 8 }, (_, i) => 2_000 + i);
    const token = tokenAfter(...times.map((activatedS) => activation({ activatedS })));
    expect(token.history).to.have.length(historyLimit);
    expect(token.activations).to.have.length(activationsLimit);
    expect(token.version).to.equal(BigInt(times.length));
    for (const activatedS of times)
      expect(decideActivation(token, activation({ activatedS })).kind, `repeat of ${activatedS}`).to.equal("repeat");
  });

  it("never changes the token it was given", () => {
    const token = tokenAfter(activation());
    const before = structuredClone(token);
    decideActivation(token, activation({ activatedS: 3_000 }));
    expect(token).to.deep.equal(before);
  });

  describe("for every sequence of activations", () => {
    const oneToken = fc
      .array(anyActivation, { maxLength: 20 })
      .map((commands) => commands.filter(({ activation: { tokenReferenceId } }) => tokenReferenceId === "T-1"));

    it("answers the same again to each accepted one, whatever came in between", () => {
      fc.assert(
        fc.property(oneToken, (commands) => {
          let current: Current;
          const accepted: RecordActivation[] = [];
          for (const command of commands) {
            const decision = decideActivation(current, command);
            if (decision.kind !== "refuse") accepted.push(command);
            current = tokenWith(current, decision);
          }
          for (const command of accepted) expect(decideActivation(current, command).kind).to.equal("repeat");
        }),
      );
    });

    it("raises the version by one with each change, and with nothing else", () => {
      fc.assert(
        fc.property(oneToken, (commands) => {
          let current: Current;
          for (const command of commands) {
            const decision = decideActivation(current, command);
            if (decision.kind === "change") {
              expect(decision.next.version).to.equal((current?.version ?? 0n) + 1n);
              expect(decision.event.version).to.equal(decision.next.version);
            }
            current = tokenWith(current, decision);
          }
        }),
      );
    });

    it("ends with the activation of the latest time, in whatever order they came", () => {
      const sameClient = fc.uniqueArray(fc.integer({ min: 2_000, max: 2_031 }), { minLength: 1, maxLength: 20 });
      fc.assert(
        fc.property(sameClient, (times) => {
          const token = tokenAfter(...times.map((activatedS) => activation({ activatedS })));
          expect(token.activation?.tokenActivatedTime).to.deep.equal(at(Math.max(...times)));
          expect(token.activations.map(({ tokenActivatedTime }) => tokenActivatedTime)).to.deep.equal(
            [...times].sort((a, b) => a - b).map((time) => at(time)),
          );
        }),
      );
    });

    it("never moves the ordering time back", () => {
      fc.assert(
        fc.property(oneToken, (commands) => {
          let current: Current;
          for (const command of commands) {
            const next = tokenWith(current, decideActivation(current, command));
            expect(compareInstants(next?.stateTime, current?.stateTime)).to.be.at.least(0);
            current = next;
          }
        }),
      );
    });
  });
});
