// gRPC server reflection, v1 and v1alpha, over generated descriptors.
import { createRegistry, type DescFile, type DescService, type Registry, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import { ServerReflection } from "../../proto/gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionV1Alpha } from "../../proto/gen/grpc/reflection/v1alpha/reflection_pb.js";

// Both versions have the same members, so one answer, written without their type names, serves both.
type Question =
  | { case: "fileByFilename" | "fileContainingSymbol" | "allExtensionNumbersOfType" | "listServices"; value: string }
  | { case: "fileContainingExtension"; value: { containingType: string; extensionNumber: number } }
  | { case: undefined; value?: undefined };
type Answer =
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: "allExtensionNumbersResponse"; value: { baseTypeName: string; extensionNumber: number[] } }
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "errorResponse"; value: { errorCode: number; errorMessage: string } };

/** Registers reflection for the services, for itself, and for files that carry error details. */
export function addReflection(
  router: ConnectRouter,
  services: readonly DescService[],
  detailFiles: readonly DescFile[],
): void {
  const listed = [...services, ServerReflection, ServerReflectionV1Alpha];
  const answer = answersOver(listed, [...listed.map((service) => service.file), ...detailFiles]);
  router.service(ServerReflection, {
    async *serverReflectionInfo(requests) {
      for await (const request of requests)
        yield {
          validHost: request.host,
          originalRequest: request,
          messageResponse: answer(request.messageRequest),
        };
    },
  });
  router.service(ServerReflectionV1Alpha, {
    async *serverReflectionInfo(requests) {
      for await (const request of requests)
        yield {
          validHost: request.host,
          originalRequest: request,
          messageResponse: answer(request.messageRequest),
        };
    },
  });
}

function answersOver(listed: readonly DescService[], files: readonly DescFile[]): (question: Question) => Answer {
  const registry = createRegistry(...files.flatMap((file) => withDependencies(file)));
  const byName = new Map(files.flatMap(withDependencies).map((file) => [file.proto.name, file]));
  const bytesOf = new Map(
    [...byName].map(([name, file]) => [name, toBinary(FileDescriptorProtoSchema, file.proto)] as const),
  );

  const found = (file: DescFile | undefined): Answer =>
    file === undefined
      ? notFound
      : {
          case: "fileDescriptorResponse",
          value: { fileDescriptorProto: withDependencies(file).flatMap((each) => bytesOf.get(each.proto.name) ?? []) },
        };

  // A symbol is a type or a member of one: a method, a field, an enum value.
  const bySymbol = new Map<string, DescFile>();
  for (const type of registry) for (const symbol of symbolsOf(type)) bySymbol.set(symbol, type.file);

  function extensionNumbers(typeName: string): number[] {
    return [...registry]
      .filter((type) => type.kind === "extension" && type.extendee.typeName === typeName)
      .flatMap((type) => (type.kind === "extension" ? type.number : []))
      .sort((a, b) => a - b);
  }

  return (question) => {
    switch (question.case) {
      case "listServices":
        return {
          case: "listServicesResponse",
          value: { service: listed.map(({ typeName }) => ({ name: typeName })) },
        };
      case "fileByFilename":
        return found(byName.get(question.value));
      case "fileContainingSymbol":
        return found(bySymbol.get(question.value));
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = question.value;
        const message = registry.getMessage(containingType);
        return found(message && registry.getExtensionFor(message, extensionNumber)?.file);
      }
      case "allExtensionNumbersOfType":
        return registry.getMessage(question.value)
          ? {
              case: "allExtensionNumbersResponse",
              value: { baseTypeName: question.value, extensionNumber: extensionNumbers(question.value) },
            }
          : notFound;
      default:
        return { case: "errorResponse", value: { errorCode: Code.InvalidArgument, errorMessage: "empty request" } };
    }
  };
}

type RegistryType = Registry extends Iterable<infer T> ? T : never;

function symbolsOf(type: RegistryType): string[] {
  const members = (scope: string, all: readonly { name: string }[]) => all.map(({ name }) => `${scope}.${name}`);
  switch (type.kind) {
    case "service":
      return [type.typeName, ...members(type.typeName, type.methods)];
    case "message":
      return [type.typeName, ...members(type.typeName, [...type.fields, ...type.oneofs])];
    case "enum":
      // Enum values are siblings of their enum, as in C++.
      return [type.typeName, ...members(type.typeName.slice(0, type.typeName.lastIndexOf(".")), type.values)];
    case "extension":
      return [type.typeName];
  }
}

const notFound: Answer = { case: "errorResponse", value: { errorCode: Code.NotFound, errorMessage: "not found" } };

/** The file after everything it imports, each once. */
function withDependencies(file: DescFile): DescFile[] {
  const seen = new Set<DescFile>();
  const visit = (each: DescFile): void => {
    if (seen.has(each)) return;
    for (const dependency of each.dependencies) visit(dependency);
    seen.add(each);
  };
  visit(file);
  return [...seen];
}
