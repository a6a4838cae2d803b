// Looks into the store as nobody else does: values and events, decoded.
import { fromBinary } from "@bufbuild/protobuf";
import { type StoredToken, StoredTokenSchema } from "../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { type TokenEvent, TokenEventSchema } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { eventsKey, partitions, tokenKey } from "../../services/token-lifecycle/store/keys.js";
import type { RedisClient } from "../../services/token-lifecycle/store/redis.js";

export async function storedToken(redis: RedisClient, tokenReferenceId: string): Promise<StoredToken | undefined> {
  const value = await redis.getBuffer(tokenKey(tokenReferenceId));
  return value === null ? undefined : fromBinary(StoredTokenSchema, value);
}

/** Every event of all streams. */
export async function allEvents(redis: RedisClient): Promise<TokenEvent[]> {
  const streams = await Promise.all(
    Array.from({ length: partitions }, (_, partition) => redis.xrangeBuffer(eventsKey(partition), "-", "+")),
  );
  return streams.flat().map(([, fields]) => {
    const event = fields[1];
    if (fields.length !== 2 || event === undefined) throw new Error("an entry of a stream is no event");
    return fromBinary(TokenEventSchema, event);
  });
}

export async function eventsOf(redis: RedisClient, tokenReferenceId: string): Promise<TokenEvent[]> {
  return (await allEvents(redis)).filter((event) => event.tokenReferenceId === tokenReferenceId);
}

/** The token as GetToken shows it, in Connect's JSON. */
export async function getToken(serviceUrl: string, tokenReferenceId: string): Promise<Record<string, unknown>> {
  const answer = await fetch(`${serviceUrl}/mpp.token.v1.TokenLifecycleService/GetToken`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ tokenReferenceId }),
  });
  const body = (await answer.json()) as { token: Record<string, unknown> };
  if (!answer.ok) throw new Error(`GetToken: ${JSON.stringify(body)}`);
  return body.token;
}

/** Everything in Redis, keys and values. */
export async function contentOf(redis: RedisClient): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (const key of await redis.keys("*")) {
    parts.push(Buffer.from(key));
    switch (await redis.type(key)) {
      case "string":
        parts.push((await redis.getBuffer(key)) ?? Buffer.alloc(0));
        break;
      case "stream":
        for (const [, fields] of await redis.xrangeBuffer(key, "-", "+")) parts.push(...fields);
        break;
      case "zset":
        parts.push(...(await redis.zrangeBuffer(key, "0", "-1")));
        break;
      case "list":
        parts.push(...(await redis.lrangeBuffer(key, 0, -1)));
        break;
      default:
        throw new Error(`${key} is of no known type`);
    }
  }
  return Buffer.concat(parts);
}
