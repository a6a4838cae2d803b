// Who is calling: taken from the TLS certificate, or from the loopback interface, before the rpc sees the request.
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { DescMethod } from "@bufbuild/protobuf";
import { type ContextValues, createContextKey, createContextValues, type Interceptor } from "@connectrpc/connect";
import { ErrorReason } from "../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import type { TokenLifecycleService } from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { refusal } from "../errors.js";
import type { Caller, Policy, Right } from "./policy.js";

/** What each rpc needs. The compiler counts the rows. */
const rightOf: Readonly<Record<keyof typeof TokenLifecycleService.method, Right>> = {
  recordActivation: "record",
  batchRecordActivations: "record",
  streamRecordActivations: "record",
  getToken: "read",
  batchGetTokens: "read",
  listTokens: "read",
  getTokenHistory: "read",
  suspendToken: "lifecycle",
  resumeToken: "lifecycle",
  deactivateToken: "lifecycle",
  watchTokenEvents: "watch",
  revealTokenData: "reveal",
  eraseToken: "erase",
};

/** The paths of the rpcs that need one of these rights. */
export const pathsNeeding = (service: typeof TokenLifecycleService, wanted: ReadonlySet<Right>): ReadonlySet<string> =>
  new Set(
    service.methods
      .filter(({ localName }) => wanted.has(rightOf[localName as keyof typeof rightOf]))
      .map(({ name }) => `/${service.typeName}/${name}`),
  );

/** A caller, or why there is none. */
export type Identity = Caller | "no-certificate" | { readonly unknown: string };

export const callerKey = createContextKey<Identity>("no-certificate", { description: "who is calling" });

/** Finds out who is behind a connection. Without a policy the port is plain, and everyone on it is the local caller. */
export function identityOf(socket: Socket | undefined, policy: Policy | undefined, local: Caller): Identity {
  if (policy === undefined) return local;
  if (!(socket instanceof TLSSocket) || !socket.authorized) return "no-certificate";
  const names = namesIn(socket.getPeerCertificate().subjectaltname ?? "");
  for (const name of names) {
    const caller = policy.get(name);
    if (caller) return caller;
  }
  return { unknown: names.join(" ") };
}

/** Node quotes a name that could be mistaken for two; such a name is nobody's. */
const namesIn = (subjectAltName: string): string[] => subjectAltName.split(", ").filter((name) => !name.includes('"'));

export const contextOf = (identity: Identity): ContextValues => createContextValues().set(callerKey, identity);

export type Audit = (what: {
  call: string;
  caller: string;
  outcome: "allowed" | "denied";
  right?: Right;
  [more: string]: unknown;
}) => void;

/** Lets an rpc of the token service through when the caller has the right to it. */
export const authorizing =
  (audit: Audit): Interceptor =>
  (next) =>
  (request) => {
    allow(request.contextValues.get(callerKey), request.method, audit);
    return next(request);
  };

function allow(identity: Identity, method: DescMethod, audit: Audit): void {
  const right = rightOf[method.localName as keyof typeof rightOf];
  const call = method.name;
  if (identity === "no-certificate") {
    audit({ call, caller: "", outcome: "denied" });
    throw refusal(ErrorReason.NO_CERTIFICATE, "show a certificate that this service trusts");
  }
  if ("unknown" in identity) {
    audit({ call, caller: identity.unknown, outcome: "denied", right });
    throw refusal(ErrorReason.RIGHT_MISSING, `no name in the certificate has rights here`, { right });
  }
  if (identity.rights.has(right)) return;
  audit({ call, caller: identity.name, outcome: "denied", right });
  throw refusal(ErrorReason.RIGHT_MISSING, `this needs the right ${right}`, { right });
}

/** The caller of an rpc that was let through. */
export function callerOf(values: ContextValues): Caller {
  const identity = values.get(callerKey);
  if (typeof identity === "string" || "unknown" in identity) throw new Error("only callers are let through");
  return identity;
}
