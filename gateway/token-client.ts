// The channels to the token service: one for each address, and the spread of calls over them.
import type { DescMethodUnary } from "@bufbuild/protobuf";
import type { Batch } from "../lib/rpc/batch.js";
import { type ConnectChannel, connectChannel } from "../lib/rpc/connect-channel.js";
import { gatheringTransport } from "../lib/rpc/gathering-transport.js";
import type { TlsFiles } from "../lib/tls-files.js";
import { createSpread, type Spread } from "./spread.js";

export type TokenClient = {
  readonly spread: Spread;
  /** Uses new certificate files for new connections. */
  readonly renew: (files: TlsFiles) => void;
  readonly close: () => void;
};

/** Largest answer of the service, in bytes. */
const readMaxBytes = 256 * 1024;
/** What one address has under way before calls wait, and a batch: half of what the service reads. See docs/adr/0018 and 0022. */
const limits = { inFlight: 2, patienceMs: 20, items: 128, bytes: 128 * 1024, readMaxBytes };
/** How long calls on the old connections may take to finish after a renewal, in milliseconds. */
const handoverMs = 10_000;

export function createTokenClient(
  urls: readonly string[],
  tls: TlsFiles | undefined,
  batchOf: (method: DescMethodUnary) => Batch | undefined,
  onPutAside: (address: string) => void = () => {},
): TokenClient {
  let channels: ConnectChannel[] = [];
  const open = (files: TlsFiles | undefined) => (url: string) => {
    const channel = connectChannel(url, { tls: files, readMaxBytes });
    channels.push(channel);
    return gatheringTransport(channel, batchOf, limits);
  };
  const end = (old: readonly ConnectChannel[]): void => {
    for (const channel of old) channel.close();
  };
  const spread = createSpread(urls, open(tls), onPutAside);
  return {
    spread,
    renew(files) {
      setTimeout(end, handoverMs, channels).unref();
      channels = [];
      for (const instance of spread.instances) instance.transport = open(files)(instance.address);
    },
    close: () => end(channels),
  };
}
