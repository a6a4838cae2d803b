// WatchTokenEvents: the event feed as a server stream.
import type { ServiceImpl } from "@connectrpc/connect";
import { ErrorReason } from "../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import type {
  TokenLifecycleService,
  WatchTokenEventsRequest,
} from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import type { TokenEvent } from "../../../proto/gen/mpp/token/v1/token_pb.js";
import { refusal } from "../errors.js";
import { type EventFeed, FeedError, type WatchStart } from "../store/event-feed.js";

export function watchTokenEvents(feed: EventFeed): ServiceImpl<typeof TokenLifecycleService>["watchTokenEvents"] {
  return async function* (request, { signal }) {
    const types = new Set(request.types);
    const { customerId } = request;
    const wants = (event: TokenEvent): boolean =>
      (types.size === 0 || types.has(event.type)) && (customerId === undefined || event.customerId === customerId);
    try {
      for await (const { event, cursor } of feed.watch(startOf(request), wants, signal))
        yield event ? { event, cursor } : { cursor };
    } catch (error) {
      throw feedRefusal(error);
    }
    // The feed ends when the call does; an end for a deadline must not look like one of the story.
    signal.throwIfAborted();
  };
}

function startOf({ start }: WatchTokenEventsRequest): WatchStart {
  if (start.case === "cursor") return { at: "cursor", cursor: start.value };
  return { at: start.case === "fromBeginning" && start.value ? "beginning" : "now" };
}

function feedRefusal(error: unknown): unknown {
  if (!(error instanceof FeedError)) return refusal(ErrorReason.STORE_UNAVAILABLE, "Redis did not answer");
  const name = error.reason === ErrorReason.CURSOR_EXPIRED ? "oldest_cursor" : "cursor";
  return refusal(error.reason, error.message, error.cursor === undefined ? {} : { [name]: error.cursor });
}
