// A stand-in for a KMS on loopback: it unwraps what it has wrapped, with a key that never leaves it.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

export type TestKms = {
  readonly url: string;
  /** Makes a secret and lays it into the folder as the key source wants it: wrapped. */
  readonly writeKey: (folder: string, version: number) => Buffer;
  readonly unwrapped: () => number;
  readonly stop: () => Promise<void>;
  /** Starts again on the same port with the same key. */
  readonly start: () => Promise<void>;
};

/** The module that asks it, for KEYRING_SOURCE. */
export const kmsKeySource = fileURLToPath(new URL("kms-key-source.mjs", import.meta.url));

export async function startKms(): Promise<TestKms> {
  const master = randomBytes(32);
  let count = 0;
  let port = 0;
  let server: Server;

  function wrap(secret: Buffer): Buffer {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", master, nonce);
    return Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
  }
  function unwrap(wrapped: Buffer): Buffer {
    const decipher = createDecipheriv("aes-256-gcm", master, wrapped.subarray(0, 12));
    decipher.setAuthTag(wrapped.subarray(-16));
    return Buffer.concat([decipher.update(wrapped.subarray(12, -16)), decipher.final()]);
  }
  async function start(): Promise<void> {
    server = createServer(async (request, response) => {
      try {
        const secret = unwrap(await buffer(request));
        count += 1;
        response.end(secret);
      } catch {
        response.writeHead(400).end("not wrapped by this KMS");
      }
    });
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    port = (server.address() as AddressInfo).port;
  }
  await start();
  return {
    url: `http://127.0.0.1:${port}/unwrap`,
    writeKey(folder, version) {
      const secret = randomBytes(32);
      mkdirSync(folder, { recursive: true });
      const draft = join(folder, `.${version}`);
      writeFileSync(draft, wrap(secret));
      renameSync(draft, join(folder, `token-data.${version}.wrapped`));
      return secret;
    },
    unwrapped: () => count,
    start,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
