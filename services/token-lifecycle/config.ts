// The settings of the token service. The only file here that knows their names.
import { join } from "node:path";
import {
  flag,
  headerPairs,
  httpOrigins,
  httpUrl,
  listOf,
  oneOf,
  port,
  readEnv,
  text,
  wholeNumber,
} from "../../lib/env.js";
import { logLevels } from "../../lib/log.js";
import { StartError } from "../../lib/program.js";
import { type Right, rights } from "./access/policy.js";
import { durabilityOf } from "./store/durability.js";
import { checkDurabilityFits, redisAddressOf } from "./store/redis.js";

export type Config = ReturnType<typeof readConfig>;

export function readConfig(env: NodeJS.ProcessEnv) {
  const settings = readEnv(env, {
    TOKEN_SERVICE_HOST: { parse: text, fallback: "127.0.0.1" },
    TOKEN_SERVICE_PORT: { parse: port, fallback: 50051 },
    TOKEN_SERVICE_ADMIN_PORT: { parse: port, fallback: 9465 },
    ADMIN_HOST: { parse: text, fallback: "127.0.0.1" },
    REDIS_URL: { parse: redisAddressOf },
    REDIS_TIMEOUT_MS: { parse: wholeNumber(10, 10_000), fallback: 1_000 },
    REPLICA_TIMEOUT_MS: { parse: wholeNumber(10, 10_000), fallback: 500 },
    TOKEN_SERVICE_TLS_DIR: { parse: text, fallback: "" },
    TOKEN_SERVICE_POLICY_FILE: { parse: text, fallback: "" },
    TOKEN_SERVICE_PLAINTEXT_BEYOND_LOOPBACK_IS_ACCEPTED: { parse: flag, fallback: false },
    LOOPBACK_RIGHTS: { parse: listOf(rights), fallback: ["record", "read", "lifecycle", "watch"] as Right[] },
    DEFAULT_DEADLINE_MS: { parse: wholeNumber(10, 30_000), fallback: 5_000 },
    DURABILITY: { parse: durabilityOf, fallback: durabilityOf("fsync") },
    DURABILITY_CHECK_MS: { parse: wholeNumber(100, 60_000), fallback: 2_000 },
    DATA_DIR: { parse: text, fallback: ".data" },
    KEYRING_DIR: { parse: text, fallback: "" },
    KEYRING_SOURCE: { parse: text, fallback: "" },
    KEYS_RELOAD_MS: { parse: wholeNumber(50, 3_600_000), fallback: 2_000 },
    TOKEN_DATA_STRICT: { parse: flag, fallback: false },
    EVENT_TIME_TOLERANCE_S: { parse: wholeNumber(0, 86_400), fallback: 300 },
    EVENTS_MAX_LEN: { parse: wholeNumber(1, 1_000_000_000), fallback: 100_000 },
    EVENTS_MAX_AGE_H: { parse: wholeNumber(0, 1_000_000), fallback: 0 },
    WATCH_HEARTBEAT_MS: { parse: wholeNumber(100, 3_600_000), fallback: 15_000 },
    WATCH_STALL_MS: { parse: wholeNumber(100, 3_600_000), fallback: 10_000 },
    RETENTION_DEACTIVATED_DAYS: { parse: wholeNumber(0, 100_000), fallback: 0 },
    RETENTION_EVERY_MS: { parse: wholeNumber(100, 86_400_000), fallback: 60_000 },
    OTEL_EXPORTER_OTLP_ENDPOINT: { parse: httpUrl, fallback: undefined },
    OTEL_EXPORTER_OTLP_HEADERS: { parse: headerPairs, fallback: {} as Record<string, string> },
    DRAIN_MS: { parse: wholeNumber(0, 120_000), fallback: 0 },
    CONSOLE_ORIGINS: { parse: httpOrigins, fallback: undefined },
    CONSOLE_SERVICE_URL: { parse: httpOrigins, fallback: undefined },
    CONSOLE_PARTS: { parse: httpOrigins, fallback: [] as string[] },
    STOP_GRACE_MS: { parse: wholeNumber(0, 3_000), fallback: 1_200 },
    LOG_LEVEL: { parse: oneOf(...logLevels), fallback: "info" as const },
  });
  checkDurabilityFits(settings.REDIS_URL, env.DURABILITY || "fsync");
  checkAccess(settings);
  if (settings.DURABILITY.replicas > 0 && settings.REPLICA_TIMEOUT_MS >= settings.REDIS_TIMEOUT_MS)
    throw new StartError(
      "wrong settings: REPLICA_TIMEOUT_MS must be below REDIS_TIMEOUT_MS, or no wait would end well.",
    );
  return {
    host: settings.TOKEN_SERVICE_HOST,
    port: settings.TOKEN_SERVICE_PORT,
    adminHost: settings.ADMIN_HOST,
    adminPort: settings.TOKEN_SERVICE_ADMIN_PORT,
    tlsDir: settings.TOKEN_SERVICE_TLS_DIR || undefined,
    policyFile: settings.TOKEN_SERVICE_POLICY_FILE,
    loopbackRights: new Set(settings.LOOPBACK_RIGHTS),
    defaultDeadlineMs: settings.DEFAULT_DEADLINE_MS,
    redis: settings.REDIS_URL,
    redisTimeoutMs: settings.REDIS_TIMEOUT_MS,
    replicaTimeoutMs: settings.REPLICA_TIMEOUT_MS,
    durability: settings.DURABILITY,
    durabilityCheckMs: settings.DURABILITY_CHECK_MS,
    keyringDir: settings.KEYRING_DIR || join(settings.DATA_DIR, "keyring"),
    keyringSource: settings.KEYRING_SOURCE || undefined,
    keysReloadMs: settings.KEYS_RELOAD_MS,
    strictTokenData: settings.TOKEN_DATA_STRICT,
    futureToleranceS: settings.EVENT_TIME_TOLERANCE_S,
    eventsMaxLen: settings.EVENTS_MAX_LEN,
    eventsMaxAgeMs: settings.EVENTS_MAX_AGE_H * 3_600_000,
    watch: {
      heartbeatMs: settings.WATCH_HEARTBEAT_MS,
      stallMs: settings.WATCH_STALL_MS,
      blockMs: Math.min(500, Math.ceil(settings.REDIS_TIMEOUT_MS / 2)),
      recent: 2_000,
    },
    retention: {
      deactivatedDays: settings.RETENTION_DEACTIVATED_DAYS,
      everyMs: settings.RETENTION_EVERY_MS,
      batch: 20,
    },
    otlp: settings.OTEL_EXPORTER_OTLP_ENDPOINT
      ? { endpoint: settings.OTEL_EXPORTER_OTLP_ENDPOINT, headers: settings.OTEL_EXPORTER_OTLP_HEADERS }
      : undefined,
    drainMs: settings.DRAIN_MS,
    console: {
      /** Undefined: those of this machine, and none where others reach the port. */
      origins: settings.CONSOLE_ORIGINS,
      onThisMachineAlone: settings.TOKEN_SERVICE_TLS_DIR === "" && loopback.test(settings.TOKEN_SERVICE_HOST),
      serviceUrl: settings.CONSOLE_SERVICE_URL?.[0],
      parts: settings.CONSOLE_PARTS,
    },
    stopGraceMs: settings.STOP_GRACE_MS,
    logLevel: settings.LOG_LEVEL,
  };
}

