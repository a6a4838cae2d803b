// Parsers of command-line options, which say what is wrong with a value.
import { InvalidArgumentError } from "commander";

/** Words of a list, separated by commas. */
export const words =
  <T extends string>(known: readonly T[]) =>
  (value: string): T[] => {
    const given = value.split(",");
    const unknown = given.find((word) => !known.some((each) => each === word));
    if (unknown !== undefined) throw new InvalidArgumentError(`there is no ${unknown}; there is ${known.join(", ")}.`);
    return known.filter((each) => given.includes(each));
  };

export function positive(value: string): number {
  if (!(Number(value) > 0)) throw new InvalidArgumentError("must be a number above 0");
  return Number(value);
}

export function whole(value: string): number {
  if (!/^[1-9]\d{0,8}$/.test(value)) throw new InvalidArgumentError("must be a whole number from 1");
  return Number(value);
}

/** Whole numbers, separated by commas, ascending. */
export const wholes = (value: string): number[] =>
  value
    .split(",")
    .map(whole)
    .sort((a, b) => a - b);
