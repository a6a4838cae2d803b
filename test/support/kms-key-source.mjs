// An example of a key source for KEYRING_SOURCE: keys lie wrapped in KEYRING_DIR, and a KMS at KMS_URL unwraps them.
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

const fileName = /^token-data\.(\d{1,9})\.wrapped$/;

/** @type {import("../../services/token-lifecycle/vault/key-source.js").CreateKeySource} */
export function createKeySource({ keyringDir }) {
  const kmsUrl = process.env.KMS_URL;
  if (!kmsUrl) throw new Error("KMS_URL is not set");
  const files = async () => (await readdir(keyringDir)).filter((name) => fileName.test(name)).sort();
  return {
    // The KMS is asked at start and when a file came, went or changed, not every time that somebody looks.
    async stamp() {
      const names = await files();
      const times = await Promise.all(names.map(async (name) => (await stat(join(keyringDir, name))).mtimeMs));
      return names.map((name, index) => `${name} ${times[index]}`).join("\n");
    },
    async secrets() {
      const versions = (await files()).map(async (name) => {
        const wrapped = await readFile(join(keyringDir, name));
        return [Number(fileName.exec(name)?.[1]), await unwrap(kmsUrl, name, wrapped)];
      });
      return new Map(await Promise.all(versions));
    },
  };
}

async function unwrap(kmsUrl, name, wrapped) {
  const options = { method: "POST", body: wrapped, signal: AbortSignal.timeout(5_000) };
  const answer = await fetch(kmsUrl, options).catch((error) => {
    throw new Error(`the KMS at ${kmsUrl} does not answer (${error.cause?.code ?? error.name})`);
  });
  if (!answer.ok) throw new Error(`the KMS does not unwrap ${name}: HTTP ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}
