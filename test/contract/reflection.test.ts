// Server reflection: what grpcurl and buf curl need to know the service without its proto files.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { create, createFileRegistry, fromBinary, getOption, type MessageShape } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { expect } from "chai";
import { endpoint } from "../../proto/gen/alipayplus/dialect/v1/dialect_pb.js";
import {
  ExtensionRequestSchema,
  ServerReflection,
  type ServerReflectionRequestSchema,
  type ServerReflectionResponse,
} from "../../proto/gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionV1Alpha } from "../../proto/gen/grpc/reflection/v1alpha/reflection_pb.js";
import { TokenLifecycleService } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { startTestBackEnd, type TestBackEnd } from "../support/processes.js";
import { activationRequest } from "../support/rpc.js";

type Question = MessageShape<typeof ServerReflectionRequestSchema>["messageRequest"];

const extension = (containingType: string, extensionNumber: number) =>
  create(ExtensionRequestSchema, { containingType, extensionNumber });

const serviceFile = "mpp/token/v1/token_lifecycle_service.proto";
const services = [
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
  "mpp.token.v1.TokenLifecycleService",
];

const symbols: { symbol: string; file: string }[] = [
  { symbol: "mpp.token.v1.TokenLifecycleService", file: serviceFile },
  { symbol: "mpp.token.v1.TokenLifecycleService.RecordActivation", file: serviceFile },
  { symbol: "mpp.token.v1.GetTokenRequest", file: serviceFile },
  { symbol: "mpp.token.v1.GetTokenRequest.token_reference_id", file: serviceFile },
  { symbol: "mpp.token.v1.TokenState", file: "mpp/token/v1/token.proto" },
  { symbol: "mpp.token.v1.TOKEN_STATE_ACTIVE", file: "mpp/token/v1/token.proto" },
  { symbol: "mpp.token.v1.TokenActivation", file: "mpp/token/v1/token_activation.proto" },
  { symbol: "alipayplus.dialect.v1.endpoint", file: "alipayplus/dialect/v1/dialect.proto" },
  { symbol: "google.rpc.ErrorInfo", file: "google/rpc/error_details.proto" },
  { symbol: "google.protobuf.Timestamp", file: "google/protobuf/timestamp.proto" },
  { symbol: "grpc.health.v1.Health", file: "grpc/health/v1/health.proto" },
];

const unknown: { name: string; question: Question }[] = [
  { name: "an unknown symbol", question: { case: "fileContainingSymbol", value: "mpp.token.v1.Nothing" } },
  { name: "an unknown file", question: { case: "fileByFilename", value: "mpp/nothing.proto" } },
  { name: "an unknown type's extensions", question: { case: "allExtensionNumbersOfType", value: "mpp.Nothing" } },
  {
    name: "an unknown extension",
    question: {
      case: "fileContainingExtension",
      value: extension("google.protobuf.MethodOptions", 59_999),
    },
  },
];

