import { Code, ConnectError, type UnaryRequest, type UnaryResponse } from "@connectrpc/connect";
import { expect } from "chai";
import { limitingTime, withinMs } from "../../../lib/rpc/deadline.js";

const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;

describe("the limit of a call's time", () => {
  const abort = () => new AbortController();
  const call = (
    next: () => Promise<unknown>,
    { header = {}, signal = abort().signal, defaultMs = 20, maxMs = 60 } = {},
  ) =>
    limitingTime(defaultMs, maxMs)(next as never)({
      ...{ stream: false, signal, header: new Headers(header) },
    } as UnaryRequest) as Promise<UnaryResponse | string>;
  const failure = (reply: Promise<unknown>): Promise<ConnectError> =>
    reply.then(
      () => Promise.reject(new Error("the call succeeded")),
      (error: unknown) => error as ConnectError,
    );
  const never = () => new Promise<never>(() => {});

  it("lets a result through", async () => {
    expect(await call(async () => "done")).to.equal("done");
  });

  for (const [name, header, ms] of [
    ["the default", {}, 20],
    ["the longest", { "grpc-timeout": "1H" }, 60],
    ["the longest", { "connect-timeout-ms": "9999" }, 60],
  ] as const)
    it(`is ${name} with ${JSON.stringify(header)}`, async () => {
      const error = await failure(call(never, { header }));
      expect(error.code).to.equal(Code.DeadlineExceeded);
      expect(error.rawMessage).to.equal(`no result within ${ms} ms`);
    });

  it("ends with the signal, for its reason", async () => {
    const controller = abort();
    const ended = failure(call(never, { signal: controller.signal }));
    controller.abort(new ConnectError("stopping", Code.Unavailable));
    expect((await ended).code).to.equal(Code.Unavailable);
  });

  it("begins nothing when the signal has ended before", async () => {
    const controller = abort();
    controller.abort(new ConnectError("gone", Code.Canceled));
    let isBegun = false;
    const begin = async () => {
      isBegun = true;
    };
    expect((await failure(call(begin, { signal: controller.signal }))).code).to.equal(Code.Canceled);
    expect(isBegun).to.equal(false);
  });

  it("leaves no timer behind a call that is refused at once", async () => {
    await new Promise(setImmediate);
    const before = timers();
    const error = await failure(
      call(
        () => {
          throw new ConnectError("no", Code.InvalidArgument);
        },
        { defaultMs: 60_000 },
      ),
    );
    expect(error.code).to.equal(Code.InvalidArgument);
    expect(timers()).to.equal(before);
  });
});

describe("withinMs", () => {
  it("waits as long as it should, and for what no timer can hold", async () => {
    const late = (): Promise<string> => new Promise((resolve) => setTimeout(resolve, 10, "late"));
    for (const ms of [1_000, 2 ** 31, 2 ** 32 - 1]) expect(await withinMs(ms, late())).to.equal("late");
    const error: ConnectError = await withinMs(1, new Promise<never>(() => {})).catch((thrown: ConnectError) => thrown);
    expect(error.code).to.equal(Code.DeadlineExceeded);
  });
});
