// Work that takes turns: so many at once, so many waiting, and a clear no beyond that.

export type Bounded = {
  /** Does the work now or in turn; undefined, and not done, when too many wait already. */
  readonly run: <T>(work: () => Promise<T>) => Promise<T> | undefined;
  /** How many wait for their turn. */
  readonly waiting: () => number;
};

export function bounded(atOnce: number, mostWaiting: number): Bounded {
  const queue: (() => void)[] = [];
  let running = 0;
  const done = (): void => {
    const next = queue.shift();
    if (next) next();
    else running -= 1;
  };
  return {
    run(work) {
      if (running < atOnce) {
        running += 1;
        return work().finally(done);
      }
      if (queue.length >= mostWaiting) return undefined;
      return new Promise((resolve, reject) => {
        queue.push(() => void work().then(resolve, reject).finally(done));
      });
    },
    waiting: () => queue.length,
  };
}
