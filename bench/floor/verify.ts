// First part of the floor: one RSA-2048 verification of a notification, and nothing else.
import { type KeyObject, verify } from "node:crypto";
import { contentToSign, parseSignatureHeader, signatureBytes } from "../../gateway/alipayplus/signature.js";
import { apiPath } from "../corpus.js";
import { headersIn } from "../generator/answers.js";
import type { Measured } from "../generator/tasks.js";

/** CPU per verification; the bytes are taken apart before the clock runs. */
export function measureVerify(requests: readonly Buffer[], publicKey: KeyObject, windowMs: number): Measured {
  const prepared = requests.slice(0, 500).map(preparedOf);
  const started = performance.now();
  const before = process.cpuUsage();
  let verified = 0;
  while (performance.now() - started < windowMs)
    for (const { content, signature } of prepared) {
      if (!verify("sha256", content, publicKey, signature)) throw new Error("a notification is not signed");
      verified += 1;
    }
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - started) / 1000;
  const ms = (seconds * 1000) / verified;
  return {
    answers: verified,
    seconds,
    ...{ p50Ms: ms, p99Ms: ms, p999Ms: ms, maxMs: ms },
    cpuUsByPart: { verify: user + system },
    generatorCpuUs: 0,
  };
}

function preparedOf(request: Buffer): { content: Buffer; signature: Buffer } {
  const headEnd = request.indexOf("\r\n\r\n");
  const headers = headersIn(request.toString("latin1", 0, headEnd));
  const content = contentToSign({
    method: "POST",
    path: apiPath,
    clientId: headers["client-id"] ?? "",
    time: headers["request-time"] ?? "",
    body: request.subarray(headEnd + 4),
  });
  const signature = signatureBytes(parseSignatureHeader(headers.signature ?? "")?.signature ?? "", 256);
  return { content, signature: signature ?? Buffer.alloc(0) };
}
