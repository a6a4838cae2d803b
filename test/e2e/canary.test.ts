// A canary campaign: known secrets go in through every place that takes something, and must come out of one rpc alone.
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import * as http2 from "node:http2";
import { connect as connectSocket } from "node:net";
import { join } from "node:path";
import { inspect } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { readClients } from "../../gateway/keys.js";
import { redacted } from "../../lib/redact.js";
import {
  RecordActivationRequestSchema,
  TokenLifecycleService,
} from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { Suspender, TokenState } from "../../proto/gen/mpp/token/v1/token_pb.js";
import { secretsIn } from "../../services/token-lifecycle/vault/key-source.js";
import { keyringOf } from "../../services/token-lifecycle/vault/keyring.js";
import { disguisesOf, reveals } from "../support/disguises.js";
import { expectResult, type ResultCode } from "../support/expectations.js";
import { privatePem, writeClient, writeKeyring } from "../support/keys.js";
import { apiPath, notification } from "../support/notification.js";
import { startTestStack, type TestPart, type TestStack, temporaryFolder, until } from "../support/processes.js";
import { activationRequest } from "../support/rpc.js";
import { type Change, sendChanged } from "../support/sending.js";
import { contentOf } from "../support/store.js";
import { allRights, connectTo, type TokenClient, type Watch, watch } from "../support/token-client.js";

const tokenNumber = "5345678901234521";
/** Every other secret begins with this. */
const marker = "CANARY-";
const secrets = [tokenNumber, marker];
let planted = 0;
const canary = (): string => `${marker}${++planted}-of-no-card`;

/** A value in every member of tokenData, and in names and values of members that nobody knows. */
const tokenData = (): Record<string, unknown> => ({
  token: tokenNumber,
  expiryMonth: canary(),
  expiryYear: canary(),
  sequenceNumber: canary(),
  later: canary(),
  [canary()]: { [canary()]: [canary(), { deep: canary(), number: tokenNumber }] },
});

const json = (members: Record<string, unknown> = {}): string =>
  JSON.stringify(notification({ tokenData: tokenData(), ...members }));
/** The notification with a piece of its text replaced. */
const replaced = (piece: string, by: string): string => json().replace(piece, by);

type Case = { name: string; resultCode: ResultCode; body?: () => Buffer | string; change?: () => Change };
const sent = (resultCode: ResultCode, name: string, body: () => Buffer | string): Case => ({ name, resultCode, body });
const changed = (resultCode: ResultCode, name: string, change: () => Change): Case => ({ name, resultCode, change });
const header = (name: string, resultCode: ResultCode): Case =>
  changed(resultCode, `a canary as ${name}`, () => ({ headers: { [name]: canary() } }));

