// A typed client of the token service over gRPC, and a stack without a gateway for the rpcs that only services call.
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { type CallOptions, type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { BadRequestSchema, ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import type { TokenDataSchema } from "../../proto/gen/mpp/token/v1/token_activation_pb.js";
import {
  type RecordActivationRequestSchema,
  type RecordActivationResponse,
  TokenLifecycleService,
  type WatchTokenEventsRequestSchema,
  type WatchTokenEventsResponse,
} from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { type TokenEvent, TokenEventSchema } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { eventsKey, partitionOf } from "../../services/token-lifecycle/store/keys.js";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";
import { at } from "./commands.js";
import { writeKeyring } from "./keys.js";
import {
  startTestPart,
  startTestRedis,
  type TestPart,
  type TestRedis,
  temporaryFolder,
  untilServing,
} from "./processes.js";

/** The certificate that a client shows, and the authority that it trusts. */
export type ClientTls = { readonly cert?: Buffer; readonly key?: Buffer; readonly ca: Buffer };
export type TokenClient = Client<typeof TokenLifecycleService> & { readonly close: () => void };

/** A client on a connection of its own. Without a deadline in the call's options it has one of 10 s. */
export function connectTo(url: string, tls?: ClientTls, defaultTimeoutMs: number | undefined = 10_000): TokenClient {
  const sessionManager = new Http2SessionManager(url, undefined, tls);
  const transport = createGrpcTransport({
    baseUrl: url,
    sessionManager,
    ...(defaultTimeoutMs !== undefined && { defaultTimeoutMs }),
  });
  return { ...createClient(TokenLifecycleService, transport), close: () => sessionManager.abort() };
}

export type ActivationMembers = {
  tokenReferenceId?: string;
  customerId?: string;
  tokenData?: MessageInitShape<typeof TokenDataSchema>;
  activatedS?: number;
  clientId?: string;
  deliveryId?: string;
};

export const newReference = (): string => `T-${randomUUID()}`;

/** A request with everything that validation demands; what is not given is the same in all of them. */
export function activationRequest(
  members: ActivationMembers = {},
): MessageInitShape<typeof RecordActivationRequestSchema> {
  const { activatedS = 2_000, clientId = "TEST_CLIENT", deliveryId = randomUUID(), ...activation } = members;
  return {
    activation: {
      tokenReferenceId: newReference(),
      serviceRequestTime: at(1_000),
      tokenActivatedTime: at(activatedS),
      tokenData: { token: "5345678901234521", expiryMonth: "10", expiryYear: "28" },
      ...activation,
    },
    delivery: { clientId, deliveryId, receivedTime: timestampNow() },
  };
}

export const recordActivation = (
  client: TokenClient,
  members?: ActivationMembers,
  options?: CallOptions,
): Promise<RecordActivationResponse> => client.recordActivation(activationRequest(members), options);

/** Records activations of many tokens, a few dozen calls at a time. */
export async function recordActivations(client: TokenClient, all: readonly ActivationMembers[]): Promise<void> {
  const left = all.values();
  const work = async (): Promise<void> => {
    for (const members of left) await recordActivation(client, members);
  };
  await Promise.all(Array.from({ length: 32 }, work));
}

export type Refusal = {
  code: string;
  reason: string;
  domain: string;
  metadata: Record<string, string>;
  /** Paths of the fields in google.rpc.BadRequest. */
  fields: string[];
};

export function refusalIn(error: unknown): Refusal {
  const connectError = ConnectError.from(error);
  const [info] = connectError.findDetails(ErrorInfoSchema);
  const violations = connectError.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
  return {
    code: Code[connectError.code],
    reason: info?.reason ?? "",
    domain: info?.domain ?? "",
    metadata: { ...info?.metadata },
    fields: violations.map(({ field }) => field),
  };
}

/** How a call was refused; throws when it was not. */
export async function refusalOf(call: Promise<unknown>): Promise<Refusal> {
  let answer: unknown;
  try {
    answer = await call;
  } catch (error) {
    return refusalIn(error);
  }
  throw new Error(`this was not refused: ${JSON.stringify(answer, (_, v) => (typeof v === "bigint" ? `${v}` : v))}`);
}

/** What the event stream in Redis holds of a token. */
export async function eventsInRedis(redis: RedisClient, tokenReferenceId: string): Promise<TokenEvent[]> {
  const entries = await redis.xrangeBuffer(eventsKey(partitionOf(tokenReferenceId)), "-", "+");
  return entries
    .map(([, fields]) => fromBinary(TokenEventSchema, fields[1] ?? Buffer.alloc(0)))
    .filter((event) => event.tokenReferenceId === tokenReferenceId);
}

export type Watch = {
  /** Events that came, oldest first. */
  readonly events: TokenEvent[];
  /** Every message that came, heartbeats included. */
  readonly messages: WatchTokenEventsResponse[];
  /** Cursor of the last message. */
  readonly cursor: () => string;
  /** Resolves with the refusal that ended the stream; undefined when `stop` or an orderly end did. */
  readonly ended: Promise<Refusal | undefined>;
  readonly stop: () => Promise<void>;
};

/** Takes everything a watch brings, until it ends or is stopped. */
export function watch(client: TokenClient, request: MessageInitShape<typeof WatchTokenEventsRequestSchema>): Watch {
  const abort = new AbortController();
  const messages: WatchTokenEventsResponse[] = [];
  const events: TokenEvent[] = [];
  const take = async (): Promise<Refusal | undefined> => {
    try {
      for await (const message of client.watchTokenEvents(request, { signal: abort.signal, timeoutMs: 0 })) {
        messages.push(message);
        if (message.event) events.push(message.event);
      }
    } catch (error) {
      if (!abort.signal.aborted) return refusalIn(error);
    }
    return undefined;
  };
  const ended = take();
  return {
    events,
    messages,
    cursor: () => messages.at(-1)?.cursor ?? "",
    ended,
    async stop() {
      abort.abort();
      await ended;
    },
  };
}

export type ServiceStack = {
  readonly folder: string;
  readonly redis: TestRedis;
  readonly service: TestPart;
  /** A client on a connection of its own; closed by `stop`. */
  readonly connect: () => TokenClient;
  readonly stop: () => Promise<void>;
};

/** Every right that a caller may have. */
export const allRights = "record,read,lifecycle,watch,reveal,erase";

/** Redis and a token service that serves, without a gateway. */
export async function startServiceStack(settings: Record<string, string> = {}): Promise<ServiceStack> {
  const folder = temporaryFolder();
  writeKeyring(join(folder.path, "keyring"));
  const redis = await startTestRedis(join(folder.path, "redis"));
  const common = { DATA_DIR: folder.path, LOG_LEVEL: "debug", KEYS_RELOAD_MS: "50", DURABILITY_CHECK_MS: "100" };
  const service = await startTestPart(
    "service",
    { ...common, REDIS_URL: redis.url, ...settings },
    join(folder.path, "service.log"),
  );
  await untilServing(service);
  const clients: TokenClient[] = [];
  return {
    folder: folder.path,
    redis,
    service,
    connect() {
      const client = connectTo(service.url);
      clients.push(client);
      return client;
    },
    async stop() {
      for (const client of clients) client.close();
      await service.stop();
      await redis.stop();
      folder.remove();
    },
  };
}
