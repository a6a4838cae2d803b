// Says why the signature of a request does not hold, and what to change. It only looks: nothing is accepted because of it.
import { constants, hash, type KeyObject, publicDecrypt, verify } from "node:crypto";
import { attempt } from "./attempt.js";
import { type Cause, causes } from "./causes.js";
import { parseSignatureHeader, signatureBytes } from "./signature.js";
import {
  type Form,
  finerTimeForms,
  formsOf,
  type Known,
  type Parts,
  partsOf,
  type ReceivedRequest,
  shown,
} from "./signed-forms.js";

/** A public key that a request may have been signed for. */
export type DoctorKey = {
  /** How the answer calls it. */
  readonly name: string;
  readonly key: KeyObject;
  /** Absent when nobody said whose it is, or which one. */
  readonly clientId?: string;
  readonly version?: number;
};

const publicKeyFile = /([A-Za-z0-9_-]{1,64})[/\\]alipayplus\.(\d{1,9})\.public\.pem$/;

/** Whose key it is and which one, when its file lies where the gateway looks for it. */
export function doctorKeyOf(file: string, key: KeyObject): DoctorKey {
  const [, clientId, version] = publicKeyFile.exec(file) ?? [];
  if (clientId === undefined) return { name: file, key };
  return { name: `alipayplus.${version} of ${clientId}`, key, clientId, version: Number(version) };
}

export type Diagnosis = {
  readonly holds: boolean;
  /** By name, the most telling first; none when the signature holds. */
  readonly causes: readonly Cause[];
  /** In one line: what happened and what to change. It quotes paths and header values, never the body or the signature. */
  readonly line: string;
  /** Name of the key that made the signature, when it is one of those given. */
  readonly key?: string;
  /** How many texts were tried. */
  readonly tried: number;
};

export type Evidence = Partial<Known> & {
  readonly keys: readonly DoctorKey[];
  /** Bytes to hash at most, so that it takes a bounded time. */
  readonly budgetBytes: number;
};

type Finding = { readonly cause: Cause; readonly detail?: string };

export function diagnose(request: ReceivedRequest, evidence: Evidence): Diagnosis {
  const { keys } = evidence;
  const header = request.headers.signature;
  if (!header) return verdict([{ cause: "header-missing", detail: "Signature" }], 0);
  if (keys.length === 0) return verdict([{ cause: "wrong-key", detail: "there is no key to try" }], 0);
  const named = signaturesIn(header);
  for (const value of named.values)
    for (const key of keys) {
      const seal = opened(value.text, key.key);
      if (seal === undefined) continue;
      const { found, tried } = search(request, evidence, seal);
      const signer = keyFindings(key, keys, found?.parts.clientId ?? request.headers["client-id"], named);
      const told = [...named.findings, ...value.findings, ...signer, ...hashFindings(seal)];
      return verdict([...told, ...(found?.findings ?? missingText(request))], tried, key.name);
    }
  const any = (test: (text: string, key: KeyObject) => boolean): boolean =>
    named.values.some(({ text }) => keys.some(({ key }) => test(text, key)));
  if (!any((text, key) => signatureBytes(text, bytesIn(key)) !== undefined))
    return verdict([...named.findings, { cause: "signature-cut" }], 0);
  if (any((text, key) => isPssSigned(request, text, key)))
    return verdict([...named.findings, { cause: "wrong-hash", detail: "RSASSA-PSS" }], 0);
  return verdict([...named.findings, { cause: "wrong-key", detail: `none of the ${keys.length} at hand` }], 0);
}

function verdict(findings: readonly Finding[], tried: number, key?: string): Diagnosis {
  const byCause = new Map(findings.map((finding) => [finding.cause, finding]));
  const told = [...byCause.values()].map(({ cause, detail }) => {
    const { what, change } = causes[cause];
    return `${cause}: ${what}${detail === undefined ? "" : ` (${detail})`}; ${change}`;
  });
  const line =
    told.length === 0 ? `the signature holds${key === undefined ? "" : `, by ${key}`}` : told.join(". Also ");
  return { holds: told.length === 0, causes: [...byCause.keys()], line, tried, ...(key !== undefined && { key }) };
}

