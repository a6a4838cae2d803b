// Sends generated notifications and broken requests to a real gateway and notes every promise that does not hold.
import fc from "fast-check";
import { resultCodes } from "../../gateway/alipayplus/result.js";
import { apiPath, notification, notify } from "../support/notification.js";
import { startTestStack, type TestPart } from "../support/processes.js";
import { isSignedFor, openWire, requestBytes, signedHeaders, type WireAnswer } from "../support/wire.js";

export type FuzzOptions = {
  readonly inputs: number;
  readonly seed: number;
  readonly concurrency?: number;
  readonly onInput?: () => void;
};

export type FuzzReport = {
  readonly inputs: number;
  readonly seed: number;
  readonly seconds: number;
  /** How often each kind of input was answered with what. */
  readonly answers: ReadonlyMap<Kind, ReadonlyMap<string, number>>;
  readonly slowestMs: number;
  /** Promises that did not hold; empty is good. */
  readonly breaches: readonly string[];
};

const kinds = ["valid", "members", "bytes", "body after signing", "head after signing"] as const;
export type Kind = (typeof kinds)[number];

/** One input: the bytes to send, and whether the sender signed exactly these. */
type Input = { readonly kind: Kind; readonly bytes: Buffer; readonly isAuthentic: boolean };

/** Nothing that stands in tokenData may come out in a log. */
const [tokenNumber, secretMark] = ["5345678901234521", "SECRETMARK"];
/** How long an answer may take; an input that takes longer gets a second chance, since a hang would show again. */
const hangMs = 1_000;
const chunkSize = 200;

type Mutation = {
  readonly at: number;
  readonly how: "flip" | "insert" | "delete" | "repeat" | "cut";
  readonly byte: number;
};

const anyMutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.nat(1_000_000),
  how: fc.constantFrom("flip", "flip", "insert", "delete", "repeat", "cut"),
  byte: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('"\\{}[],:0\r\n \0%=/'))),
});

function mutated(bytes: Buffer, mutations: readonly Mutation[]): Buffer {
  let result = bytes;
  for (const { at: anywhere, how, byte } of mutations) {
    const at = anywhere % (result.length + 1);
    const [before, after] = [result.subarray(0, at), result.subarray(at)];
    const put: Record<Mutation["how"], () => Buffer[]> = {
      flip: () => [before, Buffer.of((after[0] ?? 0) ^ (byte || 1)), after.subarray(1)],
      insert: () => [before, Buffer.of(byte), after],
      delete: () => [before, after.subarray(1 + (byte % 4))],
      repeat: () => [before, after.subarray(0, byte), after],
      cut: () => [before],
    };
    result = Buffer.concat(put[how]());
  }
  return result;
}

const anyTime = fc.oneof(
  fc.constantFrom("2026-01-02T11:05:06.789+08:00", "2026-01-02T03:04:05Z", "2026-02-30T00:00:00Z", "2026-01-02"),
  fc
    .date({ min: new Date("0001-01-01T00:00:00Z"), max: new Date("9999-12-31T23:59:59Z"), noInvalidDate: true })
    .map((date) => date.toISOString()),
  fc.string(),
);
const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 70 }),
  fc.string({ unit: "grapheme", maxLength: 70 }),
  fc.constantFrom("", " ", "\0", "\u{10ffff}", "__proto__", "toString", "%s%n", "a".repeat(64), "\u{1f4b3}".repeat(65)),
  fc.string({ minLength: 1_000, maxLength: 5_000 }),
);
const anyWord = fc.constantFrom("ACCOUNT_ON_FILE", "EXISTING_TOKEN_CREDENTIAL", "UNSPECIFIED", "account_on_file", "1");
const anyValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: anyText },
  { weight: 2, arbitrary: anyTime },
  { weight: 2, arbitrary: anyWord },
  { weight: 4, arbitrary: fc.jsonValue({ maxDepth: 4 }) },
  { weight: 1, arbitrary: fc.constantFrom(null, true, 0, -0, 1e308, 2 ** 53, [], {}, [[]], { a: { b: ["c"] } }) },
);
const tokenMembers = ["token", "expiryMonth", "expiryYear", "sequenceNumber", "other", "__proto__", "unknownMembers"];
const anySecret = fc.oneof(
  fc.constant(tokenNumber),
  fc.string({ unit: "binary", maxLength: 20 }).map((text) => `${secretMark}${text}`),
);
const anyTokenData: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: fc.dictionary(fc.constantFrom(...tokenMembers), anySecret, { noNullPrototype: true }) },
  { weight: 1, arbitrary: fc.dictionary(anyText, fc.oneof(anySecret, anyValue), { noNullPrototype: true }) },
  { weight: 1, arbitrary: anySecret },
);
const names = Object.keys(notification());
const anyMember: fc.Arbitrary<readonly [string, unknown]> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constantFrom(...names), anyValue) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom("serviceRequestTime", "tokenActivatedTime"), anyTime) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("tokenData"), anyTokenData) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("accountSource"), anyWord) },
  { weight: 1, arbitrary: fc.tuple(anyText, anyValue) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...names), fc.constant(undefined)) },
);
/** Few tokens, so that repeats and conflicts are common. */
const anyReference = fc.nat(300).map((number) => `FUZZ-${number}`);

