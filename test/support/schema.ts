// Made-up schemas for tests: compiles .proto text with buf, beside the product's own options.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  createFileRegistry,
  type DescMessage,
  type DescService,
  type FileRegistry,
  fromBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Compiles one file of package `made.up`; it may import the dialect's options. */
export function compileProto(source: string): FileRegistry {
  if (!existsSync(join(root, "proto/buf/validate/validate.proto")))
    execFileSync(process.execPath, ["--import", "tsx", "tools/proto-imports.ts"], { cwd: root });
  const folder = mkdtempSync(join(tmpdir(), "tg-proto-"));
  try {
    for (const part of ["alipayplus", "buf/validate", "google/rpc"])
      cpSync(join(root, "proto", part), join(folder, part), { recursive: true });
    writeFileSync(join(folder, "buf.yaml"), "version: v2\n");
    writeFileSync(join(folder, "made_up.proto"), source);
    const image = join(folder, "image.binpb");
    execFileSync(join(root, "node_modules/.bin/buf"), [
      "build",
      folder,
      "-o",
      image,
      "--path",
      join(folder, "made_up.proto"),
    ]);
    return createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(image)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function messageOf(registry: FileRegistry, name: string): DescMessage {
  const desc = registry.getMessage(`made.up.${name}`);
  if (desc === undefined) throw new Error(`the made-up schema has no message ${name}`);
  return desc;
}

export function serviceOf(registry: FileRegistry, name: string): DescService {
  const desc = registry.getService(`made.up.${name}`);
  if (desc === undefined) throw new Error(`the made-up schema has no service ${name}`);
  return desc;
}