const first = { tokenReferenceId: "T-canary", tokenActivatedTime: "2026-01-02T03:05:06Z" };
const notifications: readonly Case[] = [
  sent("SUCCESS", "every member", () => json(first)),
  sent("PROCESS_FAIL", "a conflict", () => json(first)),
  sent("SUCCESS", "a late one", () => json({ ...first, tokenActivatedTime: "2026-01-02T03:04:06Z" })),
  sent("SUCCESS", "a newer one", () => json({ ...first, tokenActivatedTime: "2026-01-02T03:06:06Z" })),
  sent("SUCCESS", "a token that is no number", () => json({ tokenData: { token: canary() } })),
  sent("SUCCESS", "objects and lists in place of texts", () =>
    json({ tokenData: { token: { number: tokenNumber, [canary()]: canary() }, expiryMonth: [canary()] } }),
  ),
  sent("SUCCESS", "token data at the wrong level", () =>
    json({ ...tokenData(), tokenDate: tokenData(), tokenActivation: { tokenData: tokenData() } }),
  ),
  sent("PARAM_ILLEGAL", "the token number for tokenData", () => json({ tokenData: tokenNumber })),
  sent("PARAM_ILLEGAL", "a list for tokenData", () => json({ tokenData: [tokenData()] })),
  sent("PARAM_ILLEGAL", "the token number as a number", () => replaced(`"${tokenNumber}"`, tokenNumber)),
  sent("PARAM_ILLEGAL", "a number in an unknown member", () => json({ tokenData: { ...tokenData(), [canary()]: 1 } })),
  ...["tokenReferenceId", "walletId", "tokenRequestorId", "secureElementId", "accountSource"].flatMap((field) => [
    sent("PARAM_ILLEGAL", `token data for ${field}`, () => json({ [field]: tokenData() })),
    sent("PARAM_ILLEGAL", `a long canary for ${field}`, () => json({ [field]: canary().padEnd(200, tokenNumber) })),
  ]),
  ...["serviceRequestTime", "tokenActivatedTime"].flatMap((field) => [
    sent("PARAM_ILLEGAL", `a canary for ${field}`, () => json({ [field]: canary() })),
    sent("PARAM_ILLEGAL", `the token number for ${field}`, () => json({ [field]: tokenNumber })),
  ]),
  sent("PARAM_ILLEGAL", "no JSON", () => `token=${tokenNumber}&${canary()}`),
  sent("PARAM_ILLEGAL", "JSON that ends early", () => json().slice(0, -4)),
  sent("PARAM_ILLEGAL", "JSON with more behind it", () => `${json()} ${canary()}`),
  sent("PARAM_ILLEGAL", "a name that is no text", () => replaced('"walletId"', canary())),
  sent("PARAM_ILLEGAL", "a value that is no JSON", () => replaced('"103"', canary())),
  sent("PARAM_ILLEGAL", "an escape that is none", () => replaced('"103"', `"\\q${canary()}"`)),
  sent("PARAM_ILLEGAL", "a known name twice", () => replaced('"token":', `"token":"${canary()}","token":`)),
  sent("PARAM_ILLEGAL", "an unknown name twice", () => {
    const name = canary();
    return replaced('"token":', `"${name}":"1","${name}":"${tokenNumber}","token":`);
  }),
  sent("PARAM_ILLEGAL", "objects without end", () => replaced('"103"', `{"${canary()}":`.repeat(40))),
  sent("PARAM_ILLEGAL", "UTF-16", () => Buffer.from(json(), "utf16le")),
  sent("PARAM_ILLEGAL", "Latin-1", () => Buffer.from(json({ later: `\u00fc${canary()}` }), "latin1")),
  sent("PARAM_ILLEGAL", "too much", () => json({ later: canary().repeat(6_000) })),
  changed("INVALID_SIGNATURE", "another body signed", () => ({ signed: json() })),
  changed("INVALID_SIGNATURE", "no signature", () => ({ headers: { Signature: undefined } })),
  changed("INVALID_CLIENT", "an unknown client", () => ({ clientId: "WHO" })),
  changed("KEY_NOT_FOUND", "an unknown key", () => ({ keyVersion: 7 })),
  changed("ACCESS_DENIED", "an old Request-Time", () => ({ nowMs: Date.now() - 48 * 3_600_000 })),
  header("Signature", "INVALID_SIGNATURE"),
  header("Client-Id", "INVALID_CLIENT"),
  header("Request-Time", "PARAM_ILLEGAL"),
  header("Content-Type", "MEDIA_TYPE_NOT_ACCEPTABLE"),
  header("Accept", "MEDIA_TYPE_NOT_ACCEPTABLE"),
  changed("METHOD_NOT_SUPPORTED", "another method", () => ({ method: "PUT" })),
  changed("NO_INTERFACE_DEF", "a canary in the path", () => ({ path: `/aps/api/v1/${canary()}/${tokenNumber}` })),
  changed("SUCCESS", "a query", () => ({ path: `${apiPath}?token=${tokenNumber}&${canary()}=1` })),
];

const by = { reason: "a search for canaries", actor: "agent 7" };
const tokenReferenceId = first.tokenReferenceId;
const tooLong = (): string => canary().padEnd(200, tokenNumber);
type Rpc = keyof typeof TokenLifecycleService.method;
type Call = { rpc: Exclude<Rpc, "watchTokenEvents">; request: () => unknown; refused?: true };
const move = (requestId: string, change: Record<string, unknown> = {}) => ({
  ...{ tokenReferenceId, suspender: Suspender.ISSUER, requestId, ...by },
  ...change,
});
const record = (change: Record<string, unknown> = {}, data: unknown = tokenData()) => {
  const { token, expiryMonth, expiryYear, sequenceNumber, ...unknownMembers } = data as Record<string, string>;
  return activationRequest({
    ...{ tokenData: { token, expiryMonth, expiryYear, sequenceNumber, unknownMembers } },
    ...change,
  } as Parameters<typeof activationRequest>[0]);
};

