// For text from outside that may not decode.

/** Undefined in place of an error. */
export function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
