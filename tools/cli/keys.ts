// token-gateway keys: key pairs in the forms that Alipay+ wants.
import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { CommandError, jsonOption, print, printJson } from "./output.js";

export function register(program: Command): void {
  const keys = program.command("keys").description("make, show, compare and roll RSA keys in the forms Alipay+ wants");
  keys
    .command("show")
    .description("tell what is in key files, and the fingerprint: SHA-256 of the public key's SPKI")
    .argument("<file...>", "PEM files, or files with a one-line base64 key")
    .addOption(jsonOption())
    .action((files: string[], { json }: { json: boolean }) => {
      const shown = files.map((file) => ({ file, fingerprint: fingerprintOf(readPublic(file)) }));
      if (json) printJson(shown);
      else for (const { file, fingerprint } of shown) print(`${file}  ${fingerprint}`);
    });
}

const fingerprintOf = (key: KeyObject): string =>
  createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest("hex");

function readPublic(file: string): KeyObject {
  try {
    return createPublicKey(readFileSync(file, "utf8"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CommandError(`no key in ${file}${code ? ` (${code})` : ""}`);
  }
}
