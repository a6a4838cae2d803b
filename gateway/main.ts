// Starts the gateway: wires settings, keys, routes, the channel to the token service and the public port.
import { randomUUID } from "node:crypto";
import { createServer, type RequestListener, type ServerOptions } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { adminServer } from "../lib/admin.js";
import { loadFolder } from "../lib/folder.js";
import { createLog, errorFields, type Log } from "../lib/log.js";
import { listen, type Running, runProgram } from "../lib/program.js";
import { readServerTlsFiles, readTlsFiles, type ServerTlsFiles, type TlsFiles } from "../lib/tls-files.js";
import { TokenLifecycleService } from "../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { endpointsOf } from "./alipayplus/endpoints.js";
import { createApp } from "./app.js";
import { type Config, readConfig } from "./config.js";
import { createHints } from "./hints.js";
import { readClients, readClientsAtStart } from "./keys.js";
import { createLimits } from "./limits.js";
import { createMetrics, type Metrics } from "./metrics.js";
import type { Journey } from "./pipeline.js";
import { createSigner } from "./stages/sign.js";
import { createTokenClient } from "./token-client.js";

await runProgram("gateway", start);

async function start(): Promise<Running> {
  const config = readConfig(process.env);
  const log = createLog("gateway", config.logLevel);
  const metrics = createMetrics();
  const endpoints = endpointsOf([TokenLifecycleService], config.paths);
  const clients = loadFolder(
    config.keys.folder,
    config.keysReloadMs,
    (previous: ReturnType<typeof readClients> | undefined) => {
      if (previous === undefined) return readClientsAtStart(config.keys);
      const next = readClients(config.keys, previous);
      // A folder that is being filled anew would turn every client away.
      if (next.isEmpty) throw new Error("no client is left");
      for (const trouble of next.troubles) log.error({ trouble }, "keys");
      log.info({}, "keys read again");
      return next;
    },
    (error) => log.error(errorFields(error), "the keys cannot be read; those at hand stay in use"),
  );
  const { tlsDir } = config;
  const tls = tlsDir
    ? loadFolder(
        tlsDir,
        config.keysReloadMs,
        (previous: TlsFiles | undefined) => {
          const files = readTlsFiles(tlsDir);
          if (previous) tokenClient.renew(files);
          return files;
        },
        (error) => log.error(errorFields(error), "the TLS files cannot be read; those at hand stay in use"),
      )
    : undefined;
  const batches = new Map([...endpoints.values()].map(({ method, batch }) => [method, batch]));
  const tokenClient = createTokenClient(config.tokenServiceUrls, tls?.current(), (method) => batches.get(method));
  const app = createApp(
    {
      endpoints,
      clients: clients.current,
      limits: createLimits(config.limits),
      checks: config.checks,
      dialect: config.dialect,
      newTurn: tokenClient.newTurn,
      deadlineMs: config.deadlineMs,
      signer: createSigner(config.signing, Date.now),
      nowMs: Date.now,
      newDeliveryId: randomUUID,
      observe: (journey) => observe(journey, log, metrics),
      ...(config.doctorHints && {
        hintFor: createHints(() => clients.current().byFile, [...endpoints.keys()], Date.now),
      }),
    },
    config.bodyLimitBytes,
  );

  // Longer than the idle time of usual load balancers, or they meet closed connections.
  const timeouts = { headersTimeout: 10_000, requestTimeout: 15_000, keepAliveTimeout: 65_000 };
  // Otherwise Node looks for those that are late only twice a minute.
  const lookEvery = { connectionsCheckingInterval: 1_000 };
  const options = { ...timeouts, ...lookEvery, maxHeaderSize: 16 * 1024, joinDuplicateHeaders: true };
  const handler = app.callback();
  const door = publicDoor(options, handler, config, log);
  const { server } = door;
  // Node would answer an expectation that it does not know with a bare 417.
  server.on("checkExpectation", handler);
  server.maxConnections = config.maxConnections;
  // For a sender that reads no answer; longer than any request takes.
  server.timeout = 20_000;
  const admin = adminServer(metrics.registry, () => []);
  const adminAddress = await listen(admin, {
    what: "the gateway's admin port",
    host: config.adminHost,
    port: config.adminPort,
    hostSetting: "ADMIN_HOST",
    portSetting: "ADMIN_PORT",
  });
  const address = await listen(server, {
    what: "the gateway",
    host: config.host,
    port: config.port,
    hostSetting: "GATEWAY_HOST",
    portSetting: "GATEWAY_PORT",
  });
  log.info({ address, adminAddress, paths: [...endpoints.keys()] }, "listening");

  return {
    addresses: { gateway: address, admin: adminAddress },
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      const grace = setTimeout(() => server.closeAllConnections(), config.stopGraceMs);
      await closed;
      clearTimeout(grace);
      admin.close();
      admin.closeAllConnections();
      tokenClient.close();
      clients.stop();
      tls?.stop();
      door.stop();
      log.info({}, "stopped");
    },
  };
}

/** HTTP behind a proxy that ends TLS, or HTTPS of our own when there are certificate files. */
function publicDoor(options: ServerOptions, handler: RequestListener, config: Config, log: Log) {
  const folder = config.gatewayTlsDir;
  if (folder === undefined) return { server: createServer(options, handler), stop: () => {} };
  const files = loadFolder(
    folder,
    config.keysReloadMs,
    (previous: ServerTlsFiles | undefined) => {
      const next = readServerTlsFiles(folder);
      // Without its ca.crt the server would take a certificate of any public authority for a client's.
      if (previous && (previous.ca === undefined) !== (next.ca === undefined)) {
        log.error({ trouble: "ca.crt came or went: start the gateway again to use it" }, "certificates");
        return previous;
      }
      if (previous) server.setSecureContext(next);
      return next;
    },
    (error) => log.error(errorFields(error), "the certificate files cannot be read; those at hand stay in use"),
  );
  const handshake = { minVersion: "TLSv1.2", handshakeTimeout: 10_000 } as const;
  const { ca, ...own } = files.current();
  const clients = ca ? { ca, requestCert: true, rejectUnauthorized: true } : {};
  const server = createHttpsServer({ ...options, ...handshake, ...own, ...clients }, handler);
  return { server, stop: files.stop };
}

function observe(journey: Journey, log: Log, metrics: Metrics): void {
  const { deliveryId, startedMs, api = "", clientId = "", result, trouble, isSigned } = journey;
  const ms = Date.now() - startedMs;
  metrics.answers.inc({ api, client_id: clientId, result_code: result?.resultCode ?? "" });
  metrics.duration.observe({ api }, ms / 1000);
  if (!isSigned) metrics.unsigned.inc();
  if (journey.ignoredMembers) metrics.ignoredMembers.inc({ api }, journey.ignoredMembers);
  const fields = {
    deliveryId,
    ...(clientId && { clientId }),
    ...(api && { api }),
    resultCode: result?.resultCode,
    ...(result?.resultStatus === "F" && { resultMessage: result.resultMessage }),
    ms,
    ...(journey.hint !== undefined && { hint: journey.hint }),
    ...(trouble !== undefined && errorFields(trouble)),
    ...(journey.alert && { alert: true }),
  };
  if (trouble !== undefined) log.error(fields, "answer");
  // Nobody sends this notification again, so somebody should know.
  else if (clientId && result?.resultStatus === "F") log.warn(fields, "answer");
  else log.info(fields, "answer");
}
