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

export function createLog(part: string, level: LogLevel): Log {
  return pino({
    level,
    base: { part },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
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
