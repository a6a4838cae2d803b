// The reading rpcs: one token, many, a customer's, and the story of one.
import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { StoredToken } from "../../../proto/gen/mpp/token/store/v1/stored_token_pb.js";
import { ErrorReason } from "../../../proto/gen/mpp/token/v1/error_reason_pb.js";
import {
  type ListTokensRequest,
  ListTokensRequestSchema,
  type TokenLifecycleService,
} from "../../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import {
  Outcome,
  SuspenderSchema,
  type Token,
  type TokenEvent,
  TokenEventType,
  TokenSchema,
  TokenState,
  TokenStateSchema,
} from "../../../proto/gen/mpp/token/v1/token_pb.js";
import { refusal, statusOf, storeRefusal } from "../errors.js";
import type { Keyring } from "../vault/keyring.js";
import { mask, open } from "../vault/seal.js";
import type { ServiceDeps } from "./deps.js";

const defaultPageSize = 50;
/** Rounds of reading that one page may take; a page may hold fewer tokens than asked for. */
const pageRounds = 4;

type ReadingRpcs = Pick<
  ServiceImpl<typeof TokenLifecycleService>,
  "getToken" | "batchGetTokens" | "listTokens" | "getTokenHistory"
>;

export function readTokens({ store, keyring }: Pick<ServiceDeps, "store" | "keyring">): ReadingRpcs {
  const readOne = async (tokenReferenceId: string): Promise<StoredToken> => {
    const stored = await store.read(tokenReferenceId).catch((error: unknown) => {
      throw storeRefusal(error);
    });
    if (stored === undefined) throw refusal(ErrorReason.TOKEN_NOT_FOUND, "no token has this reference");
    return stored;
  };

  return {
    async getToken({ tokenReferenceId }) {
      return { token: tokenOf(await readOne(tokenReferenceId), keyring()) };
    },

    async batchGetTokens({ tokenReferenceIds }) {
      const items = await Promise.all(
        tokenReferenceIds.map(async (tokenReferenceId) => {
          try {
            const token = tokenOf(await readOne(tokenReferenceId), keyring());
            return { tokenReferenceId, result: { case: "token" as const, value: token } };
          } catch (error) {
            return { tokenReferenceId, result: { case: "error" as const, value: statusOf(error) } };
          }
        }),
      );
      return { items };
    },

    async listTokens(request) {
      const { customerId, states, pageSize } = request;
      const size = pageSize === 0 ? defaultPageSize : pageSize;
      const tokens: Token[] = [];
      let after = pageStart(request);
      try {
        for (let round = 0; round < pageRounds && tokens.length < size; round++) {
          const wanted = size - tokens.length;
          const references = await store.referencesOf(customerId, after, wanted);
          const found = await Promise.all(references.map((reference) => store.read(reference)));
          // The index may name a token that has another customer by now.
          for (const stored of found)
            if (stored?.activation?.customerId === customerId && (states.length === 0 || states.includes(stored.state)))
              tokens.push(tokenOf(stored, keyring()));
          if (references.length < wanted) return { tokens, nextPageToken: "" };
          after = references.at(-1) ?? after;
        }
      } catch (error) {
        throw storeRefusal(error);
      }
      return { tokens, nextPageToken: pageToken(request, after) };
    },

    async getTokenHistory({ tokenReferenceId }) {
      const stored = await readOne(tokenReferenceId);
      const uneventfulDeliveries = await store.uneventfulDeliveries(tokenReferenceId).catch((error: unknown) => {
        throw storeRefusal(error);
      });
      return {
        token: tokenOf(stored, keyring()),
        events: stored.history,
        stateVersion: stored.stateVersion,
        explanation: explanationOf(stored),
        uneventfulDeliveries,
      };
    },
  };
}

