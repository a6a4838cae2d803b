// The channels to the token service: one for each address, taken in turn.
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { TlsFiles } from "../lib/tls-files.js";

export type TokenClient = {
  /** For one call: a function that gives another instance's channel for each try, where there is one. */
  readonly newTurn: () => () => Transport;
  /** Uses new certificate files for new connections. */
  readonly renew: (files: TlsFiles) => void;
  readonly close: () => void;
};

/** Largest answer of the service, in bytes. */
const readMaxBytes = 256 * 1024;
/** How long calls on the old connections may take to finish after a renewal, in milliseconds. */
const handoverMs = 10_000;

const ignore = (): void => {};

// The library takes its listeners off a dying session when the next call opens a new one, and the error that the old one
// still emits would then end the process. The call that met the error has it already.
class SessionManager extends Http2SessionManager {
  override async request(...args: Parameters<Http2SessionManager["request"]>) {
    const stream = await super.request(...args);
    const { session } = stream;
    if (session && !session.listeners("error").includes(ignore)) session.on("error", ignore);
    return stream;
  }
}

/** The Connect protocol on HTTP/2 costs half of what gRPC costs with this library, see docs/adr/0003. */
export function createTokenClient(urls: readonly string[], tls: TlsFiles | undefined): TokenClient {
  const open = (files: TlsFiles | undefined) =>
    urls.map((baseUrl) => {
      const sessionManager = new SessionManager(baseUrl, undefined, files);
      const transport = createConnectTransport({ baseUrl, httpVersion: "2", sessionManager, readMaxBytes });
      return { sessionManager, transport };
    });
  let channels = open(tls);
  let turn = 0;
  const end = (old: typeof channels): void => {
    for (const { sessionManager } of old) sessionManager.abort();
  };
  return {
    newTurn() {
      let at = turn++;
      return () => {
        const channel = channels[at++ % channels.length];
        if (channel === undefined) throw new Error("no address of the token service");
        return channel.transport;
      };
    },
    renew(files) {
      const old = channels;
      channels = open(files);
      setTimeout(end, handoverMs, old).unref();
    },
    close: () => end(channels),
  };
}
