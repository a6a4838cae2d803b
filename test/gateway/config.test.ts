import { availableParallelism } from "node:os";
import { expect } from "chai";
import { readConfig } from "../../gateway/config.js";
import { StartError } from "../../lib/program.js";

const complaintOf = (env: NodeJS.ProcessEnv): string => {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof StartError) return error.message;
    throw error;
  }
  return "none";
};

describe("the gateway's settings", () => {
  it("are strict and local when none is set", () => {
    expect(readConfig({})).to.deep.equal({
      host: "127.0.0.1",
      port: 8080,
      adminHost: "127.0.0.1",
      adminPort: 9464,
      paths: { prefix: "/aps/api/v1", byApi: new Map() },
      keys: { folder: ".data/keys", defaultClientId: undefined, ownKeyVersion: undefined },
      keysReloadMs: 2_000,
      tokenServiceUrls: ["http://127.0.0.1:50051"],
      deadlineMs: 2_500,
      tlsDir: undefined,
      gatewayTlsDir: undefined,
      maxConnections: 5_000,
      checks: { maxAgeMs: 93_600_000, maxAheadMs: 300_000, withQuery: false },
      dialect: { lenientEnums: new Set(), conflictCode: "PROCESS_FAIL", signsUnverified: true },
      limits: { maxInFlight: 1_024, clientMaxInFlight: 768, clientRatePerSecond: 10_000 },
      signing: { memoSize: 1_024, atOnce: availableParallelism(), mostWaiting: 256, refusalsPerSecond: 100 },
      probeMs: 1_000,
      repeatHorizonMs: 86_400_000,
      undecidedLimit: 100_000,
      otlp: undefined,
      sampledRatio: 1,
      drainMs: 0,
      doctorHints: false,
      stopGraceMs: 2_800,
      logLevel: "info",
      bodyLimitBytes: 65_536,
    });
  });

  it("count as not set when they are empty", () => {
    expect(readConfig({ GATEWAY_PORT: "", DEFAULT_CLIENT_ID: "", KEYS_DIR: "" })).to.deep.equal(readConfig({}));
  });

  it("look for keys below DATA_DIR, unless KEYS_DIR says otherwise", () => {
    expect(readConfig({ DATA_DIR: "/var/gateway" }).keys.folder).to.equal("/var/gateway/keys");
    expect(readConfig({ DATA_DIR: "/var/gateway", KEYS_DIR: "/etc/keys" }).keys.folder).to.equal("/etc/keys");
  });

  const pathsOf = (text: string) => [...readConfig({ ALIPAYPLUS_PATHS: text }).paths.byApi];
  const read: { name: string; value: unknown; expected: unknown }[] = [
    { name: "a path for an API", value: pathsOf("a=/x"), expected: [["a", "/x"]] },
    {
      name: "paths for several, with spaces",
      value: pathsOf(" a=/x , b=/y/z=1 "),
      expected: [
        ["a", "/x"],
        ["b", "/y/z=1"],
      ],
    },
    { name: "a prefix", value: readConfig({ ALIPAYPLUS_PATH_PREFIX: "/v2" }).paths.prefix, expected: "/v2" },
    {
      name: "a prefix with a slash",
      value: readConfig({ ALIPAYPLUS_PATH_PREFIX: "/v2/" }).paths.prefix,
      expected: "/v2",
    },
    { name: "no prefix at all", value: readConfig({ ALIPAYPLUS_PATH_PREFIX: "/" }).paths.prefix, expected: "" },
    {
      name: "several token services",
      value: readConfig({ TOKEN_SERVICE_URL: "http://a:1/, http://b:2" }).tokenServiceUrls,
      expected: ["http://a:1", "http://b:2"],
    },
    {
      name: "token services over TLS",
      value: readConfig({ TOKEN_SERVICE_URL: "https://a:1", TOKEN_CLIENT_TLS_DIR: "tls" }).tlsDir,
      expected: "tls",
    },
    { name: "the version 0", value: readConfig({ OWN_KEY_VERSION: "0" }).keys.ownKeyVersion, expected: 0 },
    {
      name: "seconds as milliseconds",
      value: readConfig({ REQUEST_MAX_AGE_S: "60", REQUEST_MAX_AHEAD_S: "5" }).checks,
      expected: { maxAgeMs: 60_000, maxAheadMs: 5_000, withQuery: false },
    },
  ];
  for (const { name, value, expected } of read)
    it(`read ${name}`, () => {
      expect(value).to.deep.equal(expected);
    });

  const refused = [
    { setting: "GATEWAY_PORT", values: ["80a80", "-1", "65536", "8080.5", " "] },
    { setting: "ADMIN_PORT", values: ["x", "65536"] },
    { setting: "ALIPAYPLUS_PATH_PREFIX", values: ["aps", "/aps?x=1", "/aps#x", "/a b", "http://x/y"] },
    {
      setting: "ALIPAYPLUS_PATHS",
      values: ["a", "a=", "a=x", "=/x", "a=/x,", "a=/x?y", "1a=/x", "a b=/x", "a=/x,a=/y"],
    },
    { setting: "DEFAULT_CLIENT_ID", values: ["a b", "../x", "x".repeat(65), "ü"] },
    {
      setting: "TOKEN_SERVICE_URL",
      values: ["localhost:50051", "ftp://x", "http://", "http://a,,http://b", "redis://x"],
    },
    { setting: "KEYS_RELOAD_MS", values: ["0", "49", "3600001"] },
    { setting: "RPC_DEADLINE_MS", values: ["0", "99", "4501", "2s"] },
    // Nothing switches a check off.
    { setting: "REQUEST_MAX_AGE_S", values: ["0", "-1", "Infinity", "off"] },
    { setting: "REQUEST_MAX_AHEAD_S", values: ["0", "-1"] },
    { setting: "REFUSAL_SIGNATURES_PER_S", values: ["0", "-1"] },
    { setting: "STOP_GRACE_MS", values: ["3001"] },
    { setting: "DRAIN_MS", values: ["120001"] },
    { setting: "REPEAT_HORIZON_S", values: ["0"] },
    { setting: "TOKEN_SERVICE_PROBE_MS", values: ["99"] },
    { setting: "OTEL_EXPORTER_OTLP_ENDPOINT", values: ["collector:4318", "http://a,http://b"] },
    { setting: "OTEL_EXPORTER_OTLP_HEADERS", values: ["key", "key=%"] },
    { setting: "OTEL_TRACES_SAMPLER_ARG", values: ["1.1", "all"] },
    { setting: "OWN_KEY_VERSION", values: ["v1", "1000000000"] },
    { setting: "LOG_LEVEL", values: ["verbose", "INFO"] },
  ];
  for (const { setting, values } of refused)
    for (const value of values)
      it(`refuse ${setting}=${JSON.stringify(value.slice(0, 30))} and name it`, () => {
        expect(complaintOf({ [setting]: value })).to.match(new RegExp(`^wrong settings: ${setting} must .*README`));
      });

  it("tell all that is wrong at once", () => {
    const complaint = complaintOf({ GATEWAY_PORT: "x", LOG_LEVEL: "y", RPC_DEADLINE_MS: "z" });
    for (const setting of ["GATEWAY_PORT", "LOG_LEVEL", "RPC_DEADLINE_MS"]) expect(complaint).to.include(setting);
  });
});
