// What the gateway counts.
import { Counter, Gauge } from "prom-client";
import { counter, histogram, processRegistry } from "../lib/counting.js";
import { type Instance, isSound } from "./spread.js";

export type Metrics = ReturnType<typeof createMetrics>;

/** What is looked up when somebody asks for the metrics. */
export type GatewayState = {
  readonly inFlight: () => number;
  readonly signingQueue: () => number;
  readonly undecided: () => number;
  readonly isReady: () => boolean;
  /** Whether each address of the token service answered the last probe. */
  readonly tokenService: () => ReadonlyMap<string, boolean>;
  readonly instances: () => readonly Instance[];
};

const limitNames = ["in_flight", "client_in_flight", "client_rate", "connections"] as const;
const stageNames = ["read", "verify", "decode", "rpc", "sign"] as const;
const fileNames = ["keys", "client_certificates", "public_certificates"] as const;

const each = (names: readonly string[]): string[][] => names.map((name) => [name]);

export function createMetrics(state: GatewayState) {
  const registry = processRegistry();
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      ...{ name, help, registers },
      collect() {
        this.set(read());
      },
    });
  };
  gauge("gateway_ready", "1 while /readyz says 200.", () => Number(state.isReady()));
  gauge("gateway_requests_in_flight", "Requests that hold a place of MAX_IN_FLIGHT.", state.inFlight);
  gauge(
    "gateway_signing_queue_depth",
    "Private-key operations that wait for a core, of at most SIGNATURES_WAITING.",
    state.signingQueue,
  );
  gauge(
    "gateway_undecided_notifications",
    "Notifications that this instance answered U and has not answered S or F since.",
    state.undecided,
  );
  new Gauge({
    name: "gateway_token_service_up",
    help: "1 while the token service at this address answers the gateway's probe with SERVING.",
    labelNames: ["address"],
    registers,
    collect() {
      for (const [address, isUp] of state.tokenService()) this.set({ address }, Number(isUp));
    },
  });
  new Gauge({
    name: "gateway_token_service_sound",
    help: "1 while calls go to this address as a matter of course: its health and its calls are well.",
    labelNames: ["address"],
    registers,
    collect() {
      for (const instance of state.instances()) this.set({ address: instance.address }, Number(isSound(instance)));
    },
  });
  new Counter({
    name: "gateway_token_service_tries_total",
    help: "Tries of calls by address: answered, be it with a refusal, or failed (unreachable, silent, not able now).",
    labelNames: ["address", "end"],
    registers,
    // Counted where the calls are spread, at the price of an addition.
    collect() {
      this.reset();
      for (const { address, answered, failed } of state.instances()) {
        this.inc({ address, end: "answered" }, answered);
        this.inc({ address, end: "failed" }, failed);
      }
    },
  });
  new Counter({
    name: "gateway_token_service_put_aside_total",
    help: "Times that calls were kept from an address that says SERVING, because they failed in a row.",
    labelNames: ["address"],
    registers,
    collect() {
      this.reset();
      for (const { address, putAside } of state.instances()) this.inc({ address }, putAside);
    },
  });
  return {
    registry,
    answers: counter(registry, {
      name: "gateway_answers_total",
      help: "Answers by API, client and result code. Client is empty unless the signature held.",
      labelNames: ["api", "client_id", "result_code"],
    }),
    duration: histogram(registry, {
      name: "gateway_answer_duration_seconds",
      help: "Time from the end of the request's headers to the signed answer.",
      labelNames: ["api"],
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    }),
    stages: histogram(registry, {
      name: "gateway_stage_duration_seconds",
      help: "Time of each stage: read (the body arrives), verify, decode, rpc (with its further tries), sign.",
      labelNames: ["stage"],
      startsWith: each(stageNames),
      buckets: [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5],
    }),
    refusals: counter(registry, {
      name: "gateway_refusals_total",
      help: "Notifications with a good signature that were answered F, so are lost for good. By the field at fault and its rule.",
      labelNames: ["api", "client_id", "field", "rule"],
    }),
    unsigned: counter(registry, {
      name: "gateway_unsigned_answers_total",
      help: "Answers sent without a signature: no key, or past the budget for refusals.",
    }),
    ignoredMembers: new Counter({
      name: "gateway_ignored_members_total",
      help: "JSON members that no schema declares and that are not kept.",
      labelNames: ["api"],
      registers,
    }),
    shed: counter(registry, {
      name: "gateway_shed_requests_total",
      help: "Requests turned away by a limit (for connections: connections closed at once).",
      labelNames: ["limit"],
      startsWith: each(limitNames),
    }),
    wiringFaults: counter(registry, {
      name: "gateway_wiring_faults_total",
      help: "Answers U because our own parts do not fit together: a right, a certificate, a version.",
    }),
    undecidedOpened: counter(registry, {
      name: "gateway_undecided_opened_total",
      help: "Notifications that were answered U and were not among the undecided before.",
    }),
    undecidedDecided: counter(registry, {
      name: "gateway_undecided_decided_total",
      help: "Undecided notifications that were repeated to this instance and answered S or F.",
    }),
    undecidedExpired: counter(registry, {
      name: "gateway_undecided_expired_total",
      help: "Undecided notifications that were not decided at this instance within REPEAT_HORIZON_S.",
    }),
    undecidedDropped: counter(registry, {
      name: "gateway_undecided_dropped_total",
      help: "Undecided notifications forgotten because there were too many to remember.",
    }),
    fileTroubles: counter(registry, {
      name: "gateway_file_reload_failures_total",
      help: "Changes of files that could not be taken up; what was read before stays in use.",
      labelNames: ["files"],
      startsWith: each(fileNames),
    }),
  };
}
