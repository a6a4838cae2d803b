// Rows of text as aligned columns.

/** Each row as a line, its cells under each other; the last cell of a row is not padded. */
export function columns(rows: readonly (readonly string[])[], indent = ""): string[] {
  const widths: number[] = [];
  for (const row of rows) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  return rows.map(
    (row) =>
      indent +
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join("  ")
        .trimEnd(),
  );
}

/** Text from elsewhere without what would move the cursor of a terminal. */
export const printable = (text: string): string => text.replaceAll(/\p{Cc}/gu, "?");
