// A new API is a matter of proto alone: this one exists in test/support/made_up.proto and in no line of the gateway.
import { execFileSync } from "node:child_process";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createFileRegistry, type DescService, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema, type Timestamp, timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { expect } from "chai";
import { endpointsOf } from "../../gateway/alipayplus/endpoints.js";
import { createApp } from "../../gateway/app.js";
import { readClientsAtStart } from "../../gateway/keys.js";
import { createLimits } from "../../gateway/limits.js";
import type { Journey } from "../../gateway/pipeline.js";
import { createSigner } from "../../gateway/stages/sign.js";
import { createTokenClient, type TokenClient } from "../../gateway/token-client.js";
import { traceOfDelivery } from "../../gateway/tracing.js";
import type { Delivery } from "../../proto/gen/alipayplus/dialect/v1/dialect_pb.js";
import { BadRequestSchema, ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import { statusOf } from "../../services/token-lifecycle/errors.js";
import { apisOf } from "../../tools/apis.js";
import { run } from "../../tools/conform/run.js";
import { expectResult, expectSigned } from "../support/expectations.js";
import { testClientId, testSender, writeClient } from "../support/keys.js";
import { notify } from "../support/notification.js";
import { temporaryFolder, until } from "../support/processes.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const path = "/made/up/deliverParcel";

const parcel = {
  parcelId: "P-1",
  weight: "4294967295",
  serialNumber: "-9007199254740993",
  fragile: "true",
  speed: "FAST",
  orderTime: "2026-01-02T11:04:05.5+08:00",
  items: [
    { name: "cup", quantity: "2" },
    { name: "saucer", quantity: "-1" },
  ],
};

type ParcelMessage = {
  parcelId: string;
  weight: number;
  serialNumber: bigint;
  fragile: boolean;
  speed: number;
  orderTime: Timestamp;
  items: { name: string; quantity: number }[];
};
type ParcelRequest = { parcel: ParcelMessage; delivery: Delivery };

/** Compiles the proto beside the product's own and loads the service from the descriptors. */
function loadService(folder: string): DescService {
  if (!existsSync(join(root, "proto/buf/validate/validate.proto")))
    execFileSync("npx", ["tsx", "tools/proto-imports.ts"], { cwd: root, stdio: "ignore" });
  for (const part of ["alipayplus", "buf", "google/rpc"])
    cpSync(join(root, "proto", part), join(folder, "proto", part), { recursive: true });
  mkdirSync(join(folder, "proto/made/up/v1"), { recursive: true });
  cpSync(join(root, "test/support/made_up.proto"), join(folder, "proto/made/up/v1/made_up.proto"));
  const image = join(folder, "image.binpb");
  execFileSync(join(root, "node_modules/.bin/buf"), ["build", join(folder, "proto"), "-o", image], { cwd: folder });
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(image)));
  const service = registry.getService("made.up.v1.ParcelService");
  if (service === undefined) throw new Error("the image holds no ParcelService");
  return service;
}

