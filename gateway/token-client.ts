// The channels to the token service: one for each address, taken in turn.
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";

export type TokenClient = {
  /** The next channel in turn, so that a second try goes to another instance where there is one. */
  readonly nextTransport: () => Transport;
  readonly close: () => void;
};

/** Largest answer of the service, in bytes. */
const readMaxBytes = 256 * 1024;

/** The Connect protocol on HTTP/2 costs half of what gRPC costs with this library, see docs/adr/0003. */
export function createTokenClient(urls: readonly string[]): TokenClient {
  const channels = urls.map((baseUrl) => {
    const sessionManager = new Http2SessionManager(baseUrl);
    return {
      sessionManager,
      transport: createConnectTransport({ baseUrl, httpVersion: "2", sessionManager, readMaxBytes }),
    };
  });
  let turn = 0;
  return {
    nextTransport() {
      const channel = channels[turn++ % channels.length];
      if (channel === undefined) throw new Error("no address of the token service");
      return channel.transport;
    },
    close() {
      for (const { sessionManager } of channels) sessionManager.abort();
    },
  };
}