const calls: readonly Call[] = [
  { rpc: "recordActivation", request: () => record({ tokenReferenceId: "T-canary-grpc" }) },
  { rpc: "recordActivation", request: () => record({ tokenReferenceId: "T-canary-grpc" }), refused: true },
  { rpc: "recordActivation", request: () => record({ tokenReferenceId }), refused: true },
  ...["tokenReferenceId", "customerId", "walletId", "tokenRequestorId", "secureElementId"].map(
    (field): Call => ({ rpc: "recordActivation", request: () => record({ [field]: tooLong() }), refused: true }),
  ),
  { rpc: "recordActivation", request: () => record({ tokenActivatedTime: undefined }), refused: true },
  { rpc: "recordActivation", request: () => record({ tokenData: {} }), refused: true },
  {
    rpc: "recordActivation",
    request: () => ({ ...record(), delivery: { clientId: tooLong(), deliveryId: tooLong() } }),
    refused: true,
  },
  { rpc: "getToken", request: () => ({ tokenReferenceId }) },
  { rpc: "getToken", request: () => ({ tokenReferenceId: tooLong() }), refused: true },
  { rpc: "batchGetTokens", request: () => ({ tokenReferenceIds: [tokenReferenceId] }) },
  { rpc: "batchGetTokens", request: () => ({ tokenReferenceIds: [tooLong()] }), refused: true },
  { rpc: "listTokens", request: () => ({ customerId: "customer-1", states: [TokenState.ACTIVE] }) },
  { rpc: "listTokens", request: () => ({ customerId: "customer-1", pageToken: canary() }), refused: true },
  { rpc: "listTokens", request: () => ({ customerId: tooLong(), pageToken: tooLong() }), refused: true },
  { rpc: "suspendToken", request: () => move("r-1") },
  { rpc: "suspendToken", request: () => move("r-2", { reason: tooLong(), actor: tooLong() }), refused: true },
  { rpc: "resumeToken", request: () => move(`${tokenNumber} ${canary()}`), refused: true },
  { rpc: "resumeToken", request: () => move("r-3") },
  { rpc: "revealTokenData", request: () => ({ tokenReferenceId, ...by, reason: tooLong() }), refused: true },
  { rpc: "revealTokenData", request: () => ({ tokenReferenceId: tooLong(), ...by }), refused: true },
  { rpc: "eraseToken", request: () => ({ tokenReferenceId: tooLong(), ...by }), refused: true },
  { rpc: "deactivateToken", request: () => move("r-4", { tokenReferenceId: "T-canary-grpc" }) },
  { rpc: "eraseToken", request: () => ({ tokenReferenceId: "T-canary-grpc", ...by }) },
  { rpc: "getTokenHistory", request: () => ({ tokenReferenceId }) },
  { rpc: "getTokenHistory", request: () => ({ tokenReferenceId: tooLong() }), refused: true },
];

/** Field 200 with a canary, which no message of ours has. */
const unknownField = (): Buffer => {
  const value = Buffer.from(canary());
  return Buffer.concat([Buffer.from([0xc2, 0x0c, value.length]), value]);
};
const field = (number: number, content: Buffer): Buffer => {
  const [low, high] = [(content.length & 0x7f) | 0x80, content.length >> 7];
  return Buffer.concat([Buffer.from([(number << 3) | 2, low, high]), content]);
};
const bytesOf = (request: ReturnType<typeof record>): Buffer =>
  Buffer.from(toBinary(RecordActivationRequestSchema, request));

/** Messages that no client of ours would send. */
const messages: readonly { name: string; type: "json" | "proto"; body: () => Buffer | string }[] = [
  { name: "no JSON", type: "json", body: canary },
  { name: "JSON that ends early", type: "json", body: () => `{"activation":{"tokenData":{"token":"${tokenNumber}` },
  ...[
    { activation: canary() },
    { activation: { tokenData: tokenNumber } },
    { activation: { tokenData: [canary()] } },
    { activation: { tokenData: { token: Number(tokenNumber) } } },
    { activation: { tokenData: { expiryMonth: [canary()], token: { number: tokenNumber } } } },
    { activation: { tokenData: { unknownMembers: canary() } } },
    { activation: { tokenData: { [canary()]: canary() } } },
    { activation: { accountSource: canary() } },
    { activation: { serviceRequestTime: canary() } },
    { delivery: { bodySha256: `${canary()}!` } },
    { [canary()]: canary() },
  ].map((message) => {
    const body = JSON.stringify(message);
    return { name: body.replaceAll(/CANARY-\d+/g, "CANARY"), type: "json" as const, body: () => body };
  }),
  { name: "no message", type: "proto", body: () => Buffer.from(`\xff${canary()}`, "latin1") },
  { name: "a message that ends early", type: "proto", body: () => bytesOf(record()).subarray(0, -3) },
  {
    name: "a text that is no UTF-8",
    type: "proto",
    body: () => field(1, field(9, field(1, Buffer.from(`\xff${canary()}`, "latin1")))),
  },
  {
    name: "fields that nobody knows",
    type: "proto",
    body: () =>
      Buffer.concat([
        bytesOf(record({ tokenReferenceId: "T-canary-unknown" })),
        unknownField(),
        field(1, Buffer.concat([unknownField(), field(9, unknownField())])),
        field(2, unknownField()),
      ]),
  },
];

