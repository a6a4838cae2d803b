// A certificate, its key and the authorities to trust, from a folder of files laid out as Kubernetes does.
import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { StartError } from "./program.js";

export type TlsFiles = { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer };
/** For a server that need not know its clients. */
export type ServerTlsFiles = { readonly cert: Buffer; readonly key: Buffer; readonly ca?: Buffer };

/** Reads `tls.crt`, `tls.key` and `ca.crt`, all PEM. Throws StartError that names the file and the mistake. */
export function readTlsFiles(folder: string): TlsFiles {
  const { ca, ...own } = readServerTlsFiles(folder);
  if (ca === undefined) throw new StartError(`${join(folder, "ca.crt")} is missing: it says whom to trust.`);
  return { ...own, ca };
}

/** Reads `tls.crt` and `tls.key`, and `ca.crt` when it is there. */
export function readServerTlsFiles(folder: string): ServerTlsFiles {
  const read = (name: string): Buffer => {
    try {
      return readFileSync(join(folder, name));
    } catch (error) {
      throw new StartError(`${join(folder, name)} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
    }
  };
  const ca = existsSync(join(folder, "ca.crt")) ? { ca: read("ca.crt") } : {};
  const files: ServerTlsFiles = { cert: read("tls.crt"), key: read("tls.key"), ...ca };
  try {
    new X509Certificate(files.cert);
    if (files.ca) new X509Certificate(files.ca);
    createSecureContext(files);
  } catch {
    throw new StartError(
      `${folder} holds no certificate with its key, and perhaps a CA, all in PEM (tls.crt, tls.key, ca.crt).`,
    );
  }
  return files;
}
