// token-gateway explain: asks the token service over gRPC what state a token is in, why, and what was reported about it.
import { toJson } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { Command } from "commander";
import { instantText } from "../../gateway/alipayplus/time.js";
import { StartError } from "../../lib/program.js";
import { readTlsFiles, type TlsFiles } from "../../lib/tls-files.js";
import { AccountSourceSchema } from "../../proto/gen/mpp/token/v1/token_activation_pb.js";
import {
  type GetTokenHistoryResponse,
  GetTokenHistoryResponseSchema,
  TokenLifecycleService,
} from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import {
  OutcomeSchema,
  SuspenderSchema,
  type Token,
  type TokenEvent,
  TokenEventTypeSchema,
  TokenStateSchema,
  type UneventfulDelivery,
} from "../../proto/gen/mpp/token/v1/token_pb.js";
import { columns, printable } from "./columns.js";
import { CommandError, colour, ended, jsonOption, printEither } from "./output.js";

const { env } = process;

type Options = { readonly url: string; readonly tlsDir?: string; readonly json: boolean };

export function register(program: Command): void {
  program
    .command("explain")
    .description("tell what state a token is in, why, and what was reported about it; values are masked")
    .argument("<tokenReferenceId>", "the token")
    .option(
      "--url <url>",
      "address of the token service",
      env.TOKEN_SERVICE_URL?.split(",")[0] || "http://127.0.0.1:50051",
    )
    .option(
      "--tls-dir <folder>",
      "folder with tls.crt, tls.key and ca.crt, for an https:// address",
      env.TOKEN_CLIENT_TLS_DIR,
    )
    .addOption(jsonOption())
    .addHelpText("after", "\nEnds with 1 when there is no such token.")
    .action(explain);
}

async function explain(tokenReferenceId: string, { url, tlsDir, json }: Options): Promise<void> {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new CommandError(`--url is ${url}, and must be an http:// or https:// address`);
  if (url.startsWith("https:") !== (tlsDir !== undefined))
    throw new CommandError("an https:// address and --tls-dir go together");
  const history = masked(await historyOf(tokenReferenceId, url, tlsDir === undefined ? undefined : tlsFiles(tlsDir)));
  printEither(json, toJson(GetTokenHistoryResponseSchema, history), () => linesOf(history));
}

function tlsFiles(folder: string): TlsFiles {
  try {
    return readTlsFiles(folder);
  } catch (error) {
    throw error instanceof StartError ? new CommandError(error.message) : error;
  }
}

async function historyOf(
  tokenReferenceId: string,
  url: string,
  tls: TlsFiles | undefined,
): Promise<GetTokenHistoryResponse> {
  const sessionManager = new Http2SessionManager(url, undefined, tls);
  const transport = createGrpcTransport({ baseUrl: url, sessionManager, defaultTimeoutMs: 5_000 });
  try {
    return await createClient(TokenLifecycleService, transport).getTokenHistory({ tokenReferenceId });
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    if (code === Code.NotFound)
      throw new CommandError(`no token has the reference ${printable(tokenReferenceId)}`, ended.withFindings);
    if (code === Code.InvalidArgument) throw new CommandError(rawMessage);
    throw new CommandError(`the token service at ${url} answers ${Code[code]}: ${printable(rawMessage)}`, ended.unable);
  } finally {
    sessionManager.abort();
  }
}

/** Enough of a value to recognise it by. */
function mask(value: string): string {
  const shown = value.length > 8 ? 4 : 0;
  return "*".repeat(Math.min(value.length - shown, 12)) + value.slice(value.length - shown);
}

/** The service masks token data; what else is personal is masked here. */
function masked(history: GetTokenHistoryResponse): GetTokenHistoryResponse {
  const { token } = history;
  if (token?.customerId !== undefined) token.customerId = mask(token.customerId);
  if (token?.secureElementId !== undefined) token.secureElementId = mask(token.secureElementId);
  for (const event of history.events) if (event.customerId !== undefined) event.customerId = mask(event.customerId);
  return history;
}