/** What came back, and from what. */
type Heard = { from: string; bytes: Buffer };

const bytesOfError = (error: unknown): Buffer => {
  const { details, metadata, ...rest } = ConnectError.from(error);
  const values = details.flatMap((each) => ("value" in each ? [Buffer.from(each.value as Uint8Array)] : []));
  const headers = JSON.stringify([...metadata.entries()]);
  return Buffer.concat([...values, Buffer.from(`${headers}${inspect(rest)}${inspect(error, { depth: 12 })}`)]);
};

/** Calls RecordActivation with these bytes over the Connect protocol and over gRPC. */
async function callWith(url: string, type: string, body: Buffer): Promise<Buffer> {
  const path = `/${TokenLifecycleService.typeName}/RecordActivation`;
  const contentType = `application/${type}`;
  const overConnect = await fetch(url + path, { method: "POST", headers: { "content-type": contentType }, body });
  const session = http2.connect(url);
  const head = { ":method": "POST", ":path": path, "content-type": `application/grpc+${type}`, te: "trailers" };
  const stream = session.request(head);
  const received: Buffer[] = [];
  for (const name of ["response", "trailers"] as const)
    stream.on(name, (headers: http2.IncomingHttpHeaders) => received.push(Buffer.from(JSON.stringify(headers))));
  stream.on("data", (chunk: Buffer) => received.push(chunk));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(body.length, 1);
  stream.end(Buffer.concat([prefix, body]));
  await new Promise((resolve, reject) => stream.on("close", resolve).on("error", reject));
  session.close();
  const headers = JSON.stringify([...overConnect.headers]);
  return Buffer.concat([Buffer.from(headers), Buffer.from(await overConnect.arrayBuffer()), ...received]);
}

/** What a server says to bytes that are no HTTP. */
const talkNonsense = (url: string): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const received: Buffer[] = [];
    const socket = connectSocket(Number(port), hostname, () => socket.end(`${canary()} ${tokenNumber}\r\n\r\n`));
    socket.on("data", (chunk) => received.push(chunk));
    socket.on("close", () => resolve(Buffer.concat(received))).on("error", reject);
  });

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

