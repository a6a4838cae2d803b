// token-gateway keys: key pairs in the forms that Alipay+ wants.
import { createPrivateKey, createPublicKey, randomUUID } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readdirSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import {
  fingerprintOf,
  KeyFileError,
  newPemPair,
  publicLineOf,
  type ReadKey,
  readKey,
  readPrivateKey,
} from "../key-files.js";
import { CommandError, colour, end, ended, jsonOption, printEither } from "./output.js";

const { env } = process;

export function register(program: Command): void {
  const keys = program.command("keys").description("make, show, compare and roll RSA keys in the forms Alipay+ wants");
  keys
    .command("make")
    .description("make a key pair: private key in PKCS#8, public key in SPKI and in one line of base64")
    .option("--out <folder>", "where the files go", ".")
    .option("--name <name>", "what the files are called", "key")
    .option("--bits <number>", "length of the key: 2048, 3072 or 4096", keyBits, 2048)
    .addOption(jsonOption())
    .action(make);
  keys
    .command("show")
    .description(
      "tell form, length, fingerprint and one-line public key of key files; ends with 1 when one does not fit Alipay+",
    )
    .argument("<file...>", "private or public keys, in PEM or in one line of base64")
    .addOption(jsonOption())
    .action(show);
  keys
    .command("match")
    .description("tell whether a private and a public key are a pair; ends with 1 when they are none")
    .argument("<private>", "file with the private key")
    .argument("<public>", "file with the public key")
    .addOption(jsonOption())
    .action(match);
  keys
    .command("roll")
    .description("make the next version of our own key of a client, and tell what to upload to Alipay+")
    .option(
      "--keys-dir <folder>",
      "folder of the gateway's keys",
      env.KEYS_DIR || join(env.DATA_DIR || ".data", "keys"),
    )
    .option("--client <id>", "Client-Id whose key is rolled (default: the only one)")
    .option("--bits <number>", "length of the key: 2048, 3072 or 4096", keyBits, 2048)
    .option("--at-once", "accept that a gateway without OWN_KEY_VERSION signs with it at once", false)
    .addOption(jsonOption())
    .action(roll);
}

function keyBits(text: string): number {
  if (!/^(?:2048|3072|4096)$/.test(text)) throw new InvalidArgumentError("must be 2048, 3072 or 4096");
  return Number(text);
}

type Json = { readonly json: boolean };

async function make({ out, name, bits, json }: Json & { out: string; name: string; bits: number }): Promise<void> {
  const { privatePem, publicPem } = await newPemPair(bits);
  const publicKey = createPublicKey(publicPem);
  const files = {
    privateKey: join(out, `${name}.private.pem`),
    publicKey: join(out, `${name}.public.pem`),
    publicLine: join(out, `${name}.public.base64`),
  };
  mkdirSync(out, { recursive: true });
  const taken = Object.values(files).find(existsSync);
  if (taken !== undefined) throw new CommandError(`${taken} is there already: nothing was written`);
  writeNew(files.privateKey, privatePem, 0o600);
  writeNew(files.publicKey, publicPem, 0o644);
  writeNew(files.publicLine, `${publicLineOf(publicKey)}\n`, 0o644);
  const made = { ...files, bits, fingerprint: fingerprintOf(publicKey) };
  printEither(json, made, () => [
    `private key  ${files.privateKey}  PKCS#8, RSA of ${bits} bits, mode 0600: it signs, and stays with you`,
    `public key   ${files.publicKey}  SPKI`,
    `             ${files.publicLine}  the same in one line of base64, as Alipay+ takes it`,
    `fingerprint  ${made.fingerprint}`,
  ]);
}

function show(files: readonly string[], { json }: Json): void {
  const shown = files.map((file) => {
    const key = read(() => readKey(file));
    return {
      file,
      kind: key.privateKey ? "private" : "public",
      form: key.form,
      bits: key.publicKey.asymmetricKeyDetails?.modulusLength ?? 0,
      fingerprint: fingerprintOf(key.publicKey),
      publicKey: publicLineOf(key.publicKey),
      findings: findingsOf(file, key),
    };
  });
  if (shown.some(({ findings }) => findings.length > 0)) end(ended.withFindings);
  printEither(json, shown, () =>
    shown.flatMap(({ file, kind, form, bits, fingerprint, publicKey, findings }) => [
      colour("bold", file),
      `  ${kind} key, ${form}${bits > 0 ? `, RSA of ${bits} bits` : ""}`,
      `  fingerprint  ${fingerprint}`,
      `  public key   ${publicKey}`,
      ...findings.map((finding) => `  ${colour("yellow", finding)}`),
    ]),
  );
}

