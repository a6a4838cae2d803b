// Starts the token service: wires settings, keys, Redis, the state machine and the port.

import { dirname } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Cluster } from "ioredis";
import { adminServer } from "../../lib/admin.js";
import { every } from "../../lib/every.js";
import { loadFolder } from "../../lib/folder.js";
import { createLog, errorFields } from "../../lib/log.js";
import { listen, type Running, runProgram } from "../../lib/program.js";
import { redacted } from "../../lib/redact.js";
import { readTlsFiles, type TlsFiles } from "../../lib/tls-files.js";
import { RecordActivationRequestSchema } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import type { Audit } from "./access/caller.js";
import { allSuspenders, readPolicy } from "./access/policy.js";
import { readConfig } from "./config.js";
import { createConsole, originsOf } from "./console/console.js";
import { createMetrics } from "./metrics.js";
import { eraseDue } from "./retention.js";
import { createTokenServer } from "./server.js";
import { watchClusterDurability } from "./store/cluster-durability.js";
import { durabilityWord, type OnDurabilityChange, watchDurability } from "./store/durability.js";
import { createEventFeed, headsOf, trimEvents } from "./store/event-feed.js";
import { connectRedis } from "./store/redis.js";
import { redisTokenStore } from "./store/redis-token-store.js";
import { tokenLifecycleService } from "./token-lifecycle-service.js";
import { createValidation } from "./validation.js";
import { openKeySource } from "./vault/key-source.js";
import { loadKeyring } from "./vault/keyring.js";

/** Time that Redis gets to prove itself before callers are let in to be told to come again, in milliseconds. */
const provingMs = 1_000;

await runProgram("token service", start);

