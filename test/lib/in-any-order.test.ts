import { expect } from "chai";
import { inAnyOrder as inAnyOrderUntil } from "../../lib/in-any-order.js";
import { until } from "../support/processes.js";

const inAnyOrder = (
  source: AsyncIterable<string>,
  work: (item: string) => Promise<string>,
  most: number,
  signal = new AbortController().signal,
) => inAnyOrderUntil(source, work, most, signal);

/** Work of which the test says when it is done. */
function workbench() {
  const done = new Map<string, () => void>();
  const begun: string[] = [];
  return {
    begun,
    finish: (item: string) => done.get(item)?.(),
    work: (item: string) =>
      new Promise<string>((resolve) => {
        begun.push(item);
        done.set(item, () => resolve(`${item}!`));
      }),
  };
}

async function* of(...items: string[]) {
  yield* items;
}
const all = async (results: AsyncIterable<string>): Promise<string[]> => {
  const found: string[] = [];
  for await (const result of results) found.push(result);
  return found;
};

describe("work on what a source gives", () => {
  it("gives each result when it is there, in any order", async () => {
    const { begun, finish, work } = workbench();
    const results = inAnyOrder(of("a", "b", "c"), work, 10);
    const first = results.next();
    await until("all are begun", () => begun.length === 3);
    finish("b");
    expect((await first).value).to.equal("b!");
    const rest = all(results);
    finish("c");
    finish("a");
    expect(await rest).to.have.members(["a!", "c!"]);
  });

  it("takes no more than there is room for", async () => {
    const { begun, finish, work } = workbench();
    const results = inAnyOrder(of("a", "b", "c", "d"), work, 2);
    const first = results.next();
    await until("two are begun", () => begun.length === 2);
    await new Promise(setImmediate);
    expect(begun).to.deep.equal(["a", "b"]);
    finish("a");
    await first;
    const second = results.next();
    await until("a third one is begun", () => begun.length === 3);
    for (const item of ["b", "c"]) finish(item);
    await second;
    const rest = all(results);
    await until("the last one is begun", () => begun.length === 4);
    finish("d");
    expect(await rest).to.have.length(2);
  });

  it("gives what is under way after the source has ended, and nothing for an empty one", async () => {
    const { begun, finish, work } = workbench();
    const rest = all(inAnyOrder(of("a"), work, 2));
    await until("it is begun", () => begun.length === 1);
    finish("a");
    expect(await rest).to.deep.equal(["a!"]);
    expect(await all(inAnyOrder(of(), work, 2))).to.deep.equal([]);
  });

  it("fails as the source does", async () => {
    const failing = async function* () {
      yield "a";
      throw new Error("broken");
    };
    const results = all(inAnyOrder(failing(), async (item) => item, 2));
    expect(await results.catch((error: Error) => error.message)).to.equal("broken");
  });

  it("fails with the signal's reason, while it waits for the source and before it asks", async () => {
    const waiting = async function* () {
      yield "a";
      await new Promise(() => {});
    };
    const controller = new AbortController();
    const results = inAnyOrder(waiting(), async (item) => item, 2, controller.signal);
    expect((await results.next()).value).to.equal("a");
    const next = results.next().catch((error: Error) => error.message);
    controller.abort(new Error("stopping"));
    expect(await next).to.equal("stopping");
    const late = inAnyOrder(of("a"), async (item) => item, 2, controller.signal).next();
    expect(await late.catch((error: Error) => error.message)).to.equal("stopping");
  });

  it("ends the source when nobody wants more", async () => {
    let isEnded = false;
    const source = async function* () {
      try {
        for (;;) yield "a";
      } finally {
        isEnded = true;
      }
    };
    for await (const _ of inAnyOrder(source(), async (item) => item, 2)) break;
    await until("the source has ended", () => isEnded);
  });
});
