// What the gateway counts.
import { Counter, collectDefaultMetrics, Histogram, Registry } from "prom-client";

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  return {
    registry,
    answers: new Counter({
      name: "gateway_answers_total",
      help: "Answers by API, client and result code. Client is empty unless the signature held.",
      labelNames: ["api", "client_id", "result_code"],
      registers,
    }),
    duration: new Histogram({
      name: "gateway_answer_duration_seconds",
      help: "Time from the end of the request's headers to the signed answer.",
      labelNames: ["api"],
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers,
    }),
    unsigned: new Counter({
      name: "gateway_unsigned_answers_total",
      help: "Answers sent without a signature: no key, or past the budget for refusals.",
      registers,
    }),
    ignoredMembers: new Counter({
      name: "gateway_ignored_members_total",
      help: "JSON members that no schema declares and that are not kept.",
      labelNames: ["api"],
      registers,
    }),
  };
}
