// What all commands share: exit codes, one-line mistakes, JSON, colours and progress bars that only a terminal sees.
import { styleText } from "node:util";
import { SingleBar } from "cli-progress";
import { type Command, CommanderError, Option } from "commander";

/** How a command ends, so that scripts can tell. */
export const ended = { well: 0, withFindings: 1, onUsage: 2, unable: 3 } as const;
export type ExitCode = (typeof ended)[keyof typeof ended];

/** The same for people: --help and docs/tools.md say it in these words. */
export const exitCodes: readonly { readonly code: ExitCode; readonly meaning: string }[] = [
  { code: ended.well, meaning: "when all is well" },
  { code: ended.withFindings, meaning: "when the command did its work and found something wrong" },
  { code: ended.onUsage, meaning: "when the command line, or a file that it names, is wrong" },
  { code: ended.unable, meaning: "when the work could not be done, for instance because nothing answers" },
];

/** A reason to give up that a person can act on: one line that says what is wrong and what to do. */
export class CommandError extends Error {
  constructor(
    message: string,
    readonly exitCode: ExitCode = ended.onUsage,
  ) {
    super(message);
  }
}

/** Runs the program with the arguments of this process. Nothing but this and `end` sets the exit code. */
export async function runCommand(program: Command): Promise<void> {
  // A reader like `head` that has seen enough is no mistake.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit();
  });
  everyCommand(program, (command) =>
    command.exitOverride().configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, "token-gateway: ")),
    }),
  );
  try {
    await program.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) end(error.exitCode === 0 ? ended.well : ended.onUsage);
    else if (error instanceof CommandError) {
      process.stderr.write(`token-gateway: ${error.message}\n`);
      end(error.exitCode);
    } else {
      process.stderr.write(`token-gateway: ${error instanceof Error ? error.stack : String(error)}\n`);
      end(ended.unable);
    }
  }
}

function everyCommand(command: Command, act: (command: Command) => void): void {
  act(command);
  for (const each of command.commands) everyCommand(each, act);
}

/** Sets how the process will end. */
export function end(code: ExitCode): void {
  process.exitCode = code;
}

/** The option that every command has. */
export const jsonOption = (): Option => new Option("--json", "print JSON in place of text").default(false);

export const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** Prints the value as JSON, or the same for people. */
export const printEither = (asJson: boolean, value: unknown, lines: () => readonly string[]): void =>
  print(asJson ? JSON.stringify(value, undefined, 2) : lines().join("\n"));

type Colour = "red" | "green" | "yellow" | "cyan" | "bold" | "dim";

/** Colours a text for standard output when that is a terminal that shows colours; NO_COLOR is obeyed. */
export const colour = (name: Colour, text: string): string =>
  process.stdout.isTTY && process.stdout.hasColors() ? styleText(name, text) : text;

export type Progress = { readonly step: (by?: number) => void; readonly stop: () => void };

/** A bar on standard error, and nothing where that is no terminal: a bar would be noise in a log. */
export function progress(total: number, what: string): Progress {
  const bar = new SingleBar({
    format: `{bar} {value}/{total} ${what}  {eta_formatted} left`,
    stream: process.stderr,
    noTTYOutput: false,
    clearOnComplete: true,
  });
  bar.start(total, 0);
  return { step: (by = 1) => bar.increment(by), stop: () => bar.stop() };
}
