// The settings of the token service. The only file here that knows their names.
import { join } from "node:path";
import { flag, oneOf, port, readEnv, text, wholeNumber } from "../../lib/env.js";
import { logLevels } from "../../lib/log.js";
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
    DURABILITY: { parse: durabilityOf, fallback: durabilityOf("fsync") },
    DURABILITY_CHECK_MS: { parse: wholeNumber(100, 60_000), fallback: 2_000 },
    DATA_DIR: { parse: text, fallback: ".data" },
    KEYRING_DIR: { parse: text, fallback: "" },
    KEYS_RELOAD_MS: { parse: wholeNumber(50, 3_600_000), fallback: 2_000 },
    TOKEN_DATA_STRICT: { parse: flag, fallback: false },
    EVENT_TIME_TOLERANCE_S: { parse: wholeNumber(0, 86_400), fallback: 300 },
    EVENTS_MAX_LEN: { parse: wholeNumber(1, 1_000_000_000), fallback: 100_000 },
    STOP_GRACE_MS: { parse: wholeNumber(0, 3_000), fallback: 2_000 },
    LOG_LEVEL: { parse: oneOf(...logLevels), fallback: "info" as const },
  });
  checkDurabilityFits(settings.REDIS_URL, env.DURABILITY || "fsync");
  return {
    host: settings.TOKEN_SERVICE_HOST,
    port: settings.TOKEN_SERVICE_PORT,
    adminHost: settings.ADMIN_HOST,
    adminPort: settings.TOKEN_SERVICE_ADMIN_PORT,
    redis: settings.REDIS_URL,
    redisTimeoutMs: settings.REDIS_TIMEOUT_MS,
    replicaTimeoutMs: settings.REPLICA_TIMEOUT_MS,
    durability: settings.DURABILITY,
    durabilityCheckMs: settings.DURABILITY_CHECK_MS,
    keyringDir: settings.KEYRING_DIR || join(settings.DATA_DIR, "keyring"),
    keysReloadMs: settings.KEYS_RELOAD_MS,
    strictTokenData: settings.TOKEN_DATA_STRICT,
    futureToleranceS: settings.EVENT_TIME_TOLERANCE_S,
    eventsMaxLen: settings.EVENTS_MAX_LEN,
    stopGraceMs: settings.STOP_GRACE_MS,
    logLevel: settings.LOG_LEVEL,
  };
}
