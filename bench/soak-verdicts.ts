// Whether memory stayed within its bounds during a soak.
import type { RuntimeFigures } from "./admin.js";
import { median } from "./statistics.js";

export type SoakSample = {
  readonly second: number;
  readonly memoryMb: Readonly<Record<string, number>>;
  readonly runtime: Readonly<Record<string, RuntimeFigures>>;
};

export type SoakVerdict = { readonly what: string; readonly met: boolean };

/** Resident memory that a process of Node may have. */
const limitMb = 150;
/** What the last quarter may have above the third: less than a garbage collector's mood, far less than a leak of an hour. */
const growthShare = 0.05;

/** For each process of Node: below the limit always, and no growth in the last half. Redis grows with what it keeps. */
export function soakVerdicts(samples: readonly SoakSample[]): SoakVerdict[] {
  const names = Object.keys(samples[0]?.memoryMb ?? {}).filter((name) => name !== "redis");
  return names.flatMap((name) => {
    const values = samples.map(({ memoryMb }) => memoryMb[name] ?? 0);
    const most = Math.max(...values);
    const [half, threeQuarters] = [Math.floor(values.length / 2), Math.floor((values.length * 3) / 4)];
    const third = median(values.slice(half, threeQuarters));
    const last = median(values.slice(threeQuarters));
    return [
      { what: `${name}: ${most.toFixed(0)} MB at most, wants < ${limitMb}`, met: most < limitMb },
      {
        what: `${name}: median of the third quarter ${third.toFixed(1)} MB, of the last ${last.toFixed(1)} MB, wants <= ${growthShare * 100} % more`,
        met: last <= third * (1 + growthShare),
      },
    ];
  });
}