describe("server reflection", () => {
  let backEnd: TestBackEnd;
  let sessionManager: Http2SessionManager;
  before(async () => {
    backEnd = await startTestBackEnd();
    sessionManager = new Http2SessionManager(backEnd.service.url);
  });
  after(async () => {
    sessionManager?.abort();
    await backEnd?.stop();
  });

  const versions = [
    { version: "v1", service: ServerReflection },
    // The members are the same, so one test reads both.
    { version: "v1alpha", service: ServerReflectionV1Alpha as unknown as typeof ServerReflection },
  ];

  for (const { version, service } of versions)
    describe(version, () => {
      /** Asks all questions in one stream, as tools do. */
      async function ask(...questions: Question[]): Promise<ServerReflectionResponse["messageResponse"][]> {
        const transport = createGrpcTransport({ baseUrl: backEnd.service.url, sessionManager });
        async function* requests() {
          for (const messageRequest of questions)
            yield create(service.method.serverReflectionInfo.input, { messageRequest });
        }
        const answers: ServerReflectionResponse["messageResponse"][] = [];
        for await (const answer of createClient(service, transport).serverReflectionInfo(requests()))
          answers.push(answer.messageResponse);
        return answers;
      }

      async function filesFor(question: Question) {
        const [answer] = await ask(question);
        if (answer?.case !== "fileDescriptorResponse") throw new Error(`the answer is ${JSON.stringify(answer)}`);
        return answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
      }

      it("lists every service", async () => {
        const [answer] = await ask({ case: "listServices", value: "*" });
        if (answer?.case !== "listServicesResponse") throw new Error(`the answer is ${answer?.case}`);
        expect(answer.value.service.map(({ name }) => name).sort()).to.deep.equal(services);
      });

      it("gives a file with everything it imports, so that it can be used without another question", async () => {
        const file = await filesFor({ case: "fileByFilename", value: serviceFile });
        const names = new Set(file.map(({ name }) => name));
        expect(names.has(serviceFile)).to.equal(true);
        expect(names.size).to.equal(file.length);
        for (const { name, dependency } of file)
          for (const each of dependency) expect(names.has(each), `${name} imports ${each}`).to.equal(true);
        const registry = createFileRegistry(create(FileDescriptorSetSchema, { file }));
        const methods = registry.getService(TokenLifecycleService.typeName)?.methods ?? [];
        expect(methods.map(({ name }) => name)).to.deep.equal(TokenLifecycleService.methods.map(({ name }) => name));
        const recordActivation = methods.find(({ name }) => name === "RecordActivation");
        if (recordActivation === undefined) throw new Error("no RecordActivation");
        expect(getOption(recordActivation, endpoint).api).to.equal("tokenActivationNotification");
      });

      for (const { symbol, file } of symbols)
        it(`finds the file of ${symbol}`, async () => {
          const found = await filesFor({ case: "fileContainingSymbol", value: symbol });
          expect(found.map(({ name }) => name)).to.include(file);
        });

      it("finds the file of an extension by its number", async () => {
        const files = await filesFor({
          case: "fileContainingExtension",
          value: extension("google.protobuf.MethodOptions", endpoint.number),
        });
        expect(files.map(({ name }) => name)).to.include("alipayplus/dialect/v1/dialect.proto");
      });

      it("lists the numbers of a type's extensions", async () => {
        const [answer] = await ask({ case: "allExtensionNumbersOfType", value: "google.protobuf.MethodOptions" });
        if (answer?.case !== "allExtensionNumbersResponse") throw new Error(`the answer is ${answer?.case}`);
        expect(answer.value.baseTypeName).to.equal("google.protobuf.MethodOptions");
        expect(answer.value.extensionNumber).to.include(endpoint.number);
      });

      for (const { name, question } of unknown)
        it(`answers NOT_FOUND for ${name}, and goes on with the stream`, async () => {
          const [answer, next] = await ask(question, { case: "listServices", value: "" });
          if (answer?.case !== "errorResponse") throw new Error(`the answer is ${answer?.case}`);
          expect(answer.value.errorCode).to.equal(5);
          expect(next?.case).to.equal("listServicesResponse");
        });
    });

  describe("is enough for buf curl", () => {
    const buf = fileURLToPath(new URL("../../node_modules/.bin/buf", import.meta.url));
    const curl = async (...args: string[]) => {
      const { stdout } = await promisify(execFile)(buf, ["curl", "--http2-prior-knowledge", ...args], {
        timeout: 15_000,
      });
      return stdout;
    };

    it("to list the services", async () => {
      const listed = (await curl("--protocol", "grpc", "--list-services", backEnd.service.url)).trim().split("\n");
      expect(listed.sort()).to.deep.equal(services);
    });

    for (const protocol of ["grpc", "grpcweb", "connect"])
      it(`to call GetToken over ${protocol}`, async () => {
        const request = activationRequest();
        const tokenReferenceId = request.activation?.tokenReferenceId ?? "";
        const transport = createGrpcTransport({ baseUrl: backEnd.service.url, sessionManager });
        await createClient(TokenLifecycleService, transport).recordActivation(request);
        const url = `${backEnd.service.url}/${TokenLifecycleService.typeName}/GetToken`;
        const answer = JSON.parse(await curl("--protocol", protocol, "-d", JSON.stringify({ tokenReferenceId }), url));
        expect(answer.token).to.include({ tokenReferenceId, state: "TOKEN_STATE_ACTIVE" });
        expect(answer.token.tokenData).to.deep.equal({ token: "************4521" });
      });
  });
});
