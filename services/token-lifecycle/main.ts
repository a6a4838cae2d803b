// Starts the token service: wires settings, keys, Redis, the state machine and the port.
import { create } from "@bufbuild/protobuf";
import { adminServer } from "../../lib/admin.js";
import { loadFolder } from "../../lib/folder.js";
import { createLog, errorFields } from "../../lib/log.js";
import { listen, type Running, runProgram } from "../../lib/program.js";
import { redacted } from "../../lib/redact.js";
import { RecordActivationRequestSchema } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { readConfig } from "./config.js";
import { createMetrics } from "./metrics.js";
import { createTokenServer } from "./server.js";
import { watchDurability } from "./store/durability.js";
import { connectRedis } from "./store/redis.js";
import { redisTokenStore } from "./store/redis-token-store.js";
import { tokenLifecycleService } from "./token-lifecycle-service.js";
import { createValidation } from "./validation.js";
import { readKeyring } from "./vault/keyring.js";

await runProgram("token service", start);

async function start(): Promise<Running> {
  const config = readConfig(process.env);
  const log = createLog("token-service", config.logLevel);
  const metrics = createMetrics();
  const keyring = loadFolder(
    config.keyringDir,
    config.keysReloadMs,
    () => readKeyring(config.keyringDir),
    (error) => log.error(errorFields(error), "the keyring cannot be read; the one at hand stays in use"),
  );

  const redis = connectRedis(config.redis, config.redisTimeoutMs);
  redis.on("error", (error) => log.debug(errorFields(error), "redis connection"));
  const durability = watchDurability(redis, config.durability, config.durabilityCheckMs, (reasons) => {
    if (reasons.length > 0) log.error({ reasons }, "not serving");
    else log.info({}, "serving: Redis keeps what DURABILITY promises");
    server.health.set(reasons.length === 0);
  });
  const store = redisTokenStore(redis, durability, { ...config, attempts: 16 });

  const service = tokenLifecycleService({
    store,
    keyring: keyring.current,
    now: Date.now,
    futureToleranceS: config.futureToleranceS,
    onActivation(outcome, request, trouble) {
      metrics.activations.inc({ outcome });
      if (trouble)
        log.error({ outcome, deliveryId: request.delivery?.deliveryId, ...errorFields(trouble) }, "activation");
      else log.debug({ outcome, request: redacted(RecordActivationRequestSchema, request) }, "activation");
    },
  });
  const validate = createValidation({
    strictTokenData: config.strictTokenData,
    onMisfit: (field) => metrics.tokenDataMisfits.inc({ field }),
  });
  warmUp(validate);
  const server = createTokenServer(service, validate);

  const admin = adminServer(metrics.registry, () => [...durability.reasons()]);
  const adminAddress = await listen(admin, {
    what: "the token service's admin port",
    host: config.adminHost,
    port: config.adminPort,
    hostSetting: "ADMIN_HOST",
    portSetting: "TOKEN_SERVICE_ADMIN_PORT",
  });
  const address = await listen(server.server, {
    what: "the token service",
    host: config.host,
    port: config.port,
    hostSetting: "TOKEN_SERVICE_HOST",
    portSetting: "TOKEN_SERVICE_PORT",
  });
  log.info({ address, adminAddress, durability: config.durability }, "listening");

  return {
    addresses: { service: address, admin: adminAddress },
    async stop() {
      await server.stop(config.stopGraceMs);
      admin.close();
      admin.closeAllConnections();
      durability.stop();
      keyring.stop();
      redis.disconnect();
      log.info({}, "stopped");
    },
  };
}

/** The first validation of a type compiles its rules, which takes longer than a caller should wait. */
function warmUp(validate: ReturnType<typeof createValidation>): void {
  try {
    validate(RecordActivationRequestSchema, create(RecordActivationRequestSchema, { activation: {}, delivery: {} }));
  } catch {
    // An empty request is refused, by rules that are now compiled.
  }
}