describe("an API that exists by its proto alone", () => {
  const folder = temporaryFolder();
  const received: ParcelRequest[] = [];
  const batches: string[][] = [];
  const timeouts: number[] = [];
  const journeys: Journey[] = [];
  let held: Promise<void>;
  let reply: (request: ParcelRequest) => Record<string, unknown>;
  let paths: string[];
  let service: DescService;
  let backEnd: http2.Http2Server;
  let tokenClient: TokenClient;
  let gateway: Server;
  let gatewayUrl: string;

  before(async () => {
    service = loadService(folder.path);
    // The types of a service that was loaded now say nothing of its rpcs.
    const deliverParcel = async (request: ParcelRequest) => {
      received.push(request);
      await held;
      return reply(request);
    };
    const implementation = {
      deliverParcel,
      async deliverParcels({ items }: { items: { request: ParcelRequest; timeoutMs: number }[] }) {
        batches.push(items.map(({ request }) => request.parcel.parcelId));
        timeouts.push(...items.map(({ timeoutMs }) => timeoutMs));
        const results = items.map(({ request }) =>
          deliverParcel(request).then(
            (value) => ({ outcome: { case: "response", value } }),
            (error) => ({ outcome: { case: "error", value: statusOf(error) } }),
          ),
        );
        return { results: await Promise.all(results) };
      },
    } as unknown as ServiceImpl<DescService>;
    backEnd = http2.createServer(
      connectNodeAdapter({ routes: (router) => void router.service(service, implementation) }),
    );
    await new Promise<void>((resolve) => backEnd.listen(0, "127.0.0.1", resolve));
    const endpoints = endpointsOf([service], { prefix: "/made/up", byApi: new Map() });
    const batchByRpc = new Map([...endpoints.values()].map(({ method, batch }) => [method, batch]));
    tokenClient = createTokenClient(
      [`http://127.0.0.1:${(backEnd.address() as AddressInfo).port}`],
      undefined,
      (method) => batchByRpc.get(method),
    );

    writeClient(join(folder.path, "keys"));
    const clients = readClientsAtStart({
      folder: join(folder.path, "keys"),
      defaultClientId: undefined,
      ownKeyVersion: undefined,
    });
    paths = [...endpoints.keys()];
    const app = createApp(
      {
        endpoints,
        clients: () => clients,
        limits: createLimits({ maxInFlight: 16, clientMaxInFlight: 16, clientRatePerSecond: 1_000 }),
        checks: { maxAgeMs: 60_000, maxAheadMs: 60_000, withQuery: false },
        dialect: { lenientEnums: new Set(), conflictCode: "PROCESS_FAIL", signsUnverified: true },
        spread: tokenClient.spread,
        deadlineMs: 2_000,
        signer: createSigner({ memoSize: 16, refusalsPerSecond: 100, atOnce: 1, mostWaiting: 16 }, Date.now),
        nowMs: Date.now,
        newDeliveryId: randomUUID,
        traceOf: traceOfDelivery(() => false),
        observe: (journey) => void journeys.push(journey),
      },
      64 * 1024,
    );
    gateway = createServer(app.callback());
    await new Promise<void>((resolve) => gateway.listen(0, "127.0.0.1", resolve));
    gatewayUrl = `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`;
  });
  after(async () => {
    tokenClient?.close();
    for (const server of [gateway, backEnd]) if (server) await new Promise((resolve) => server.close(resolve));
    folder.remove();
  });
  beforeEach(() => {
    for (const list of [received, batches, timeouts]) list.length = 0;
    held = Promise.resolve();
    reply = () => ({});
  });

  const send = (members: Record<string, unknown>) => notify(gatewayUrl, members, { path });

  it("has the one path that its option names", () => {
    expect(paths).to.deep.equal([path]);
  });

  it("reaches its rpc with every field decoded and the delivery filled in", async () => {
    expectResult(await send(parcel), "SUCCESS", { path });
    const [request] = received;
    if (request === undefined) throw new Error("the rpc was not called");
    const { orderTime, items, ...scalars } = request.parcel;
    expect(scalars).to.deep.include({
      parcelId: "P-1",
      weight: 4_294_967_295,
      serialNumber: -9_007_199_254_740_993n,
      fragile: true,
      speed: 2,
    });
    expect(timestampDate(orderTime).toISOString()).to.equal("2026-01-02T03:04:05.500Z");
    expect(items.map(({ name, quantity }) => ({ name, quantity }))).to.deep.equal([
      { name: "cup", quantity: 2 },
      { name: "saucer", quantity: -1 },
    ]);
    expect(request.delivery.clientId).to.equal(testClientId);
    expect(request.delivery.bodySha256).to.have.length(32);
    expect(journeys.at(-1)?.deliveryId).to.equal(request.delivery.deliveryId);
    expect(journeys.at(-1)?.api).to.equal("deliverParcel");
  });

  it("answers with the fields of its response beside the result, each scalar a string, and signs them", async () => {
    reply = () => ({
      receipt: {
        receiver: "J\u00fcrgen \u{1f4b3}",
        speed: 1,
        shelfNumber: 0,
        signed: true,
        arrivalTime: timestampFromDate(new Date("2026-01-03T00:00:00.25Z")),
        stops: [{ place: "Singapore", items: [{ name: "cup", quantity: 1 }] }, { place: "Berlin" }],
      },
      internalNote: "not for Alipay+",
    });
    const answer = await send(parcel);
    expectSigned(answer, { path });
    expect(JSON.parse(answer.body.toString())).to.deep.equal({
      result: { resultCode: "SUCCESS", resultStatus: "S", resultMessage: "Success" },
      receiver: "J\u00fcrgen \u{1f4b3}",
      speed: "SLOW",
      shelfNumber: "0",
      signed: "true",
      arrivalTime: "2026-01-03T00:00:00.25Z",
      stops: [{ place: "Singapore", items: [{ name: "cup", quantity: "1" }] }, { place: "Berlin" }],
    });
  });

  const illegal: { field: string; members: Record<string, unknown> }[] = [
    { field: "weight", members: { weight: "4294967296" } },
    { field: "weight", members: { weight: 12 } },
    { field: "serialNumber", members: { serialNumber: "9223372036854775808" } },
    { field: "fragile", members: { fragile: "yes" } },
    { field: "speed", members: { speed: "SPEED_FAST" } },
    { field: "orderTime", members: { orderTime: "2026-02-30T00:00:00Z" } },
    { field: "items", members: { items: { name: "cup" } } },
    { field: "items[].quantity", members: { items: [{ name: "cup", quantity: "many" }] } },
  ];
  for (const { field, members } of illegal)
    it(`is answered PARAM_ILLEGAL by name for ${JSON.stringify(members)}, without a call`, async () => {
      const answer = await send({ ...parcel, ...members });
      expectResult(answer, "PARAM_ILLEGAL", { path });
      expect(answer.result.resultMessage.split(" ")).to.include(field);
      expect(received).to.deep.equal([]);
    });

  it("is answered PARAM_ILLEGAL by the field's JSON name when its service refuses the field", async () => {
    reply = () => {
      throw new ConnectError("no", Code.InvalidArgument, undefined, [
        { desc: ErrorInfoSchema, value: { reason: "FIELD_VIOLATION", domain: "token.mpp" } },
        {
          desc: BadRequestSchema,
          value: { fieldViolations: [{ field: "parcel.items[1].quantity", description: "must be positive" }] },
        },
      ]);
    };
    const answer = await send(parcel);
    expectResult(answer, "PARAM_ILLEGAL", { path });
    expect(answer.result.resultMessage).to.equal("Illegal parameters exist. items[].quantity must be positive");
  });

  it("breaks no published rule of the conformance suite, which knows it by its proto too", async () => {
    const { privateKey: stranger } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const url = new URL(gatewayUrl + path);
    const [api] = apisOf([service]);
    if (api === undefined) throw new Error("the proto declares no API");
    const results = await run({ sender: testSender, stranger, url, api, concurrency: 8, timeoutMs: 5_000 });
    expect(results.filter(({ verdict }) => verdict === "fail")).to.deep.equal([]);
    expect(results.map(({ name }) => name)).to.include("field/items.quantity/not-numeric");
    expect(results.length).to.be.above(150);
  });

  it("keeps its response fields out of an answer that is no success", async () => {
    reply = () => {
      throw new ConnectError("no", Code.Unavailable);
    };
    expectResult(await send(parcel), "UNKNOWN_EXCEPTION", { path });
  });

  it("goes by its batch rpc while its service has a backlog, each with the answer and the deadline of its own", async () => {
    let release = (): void => {};
    held = new Promise((resolve) => {
      release = resolve;
    });
    reply = ({ parcel: { parcelId } }) => {
      if (parcelId === "P-7")
        throw new ConnectError("no", Code.AlreadyExists, undefined, [
          { desc: ErrorInfoSchema, value: { reason: "ACTIVATION_CONFLICT", domain: "token.mpp" } },
        ]);
      if (parcelId === "P-8") throw new Error("oops");
      return { receipt: { receiver: parcelId } };
    };
    const first: ReturnType<typeof send>[] = [];
    for (let i = 0; i < 4; i++) {
      first.push(send({ ...parcel, parcelId: `P-${i}` }));
      await until("it is under way", () => received.length === i + 1);
    }
    const ids = [4, 5, 6, 7, 8, 9].map((i) => `P-${i}`);
    const further = ids.map((parcelId) => send({ ...parcel, parcelId }));
    await until("the others are there", () => received.length === 10);
    expect(batches.flat()).to.have.members(ids);
    expect(batches.length).to.be.below(ids.length);
    for (const timeoutMs of timeouts) expect(timeoutMs).to.be.within(1_000, 2_000);
    release();
    const answers = await Promise.all([...first, ...further]);
    for (const answer of answers) expectSigned(answer, { path });
    expect(
      answers.map(({ body }) => JSON.parse(body.toString())).map((body) => body.receiver ?? body.result.resultCode),
    ).to.deep.equal(["P-0", "P-1", "P-2", "P-3", "P-4", "P-5", "P-6", "PROCESS_FAIL", "UNKNOWN_EXCEPTION", "P-9"]);
  });
});
