// How the parts of the product are: ready or not and why, and what they count. Asked on their admin ports.
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";

export type PartHealth = {
  /** "gateway", "token service", "redis"; or the host of its setting while nobody answers there. */
  readonly name: string;
  readonly address: string;
  readonly state: "ready" | "not ready" | "away";
  readonly reasons: readonly string[];
  /** Lines of its /metrics that the console shows. */
  readonly metrics: string;
};

/** Time for one part to answer, in milliseconds. */
const answerMs = 1_500;
/** Most instances that one name may stand for. */
const mostInstances = 32;

const shown =
  /^(?:gateway_|token_service_|process_start_time_seconds|process_resident_memory_bytes|nodejs_eventloop_lag_p99_seconds)/;

/** What the console shows of a text of metrics. */
export const shownMetrics = (text: string): string =>
  text
    .split("\n")
    .filter((line) => shown.test(line) && !/^\w+_bucket\b/.test(line))
    .join("\n");

/** Asks every instance behind these admin addresses, all at once, but not the one that asks. */
export async function lookAtParts(urls: readonly string[], ownPort: number): Promise<PartHealth[]> {
  const own = new Set(Object.values(networkInterfaces()).flatMap((each) => each?.map(({ address }) => address) ?? []));
  const all = await Promise.all(
    urls.map(async (each) => {
      const url = new URL(each);
      const addresses = await addressesOf(url);
      if (typeof addresses === "string") return [away(url.host, url.host, addresses)];
      const others = addresses.filter((address) => !(own.has(address) && Number(url.port) === ownPort));
      return Promise.all(others.map((address) => lookAt(url, address)));
    }),
  );
  return all.flat();
}

/** A name may stand for many instances, as that of a headless service of Kubernetes does. */
async function addressesOf({ hostname }: URL): Promise<string[] | string> {
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  if (isIP(host)) return [host];
  try {
    const found = await lookup(host, { all: true });
    return [...new Set(found.map(({ address }) => address))].slice(0, mostInstances);
  } catch (error) {
    return `the name is not known (${(error as NodeJS.ErrnoException).code})`;
  }
}

async function lookAt(url: URL, address: string): Promise<PartHealth> {
  const host = `${isIP(address) === 6 ? `[${address}]` : address}:${url.port || "80"}`;
  const ask = (path: string) =>
    fetch(`http://${host}${path}`, { redirect: "error", signal: AbortSignal.timeout(answerMs) });
  try {
    const [readyz, metrics] = await Promise.all([ask("/readyz"), ask("/metrics")]);
    const reasons = (await readyz.text()).split("\n").filter((line) => line !== "");
    const text = shownMetrics(await metrics.text());
    return {
      name: /^gateway_/m.test(text) ? "gateway" : /^token_service_/m.test(text) ? "token service" : url.hostname,
      address: host,
      state: readyz.ok ? "ready" : "not ready",
      reasons: readyz.ok ? [] : reasons,
      metrics: text,
    };
  } catch (error) {
    return away(
      url.host,
      host,
      error instanceof Error && error.name === "TimeoutError" ? "no answer in time" : "no answer",
    );
  }
}

const away = (name: string, address: string, reason: string): PartHealth => ({
  name,
  address,
  state: "away",
  reasons: [reason],
  metrics: "",
});
