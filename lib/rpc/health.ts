// grpc.health.v1: Check, List and Watch over a status that somebody else sets.
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { type Health, HealthCheckResponse_ServingStatus as Status } from "../../proto/gen/grpc/health/v1/health_pb.js";

export type HealthState = {
  /** True while the whole server serves. */
  serving: () => boolean;
  set: (serving: boolean) => void;
  service: ServiceImpl<typeof Health>;
};

/** One status for the server ("") and each named service. Starts NOT_SERVING. Watch ends with `shutdown`. */
export function createHealth(serviceNames: readonly string[], shutdown: AbortSignal): HealthState {
  const known = new Set(["", ...serviceNames]);
  const watchers = new Set<() => void>();
  let serving = false;
  const statusOf = (name: string): Status =>
    known.has(name) ? (serving ? Status.SERVING : Status.NOT_SERVING) : Status.SERVICE_UNKNOWN;
  const notify = (): void => {
    for (const wake of [...watchers]) wake();
  };
  shutdown.addEventListener("abort", notify);

  return {
    serving: () => serving,
    set(next) {
      if (next === serving) return;
      serving = next;
      notify();
    },
    service: {
      check({ service }) {
        if (!known.has(service)) throw new ConnectError("no such service", Code.NotFound);
        return { status: statusOf(service) };
      },
      list() {
        return { statuses: Object.fromEntries([...known].map((name) => [name, { status: statusOf(name) }])) };
      },
      // The protocol wants an answer even for an unknown name, and the call kept open.
      async *watch({ service }, { signal }) {
        let last: Status | undefined;
        while (!signal.aborted && !shutdown.aborted) {
          const status = statusOf(service);
          if (status !== last) {
            last = status;
            yield { status };
            continue;
          }
          await new Promise<void>((resolve) => {
            const wake = (): void => {
              watchers.delete(wake);
              signal.removeEventListener("abort", wake);
              resolve();
            };
            watchers.add(wake);
            signal.addEventListener("abort", wake);
          });
        }
      },
    },
  };
}
