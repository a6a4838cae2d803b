// token-gateway doctor: says in one line why the signature of a captured request does not hold, and what to change.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { causes } from "../../gateway/alipayplus/causes.js";
import { type DoctorKey, diagnose, doctorKeyOf } from "../../gateway/alipayplus/doctor.js";
import { knownApis } from "../apis.js";
import { type Capture, CaptureError, captureFormat, readCaptures } from "../captures.js";
import { KeyFileError, readPublicKey } from "../key-files.js";
import { placesOf } from "../samples.js";
import { CommandError, colour, end, ended, jsonOption, printEither, progress } from "./output.js";

const { env } = process;

type Options = {
  readonly key: readonly string[];
  readonly keysDir: string;
  readonly path: readonly string[];
  readonly json: boolean;
};

export function register(program: Command): void {
  program
    .command("doctor")
    .description(
      "say in one line why the signature of a captured request does not hold, and what to change; ends with 1 when it does not",
    )
    .argument(
      "<capture...>",
      `curl command lines, or files: raw HTTP, HAR, a curl command line, a ${captureFormat}; - reads one`,
    )
    .option(
      "--key <file>",
      "a public key that may have made the signature; can be given again, and the first is the one that should have",
      collect,
      [] as string[],
    )
    .option(
      "--keys-dir <folder>",
      "without --key: folder of a gateway's keys",
      env.KEYS_DIR || join(env.DATA_DIR || ".data", "keys"),
    )
    .option(
      "--path <path>",
      "a path or address that the sender may have signed, for instance the registered one; can be given again",
      collect,
      [] as string[],
    )
    .addOption(jsonOption())
    .addHelpText("after", `\nKnows these causes: ${Object.keys(causes).join(", ")}.`)
    .action(examine);
}

const collect = (value: string, before: string[]): string[] => [...before, value];

/** Some seconds of hashing. */
const budgetBytes = 2 ** 30;

const memberOrder = knownApis.flatMap(({ body }) => placesOf(body).map(({ field }) => field.jsonName));

function examine(names: readonly string[], { key, keysDir, path, json }: Options): void {
  const captures = names.flatMap(capturesOf);
  const keys = key.length > 0 ? key.map(keyIn) : keysIn(keysDir);
  const clientIds = [...new Set(keys.flatMap(({ clientId }) => clientId ?? []))];
  const bar = progress(captures.length, "requests");
  const examined = captures.map(({ name, request, asFiled }) => {
    const others = captures.filter((each) => each.request !== request).map((each) => each.request);
    const evidence = { keys, clientIds, paths: path, others, bodies: asFiled, memberOrder, budgetBytes };
    const diagnosis = diagnose(request, evidence);
    bar.step();
    return { capture: name, ...diagnosis };
  });
  bar.stop();
  if (examined.some(({ holds }) => !holds)) end(ended.withFindings);
  printEither(json, examined, () =>
    examined.map(({ capture, holds, line }) => {
      const said = colour(holds ? "green" : "red", line);
      return examined.length === 1 ? said : `${capture}: ${said}`;
    }),
  );
}

function capturesOf(name: string): Capture[] {
  try {
    if (/^curl\s/.test(name)) return readCaptures(Buffer.from(name), "the command line");
    return readCaptures(readFileSync(name === "-" ? 0 : name), name === "-" ? "standard input" : name);
  } catch (error) {
    if (error instanceof CaptureError) throw new CommandError(error.message);
    throw new CommandError(`${name} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

function keyIn(file: string): DoctorKey {
  try {
    return doctorKeyOf(file, readPublicKey(file));
  } catch (error) {
    throw error instanceof KeyFileError ? new CommandError(error.message) : error;
  }
}

function keysIn(folder: string): DoctorKey[] {
  if (!existsSync(folder))
    throw new CommandError(`there are no keys: ${folder} does not exist; name some with --key or --keys-dir`);
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) =>
    /(?:^|[/\\])alipayplus\.\d{1,9}\.public\.pem$/.test(file),
  );
  if (files.length === 0) throw new CommandError(`${folder} holds no <Client-Id>/alipayplus.<version>.public.pem`);
  return files.map((file) => keyIn(join(folder, file)));
}
