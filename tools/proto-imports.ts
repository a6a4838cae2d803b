// Brings the .proto files that ours import out of pinned npm packages into proto/, where buf looks for them.
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { DescEnum, DescExtension, DescField, DescMessage } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

const require = createRequire(import.meta.url);
const root = new URL("../proto/", import.meta.url).pathname;

const copies: Record<string, [packageName: string, path: string]> = {
  "google/rpc/status.proto": ["google-proto-files", "google/rpc/status.proto"],
  "google/rpc/error_details.proto": ["google-proto-files", "google/rpc/error_details.proto"],
  "grpc/health/v1/health.proto": ["grpc-health-check", "proto/health/v1/health.proto"],
  "grpc/reflection/v1/reflection.proto": ["@grpc/reflection", "build/proto/grpc/reflection/v1/reflection.proto"],
  "grpc/reflection/v1alpha/reflection.proto": [
    "@grpc/reflection",
    "build/proto/grpc/reflection/v1alpha/reflection.proto",
  ],
};

function write(path: string, put: (target: string) => void): void {
  const target = join(root, path);
  mkdirSync(dirname(target), { recursive: true });
  put(target);
}

for (const [path, [packageName, source]] of Object.entries(copies)) {
  const folder = dirname(require.resolve(`${packageName}/package.json`));
  write(path, (target) => copyFileSync(join(folder, source), target));
}

// No package ships validate.proto itself, so it is printed from the descriptor that @bufbuild/protovalidate carries.
function typeOf(field: DescField | DescExtension): string {
  switch (field.fieldKind) {
    case "scalar":
      return ScalarType[field.scalar].toLowerCase();
    case "enum":
      return `.${field.enum.typeName}`;
    case "message":
      return `.${field.message.typeName}`;
    case "list":
      if (field.listKind === "scalar") return ScalarType[field.scalar].toLowerCase();
      return `.${(field.listKind === "enum" ? field.enum : field.message).typeName}`;
    case "map":
      throw new Error(`${field.name}: maps are not printed`);
  }
}

function labelOf(field: DescField | DescExtension): string {
  if (field.fieldKind === "list") return "repeated ";
  return field.oneof === undefined && field.presence === FeatureSet_FieldPresence.EXPLICIT ? "optional " : "";
}

function printField(field: DescField | DescExtension): string {
  const keepsUnpacked = field.fieldKind === "list" && field.proto.options?.packed === false ? " [packed = false]" : "";
  return `${labelOf(field)}${typeOf(field)} ${field.name} = ${field.number}${keepsUnpacked};`;
}

function printEnum(desc: DescEnum): string {
  return `enum ${desc.name} {\n${desc.values.map((value) => `${value.name} = ${value.number};`).join("\n")}\n}`;
}

function printMessage(desc: DescMessage): string {
  const lines = desc.members.map((member) =>
    member.kind === "oneof"
      ? `oneof ${member.name} {\n${member.fields.map(printField).join("\n")}\n}`
      : printField(member),
  );
  const ranges = desc.proto.extensionRange.map((range) =>
    range.end > 536870911 ? `extensions ${range.start} to max;` : `extensions ${range.start} to ${range.end - 1};`,
  );
  const nested = [...desc.nestedMessages.map(printMessage), ...desc.nestedEnums.map(printEnum)];
  return `message ${desc.name} {\n${[...lines, ...ranges, ...nested, ...desc.nestedExtensions.map(printExtension)].join("\n")}\n}`;
}

function printExtension(desc: DescExtension): string {
  return `extend .${desc.extendee.typeName} {\n${printField(desc)}\n}`;
}

write("buf/validate/validate.proto", (target) => {
  const file = file_buf_validate_validate;
  const parts = [
    `syntax = "${file.edition === 998 ? "proto2" : "proto3"}";`,
    `package ${file.proto.package};`,
    ...file.proto.dependency.map((dependency) => `import "${dependency}";`),
    ...file.messages.map(printMessage),
    ...file.enums.map(printEnum),
    ...file.extensions.map(printExtension),
  ];
  writeFileSync(target, `${parts.join("\n")}\n`);
});
