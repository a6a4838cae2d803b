// What the token service counts.
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics(watchers: () => number) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  new Gauge({
    name: "token_service_watchers",
    help: "Streams of WatchTokenEvents that are open.",
    registers,
    collect() {
      this.set(watchers());
    },
  });
  return {
    registry,
    activations: new Counter({
      name: "token_service_activations_total",
      help: "Activations by outcome, or by the reason they were refused for.",
      labelNames: ["outcome"],
      registers,
    }),
    tokenDataMisfits: new Counter({
      name: "token_service_token_data_misfits_total",
      help: "Members of tokenData that do not fit their inferred shape.",
      labelNames: ["field"],
      registers,
    }),
  };
}
