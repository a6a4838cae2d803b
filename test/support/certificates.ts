// Throw-away certificates for tests, made with openssl.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type Certificate = { readonly cert: Buffer; readonly key: Buffer };
export type Authority = {
  readonly ca: Buffer;
  /** A certificate with these subject alternative names, each as `DNS:...`, `URI:...` or `IP:...`. */
  readonly issue: (...names: string[]) => Certificate;
};

const openssl = (...args: string[]): void => {
  execFileSync("openssl", args, { stdio: "ignore" });
};
const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** An authority of its own, with its files in a new folder. */
export function createAuthority(folder: string, name: string): Authority {
  const at = (file: string): string => join(folder, name, file);
  mkdirSync(join(folder, name));
  openssl(
    "req",
    "-x509",
    ...newKey,
    "-days",
    "2",
    "-subj",
    `/CN=${name}`,
    "-keyout",
    at("ca.key"),
    "-out",
    at("ca.crt"),
  );
  let issued = 0;
  return {
    ca: readFileSync(at("ca.crt")),
    issue(...names) {
      const file = at(`${++issued}`);
      writeFileSync(`${file}.ext`, names.length > 0 ? `subjectAltName=${names.join(",")}\n` : "");
      openssl("req", "-new", ...newKey, "-subj", `/CN=${issued}`, "-keyout", `${file}.key`, "-out", `${file}.csr`);
      openssl(
        ...["x509", "-req", "-in", `${file}.csr`, "-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-CAcreateserial"],
        ...["-days", "2", "-extfile", `${file}.ext`, "-out", `${file}.crt`],
      );
      return { cert: readFileSync(`${file}.crt`), key: readFileSync(`${file}.key`) };
    },
  };
}

/** Lays a certificate and the authority to trust out as the product wants them; returns the folder. */
export function writeTlsFolder(folder: string, { cert, key }: Certificate, ca: Buffer): string {
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of Object.entries({ "tls.crt": cert, "tls.key": key, "ca.crt": ca }))
    writeFileSync(join(folder, name), content);
  return folder;
}
