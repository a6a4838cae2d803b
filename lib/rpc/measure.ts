// Measures each call: how long it took and the status code it ended with; a stream is told when it ends.
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

/** `seconds` is undefined for a stream, which lasts as long as its reader wants. */
export type OnCall = (method: string, code: string, seconds: number | undefined) => void;

/** "ok", or a status code as the Connect protocol writes it. */
const codeWord = (error: unknown): string => {
  const { code } = ConnectError.from(error);
  return (Code[code] ?? "unknown").replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toLowerCase();
};

export const measuring =
  (onCall: OnCall): Interceptor =>
  (next) =>
  async (request) => {
    const { name } = request.method;
    const beganAt = performance.now();
    const secondsSince = (): number => (performance.now() - beganAt) / 1000;
    try {
      const response = await next(request);
      if (!response.stream) {
        onCall(name, "ok", secondsSince());
        return response;
      }
      const { message: messages } = response;
      let isTold = false;
      const tell = (code: string): void => {
        if (isTold) return;
        isTold = true;
        onCall(name, code, undefined);
      };
      // Nobody asks a stream for more whose reader has gone, so it would never come to its end.
      const { signal } = request;
      signal.addEventListener("abort", () => tell(codeWord(signal.reason)), { once: true });
      async function* counted() {
        try {
          yield* messages;
          tell("ok");
        } catch (error) {
          tell(codeWord(error));
          throw error;
        }
      }
      return { ...response, message: counted() };
    } catch (error) {
      onCall(name, codeWord(error), request.stream ? undefined : secondsSince());
      throw error;
    }
  };
