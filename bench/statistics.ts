// Percentiles and medians of what was measured.

/** The smallest value that at least this share of the values does not exceed. NaN without values. */
export function percentile(ascending: ArrayLike<number>, share: number): number {
  const rank = Math.ceil(ascending.length * share);
  return ascending[Math.min(Math.max(rank, 1), ascending.length) - 1] ?? Number.NaN;
}

/** The middle value, or the mean of the middle two. NaN without values. */
export function median(values: readonly number[]): number {
  const ascending = [...values].sort((a, b) => a - b);
  const half = ascending.length / 2;
  return ((ascending[Math.ceil(half) - 1] ?? Number.NaN) + (ascending[Math.floor(half)] ?? Number.NaN)) / 2;
}
