// Works on what a source gives, several at once, and gives each result when it is there.

/**
 * At most `most` are worked on; the next one is asked for when there is room. `work` must not reject. Throws what the source throws, and the
 * signal's reason.
 */
export async function* inAnyOrder<Item, Result>(
  source: AsyncIterable<Item>,
  work: (item: Item) => Promise<Result>,
  most: number,
  signal: AbortSignal,
): AsyncGenerator<Result> {
  const iterator = source[Symbol.asyncIterator]();
  type Asked = { readonly kind: "item"; readonly got: IteratorResult<Item> };
  let onAbort = (): void => {};
  const tell = (): void => onAbort();
  signal.addEventListener("abort", tell);
  const ask = (): Promise<Asked> => {
    const asked = new Promise<Asked>((resolve, reject) => {
      onAbort = () => reject(signal.reason);
      if (signal.aborted) return onAbort();
      iterator.next().then((got) => resolve({ kind: "item", got }), reject);
    });
    // It is looked at below, if anybody still wants it.
    asked.catch(() => {});
    return asked;
  };
  type Done = { readonly kind: "result"; readonly result: Result; readonly by: Promise<Done> };
  const working = new Set<Promise<Done>>();
  const start = (item: Item): void => {
    const by: Promise<Done> = work(item).then((result) => ({ kind: "result", result, by }));
    working.add(by);
  };
  let asked: Promise<Asked> | undefined = ask();
  let isEnded = false;
  try {
    while (!isEnded || working.size > 0) {
      if (!isEnded && working.size < most) asked ??= ask();
      const first = await Promise.race([...working, ...(asked === undefined ? [] : [asked])]);
      if (first.kind === "result") {
        working.delete(first.by);
        yield first.result;
      } else {
        asked = undefined;
        if (first.got.done) isEnded = true;
        else start(first.got.value);
      }
    }
  } finally {
    signal.removeEventListener("abort", tell);
    // Not waited for: a source that still waits for its next item ends only then.
    iterator.return?.().catch(() => {});
  }
}
