// The settings of the gateway. The only file here that knows their names.
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { flag, headerPairs, httpUrl, httpUrls, oneOf, port, ratio, readEnv, text, wholeNumber } from "../lib/env.js";
import { logLevels } from "../lib/log.js";
import { StartError } from "../lib/program.js";

export type Config = ReturnType<typeof readConfig>;

export function readConfig(env: NodeJS.ProcessEnv) {
  const settings = readEnv(env, {
    GATEWAY_HOST: { parse: text, fallback: "127.0.0.1" },
    GATEWAY_PORT: { parse: port, fallback: 8080 },
    ADMIN_HOST: { parse: text, fallback: "127.0.0.1" },
    ADMIN_PORT: { parse: port, fallback: 9464 },
    ALIPAYPLUS_PATH_PREFIX: { parse: pathPrefix, fallback: "/aps/api/v1" },
    ALIPAYPLUS_PATHS: { parse: pathsByApi, fallback: new Map<string, string>() },
    DATA_DIR: { parse: text, fallback: ".data" },
    KEYS_DIR: { parse: text, fallback: "" },
    KEYS_RELOAD_MS: { parse: wholeNumber(50, 3_600_000), fallback: 2_000 },
    OWN_KEY_VERSION: { parse: wholeNumber(0, 999_999_999), fallback: undefined },
    DEFAULT_CLIENT_ID: { parse: clientId, fallback: undefined },
    TOKEN_SERVICE_URL: { parse: httpUrls, fallback: ["http://127.0.0.1:50051"] },
    TOKEN_CLIENT_TLS_DIR: { parse: text, fallback: "" },
    RPC_DEADLINE_MS: { parse: wholeNumber(100, 4_500), fallback: 2_500 },
    REQUEST_MAX_AGE_S: { parse: wholeNumber(1, 1_000_000_000), fallback: 93_600 },
    REQUEST_MAX_AHEAD_S: { parse: wholeNumber(1, 1_000_000_000), fallback: 300 },
    SIGNED_URI: { parse: oneOf("path", "path-or-query"), fallback: "path" as const },
    LENIENT_ENUMS: { parse: jsonNames, fallback: new Set<string>() },
    CONFLICT_RESULT_CODE: {
      parse: oneOf("PROCESS_FAIL", "REPEAT_REQ_INCONSISTENT"),
      fallback: "PROCESS_FAIL" as const,
    },
    SIGN_UNVERIFIED: { parse: flag, fallback: true },
    GATEWAY_TLS_DIR: { parse: text, fallback: "" },
    GATEWAY_MAX_CONNECTIONS: { parse: wholeNumber(1, 1_000_000), fallback: 5_000 },
    MAX_IN_FLIGHT: { parse: wholeNumber(1, 1_000_000), fallback: 1_024 },
    CLIENT_MAX_IN_FLIGHT: { parse: wholeNumber(1, 1_000_000), fallback: 768 },
    CLIENT_RATE_PER_S: { parse: wholeNumber(1, 1_000_000), fallback: 10_000 },
    SIGNATURE_MEMO_SIZE: { parse: wholeNumber(0, 100_000), fallback: 1_024 },
    SIGNATURES_WAITING: { parse: wholeNumber(1, 100_000), fallback: 256 },
    REFUSAL_SIGNATURES_PER_S: { parse: wholeNumber(1, 1_000_000), fallback: 100 },
    TOKEN_SERVICE_PROBE_MS: { parse: wholeNumber(100, 60_000), fallback: 1_000 },
    REPEAT_HORIZON_S: { parse: wholeNumber(1, 1_000_000), fallback: 86_400 },
    OTEL_EXPORTER_OTLP_ENDPOINT: { parse: httpUrl, fallback: undefined },
    OTEL_EXPORTER_OTLP_HEADERS: { parse: headerPairs, fallback: {} as Record<string, string> },
    OTEL_TRACES_SAMPLER_ARG: { parse: ratio, fallback: 1 },
    DRAIN_MS: { parse: wholeNumber(0, 120_000), fallback: 0 },
    DOCTOR_HINTS: { parse: flag, fallback: false },
    STOP_GRACE_MS: { parse: wholeNumber(0, 3_000), fallback: 2_800 },
    LOG_LEVEL: { parse: oneOf(...logLevels), fallback: "info" as const },
  });
  const withTls = settings.TOKEN_CLIENT_TLS_DIR !== "";
  if (!settings.TOKEN_SERVICE_URL.every((url) => url.startsWith("https:") === withTls))
    throw new StartError("wrong settings: TOKEN_SERVICE_URL with https:// and TOKEN_CLIENT_TLS_DIR go together.");
  return {
    host: settings.GATEWAY_HOST,
    port: settings.GATEWAY_PORT,
    adminHost: settings.ADMIN_HOST,
    adminPort: settings.ADMIN_PORT,
    paths: { prefix: settings.ALIPAYPLUS_PATH_PREFIX, byApi: settings.ALIPAYPLUS_PATHS },
    keys: {
      folder: settings.KEYS_DIR || join(settings.DATA_DIR, "keys"),
      defaultClientId: settings.DEFAULT_CLIENT_ID,
      ownKeyVersion: settings.OWN_KEY_VERSION,
    },
    keysReloadMs: settings.KEYS_RELOAD_MS,
    tokenServiceUrls: settings.TOKEN_SERVICE_URL,
    tlsDir: settings.TOKEN_CLIENT_TLS_DIR || undefined,
    deadlineMs: settings.RPC_DEADLINE_MS,
    gatewayTlsDir: settings.GATEWAY_TLS_DIR || undefined,
    maxConnections: settings.GATEWAY_MAX_CONNECTIONS,
    checks: {
      maxAgeMs: settings.REQUEST_MAX_AGE_S * 1000,
      maxAheadMs: settings.REQUEST_MAX_AHEAD_S * 1000,
      withQuery: settings.SIGNED_URI === "path-or-query",
    },
    dialect: {
      lenientEnums: settings.LENIENT_ENUMS,
      conflictCode: settings.CONFLICT_RESULT_CODE,
      signsUnverified: settings.SIGN_UNVERIFIED,
    },
    limits: {
      maxInFlight: settings.MAX_IN_FLIGHT,
      clientMaxInFlight: settings.CLIENT_MAX_IN_FLIGHT,
      clientRatePerSecond: settings.CLIENT_RATE_PER_S,
    },
    signing: {
      memoSize: settings.SIGNATURE_MEMO_SIZE,
      // A private-key operation keeps a core busy for most of a millisecond; more at once only slow each other down.
      atOnce: availableParallelism(),
      mostWaiting: settings.SIGNATURES_WAITING,
      refusalsPerSecond: settings.REFUSAL_SIGNATURES_PER_S,
    },
    probeMs: settings.TOKEN_SERVICE_PROBE_MS,
    repeatHorizonMs: settings.REPEAT_HORIZON_S * 1000,
    undecidedLimit: 100_000,
    otlp: settings.OTEL_EXPORTER_OTLP_ENDPOINT
      ? { endpoint: settings.OTEL_EXPORTER_OTLP_ENDPOINT, headers: settings.OTEL_EXPORTER_OTLP_HEADERS }
      : undefined,
    sampledRatio: settings.OTEL_TRACES_SAMPLER_ARG,
    drainMs: settings.DRAIN_MS,
    doctorHints: settings.DOCTOR_HINTS,
    stopGraceMs: settings.STOP_GRACE_MS,
    logLevel: settings.LOG_LEVEL,
    bodyLimitBytes: 64 * 1024,
  };
}

function pathPrefix(value: string): string {
  if (!/^\/[^?#\s]*$/.test(value)) throw new Error('must start with "/" and hold no query');
  return value.replace(/\/+$/, "");
}

function pathsByApi(value: string): Map<string, string> {
  const pairs = value.split(",").map((pair): [string, string] => {
    const match = /^\s*([A-Za-z][A-Za-z0-9]*)=(\/[^?#\s]*)\s*$/.exec(pair);
    if (!match?.[1] || !match[2]) throw new Error("must be api=/path pairs, separated by commas");
    return [match[1], match[2]];
  });
  const byApi = new Map(pairs);
  if (byApi.size < pairs.length) throw new Error("must name each API once");
  return byApi;
}

function jsonNames(value: string): Set<string> {
  const names = value.split(",").map((name) => name.trim());
  if (!names.every((name) => /^[A-Za-z0-9_.[\]]+$/.test(name)))
    throw new Error("must be JSON names, separated by commas");
  return new Set(names);
}

function clientId(value: string): string {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(value)) throw new Error("must be 1 to 64 characters of A-Z a-z 0-9 _ -");
  return value;
}
