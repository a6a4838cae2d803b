// Ends a unary call at its deadline: the caller's, or the server's own when it set none or a longer one.
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

/** Stops waiting and says DEADLINE_EXCEEDED; what the call began may still happen. Streams have no limit of their own. */
export const limitingTime =
  (defaultMs: number, maxMs: number): Interceptor =>
  (next) =>
  (request) => {
    if (request.stream) return next(request);
    const { signal } = request;
    const hasDeadline = request.header.has("grpc-timeout") || request.header.has("connect-timeout-ms");
    const asked = hasDeadline ? maxMs : defaultMs;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason);
      const timer = setTimeout(
        () => reject(new ConnectError(`no result within ${asked} ms`, Code.DeadlineExceeded)),
        asked,
      );
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) onAbort();
      next(request)
        .then(resolve, reject)
        .finally(() => {
          clearTimeout(timer);
          signal.removeEventListener("abort", onAbort);
        });
    });
  };

/** Settles as `work` does, or with DEADLINE_EXCEEDED after `ms`. What was begun may still happen. */
export function withinMs<T>(ms: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new ConnectError(`no result within ${ms} ms`, Code.DeadlineExceeded)), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
