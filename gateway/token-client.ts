// The channels to the token service: one for each address, taken in turn.
import type { DescMethodUnary } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import type { Batch } from "../lib/rpc/batch.js";
import { connectChannel } from "../lib/rpc/connect-channel.js";
import { gatheringTransport } from "../lib/rpc/gathering-transport.js";
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
/** What one address has under way before calls wait, and a batch: half of what the service reads. See docs/adr/0018. */
const limits = { inFlight: 4, patienceMs: 20, items: 128, bytes: 128 * 1024 };
/** How long calls on the old connections may take to finish after a renewal, in milliseconds. */
const handoverMs = 10_000;

export function createTokenClient(
  urls: readonly string[],
  tls: TlsFiles | undefined,
  batchOf: (method: DescMethodUnary) => Batch | undefined,
): TokenClient {
  const open = (files: TlsFiles | undefined) =>
    urls.map((baseUrl) => {
      const channel = connectChannel(baseUrl, { tls: files, readMaxBytes });
      return { channel, transport: gatheringTransport(channel, batchOf, limits) };
    });
  let channels = open(tls);
  let turn = 0;
  const end = (old: typeof channels): void => {
    for (const { channel } of old) channel.close();
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