/** Whether the key is the one that the request names, as the gateway would look it up. */
function keyFindings(
  key: DoctorKey,
  keys: readonly DoctorKey[],
  clientId: string | undefined,
  { keyVersion, isReadable }: NamedSignature,
): Finding[] {
  if (key.clientId !== undefined && key.clientId !== clientId) {
    const isKnown = keys.some((each) => each.clientId === clientId);
    return [{ cause: isKnown ? "wrong-key" : "unknown-client", detail: `${key.name} made the signature` }];
  }
  const theirs = keys.filter((each) => each.clientId === undefined || each.clientId === clientId);
  // Nobody said which version this key is, so the first one counts.
  if (key.version === undefined)
    return key === theirs[0] ? [] : [{ cause: "wrong-key", detail: `${key.name} made it` }];
  if (keyVersion === undefined && !isReadable) return [];
  const newest = Math.max(...theirs.map(({ version }) => version ?? -1));
  if (key.version === (keyVersion === undefined ? newest : Number(keyVersion))) return [];
  const says =
    keyVersion === undefined
      ? "the header names no version, which means the highest"
      : `the header says keyVersion=${shown(keyVersion)}`;
  return [{ cause: "key-version", detail: `${says}, and ${key.name} made it` }];
}

type SignatureText = { readonly text: string; readonly findings: readonly Finding[] };

type NamedSignature = {
  readonly keyVersion?: string;
  readonly isReadable: boolean;
  readonly values: readonly SignatureText[];
  readonly findings: readonly Finding[];
};

/** The value of a Signature header, and the values that it may have had before somebody changed it. */
function signaturesIn(header: string): NamedSignature {
  const parsed = parseSignatureHeader(header);
  const loose = /signature\s*[=:]\s*(.*)$/is.exec(header)?.[1] ?? header;
  const value = parsed?.signature ?? loose.split(/[,;](?=\s*(?:algorithm|keyVersion)\b)/i, 1)[0] ?? "";
  const keyVersion = parsed ? parsed.keyVersion : /keyVersion\s*[=:]\s*"?(\d+)/i.exec(header)?.[1];
  const other =
    (cause: Cause) =>
    (text: string | undefined): SignatureText[] =>
      text === undefined || text === value ? [] : [{ text, findings: [{ cause }] }];
  const once = attempt(() => decodeURIComponent(value));
  const twice = attempt(() => decodeURIComponent(once ?? value));
  const plain = value.replaceAll(/[\s"'<>]|%0[AD]|%20|\\[rn]/gi, "");
  const hex = /^[0-9a-f]{512,2048}$/i.test(plain) ? Buffer.from(plain, "hex").toString("base64") : undefined;
  return {
    ...(keyVersion !== undefined && { keyVersion }),
    isReadable: parsed !== undefined,
    values: [
      { text: value, findings: [] },
      ...other("signature-decoded")(value.replaceAll(" ", "+")),
      ...other("signature-encoded")(twice),
      ...other("signature-encoded")(attempt(() => decodeURIComponent(twice ?? ""))),
      ...other("signature-form")(plain),
      ...other("signature-form")(hex),
    ],
    findings: parsed ? [] : [{ cause: "signature-header" }],
  };
}

const bytesIn = (key: KeyObject): number => Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);

/** What a signature says was hashed, which its public key reveals. */
type Seal = { readonly hash: string; readonly digest: Buffer };

// DigestInfo of RFC 8017, 9.2: what stands before the digest.
const digestInfos: readonly (readonly [hash: string, prefix: string])[] = [
  ["sha256", "3031300d060960864801650304020105000420"],
  ["sha1", "3021300906052b0e03021a05000414"],
  ["sha384", "3041300d060960864801650304020205000430"],
  ["sha512", "3051300d060960864801650304020305000440"],
  ["md5", "3020300c06082a864886f70d020505000410"],
];

/** Undefined when this key did not make the signature: whose it is does not depend on the text. */
function opened(value: string, key: KeyObject): Seal | undefined {
  const bytes = signatureBytes(value, bytesIn(key));
  if (bytes === undefined) return undefined;
  const info = attempt(() => publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, bytes));
  if (info === undefined) return undefined;
  const text = info.toString("hex");
  const [hash, prefix] = digestInfos.find(([, each]) => text.startsWith(each)) ?? ["none", ""];
  return { hash, digest: Buffer.from(text.slice(prefix.length), "hex") };
}

