// mocha's spec reporter, with the counts alone on the last line for whoever reads a run from its end.
import mocha from "mocha";

export default class SummaryReporter extends mocha.reporters.Spec {
  constructor(runner: mocha.Runner, options?: mocha.MochaOptions) {
    super(runner, options);
    runner.once("end", () => {
      const { passes, failures, pending } = this.stats;
      const skipped = pending > 0 ? `, ${pending} skipped` : "";
      process.once("exit", () => process.stdout.write(`${passes} passed, ${failures} failed${skipped}\n`));
    });
  }
}
