// The service's port: which rpcs it answers, and what stands before them: who is calling, until when, and is it legal?
import { setMaxListeners } from "node:events";
import type { Socket } from "node:net";
import { createRegistry } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { answering } from "../../lib/rpc/answering.js";
import { limitingTime, longestTimerMs } from "../../lib/rpc/deadline.js";
import { type Direct, type DirectOptions, directUnary } from "../../lib/rpc/direct-unary.js";
import { createDoor, type Door } from "../../lib/rpc/door.js";
import { createHealth, type HealthState } from "../../lib/rpc/health.js";
import { measuring, type OnCall } from "../../lib/rpc/measure.js";
import { isFromABrowser, limitingPages } from "../../lib/rpc/pages.js";
import { quietJson } from "../../lib/rpc/quiet-json.js";
import { addReflection } from "../../lib/rpc/reflection.js";
import { directStream, streamedByHandler } from "../../lib/rpc/streamed-calls.js";
import type { TlsFiles } from "../../lib/tls-files.js";
import { file_google_rpc_error_details } from "../../proto/gen/google/rpc/error_details_pb.js";
import { Health } from "../../proto/gen/grpc/health/v1/health_pb.js";
import { TokenLifecycleService } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { type Audit, authorizing, contextOf, identityOf, pathsNeeding } from "./access/caller.js";
import type { Caller, Policy } from "./access/policy.js";
import { streamOfBatches } from "./rpcs/stream-record-activations.js";
import type { TokenRpcs } from "./token-lifecycle-service.js";
import { droppingUnknownFields } from "./unknown-fields.js";
import { type Validate, validating } from "./validation.js";

export type TokenServer = {
  readonly door: Door;
  readonly health: HealthState;
  /** Takes no new connection, lets calls in flight finish for `graceMs`, then ends them as UNAVAILABLE. */
  readonly stop: (graceMs: number) => Promise<void>;
};

export type ServerOptions = {
  readonly service: TokenRpcs;
  readonly validate: Validate;
  readonly audit: Audit;
  /** Certificate files for TLS; without them the port is plain. */
  readonly tls: TlsFiles | undefined;
  /** Rights by certificate name; without TLS there is none, and everyone is `local`. */
  readonly policy: () => Policy | undefined;
  readonly local: Caller;
  /** Origins of web pages that may read and watch; other pages may nothing. */
  readonly pageOrigins: () => ReadonlySet<string>;
  /** How long a call without a deadline may take. */
  readonly defaultDeadlineMs: number;
  /** Hears of every call of the token service. */
  readonly onCall: OnCall;
  /** Tells of calls to whoever gathers traces. */
  readonly tracing: Interceptor | undefined;
};

/** Largest request message, in bytes: four times what the gateway lets in. */
const readMaxBytes = 256 * 1024;
/** How long a call may take, whatever deadline the caller sets. */
const maxDeadlineMs = 30_000;

export function createTokenServer(options: ServerOptions): TokenServer {
  const shutdown = new AbortController();
  // One listener for each call in flight.
  setMaxListeners(0, shutdown.signal);
  const health = createHealth([TokenLifecycleService.typeName], shutdown.signal);
  const interceptors = [
    measuring(options.onCall),
    ...(options.tracing ? [options.tracing] : []),
    authorizing(options.audit),
    limitingTime(options.defaultDeadlineMs, maxDeadlineMs),
    droppingUnknownFields,
    validating(options.validate),
  ];
  const contextOn = (socket: Socket | undefined) => contextOf(identityOf(socket, options.policy(), options.local));
  // What the gateway calls, many times a second.
  const { recordActivation, batchRecordActivations } = TokenLifecycleService.method;
  const batches = { method: batchRecordActivations, implementation: options.service.batchRecordActivations as never };
  const streamed = { ...streamOfBatches, rpc: batches, answer: answering(batches, interceptors) };
  // A status inside a message holds its details as Any.
  const jsonOptions = { registry: createRegistry(file_google_rpc_error_details) };
  const handler = connectNodeAdapter({
    routes(router) {
      // Each of its calls stands behind the interceptors.
      router.rpc(streamed.method, streamedByHandler(streamed) as never, {
        jsonOptions: quietJson(streamed.method.input, jsonOptions),
      });
      for (const method of TokenLifecycleService.methods.filter((each) => each !== streamed.method))
        router.rpc(method, options.service[method.localName as keyof typeof options.service] as never, {
          interceptors,
          jsonOptions: quietJson(method.input, jsonOptions),
        });
      router.service(Health, health.service);
      addReflection(router, [TokenLifecycleService, Health], [file_google_rpc_error_details]);
    },
    readMaxBytes,
    maxTimeoutMs: longestTimerMs,
    jsonOptions,
    shutdownSignal: shutdown.signal,
    contextValues: (request) => contextOn("stream" in request ? request.stream.session?.socket : request.socket),
  });
  const directOptions: DirectOptions = {
    interceptors,
    contextValues: (stream) => contextOn(stream.session?.socket),
    readMaxBytes,
    maxDeadlineMs,
    shutdown: shutdown.signal,
  };
  const unary = directUnary(
    [{ method: recordActivation, implementation: options.service.recordActivation as never }, batches],
    directOptions,
  );
  const stream = directStream(streamed, directOptions);
  const limited = limitingPages(handler, {
    origins: options.pageOrigins,
    paths: pathsNeeding(TokenLifecycleService, new Set(["read", "watch"])),
    isPlain: options.tls === undefined,
    onRefused: ({ path, origin }) => options.audit({ call: path, caller: `page ${origin}`, outcome: "denied" }),
  });
  // What may come from a page takes the way on which pages are told apart.
  const directForPrograms: Direct = (caller, headers) =>
    !isFromABrowser(headers) && (stream(caller, headers) || unary(caller, headers));
  const door = createDoor(limited, options.tls, directForPrograms);
  return {
    door,
    health,
    async stop(graceMs) {
      health.set(false);
      const grace = setTimeout(() => {
        shutdown.abort(new ConnectError("the service is stopping", Code.Unavailable));
        setTimeout(door.destroy, 100);
      }, graceMs);
      await door.close();
      clearTimeout(grace);
    },
  };
}