const bodyOf = (tokenReferenceId: string, members: readonly (readonly [string, unknown])[]): Buffer =>
  Buffer.from(JSON.stringify({ ...notification({ tokenReferenceId }), ...Object.fromEntries(members) }));
const signed = (body: Buffer): Buffer => requestBytes(apiPath, signedHeaders(body), body);

/** What to send, as a recipe: it is signed when its turn comes, since the clock goes on. */
type Recipe = { readonly kind: Kind; readonly body: Buffer; readonly mutations: readonly Mutation[] };

const mutations = fc.array(anyMutation, { minLength: 1, maxLength: 4 });
const members = fc.array(anyMember, { minLength: 1, maxLength: 3 });
const anyRecipe: fc.Arbitrary<Recipe> = fc.oneof(
  {
    weight: 2,
    arbitrary: anyReference.map((reference) => ({
      kind: "valid" as const,
      body: bodyOf(reference, []),
      mutations: [],
    })),
  },
  {
    weight: 5,
    arbitrary: fc
      .tuple(anyReference, members)
      .map(([reference, some]) => ({ kind: "members" as const, body: bodyOf(reference, some), mutations: [] })),
  },
  ...(["bytes", "body after signing", "head after signing"] as const).map((kind) => ({
    weight: 2,
    arbitrary: fc
      .tuple(anyReference, fc.oneof(fc.constant([]), members), mutations)
      .map(([reference, some, mutations]) => ({ kind, body: bodyOf(reference, some), mutations })),
  })),
);

function inputOf({ kind, body, mutations }: Recipe): Input {
  if (kind === "bytes") return { kind, bytes: signed(mutated(body, mutations)), isAuthentic: true };
  if (kind === "body after signing") {
    const other = mutated(body, mutations);
    const isAuthentic = other.equals(body);
    return { kind, bytes: requestBytes(apiPath, signedHeaders(body), other), isAuthentic };
  }
  const bytes = signed(body);
  if (kind !== "head after signing") return { kind, bytes, isAuthentic: true };
  const headLength = bytes.indexOf("\r\n\r\n") + 4;
  const head = mutated(bytes.subarray(0, headLength), mutations);
  // Where the head ends early or not at all, what follows is garbage, and so it should be.
  return { kind, bytes: Buffer.concat([head, bytes.subarray(headLength)]), isAuthentic: false };
}

type Outcome = { readonly answer: WireAnswer | "closed" | "waits"; readonly ms: number };

/** Sends, and reads one answer. A request that lacks its end gets none, until the sender says that there is no more. */
async function outcomeOf(url: string, bytes: Buffer, mayLackItsEnd: boolean): Promise<Outcome> {
  const wire = openWire(url);
  const started = performance.now();
  wire.write(bytes);
  let answer: Outcome["answer"] = await wire.answerOrEnd(hangMs).catch(() => "waits" as const);
  let ms = performance.now() - started;
  if (answer === "waits" && mayLackItsEnd) {
    const ended = performance.now();
    wire.socket.end();
    answer = await wire.answerOrEnd(hangMs).catch(() => "waits" as const);
    ms = performance.now() - ended;
  }
  // Without a reset thousands of ports would wait for a minute.
  wire.socket.resetAndDestroy();
  return { answer, ms };
}