const loopback = /^(?:127(?:\.\d{1,3}){3}|::1|localhost)$/;

/** Plain text is for one machine; between machines a caller must show who it is. */
function checkAccess(settings: {
  TOKEN_SERVICE_HOST: string;
  TOKEN_SERVICE_TLS_DIR: string;
  TOKEN_SERVICE_POLICY_FILE: string;
  TOKEN_SERVICE_PLAINTEXT_BEYOND_LOOPBACK_IS_ACCEPTED: boolean;
}): void {
  const { TOKEN_SERVICE_HOST: host, TOKEN_SERVICE_TLS_DIR: tls, TOKEN_SERVICE_POLICY_FILE: policy } = settings;
  if ((tls === "") !== (policy === ""))
    throw new StartError("wrong settings: TOKEN_SERVICE_TLS_DIR and TOKEN_SERVICE_POLICY_FILE go together: set both.");
  if (tls === "" && !loopback.test(host) && !settings.TOKEN_SERVICE_PLAINTEXT_BEYOND_LOOPBACK_IS_ACCEPTED)
    throw new StartError(
      `wrong settings: TOKEN_SERVICE_HOST is ${host}, which others reach, without TLS. Set TOKEN_SERVICE_TLS_DIR and ` +
        "TOKEN_SERVICE_POLICY_FILE, or listen on 127.0.0.1.",
    );
}
