// Starts the gateway: wires settings, keys, routes, the channel to the token service and the public port.
import { randomUUID } from "node:crypto";
import { createServer, type RequestListener, type ServerOptions } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { adminServer } from "../lib/admin.js";
import { loadFolder } from "../lib/folder.js";
import { createLog, errorFields, type Log } from "../lib/log.js";
import { listen, type Running, runProgram } from "../lib/program.js";
import { readServerTlsFiles, readTlsFiles, type ServerTlsFiles, type TlsFiles } from "../lib/tls-files.js";
import { sampling } from "../lib/trace.js";
import { TokenLifecycleService } from "../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { endpointsOf } from "./alipayplus/endpoints.js";
import { createApp } from "./app.js";
import { type Config, readConfig } from "./config.js";
import { createHints } from "./hints.js";
import { readClients, readClientsAtStart } from "./keys.js";
import { createLimits } from "./limits.js";
import { createMetrics } from "./metrics.js";
import { observing } from "./observe.js";
import { probeService } from "./service-probe.js";
import { createSigner } from "./stages/sign.js";
import { createTokenClient } from "./token-client.js";
import { spansOf, traceOfDelivery } from "./tracing.js";
import { createUndecided } from "./undecided.js";

await runProgram("gateway", start);

async function start(): Promise<Running> {
  const config = readConfig(process.env);
  const log = createLog("gateway", config.logLevel);
  const limits = createLimits(config.limits, (limit) => metrics.shed(limit));
  const signer = createSigner(config.signing, Date.now);
  const undecided = createUndecided({
    horizonMs: config.repeatHorizonMs,
    limit: config.undecidedLimit,
    onOpened: () => metrics.undecidedOpened(),
    onDecided: () => metrics.undecidedDecided(),
    onDropped: () => metrics.undecidedDropped(),
    onExpired({ sinceMs, ...entry }) {
      metrics.undecidedExpired();
      log.warn({ ...entry, since: new Date(sinceMs).toISOString() }, "never decided");
    },
  });
  let isDraining = false;
  const readiness = () => ({ reasons: reasonsAgainstTraffic(), notes: probe.wasReached() ? unreached() : [] });
  const unreached = (): string[] =>
    [...probe.states()].flatMap(([address, isUp]) => (isUp ? [] : [`the token service does not serve at ${address}`]));
  const reasonsAgainstTraffic = (): string[] => [
    ...(isDraining ? ["draining"] : []),
    ...(clients.current().canSign ? [] : ["no key to sign with can be read"]),
    // Later on an outage is answered with U, which is better than a closed door.
    ...(probe.wasReached() ? [] : ["the token service was not reached since the start", ...unreached()]),
  ];
  const metrics = createMetrics({
    inFlight: limits.inFlight,
    signingQueue: signer.waiting,
    undecided: undecided.size,
    isReady: () => reasonsAgainstTraffic().length === 0,
    tokenService: () => probe.states(),
    instances: () => tokenClient.spread.instances,
  });
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
      if (next.troubles.length > 0) metrics.fileTroubles("keys");
      log.info({}, "keys read again");
      return next;
    },
    (error) => {
      metrics.fileTroubles("keys");
      log.error(errorFields(error), "the keys cannot be read; those at hand stay in use");
    },
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
        (error) => {
          metrics.fileTroubles("client_certificates");
          log.error(errorFields(error), "the TLS files cannot be read; those at hand stay in use");
        },
      )
    : undefined;
  const batches = new Map([...endpoints.values()].map(({ method, batch }) => [method, batch]));
  const tokenClient = createTokenClient(
    config.tokenServiceUrls,
    tls?.current(),
    (method) => batches.get(method),
    (address) => log.warn({ address }, "put aside: it says that it serves, and does not answer its calls"),
  );
  const exporter =
    config.otlp &&
    (await import("../lib/otlp.js")).createSpanExporter({ ...config.otlp, serviceName: "token-gateway" }, log);
  const traceOf = traceOfDelivery(exporter ? sampling(config.sampledRatio) : () => false);
  const app = createApp(
    {
      endpoints,
      clients: clients.current,
      limits,
      checks: config.checks,
      dialect: config.dialect,
      spread: tokenClient.spread,
      deadlineMs: config.deadlineMs,
      signer,
      nowMs: Date.now,
      newDeliveryId: randomUUID,
      traceOf,
      observe: observing({
        ...{ log, metrics, undecided, traceOf },
        onSampled: exporter && ((journey, trace) => spansOf(journey, trace).forEach(exporter.add)),
      }),
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
  const door = publicDoor(options, handler, config, log, () => metrics.fileTroubles("public_certificates"));
  const { server } = door;
  // Node would answer an expectation that it does not know with a bare 417.
  server.on("checkExpectation", handler);
  server.maxConnections = config.maxConnections;
  server.on("drop", () => metrics.shed("connections"));
  // For a sender that reads no answer; longer than any request takes.
  server.timeout = 20_000;
  const probe = await probeService(
    config.tokenServiceUrls,
    () => tls?.current(),
    config.probeMs,
    (address, isServing, isNews) => {
      tokenClient.spread.probed(address, isServing);
      if (!isNews) return;
      if (isServing) log.info({ address, serving: true }, "token service");
      else log.warn({ address, serving: false }, "token service");
    },
  );
  const sweep = setInterval(() => undecided.sweep(Date.now()), Math.min(config.repeatHorizonMs / 4, 60_000));
  sweep.unref();
  const admin = adminServer(metrics.registry, readiness);
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
    drain: {
      ms: config.drainMs,
      begin() {
        isDraining = true;
        // Those who keep their connections would never meet another gateway.
        server.prependListener("request", (_request, response) => response.setHeader("Connection", "close"));
        log.info({ ms: config.drainMs }, "draining");
      },
    },
    async stop() {
      isDraining = true;
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
      probe.stop();
      clearInterval(sweep);
      await exporter?.stop();
      if (undecided.size() > 0) log.warn({ count: undecided.size() }, "undecided notifications are forgotten");
      log.info({}, "stopped");
    },
  };
}

/** HTTP behind a proxy that ends TLS, or HTTPS of our own when there are certificate files. */
function publicDoor(options: ServerOptions, handler: RequestListener, config: Config, log: Log, onTrouble: () => void) {
  const folder = config.gatewayTlsDir;
  if (folder === undefined) return { server: createServer(options, handler), stop: () => {} };
  const files = loadFolder(
    folder,
    config.keysReloadMs,
    (previous: ServerTlsFiles | undefined) => {
      const next = readServerTlsFiles(folder);
      // Without its ca.crt the server would take a certificate of any public authority for a client's.
      if (previous && (previous.ca === undefined) !== (next.ca === undefined)) {
        onTrouble();
        log.error({ trouble: "ca.crt came or went: start the gateway again to use it" }, "certificates");
        return previous;
      }
      if (previous) server.setSecureContext(next);
      return next;
    },
    (error) => {
      onTrouble();
      log.error(errorFields(error), "the certificate files cannot be read; those at hand stay in use");
    },
  );
  const handshake = { minVersion: "TLSv1.2", handshakeTimeout: 10_000 } as const;
  const { ca, ...own } = files.current();
  const clients = ca ? { ca, requestCert: true, rejectUnauthorized: true } : {};
  const server = createHttpsServer({ ...options, ...handshake, ...own, ...clients }, handler);
  return { server, stop: files.stop };
}
