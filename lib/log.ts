// JSON log lines on standard output.
import { pino } from "pino";
import { StartError } from "./program.js";

export type Log = {
  debug: (fields: object, message: string) => void;
  info: (fields: object, message: string) => void;
  warn: (fields: object, message: string) => void;
  error: (fields: object, message: string) => void;
};

export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** What is held back of ordinary lines, in bytes and milliseconds: writing each by itself costs more than making it. */
const usuallyHeldBytes = 8 * 1024;
const heldMs = 100;

/** Lines go out soon; from `warn` on, when nothing is to be held, and when the process ends, at once. */
export function createLog(part: string, level: LogLevel, heldBytes = usuallyHeldBytes): Log {
  const output = pino.destination({ dest: 1, sync: true });
  const lines = gatheredLines((text) => output.write(text), heldBytes);
  const log = pino(
    {
      level,
      base: { part },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    lines,
  );
  if (heldBytes > 0) {
    setInterval(() => lines.flush(), heldMs).unref();
    process.on("exit", () => {
      lines.flush();
      output.flushSync();
    });
  }
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn(fields, message) {
      log.warn(fields, message);
      lines.flush();
    },
    error(fields, message) {
      log.error(fields, message);
      lines.flush();
    },
  };
}

/** Holds lines back, up to so much text. pino's destination could, but goes through all that it holds with each line. */
function gatheredLines(write: (text: string) => void, heldLimit: number) {
  let held: string[] = [];
  let heldLength = 0;
  const flush = (): void => {
    if (held.length === 0) return;
    const text = held.join("");
    held = [];
    heldLength = 0;
    write(text);
  };
  return {
    write(line: string): void {
      held.push(line);
      heldLength += line.length;
      if (heldLength >= heldLimit) flush();
    },
    flush,
  };
}

/**
 * The parts of an error that are ours to log: never its message, which may quote what a caller sent. The exception is
 * StartError, which speaks of files and settings alone.
 */
export function errorFields(error: unknown): { error: string; reason?: string; code?: string; at?: string } {
  if (!(error instanceof Error)) return { error: typeof error };
  if (error instanceof StartError) return { error: error.name, reason: error.message };
  const code = (error as NodeJS.ErrnoException).code;
  const at = error.stack?.split("\n").find((line) => line.trimStart().startsWith("at "));
  return {
    error: error.name,
    ...(code === undefined ? {} : { code: String(code) }),
    ...(at === undefined ? {} : { at: at.trim() }),
  };
}
