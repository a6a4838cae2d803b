// Rates from counters: samples of Prometheus text, and how much they grew from one to the next.

/** @typedef {{ name: string, labels: Record<string, string>, value: number }} Sample */

/**
 * @param {string} text
 * @returns {Sample[]}
 */
export function samplesIn(text) {
  return text.split("\n").flatMap((line) => {
    const [, name, inner = "", value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/.exec(line) ?? [];
    if (!name) return [];
    const labels = [...inner.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, text = ""]) => [label, text]);
    return [{ name, labels: Object.fromEntries(labels), value: Number(value) }];
  });
}

/**
 * Rates a second by one label of a counter, summed over the instances and the other labels, for the last `keep` samples.
 * @param {string} counter
 * @param {string} label
 * @param {number} keep
 */
export function createRates(counter, label, keep) {
  /** @type {Map<string, number>} */
  let before = new Map();
  let beforeMs = Number.NaN;
  /** @type {Map<string, { rates: number[], total: number }>} */
  const rows = new Map();
  let length = 0;
  return {
    rows,
    /**
     * @param {{ address: string, metrics: string }[]} parts
     * @param {number} nowMs
     */
    take(parts, nowMs) {
      /** @type {Map<string, number>} */
      const now = new Map();
      /** @type {Map<string, number>} */
      const grown = new Map();
      /** @type {Map<string, number>} */
      const totals = new Map();
      const add = (/** @type {Map<string, number>} */ map, /** @type {string} */ key, /** @type {number} */ value) =>
        map.set(key, (map.get(key) ?? 0) + value);
      for (const { address, metrics } of parts)
        for (const { name, labels, value } of samplesIn(metrics)) {
          const word = labels[label];
          if (name !== counter || word === undefined) continue;
          const key = `${address} ${JSON.stringify(labels)}`;
          now.set(key, value);
          const last = before.get(key);
          // A counter that fell belongs to a process that started anew; one seen first has grown at a time nobody knows.
          if (last !== undefined) add(grown, word, value >= last ? value - last : value);
          else if (before.size > 0 && !rows.has(word)) add(grown, word, value);
          add(totals, word, value);
        }
      const seconds = (nowMs - beforeMs) / 1000;
      for (const word of totals.keys())
        if (!rows.has(word)) rows.set(word, { rates: Array.from({ length }, () => 0), total: 0 });
      if (seconds > 0) {
        length = Math.min(length + 1, keep);
        for (const [word, row] of rows) {
          row.rates.push((grown.get(word) ?? 0) / seconds);
          row.rates.splice(0, row.rates.length - keep);
        }
      }
      for (const [word, row] of rows) row.total = totals.get(word) ?? row.total;
      // What an instance that is away had counted still counts when it is back.
      before = new Map([...before, ...now]);
      beforeMs = nowMs;
    },
  };
}
