// Builds of earlier versions for tests, where they can be had.
import { builtVersion, type Version, whyMissing } from "../../tools/previous.js";

/** The folder of a version's compiled product. Where its commit is not in the clone the test is left out, and says so. */
export function buildOrSkip(test: Mocha.Context, version: Version): string {
  const missing = whyMissing(version);
  if (missing) {
    process.stderr.write(`Not tested here: ${missing}\n`);
    test.skip();
  }
  // The first time it is compiled, and may have to fetch packages.
  test.timeout(300_000);
  return builtVersion(version);
}