function linesOf({
  token,
  explanation,
  events,
  stateVersion,
  uneventfulDeliveries,
}: GetTokenHistoryResponse): string[] {
  if (token === undefined) throw new CommandError("the token service answers without a token", ended.unable);
  const known = Object.entries(recordOf(token)).filter(([, value]) => value !== "");
  const facts = [
    ["why", printable(explanation)],
    ["since", timeOf(token.stateTime)],
    ["suspended by", token.suspenders.map((each) => wordIn(SuspenderSchema, each)).join(", ")],
    ["client", token.clientId],
    ...known,
    ["erased", timeOf(token.eraseTime)],
  ].filter(([, value]) => value !== "");
  const title = `${printable(token.tokenReferenceId)} is ${wordIn(TokenStateSchema, token.state)}, version ${token.version}`;
  return [
    colour("bold", title),
    ...columns(facts as string[][], "  "),
    "",
    colour("bold", "History, oldest first"),
    ...columns(
      [
        ["version", "event time", "received", "what", "outcome", "state", "by", "delivery"],
        ...events.map((event) => rowOf(event, stateVersion)),
      ],
      "  ",
    ),
    "",
    colour("bold", "Deliveries that changed nothing, newest first"),
    ...(uneventfulDeliveries.length === 0
      ? ["  none"]
      : columns(
          uneventfulDeliveries.map((each) => deliveryRow(each, token)),
          "  ",
        )),
  ];
}

/** What is on record, masked, by the names that Alipay+ gives. */
const recordOf = (token: Token): Record<string, string> => ({
  customerId: printable(token.customerId ?? ""),
  walletId: printable(token.walletId ?? ""),
  tokenRequestorId: printable(token.tokenRequestorId ?? ""),
  secureElementId: printable(token.secureElementId ?? ""),
  accountSource: token.accountSource === undefined ? "" : wordIn(AccountSourceSchema, token.accountSource),
  serviceRequestTime: timeOf(token.serviceRequestTime),
  tokenActivatedTime: timeOf(token.tokenActivatedTime),
  "tokenData.token": token.tokenData?.token ?? "",
});

function rowOf(event: TokenEvent, stateVersion: bigint): string[] {
  const [from, to] = [event.previousState, event.state].map((state) => wordIn(TokenStateSchema, state));
  const act = [
    event.suspender === 0 ? "" : `as ${wordIn(SuspenderSchema, event.suspender)}`,
    event.reason && `"${printable(event.reason)}"`,
    event.actor && `by ${printable(event.actor)}`,
  ].filter(Boolean);
  return [
    `${event.version}${event.version === stateVersion ? " *" : ""}`,
    timeOf(event.eventTime),
    timeOf(event.receivedTime),
    [wordIn(TokenEventTypeSchema, event.type), ...act].join(" "),
    wordIn(OutcomeSchema, event.outcome),
    from === to ? (to ?? "") : `${from || "unknown"} -> ${to}`,
    printable(event.clientId),
    printable(event.deliveryId),
  ];
}

function deliveryRow(delivery: UneventfulDelivery, token: Token): string[] {
  return [
    timeOf(delivery.receivedTime),
    printable(delivery.clientId),
    printable(delivery.deliveryId),
    delivery.refusedFor === ""
      ? `repeat of the activation of ${timeOf(delivery.eventTime)}`
      : refusalOf(delivery, token),
  ];
}

function refusalOf({ refusedFor, differingFields, eventTime }: UneventfulDelivery, token: Token): string {
  const at = `refused, ${printable(refusedFor)} with the activation of ${timeOf(eventTime)}`;
  if (differingFields.length === 0) return at;
  // What the service tells of the record is the activation that counts, and no other.
  const isTheSame =
    eventTime && token.tokenActivatedTime && timestampMs(eventTime) === timestampMs(token.tokenActivatedTime);
  const record = isTheSame ? recordOf(token) : {};
  const named = differingFields.map((name) => printable(name) + (record[name] ? ` (on record ${record[name]})` : ""));
  return `${at}: ${named.join(", ")}`;
}

type EnumLike = { readonly value: Readonly<Record<number, { readonly localName: string } | undefined>> };

const wordIn = ({ value }: EnumLike, number: number): string =>
  number === 0 ? "" : (value[number]?.localName ?? String(number));

const timeOf = (time: Timestamp | undefined): string => (time === undefined ? "" : instantText(time));
