// Tables for a terminal and for Markdown alike.
import type { Floor, Outcome, Row } from "../measure.js";

/** Cells in columns of equal width; the first column is text, the others are set to the right. */
export function tableText(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((cell, column) =>
    Math.max(3, cell.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => pad(cells[column] ?? "", width, column)).join(" | ")} |`;
  const rule = widths.map((width, column) => (column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [line(header), line(rule), ...rows.map(line)].join("\n");
}

const pad = (cell: string, width: number, column: number): string =>
  column === 0 ? cell.padEnd(width) : cell.padStart(width);

const whole = (value: number): string => Math.round(value).toLocaleString("en-US");
const fine = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2));

export const floorText = (durability: string, floor: Floor): string =>
  `class ${durability}: the floor is ${fine(floor.totalUs)} us of CPU: verify ${fine(floor.verifyUs)}, ` +
  `bare HTTP ${fine(floor.httpUs)}, script ${fine(floor.scriptCallerUs)} at its caller and ${fine(floor.scriptRedisUs)} in Redis`;

const header = ["system", "load", "req/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU us", "x floor", "CPU us by process"];

const loadWords = ({ scenario, arrival, connections }: Row): string =>
  [scenario === "first" ? "" : scenario, arrival === "closed" ? connections : arrival]
    .filter((word) => word !== "")
    .join(" ");

const cellsOf = (row: Row): string[] => [
  row.name,
  loadWords(row),
  whole(row.rps),
  fine(row.p50Ms),
  fine(row.p99Ms),
  fine(row.p999Ms),
  whole(row.cpuUs),
  row.ratio.toFixed(2),
  Object.entries(row.cpuUsByProcess)
    .map(([name, us]) => `${name} ${whole(us)}`)
    .join(" + "),
];

/** One table for each class, in the order of the measures. */
export function outcomeText({ floors, rows }: Outcome): string {
  return (Object.entries(floors) as [Row["durability"], Floor][])
    .map(([durability, floor]) => {
      const own = rows.filter((row) => row.durability === durability);
      return `${floorText(durability, floor)}\n\n${tableText(header, own.map(cellsOf))}\n`;
    })
    .join("\n");
}