describe("token data that goes in everywhere", () => {
  let stack: TestStack;
  let client: TokenClient;
  let watching: Watch;
  const heard: Heard[] = [];

  before(async () => {
    stack = await startTestStack({ service: { LOOPBACK_RIGHTS: allRights } });
    client = connectTo(stack.service.url);
    const redis = await stack.redis.connect();
    // Compressed or left out, a leak would not be seen.
    await redis.config("SET", "rdbcompression", "no");
    await redis.config("SET", "slowlog-log-slower-than", "0");
    await redis.config("SET", "slowlog-max-len", "100000");
    watching = watch(client, { start: { case: "fromBeginning", value: true } });
  });
  after(async () => {
    await watching?.stop();
    client?.close();
    await stack?.stop();
  });

  for (const { name, resultCode, body = json, change } of notifications)
    it(`is not in the answer to a notification, ${resultCode}: ${name}`, async () => {
      const changes = change?.() ?? {};
      const answer = await sendChanged(stack.gateway.url, body(), changes);
      expectResult(answer, resultCode, {
        method: changes.method ?? "POST",
        path: changes.path?.replace(/\?.*/, "") ?? apiPath,
      });
      heard.push({ from: name, bytes: Buffer.concat([Buffer.from(JSON.stringify(answer.headers)), answer.body]) });
      expect(reveals(heard.at(-1)?.bytes ?? Buffer.alloc(0), secrets), answer.body.toString()).to.equal(false);
    });

  for (const [index, { rpc, request, refused = false }] of calls.entries())
    it(`is not in ${refused ? "the refusal" : "the answer"} of ${rpc}, call ${index + 1}`, async () => {
      const { output } = TokenLifecycleService.method[rpc];
      const outcome = await (client[rpc] as (request: unknown) => Promise<never>)(request()).then(
        (answer) => ({ refused: false, bytes: Buffer.from(toBinary(output, answer)) }),
        (error) => ({ refused: true, bytes: bytesOfError(error) }),
      );
      heard.push({ from: rpc, bytes: outcome.bytes });
      expect(outcome.refused, outcome.bytes.toString()).to.equal(refused);
      expect(reveals(outcome.bytes, secrets), outcome.bytes.toString()).to.equal(false);
    });

  for (const { name, type, body } of messages)
    it(`is not in the answer to a message of the wrong form: ${type}, ${name.slice(0, 60)}`, async () => {
      const bytes = await callWith(stack.service.url, type, Buffer.from(body() as string));
      heard.push({ from: name, bytes });
      expect(reveals(bytes, secrets), bytes.toString()).to.equal(false);
    });

  it("is not in what is said to bytes that are no HTTP", async () => {
    for (const { url } of [stack.gateway, stack.service]) {
      const bytes = await talkNonsense(url);
      heard.push({ from: url, bytes });
      expect(reveals(bytes, secrets), bytes.toString()).to.equal(false);
    }
  });

  it("is not in the refusal of a watch", async () => {
    const { ended } = watch(client, { start: { case: "cursor", value: canary() } });
    const refusal = await ended;
    expect(refusal).to.include({ reason: "CURSOR_INVALID" });
    expect(reveals(Buffer.from(inspect(refusal)), secrets)).to.equal(false);
  });

  it("is in the answer of RevealTokenData", async () => {
    const { tokenData: revealed } = await client.revealTokenData({ tokenReferenceId, ...by });
    expect(revealed?.token).to.equal(tokenNumber);
    for (const value of [revealed?.expiryMonth, revealed?.expiryYear, revealed?.sequenceNumber])
      expect(value).to.include(marker);
    expect(JSON.stringify(revealed?.unknownMembers).split(marker)).to.have.length(6);
  });

  it("is in no event that watchers receive", async () => {
    const seen = () => watching.events.filter((event) => event.tokenReferenceId === tokenReferenceId);
    await until("the events are there", () => seen().length >= 5);
    const { output } = TokenLifecycleService.method.watchTokenEvents;
    const bytes = Buffer.concat(watching.messages.map((message) => toBinary(output, message)));
    expect(bytes.includes(tokenReferenceId)).to.equal(true);
    expect(reveals(bytes, secrets)).to.equal(false);
  });

  it("is in no metric and no probe", async () => {
    const pages = async ({ adminUrl }: TestPart): Promise<string> => {
      const texts = ["metrics", "readyz", "livez"].map(async (name) => (await fetch(`${adminUrl}/${name}`)).text());
      return (await Promise.all(texts)).join("\n");
    };
    const text = `${await pages(stack.gateway)}${await pages(stack.service)}`;
    expect(text).to.include('result_code="PARAM_ILLEGAL"').and.to.include("token_data_misfits_total");
    expect(reveals(Buffer.from(text), secrets)).to.equal(false);
  });

  it("is in no key and no value of Redis, and in no command that it was sent", async () => {
    const redis = await stack.redis.connect();
    const content = await contentOf(redis);
    expect(content.includes(tokenReferenceId)).to.equal(true);
    expect(reveals(content, secrets)).to.equal(false);
    const commands = Buffer.from(JSON.stringify(await redis.slowlog("GET", 100_000)));
    expect(commands.includes(tokenReferenceId)).to.equal(true);
    expect(reveals(commands, secrets)).to.equal(false);
  });

  it("is in no file of Redis, and in no log", async () => {
    const redis = await stack.redis.connect();
    await redis.save();
    const files = filesIn(stack.folder);
    const holding = (words: readonly string[]): string[] => files.filter((file) => reveals(readFileSync(file), words));
    expect(holding(secrets)).to.deep.equal([]);
    const known = holding([tokenReferenceId]).map((file) => file.slice(stack.folder.length));
    for (const pattern of [/\.aof$/, /\.rdb$/, /^\/service\.log$/])
      expect(
        known.some((file) => pattern.test(file)),
        `${pattern} of ${known}`,
      ).to.equal(true);
    expect(stack.gateway.log()).to.include('"resultCode":"PARAM_ILLEGAL"');
    expect(stack.service.log()).to.include('"level":"debug"');
  });

  it("was sent a great many times, and all that came back was searched", () => {
    expect(planted).to.be.above(400);
    expect(heard).to.have.length(notifications.length + calls.length + messages.length + 2);
  });
});

