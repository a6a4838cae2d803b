// Ends a unary call at its deadline: the caller's, or the server's own when it set none or a longer one.
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

/** Stops waiting and says DEADLINE_EXCEEDED; what the call began may still happen. Streams have no limit of their own. */
export const limitingTime =
  (defaultMs: number, maxMs: number): Interceptor =>
  (next) =>
  (request) => {
    if (request.stream) return next(request);
    const { signal } = request;
    // What nobody waits for any more is not begun.
    if (signal.aborted) return Promise.reject(signal.reason);
    const hasDeadline = request.header.has("grpc-timeout") || request.header.has("connect-timeout-ms");
    const asked = hasDeadline ? maxMs : defaultMs;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason);
      const timer = setTimeout(
        () => reject(new ConnectError(`no result within ${asked} ms`, Code.DeadlineExceeded)),
        asked,
      );
      signal.addEventListener("abort", onAbort, { once: true });
      // An interceptor that throws at once must not leave the timer behind.
      Promise.resolve()
        .then(() => next(request))
        .then(resolve, reject)
        .finally(() => {
          clearTimeout(timer);
          signal.removeEventListener("abort", onAbort);
        });
    });
  };

/** The longest time that a timer can hold, some 24 days: a longer one would be over after a millisecond. */
export const longestTimerMs = 2 ** 31 - 1;

/** Settles as `work` does, or with DEADLINE_EXCEEDED after `ms`. What was begun may still happen. */
export function withinMs<T>(ms: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void => reject(new ConnectError(`no result within ${ms} ms`, Code.DeadlineExceeded));
    const timer = setTimeout(late, Math.min(ms, longestTimerMs));
    work.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