/** What keeps a key from being of use with Alipay+, or safe. */
function findingsOf(file: string, { form, privateKey, publicKey }: ReadKey): string[] {
  const bits = publicKey.asymmetricKeyDetails?.modulusLength ?? 0;
  const findings: string[] = [];
  if (publicKey.asymmetricKeyType !== "rsa") findings.push("not RSA: Alipay+ signs with RSA256 alone");
  else if (bits < 2048) findings.push("shorter than 2048 bits");
  if (form === "PKCS#1" && privateKey)
    findings.push("PKCS#1: Alipay+ wants PKCS#8, which openssl pkey -in FILE writes");
  else if (form === "PKCS#1" || form === "certificate")
    findings.push(`${form}: Alipay+ wants the bare public key in SPKI`);
  if (privateKey && (statSync(file).mode & 0o077) !== 0)
    findings.push("others than its owner may read the file: chmod 600");
  return findings;
}

function match(privateFile: string, publicFile: string, { json }: Json): void {
  const ours = fingerprintOf(createPublicKey(read(() => readPrivateKey(privateFile))));
  const theirs = fingerprintOf(read(() => readKey(publicFile)).publicKey);
  const isPair = ours === theirs;
  if (!isPair) end(ended.withFindings);
  printEither(json, { isPair, privateKey: ours, publicKey: theirs }, () =>
    isPair
      ? [`${colour("green", "a pair")}, fingerprint ${ours}`]
      : [colour("red", "no pair"), `  ${privateFile}  ${ours}`, `  ${publicFile}  ${theirs}`],
  );
}

type RollOptions = Json & { keysDir: string; client?: string; bits: number; atOnce: boolean };

async function roll({ keysDir, client, bits, atOnce, json }: RollOptions): Promise<void> {
  const clientId = client ?? onlyClientIn(keysDir);
  const folder = join(keysDir, clientId);
  const versions = filesIn(folder).flatMap((name) => /^own\.(\d{1,9})\.private\.pem$/.exec(name)?.[1] ?? []);
  const last = versions.length === 0 ? 0 : Math.max(...versions.map(Number));
  // Answers under a key that Alipay+ does not have are no answers.
  if (last > 0 && !env.OWN_KEY_VERSION && !atOnce)
    throw new CommandError(
      `a gateway without OWN_KEY_VERSION signs with version ${last + 1} as soon as it is there, before Alipay+ has it: ` +
        `set OWN_KEY_VERSION=${last} for the gateways and for this command, or say --at-once`,
    );
  const { privatePem } = await newPemPair(bits);
  const publicKey = createPublicKey(createPrivateKey(privatePem));
  const version = last + 1;
  const file = join(folder, `own.${version}.private.pem`);
  const unfinished = join(folder, `.own.${randomUUID()}.new`);
  writeNew(unfinished, privatePem, 0o600);
  try {
    // A link is never half there, and takes no name that is taken.
    linkSync(unfinished, file);
  } catch (error) {
    throw writeError(file, error);
  } finally {
    unlinkSync(unfinished);
  }
  const rolled = { file, clientId, keyVersion: version, bits, fingerprint: fingerprintOf(publicKey) };
  printEither(json, { ...rolled, upload: publicLineOf(publicKey) }, () => [
    `made ${file}, RSA of ${bits} bits, mode 0600`,
    `fingerprint  ${rolled.fingerprint}`,
    `\nUpload to Alipay+ as version ${version} of the key of ${clientId}:\n`,
    publicLineOf(publicKey),
    last === 0
      ? "\nThe gateway signs with it from its next look at the folder."
      : `\nWhen Alipay+ uses it, set OWN_KEY_VERSION=${version} for the gateways. Delete own.${last}.private.pem after that.`,
  ]);
}

function onlyClientIn(keysDir: string): string {
  const clients = filesIn(keysDir).filter((name) => statSync(join(keysDir, name)).isDirectory());
  const [only] = clients;
  if (clients.length === 1 && only !== undefined) return only;
  throw new CommandError(
    clients.length === 0
      ? `${keysDir} holds no client: it needs a folder <Client-Id> with keys`
      : `${keysDir} holds ${clients.join(", ")}: say which with --client`,
  );
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    throw new CommandError(`${folder} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** Writes a file that must not be there yet. */
function writeNew(file: string, text: string, mode: number): void {
  try {
    writeFileSync(file, text, { mode, flag: "wx" });
  } catch (error) {
    throw writeError(file, error);
  }
}

const writeError = (file: string, error: unknown): CommandError => {
  const { code } = error as NodeJS.ErrnoException;
  return new CommandError(
    code === "EEXIST" ? `${file} is there already: nothing was written` : `${file} cannot be written (${code})`,
  );
};

function read<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw error instanceof KeyFileError ? new CommandError(error.message) : error;
  }
}
