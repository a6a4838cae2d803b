// The connection to Redis: its address, and client settings under which a failure is never mistaken for an answer.
import { Cluster, Redis, type RedisOptions } from "ioredis";
import { StartError } from "../../../lib/program.js";

type Target = Pick<
  RedisOptions,
  "host" | "port" | "path" | "db" | "tls" | "sentinels" | "name" | "username" | "password"
>;
type Limits = Pick<RedisOptions, "commandTimeout" | "connectTimeout" | "maxRetriesPerRequest" | "retryStrategy">;

/** Where Redis is. */
export type RedisAddress =
  | { kind: "single"; options: Target }
  | { kind: "sentinel"; options: Target }
  | { kind: "cluster"; nodes: { host: string; port: number }[]; options: Target };

export type RedisClient = Redis | Cluster;

const forms =
  "must be redis://host:port, rediss://host:port, unix:///path/to/redis.sock, " +
  "redis+sentinel://host:port,host:port/master-name or redis+cluster://host:port,host:port";

/** Reads REDIS_URL. User name and password may stand before the host, a database number behind a single host. */
export function redisAddressOf(url: string): RedisAddress {
  const parts =
    /^(redis|rediss|redis\+sentinel|redis\+cluster):\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/@]+)(?:\/(.*))?$/.exec(url);
  if (url.startsWith("unix:///")) return { kind: "single", options: { path: url.slice("unix://".length) } };
  if (parts === null) throw new Error(forms);
  const [, scheme, username, password, hosts = "", rest = ""] = parts;
  const nodes = hosts.split(",").map((node) => {
    const match = /^(\[[0-9a-fA-F:]+\]|[^:]+)(?::(\d{1,5}))?$/.exec(node);
    if (!match?.[1]) throw new Error(forms);
    return {
      host: match[1].replace(/^\[|\]$/g, ""),
      port: Number(match[2] ?? (scheme === "redis+sentinel" ? 26379 : 6379)),
    };
  });
  const credentials: Target = {
    ...(username && { username: decodeURIComponent(username) }),
    ...(password && { password: decodeURIComponent(password) }),
  };
  const [first] = nodes;
  if (first === undefined) throw new Error(forms);
  switch (scheme) {
    case "redis+cluster":
      return { kind: "cluster", nodes, options: credentials };
    case "redis+sentinel":
      if (!/^[\w.-]+$/.test(rest)) throw new Error(forms);
      return { kind: "sentinel", options: { sentinels: nodes, name: rest, ...credentials } };
    default:
      if (nodes.length > 1 || !/^\d{0,2}$/.test(rest)) throw new Error(forms);
      return {
        kind: "single",
        options: { ...first, ...credentials, db: Number(rest || 0), ...(scheme === "rediss" && { tls: {} }) },
      };
  }
}

// ioredis resends a command whose reply was lost, and a resent write can take its own first execution for somebody
// else's. So nothing is resent, nothing is queued, and every wait ends: a failure means "outcome unknown", always.
export function connectRedis(address: RedisAddress, timeoutMs: number): RedisClient {
  const retry = (attempt: number): number => Math.min(25 * 2 ** Math.min(attempt, 5), 500);
  const limits: Limits = { commandTimeout: timeoutMs, connectTimeout: timeoutMs, maxRetriesPerRequest: 0 };
  if (address.kind === "cluster") {
    const cluster = new Cluster(address.nodes, {
      redisOptions: { ...limits, ...address.options },
      enableOfflineQueue: false,
      // Or a command whose connection broke would be resent.
      retryDelayOnFailover: 0,
      slotsRefreshInterval: 1_000,
      clusterRetryStrategy: retry,
    });
    // At once, and replicas too: a command for a node whose connection is only coming up is refused. Not before the client is
    // ready, or its own question whether it may be is refused as well.
    const connectAll = (): void => {
      if (cluster.status !== "ready") return;
      for (const node of cluster.nodes()) if (node.status === "wait") node.connect().catch(() => {});
    };
    return cluster.on("ready", connectAll).on("+node", () => setImmediate(connectAll));
  }
  return new Redis({ ...limits, ...address.options, enableOfflineQueue: false, retryStrategy: retry });
}

/** Behind Sentinel and Cluster a failover may drop what only one node has on its disk. */
export function checkDurabilityFits(address: RedisAddress, durability: string): void {
  if (address.kind !== "single" && durability === "fsync")
    throw new StartError(
      "wrong settings: DURABILITY=fsync promises too much behind Sentinel or Cluster, where a failover can lose an " +
        "answered write. Set DURABILITY=replicated:1.",
    );
}