/** The token as everyone may see it. */
export function tokenOf(stored: StoredToken, keyring: Keyring): Token {
  const { activation } = stored;
  const known = <K extends string, V>(name: K, value: V | undefined) =>
    (value === undefined ? {} : { [name]: value }) as { [P in K]?: V };
  return create(TokenSchema, {
    tokenReferenceId: stored.tokenReferenceId,
    state: stored.state,
    suspenders: stored.suspenders,
    version: stored.version,
    clientId: stored.clientId,
    ...known("stateTime", stored.stateTime),
    ...known("customerId", activation?.customerId),
    ...known("walletId", activation?.walletId),
    ...known("tokenRequestorId", activation?.tokenRequestorId),
    ...known("secureElementId", activation?.secureElementId),
    ...known("accountSource", activation?.accountSource),
    ...known("serviceRequestTime", activation?.serviceRequestTime),
    ...known("tokenActivatedTime", activation?.tokenActivatedTime),
    ...known("tokenData", stored.tokenData && mask(open(stored.tokenData, stored.tokenReferenceId, keyring))),
    ...known("createTime", stored.createTime),
    ...known("updateTime", stored.updateTime),
    ...known("eraseTime", stored.eraseTime),
  });
}

// A page token says where to go on, and holds only for the list it came from.
function listHash({ customerId, states }: ListTokensRequest): Buffer {
  const list = create(ListTokensRequestSchema, { customerId, states });
  return createHash("sha256").update(toBinary(ListTokensRequestSchema, list)).digest().subarray(0, 8);
}

const pageToken = (request: ListTokensRequest, after: string): string =>
  Buffer.concat([listHash(request), Buffer.from(after, "utf8")]).toString("base64url");

function pageStart(request: ListTokensRequest): string {
  if (request.pageToken === "") return "";
  const bytes = Buffer.from(request.pageToken, "base64url");
  if (
    bytes.length <= 8 ||
    !bytes.subarray(0, 8).equals(listHash(request)) ||
    bytes.toString("base64url") !== request.pageToken
  )
    throw refusal(ErrorReason.PAGE_TOKEN_INVALID, "the page token is not one of this list");
  return bytes.subarray(8).toString("utf8");
}

/** Why the present state holds, in a sentence. */
function explanationOf(stored: StoredToken): string {
  const state = TokenStateSchema.value[stored.state]?.localName ?? "";
  const setters =
    stored.state === TokenState.SUSPENDED
      ? stored.suspenders.map((suspender) =>
          stored.history.findLast((event) => event.type === TokenEventType.SUSPENDED && event.suspender === suspender),
        )
      : [stored.history.find(({ version }) => version === stored.stateVersion)];
  const deeds = setters.map((event) =>
    event ? `version ${event.version} ${deedOf(event)}` : "of a version no longer kept",
  );
  const idle = stored.history.filter(
    ({ version, outcome }) => version > stored.stateVersion && outcome !== Outcome.APPLIED,
  );
  const because = `${state} because ${deeds.join(" and ")}.`;
  return idle.length === 0 ? because : `${because} Changed nothing: ${idle.map(whyNot).join("; ")}.`;
}

function deedOf(event: TokenEvent): string {
  const by = SuspenderSchema.value[event.suspender]?.localName ?? "";
  switch (event.type) {
    case TokenEventType.ACTIVATED:
      return `reported the activation of the latest event time, from ${event.clientId}`;
    case TokenEventType.SUSPENDED:
      return `suspended it as ${by}`;
    case TokenEventType.RESUMED:
      return `resumed it as ${by}`;
    case TokenEventType.DEACTIVATED:
      return `deactivated it as ${by}, and nothing leaves that state`;
    case TokenEventType.ERASED:
      return "erased it";
    default:
      return "set it";
  }
}

function whyNot({ version, outcome }: TokenEvent): string {
  return outcome === Outcome.RECORDED_LATE
    ? `version ${version} is older by its event time`
    : `version ${version} does not move a token out of this state`;
}