/** What does not hold of the answer to this input; undefined when all is well. */
function breachOf(input: Input, { answer }: Outcome): string | undefined {
  if (answer === "waits") return `no answer within ${hangMs} ms`;
  if (answer === "closed") return input.kind === "head after signing" ? undefined : "closed without an answer";
  if (answer.status >= 500) return `HTTP ${answer.status}`;
  // Broken HTTP is answered by Node itself, and with a 4xx.
  if (answer.status !== 200) return input.kind === "head after signing" ? undefined : `HTTP ${answer.status}`;
  if (answer.headers["content-length"] !== "0" && !Object.hasOwn(resultCodes, answer.result.resultCode))
    return `a result that is none: ${answer.result.resultCode}`;
  if (input.isAuthentic && !isSignedFor(answer)) return "an authentic request was answered unsigned";
  if (input.kind === "valid" && answer.result.resultCode !== "SUCCESS" && answer.result.resultCode !== "PROCESS_FAIL")
    return `a valid notification was answered with ${answer.result.resultCode}`;
  if (answer.result.resultCode === "UNKNOWN_EXCEPTION" && input.isAuthentic)
    return "an authentic request was answered with UNKNOWN_EXCEPTION";
  if (input.kind === "body after signing" && !input.isAuthentic && answer.result.resultCode !== "INVALID_SIGNATURE")
    return `a body that was changed was answered with ${answer.result.resultCode}`;
  return undefined;
}

function breachesOfLog(part: string, log: string): string[] {
  const isJson = (line: string): boolean => {
    try {
      return typeof JSON.parse(line) === "object";
    } catch {
      return false;
    }
  };
  const breaches = log
    .split("\n")
    .filter((line) => line !== "" && !isJson(line))
    .slice(0, 5)
    .map((line) => `${part}: a log line that is no JSON: ${line.slice(0, 200)}`);
  if (log.includes(tokenNumber)) breaches.push(`${part}: a token number in the log`);
  if (log.includes(secretMark)) breaches.push(`${part}: token data in the log`);
  return breaches;
}

/** Starts a stack of its own, sends the inputs that the seed stands for, and stops it. */
export async function fuzz({ inputs, seed, concurrency = 8, onInput }: FuzzOptions): Promise<FuzzReport> {
  const stack = await startTestStack({ appendfsync: "no", service: { DURABILITY: "memory" } });
  const answers = new Map<Kind, Map<string, number>>(kinds.map((kind) => [kind, new Map()]));
  const breaches: string[] = [];
  let slowestMs = 0;
  const started = performance.now();
  const sendOne = async (recipe: Recipe, index: number): Promise<void> => {
    let input = inputOf(recipe);
    const mayLackItsEnd = input.kind === "head after signing";
    let outcome = await outcomeOf(stack.gateway.url, input.bytes, mayLackItsEnd);
    if (outcome.answer === "waits") {
      input = inputOf(recipe);
      outcome = await outcomeOf(stack.gateway.url, input.bytes, mayLackItsEnd);
    }
    const { answer, ms } = outcome;
    slowestMs = Math.max(slowestMs, ms);
    const word =
      typeof answer === "string" ? answer : answer.status === 200 ? answer.result.resultCode : `HTTP ${answer.status}`;
    const counts = answers.get(input.kind) ?? new Map<string, number>();
    const key = word.startsWith("no JSON") ? "no body" : word;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    const breach = breachOf(input, outcome);
    if (breach) breaches.push(`input ${index} (${input.kind}): ${breach}`);
    onInput?.();
  };
  try {
    for (let from = 0; from < inputs; from += chunkSize) {
      const numRuns = Math.min(chunkSize, inputs - from);
      const recipes = fc.sample(anyRecipe, { numRuns, seed: seed + from });
      let next = 0;
      const worker = async (): Promise<void> => {
        for (let i = next++; i < recipes.length; i = next++) await sendOne(recipes[i] as Recipe, from + i);
      };
      await Promise.all(Array.from({ length: concurrency }, worker));
      await checkAlive(stack.gateway, breaches);
    }
    const seconds = (performance.now() - started) / 1000;
    breaches.push(...breachesOfLog("gateway", stack.gateway.log()));
    breaches.push(...breachesOfLog("token service", stack.service.log()));
    return { inputs, seed, seconds, answers, slowestMs, breaches };
  } finally {
    await stack.stop();
  }
}

async function checkAlive(gateway: TestPart, breaches: string[]): Promise<void> {
  const answer = await notify(gateway.url, notification());
  if (answer.result.resultCode !== "SUCCESS" || !answer.isSigned)
    breaches.push(`an honest request in between was answered with ${answer.result.resultCode}`);
}
