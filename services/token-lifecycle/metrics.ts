// What the token service counts.
import { Gauge } from "prom-client";
import { counter, histogram, processRegistry } from "../../lib/counting.js";
import { TokenDataSchema } from "../../proto/gen/mpp/token/v1/token_activation_pb.js";
import { TokenLifecycleService } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";

export type Metrics = ReturnType<typeof createMetrics>;

/** What is looked up when somebody asks for the metrics. */
export type ServiceState = {
  readonly watchers: () => number;
  readonly isReady: () => boolean;
  /** DURABILITY as it is set, and whether Redis keeps what it promises. */
  readonly durability: string;
  readonly isDurable: () => boolean;
  readonly redisMemory: () => { readonly usedBytes: number; readonly limitBytes: number };
};

const fileNames = ["keyring", "policy", "certificates"] as const;

const methods = TokenLifecycleService.methods.map(({ name }) => [name]);

const redisOperations = [["read"], ["swap"], ["wait"]];

export function createMetrics(state: ServiceState) {
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
  gauge("token_service_ready", "1 while /readyz says 200 and health says SERVING.", () => Number(state.isReady()));
  gauge("token_service_watchers", "Streams of WatchTokenEvents that are open.", state.watchers);
  gauge(
    "token_service_redis_memory_used_bytes",
    "Memory that Redis uses, as it said at the last check of its settings.",
    () => state.redisMemory().usedBytes,
  );
  gauge(
    "token_service_redis_memory_limit_bytes",
    "Redis's maxmemory; 0 is none. Redis refuses writes when it is reached, and every answer is U.",
    () => state.redisMemory().limitBytes,
  );
  new Gauge({
    name: "token_service_durability_met",
    help: "1 while Redis keeps what DURABILITY promises; nothing is written otherwise.",
    labelNames: ["durability"],
    registers,
    collect() {
      this.set({ durability: state.durability }, Number(state.isDurable()));
    },
  });
  return {
    registry,
    activations: counter(registry, {
      name: "token_service_activations_total",
      help: "Activations by outcome, or by the reason they were refused for.",
      labelNames: ["outcome"],
      startsWith: [
        ...["APPLIED", "REPEATED", "RECORDED_LATE", "RECORDED_NO_EFFECT"],
        ...["ACTIVATION_CONFLICT", "CLIENT_CONFLICT", "UNAVAILABLE"],
      ].map((outcome) => [outcome]),
    }),
    tokenDataMisfits: counter(registry, {
      name: "token_service_token_data_misfits_total",
      help: "Members of tokenData that do not fit their inferred shape.",
      labelNames: ["field"],
      startsWith: TokenDataSchema.fields
        .filter(({ fieldKind }) => fieldKind === "scalar")
        .map(({ jsonName }) => [jsonName]),
    }),
    calls: counter(registry, {
      name: "token_service_calls_total",
      help: "Calls by rpc and the status code they ended with.",
      labelNames: ["method", "code"],
    }),
    callDuration: histogram(registry, {
      name: "token_service_call_duration_seconds",
      help: "Time of a unary call, from its decoded message to its result.",
      labelNames: ["method"],
      startsWith: methods,
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    }),
    redis: histogram(registry, {
      name: "token_service_redis_duration_seconds",
      help: "Time of each wait of a decision for Redis.",
      labelNames: ["operation"],
      startsWith: redisOperations,
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1],
    }),
    redisRoundTrips: counter(registry, {
      name: "token_service_redis_round_trips_total",
      help: "Commands sent to Redis for decisions. Swaps of one round of the event loop go out as one, and so do reads before them.",
      labelNames: ["operation"],
      startsWith: redisOperations,
    }),
    denied: counter(registry, {
      name: "token_service_denied_calls_total",
      help: "Calls denied for want of a certificate or of a right.",
      labelNames: ["method"],
      startsWith: methods,
    }),
    fileTroubles: counter(registry, {
      name: "token_service_file_reload_failures_total",
      help: "Changes of files that could not be taken up; what was read before stays in use.",
      labelNames: ["files"],
      startsWith: fileNames.map((name) => [name]),
    }),
  };
}
