// What the operating system says about processes: their descendants, CPU time and memory. Linux only.
import { readdirSync, readFileSync } from "node:fs";

/** Process ids by the name of their part, as in { gateway: [12], redis: [13, 14] }. */
export type Parts = Readonly<Record<string, readonly number[]>>;

/** A clock tick of /proc/<pid>/stat on Linux, in microseconds. */
const tickUs = 10_000;

/**
 * CPU time of a process so far, in microseconds: to the nanosecond for threads that run, in ticks for children that have
 * ended. 0 for a process that is gone.
 */
export function cpuUsOf(pid: number): number {
  try {
    let us = 0;
    for (const task of readdirSync(`/proc/${pid}/task`))
      us += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "latin1").split(" ")[0]) / 1000;
    // The name, in parentheses, may hold blanks.
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return us + (Number(fields[13]) + Number(fields[14])) * tickUs;
  } catch {
    return 0;
  }
}

/** Resident memory of a process in bytes; 0 when it is gone. */
export function rssOf(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** The process and everything it started, as far as it still runs. */
export function familyOf(pid: number): number[] {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    const children = tasks.flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "latin1").trim().split(/\s+/).filter(Boolean).map(Number),
    );
    return [pid, ...children.flatMap(familyOf)];
  } catch {
    return [];
  }
}

/** The command line of a process; empty when it is gone. */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

/** CPU time of each part so far, in microseconds. */
export const cpuUsOfParts = (parts: Parts): Record<string, number> =>
  Object.fromEntries(
    Object.entries(parts).map(([name, pids]) => [name, pids.reduce((us, pid) => us + cpuUsOf(pid), 0)]),
  );
