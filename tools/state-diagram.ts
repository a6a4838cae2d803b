// Prints the token's state machine as a mermaid diagram, by asking the machine itself. `npm run docs` puts it into
// docs/architecture.md, and a test compares the two.
import { readFileSync, writeFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import {
  ActivationFingerprintSchema,
  SealedTokenDataSchema,
  StoredTokenSchema,
} from "../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { TokenActivationSchema } from "../proto/gen/mpp/token/v1/token_activation_pb.js";
import { Outcome, Suspender, TokenState } from "../proto/gen/mpp/token/v1/token_pb.js";
import { type CompleteActivation, decideActivation } from "../services/token-lifecycle/core/decide-activation.js";
import { decideErasure, decideLifecycle, type Move } from "../services/token-lifecycle/core/decide-lifecycle.js";
import type { Current, Decision } from "../services/token-lifecycle/core/token.js";

const at = (seconds: bigint): Timestamp => create(TimestampSchema, { seconds });
const act = { reason: "r", actor: "a", clientId: "c", deliveryId: "d", now: at(10n) };

const inState = (state: TokenState, suspenders: Suspender[]): Current =>
  create(StoredTokenSchema, {
    tokenReferenceId: "t",
    clientId: "c",
    state,
    suspenders,
    version: 1n,
    stateTime: at(5n),
  });

const situations: [name: string, current: Current][] = [
  ["[*]", undefined],
  ["INACTIVE", inState(TokenState.INACTIVE, [])],
  ["ACTIVE", inState(TokenState.ACTIVE, [])],
  ["SUSPENDED", inState(TokenState.SUSPENDED, [Suspender.ISSUER])],
  ["SUSPENDED", inState(TokenState.SUSPENDED, [Suspender.ISSUER, Suspender.CARDHOLDER])],
  ["DEACTIVATED", inState(TokenState.DEACTIVATED, [])],
];

const activate = (current: Current): Decision => {
  const tokenActivatedTime = at(8n);
  return decideActivation(current, {
    ...act,
    activation: create(TokenActivationSchema, {
      tokenReferenceId: "t",
      tokenActivatedTime,
      tokenData: {},
    }) as CompleteActivation,
    sealedTokenData: () => create(SealedTokenDataSchema),
    fingerprint: create(ActivationFingerprintSchema, { tokenActivatedTime }),
    fingerprintLike: (recorded) => recorded,
    receivedTime: at(10n),
    futureToleranceS: 0,
  });
};
const move =
  (what: Move, suspender: Suspender) =>
  (current: Current): Decision =>
    decideLifecycle(current, { ...act, move: what, suspender, requestId: "r", contentHash: new Uint8Array() });

const commands: [label: string, decide: (current: Current) => Decision][] = [
  ["activation", activate],
  ["suspend", move("suspend", Suspender.MOBILE_PIN_LOCKED)],
  ["resume", move("resume", Suspender.ISSUER)],
  ["deactivate", move("deactivate", Suspender.ISSUER)],
  ["erase", (current) => decideErasure(current, act)],
];

/** Moves that change the state or what holds it; what is refused or only recorded is left out. */
export function stateDiagram(): string {
  const arrows = new Set<string>();
  for (const [from, current] of situations)
    for (const [label, decide] of commands) {
      const decision = decide(current);
      if (decision.kind !== "change" || decision.event.outcome !== Outcome.APPLIED) continue;
      const others = decision.next.suspenders.length > 0 && label === "resume" ? " (others still hold it)" : "";
      arrows.add(`    ${from} --> ${TokenState[decision.next.state]}: ${label}${others}`);
    }
  return ["```mermaid", "stateDiagram-v2", ...arrows, "    DEACTIVATED --> [*]", "```"].join("\n");
}

const begin = "<!-- states: written by npm run docs -->";
const end = "<!-- /states -->";

/** The document with the diagram of the machine as it is between its marks. */
export function withStateDiagram(document: string): string {
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from === -1 || to < from) throw new Error(`the document has no marks ${begin} and ${end}`);
  return `${document.slice(0, from + begin.length)}\n${stateDiagram()}\n${document.slice(to)}`;
}

if (process.argv[1]?.endsWith("state-diagram.ts")) {
  const file = new URL("../docs/architecture.md", import.meta.url);
  writeFileSync(file, withStateDiagram(readFileSync(file, "utf8")));
}