function isPssSigned(request: ReceivedRequest, value: string, key: KeyObject): boolean {
  const bytes = signatureBytes(value, bytesIn(key));
  const parts = partsOf(request);
  const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO };
  return bytes !== undefined && verify("sha256", parts.layout(parts), { key, ...padding }, bytes);
}

const hashFindings = ({ hash }: Seal): Finding[] =>
  hash === "sha256" ? [] : [{ cause: "wrong-hash", detail: hash === "none" ? "no hash is named" : hash.toUpperCase() }];

type Found = { readonly findings: readonly Finding[]; readonly parts: Parts };

/** Tries the text as it came, then each form, then each pair of forms of different parts. */
function search(
  request: ReceivedRequest,
  evidence: Evidence,
  { digest, ...seal }: Seal,
): { found: Found | undefined; tried: number } {
  const known = { clientIds: [], paths: [], bodies: [], others: [], memberOrder: [], ...evidence };
  const base = partsOf(request);
  const algorithm = seal.hash === "none" ? "sha256" : seal.hash;
  const rows = formsOf(request, known);
  let [tried, spentBytes] = [0, 0];
  for (const forms of inOrder(rows, () => finerTimeForms(base.time))) {
    if (spentBytes > evidence.budgetBytes) break;
    const parts: Parts = Object.assign({}, base, ...forms.map((form) => form.parts));
    tried++;
    spentBytes += parts.body.length + 256;
    if (!hash(algorithm, parts.layout(parts), "buffer").equals(digest)) continue;
    const findings = forms.map(
      ({ cause, detail }) => sharper(cause, base, known) ?? { cause, ...(detail !== undefined && { detail }) },
    );
    return { found: { findings, parts }, tried };
  }
  return { found: undefined, tried };
}

/** What to try together: nothing, one form, two forms of different rows. */
function* inOrder(rows: readonly (() => Iterable<Form>)[], more: () => Iterable<Form>): Generator<readonly Form[]> {
  yield [];
  for (const row of [...rows, more]) for (const form of row()) yield [form];
  const made = rows.map((row) => [...row()]);
  for (const [index, row] of made.entries())
    for (const one of row) for (const two of made.slice(index + 1).flat()) yield [one, two];
}

/** A time that another request carries was not read from a clock twice. */
function sharper(cause: Cause, { time }: Parts, { others }: Known): Finding | undefined {
  const index = others.findIndex(({ headers }) => headers["request-time"] === time);
  if (cause !== "clock" || index === -1) return undefined;
  return { cause: "header-of-another-request", detail: `Request-Time is that of request ${index + 2}` };
}

/** What can be said when no form fits. */
function missingText({ headers, body }: ReceivedRequest): Finding[] {
  const missing = ["Client-Id", "Request-Time"].filter((name) => !headers[name.toLowerCase()]);
  if (missing.length > 0) return [{ cause: "header-missing", detail: missing.join(" and ") }];
  const bytes = Buffer.from(body);
  if (bytes.includes("\u{fffd}")) return [{ cause: "charset", detail: "the body holds U+FFFD, where bytes were lost" }];
  const length = headers["content-length"];
  if (length !== undefined && Number(length) !== bytes.length)
    return [
      {
        cause: "other-content",
        detail: `${bytes.length} bytes of body came, and Content-Length says ${shown(length)}`,
      },
    ];
  return [{ cause: "other-content" }];
}