describe("the search for secrets", () => {
  const around = [Buffer.from("x"), Buffer.from("xy"), Buffer.from("xyz")];
  const forms: { name: string; write: (bytes: Buffer) => Buffer | string }[] = [
    { name: "as it is", write: (bytes) => bytes },
    { name: "in hex", write: (bytes) => bytes.toString("hex") },
    { name: "in base64", write: (bytes) => bytes.toString("base64") },
    { name: "in UTF-16", write: (bytes) => Buffer.from(bytes.toString(), "utf16le") },
    { name: "as numbers", write: (bytes) => JSON.stringify([...bytes]) },
  ];
  for (const { name, write } of forms)
    it(`finds one ${name}, whatever stands around it`, () => {
      for (const secret of secrets)
        for (const before of around)
          for (const behind of around) {
            const content = Buffer.from(write(Buffer.concat([before, Buffer.from(secret), behind])) as string);
            expect(reveals(content, [secret]), content.toString()).to.equal(true);
          }
    });

  it("finds none in random bytes", () => {
    for (const form of secrets.flatMap(disguisesOf)) expect(form.length).to.be.at.least(7);
    expect(reveals(randomBytes(1 << 20), secrets)).to.equal(false);
  });
});

describe("an object that holds secrets", () => {
  const folder = temporaryFolder();
  after(folder.remove);
  const print = { depth: 12, compact: true, maxArrayLength: null, maxStringLength: null, breakLength: Infinity };
  const textOf = (value: unknown): string =>
    [inspect(value, print), inspect(value, { ...print, showHidden: true }), JSON.stringify(value, numbersAsText)].join(
      "\n",
    );
  const numbersAsText = (_: string, value: unknown) => (typeof value === "bigint" ? value.toString() : value);
  /** True when the text holds six bytes of a key that stand together, in whatever form. */
  const shows = (text: string, key: Buffer): boolean => {
    const pieces = Array.from({ length: key.length / 6 }, (_, index) => key.subarray(index * 6, index * 6 + 6));
    return pieces.some((piece) =>
      [piece.toString("hex"), [...piece].join(", "), [...piece].join(","), piece.toString("base64")].some((form) =>
        text.includes(form),
      ),
    );
  };

  it("does not show them when it is a keyring or one of its keys", () => {
    const keyringDir = join(folder.path, "keyring");
    writeKeyring(keyringDir);
    const keyring = keyringOf(secretsIn(keyringDir));
    const { sealKey, macKey, blockKey } = keyring.newest;
    const secret = Buffer.from(readFileSync(join(keyringDir, "token-data.1.key"), "utf8"), "base64");
    for (const key of [secret, sealKey.export(), macKey.export(), blockKey.export()]) {
      expect(shows(textOf({ key: new Uint8Array(key) }), key), "the search finds bytes").to.equal(true);
      for (const value of [keyring, keyring.newest, keyring.ofVersion(1)])
        expect(shows(textOf(value), key), textOf(value)).to.equal(false);
    }
  });

  it("does not show them when it is a client, its signatory or all clients", () => {
    const keysDir = join(folder.path, "keys");
    writeClient(keysDir);
    const clients = readClients({ folder: keysDir, defaultClientId: undefined, ownKeyVersion: undefined }, undefined);
    const client = clients.clientOf("TEST_CLIENT");
    const pem = privatePem("mpp");
    // The first bytes say only that it is an RSA key.
    const key = Buffer.from(pem.split("\n").slice(1, -2).join(""), "base64").subarray(42);
    expect(shows(textOf({ pem }), key), "the search finds PEM").to.equal(true);
    expect(clients.defaultSignatory).to.include({ clientId: "TEST_CLIENT", keyVersion: 1 });
    for (const value of [clients, client, client?.signatory, clients.defaultSignatory])
      expect(shows(textOf(value), key), textOf(value)).to.equal(false);
  });

  it("does not show them when it is a redacted request", () => {
    const request = create(RecordActivationRequestSchema, record());
    expect(reveals(Buffer.from(textOf(request)), secrets), "the search finds them").to.equal(true);
    const text = textOf(redacted(RecordActivationRequestSchema, request));
    expect(text).to.include("[redacted]");
    expect(reveals(Buffer.from(text), secrets)).to.equal(false);
  });
});
