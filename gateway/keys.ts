// Key files: for each Client-Id a folder with Alipay+'s public keys and our private ones, in versions side by side.
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { StartError } from "../lib/program.js";
import type { Signatory } from "./stages/sign.js";
import type { Peer, VerifyingKey } from "./stages/verify.js";

/** A client of ours; denied when a file of that name lies beside its keys. */
export type Client = Peer & {
  readonly clientId: string;
  /** Who signs answers to this client; undefined when no own key can be read. */
  readonly signatory: Signatory | undefined;
};

export type Clients = {
  readonly clientOf: (clientId: string) => Client | undefined;
  /** Who signs answers to a request that names no client of ours. */
  readonly defaultSignatory: Signatory | undefined;
  readonly isEmpty: boolean;
  /** True when there is a key of ours for at least one client. */
  readonly canSign: boolean;
  /** What is wrong with the files, for a person. */
  readonly troubles: readonly string[];
  /** Every key read so far, so that a file that turns bad does not lose a good key. */
  readonly byFile: ReadonlyMap<string, KeyObject>;
};

export type KeySettings = {
  readonly folder: string;
  readonly defaultClientId: string | undefined;
  readonly ownKeyVersion: number | undefined;
};

const publicFile = /^alipayplus\.(\d{1,9})\.public\.pem$/;
const privateFile = /^own\.(\d{1,9})\.private\.pem$/;
const clientFolder = /^[A-Za-z0-9_-]{1,64}$/;

/** Reads all clients. Trouble with a file is told in `troubles`; the client it belongs to goes on with what can be read. */
export function readClients(settings: KeySettings, previous: Clients | undefined): Clients {
  const troubles: string[] = [];
  const byFile = new Map<string, KeyObject>();
  const read = (file: string, parse: (pem: string) => KeyObject): VerifyingKey => {
    try {
      const key = parse(readFileSync(file, "utf8"));
      const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
      if (key.asymmetricKeyType !== "rsa" || bits < 2048) throw new Error("not RSA of 2048 bits or more");
      byFile.set(file, key);
      return key;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      troubles.push(
        `${file} cannot be read: ${code === "ENOENT" || code === "EACCES" ? code : "no PEM with an RSA key of 2048 bits or more"}`,
      );
      const last = previous?.byFile.get(file);
      if (last) byFile.set(file, last);
      return last ?? "unreadable";
    }
  };

  const clients = new Map<string, Client>();
  for (const clientId of readdirSync(settings.folder)) {
    const folder = join(settings.folder, clientId);
    if (!clientFolder.test(clientId) || !isFolder(folder)) continue;
    const names = readdirSync(folder);
    const versions = (pattern: RegExp, parse: (pem: string) => KeyObject): Map<number, VerifyingKey> =>
      new Map(
        names.flatMap((name) => {
          const version = pattern.exec(name)?.[1];
          return version === undefined ? [] : [[Number(version), read(join(folder, name), parse)] as const];
        }),
      );
    const theirs = versions(publicFile, createPublicKey);
    const ours = versions(privateFile, createPrivateKey);
    const signatory = signatoryOf(clientId, ours, settings.ownKeyVersion);
    if (theirs.size === 0) troubles.push(`${folder} holds no alipayplus.<version>.public.pem`);
    if (signatory === undefined) troubles.push(`${folder} holds no own.<version>.private.pem to sign with`);
    clients.set(clientId, {
      clientId,
      denied: existsSync(join(folder, "denied")),
      // Keys that are all gone are half of a change, and no reason to give up.
      verifyingKey: (version) =>
        theirs.size === 0
          ? "unreadable"
          : theirs.get(version === undefined ? Math.max(...theirs.keys()) : versionOf(version)),
      signatory,
    });
  }
  const only = clients.size === 1 ? [...clients.keys()][0] : undefined;
  const defaultId = settings.defaultClientId ?? only;
  if (defaultId !== undefined && !clients.has(defaultId))
    troubles.push(`DEFAULT_CLIENT_ID is ${defaultId}, but ${settings.folder} has no such folder`);
  return {
    clientOf: (clientId) => clients.get(clientId),
    isEmpty: clients.size === 0,
    canSign: [...clients.values()].some(({ signatory }) => signatory !== undefined),
    defaultSignatory: defaultId === undefined ? undefined : clients.get(defaultId)?.signatory,
    troubles:
      clients.size === 0 ? [`${settings.folder} holds no client: it needs a folder <Client-Id> with keys`] : troubles,
    byFile,
  };
}

/** At start every file must be good: a gateway that cannot verify or sign would turn good notifications away. */
export function readClientsAtStart(settings: KeySettings): Clients {
  if (!existsSync(settings.folder))
    throw new StartError(`there are no keys: ${settings.folder} does not exist. Put them there, or set KEYS_DIR.`);
  if (!isFolder(settings.folder))
    throw new StartError(`there are no keys: ${settings.folder} is no folder. Put them there, or set KEYS_DIR.`);
  const clients = readClients(settings, undefined);
  if (clients.troubles.length > 0) throw new StartError(`wrong keys: ${clients.troubles.join("; ")}.`);
  return clients;
}

/** True for a link to a folder too. */
const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

const versionOf = (text: string): number => (/^\d{1,9}$/.test(text) ? Number(text) : Number.NaN);

function signatoryOf(
  clientId: string,
  keys: ReadonlyMap<number, VerifyingKey>,
  wanted: number | undefined,
): Signatory | undefined {
  const readable = [...keys].filter((each): each is [number, KeyObject] => each[1] !== "unreadable");
  const [keyVersion, key] =
    readable.sort(([a], [b]) => b - a).find(([version]) => wanted === undefined || version === wanted) ?? [];
  return keyVersion === undefined || key === undefined ? undefined : { clientId, keyVersion, key };
}