async function start(): Promise<Running> {
  const config = readConfig(process.env);
  const log = createLog("token-service", config.logLevel);
  let isDraining = false;
  let weaknesses: readonly string[] = [];
  const metrics = createMetrics({
    watchers: () => feed.watchers(),
    isReady: () => server.health.serving(),
    durability: durabilityWord(config.durability),
    // What holds up a part of the tokens is a broken promise too.
    isDurable: () => durability.reasons().length === 0 && weaknesses.length === 0,
    redisMemory: () => durability.memory(),
  });
  const keyring = await loadKeyring(
    await openKeySource(config.keyringSource, config.keyringDir),
    config.keysReloadMs,
    ({ newest }) => log.info({ newest: newest.version }, "keyring read again"),
    (error) => {
      metrics.fileTroubles("keyring");
      log.error(errorFields(error), "the keyring cannot be read; the one at hand stays in use");
    },
  );

  const exporter =
    config.otlp &&
    (await import("../../lib/otlp.js")).createSpanExporter({ ...config.otlp, serviceName: "token-service" }, log);
  const tracing = exporter && (await import("../../lib/rpc/tracing.js")).createCallTracing(exporter);

  const redis = connectRedis(config.redis, config.redisTimeoutMs);
  redis.on("error", (error) => log.debug(errorFields(error), "redis connection"));
  const onChange: OnDurabilityChange = (reasons, inPart) => {
    if (reasons.length > 0) log.error({ reasons }, "not serving");
    else if (inPart.length > 0) log.error({ reasons: inPart }, "serving in part");
    else log.info({}, "serving: Redis keeps what DURABILITY promises");
    weaknesses = inPart;
    server.health.set(reasons.length === 0 && !isDraining);
  };
  const durability =
    redis instanceof Cluster
      ? watchClusterDurability(redis, config.durability, config.durabilityCheckMs, onChange)
      : watchDurability(redis, config.durability, config.durabilityCheckMs, onChange);
  const onWait = (seconds: number, operation: string): void => {
    metrics.redis(seconds, operation);
    tracing?.waited(`redis ${operation}`, seconds);
  };
  const store = redisTokenStore(redis, durability, {
    ...config,
    attempts: 16,
    onWait,
    onRoundTrip: metrics.redisRoundTrips,
  });
  // Watching blocks a connection, so it gets its own; those far behind get another.
  const [head, reader] = [
    connectRedis(config.redis, config.redisTimeoutMs),
    connectRedis(config.redis, config.redisTimeoutMs),
  ];
  for (const connection of [head, reader])
    connection.on("error", (error) => log.debug(errorFields(error), "redis connection for events"));
  const feed = createEventFeed(headsOf(head), reader, config.watch);

  // Nothing held back: an act is on the record before it is answered.
  const auditLog = createLog("audit", "info", 0);
  const audit: Audit = (what) => {
    if (what.outcome === "denied") metrics.denied(what.call);
    auditLog.info(what, "audit");
  };
  const housekeeping = every(
    config.retention.everyMs,
    async () => {
      await eraseDue(store, config.retention, audit, Date.now());
      if (config.eventsMaxAgeMs > 0) await trimEvents(reader, Date.now() - config.eventsMaxAgeMs);
    },
    (error) => log.warn(errorFields(error), "housekeeping"),
  );

  const validate = createValidation({
    strictTokenData: config.strictTokenData,
    onMisfit: (field) => metrics.tokenDataMisfits(field),
  });
  const service = tokenLifecycleService({
    validate,
    store,
    feed,
    keyring: keyring.current,
    now: Date.now,
    futureToleranceS: config.futureToleranceS,
    onActivation(outcome, request, trouble) {
      metrics.activations(outcome);
      if (trouble)
        log.error({ outcome, deliveryId: request.delivery?.deliveryId, ...errorFields(trouble) }, "activation");
      else if (config.logLevel === "debug")
        log.debug({ outcome, request: redacted(RecordActivationRequestSchema, request) }, "activation");
    },
    audit,
    traced: tracing?.traced,
  });
  warmUp(validate);

  const { tlsDir, policyFile } = config;
  const onUnreadable = (files: "policy" | "certificates") => (error: unknown) => {
    metrics.fileTroubles(files);
    log.error({ files, ...errorFields(error) }, "files cannot be read; those at hand stay in use");
  };
  const policy = tlsDir
    ? loadFolder(dirname(policyFile), config.keysReloadMs, () => readPolicy(policyFile), onUnreadable("policy"))
    : undefined;
  const tls = tlsDir
    ? loadFolder(
        tlsDir,
        config.keysReloadMs,
        (previous: TlsFiles | undefined) => {
          const files = readTlsFiles(tlsDir);
          if (previous) server.door.renew(files);
          return files;
        },
        onUnreadable("certificates"),
      )
    : undefined;
  const server = createTokenServer({
    service,
    validate,
    audit,
    tls: tls?.current(),
    policy: () => policy?.current(),
    local: { name: "local", rights: config.loopbackRights, suspenders: allSuspenders },
    pageOrigins: () => pageOrigins,
    defaultDeadlineMs: config.defaultDeadlineMs,
    tracing: tracing?.interceptor,
    onCall(method, code, seconds) {
      metrics.calls(method, code);
      if (seconds !== undefined) metrics.callDuration(seconds, method);
      if (code === "resource_exhausted") log.warn({ method, code }, "call");
    },
  });

  await untilDurable(durability.reasons);
  let ports = { admin: config.adminPort, service: config.port };
  let pageOrigins: ReadonlySet<string> = new Set(config.console.origins);
  const pages = createConsole({
    ...config.console,
    origins: config.console.origins ?? [],
    withTls: tls !== undefined,
    servicePort: () => ports.service,
    adminPort: () => ports.admin,
    reasons: durability.reasons,
    metrics: () => metrics.registry.metrics(),
  });
  const admin = adminServer(
    metrics.registry,
    () => ({ reasons: [...(isDraining ? ["draining"] : []), ...durability.reasons()] }),
    pages,
  );
  const adminAddress = await listen(admin, {
    what: "the token service's admin port",
    host: config.adminHost,
    port: config.adminPort,
    hostSetting: "ADMIN_HOST",
    portSetting: "TOKEN_SERVICE_ADMIN_PORT",
  });
  const address = await listen(server.door.server, {
    what: "the token service",
    host: config.host,
    port: config.port,
    hostSetting: "TOKEN_SERVICE_HOST",
    portSetting: "TOKEN_SERVICE_PORT",
  });
  ports = { admin: portOf(adminAddress), service: portOf(address) };
  if (!config.console.origins && config.console.onThisMachineAlone) pageOrigins = new Set(originsOf(ports.admin));
  log.info({ address, adminAddress, durability: config.durability }, "listening");

  return {
    addresses: { service: address, admin: adminAddress },
    drain: {
      ms: config.drainMs,
      begin() {
        isDraining = true;
        server.health.set(false);
        log.info({ ms: config.drainMs }, "draining");
      },
    },
    async stop() {
      isDraining = true;
      feed.stop();
      housekeeping.stop();
      await server.stop(config.stopGraceMs);
      await store.settle();
      await exporter?.stop();
      admin.close();
      admin.closeAllConnections();
      durability.stop();
      keyring.stop();
      for (const loaded of [policy, tls]) loaded?.stop();
      for (const connection of [redis, head, reader]) connection.disconnect();
      log.info({}, "stopped");
    },
  };
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}

async function untilDurable(reasons: () => readonly string[]): Promise<void> {
  for (const end = Date.now() + provingMs; reasons().length > 0 && Date.now() < end; )
    await new Promise((resolve) => setTimeout(resolve, 5));
}

/** The first validation of a type compiles its rules, which takes longer than a caller should wait. */
function warmUp(validate: ReturnType<typeof createValidation>): void {
  try {
    validate(RecordActivationRequestSchema, create(RecordActivationRequestSchema, { activation: {}, delivery: {} }));
  } catch {
    // An empty request is refused, by rules that are now compiled.
  }
}
