// A certificate, its key and the authorities to trust, from a folder of files laid out as Kubernetes does.
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { StartError } from "./program.js";

export type TlsFiles = { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer };

/** Reads `tls.crt`, `tls.key` and `ca.crt`, all PEM. Throws StartError that names the file and the mistake. */
export function readTlsFiles(folder: string): TlsFiles {
  const read = (name: string): Buffer => {
    try {
      return readFileSync(join(folder, name));
    } catch (error) {
      throw new StartError(`${join(folder, name)} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
    }
  };
  const files = { cert: read("tls.crt"), key: read("tls.key"), ca: read("ca.crt") };
  try {
    new X509Certificate(files.cert);
    new X509Certificate(files.ca);
    createSecureContext(files);
  } catch {
    throw new StartError(
      `${folder} holds no certificate with its key and a CA, all in PEM (tls.crt, tls.key, ca.crt).`,
    );
  }
  return files;
}
