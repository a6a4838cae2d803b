import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { expect } from "chai";
import { measuring } from "../../../lib/rpc/measure.js";
import { Health } from "../../../proto/gen/grpc/health/v1/health_pb.js";

describe("the measuring of calls", () => {
  const told: [method: string, code: string, isTimed: boolean][] = [];
  const onCall = (method: string, code: string, seconds: number | undefined): void =>
    void told.push([method, code, seconds !== undefined && seconds >= 0 && seconds < 5]);
  const transport = createRouterTransport(
    (router) =>
      router.service(Health, {
        check({ service }) {
          if (service === "none") throw new ConnectError("no such service", Code.NotFound);
          if (service === "broken") throw new Error("broken");
          return {};
        },
        async *watch({ service }) {
          yield {};
          if (service === "slow") throw new ConnectError("too slow", Code.ResourceExhausted);
        },
      }),
    { router: { interceptors: [measuring(onCall)] } },
  );
  const { check, watch } = createClient(Health, transport);
  beforeEach(() => told.splice(0));

  const calls: { service: string; code: string }[] = [
    { service: "", code: "ok" },
    { service: "none", code: "not_found" },
    { service: "broken", code: "unknown" },
  ];
  for (const { service, code } of calls)
    it(`tells the time and the code of a call that ended with ${code}`, async () => {
      await check({ service }).catch(() => {});
      expect(told).to.deep.equal([["Check", code, true]]);
    });

  const streams: { service: string; code: string }[] = [
    { service: "", code: "ok" },
    { service: "slow", code: "resource_exhausted" },
  ];
  for (const { service, code } of streams)
    it(`tells the code of a stream that ended with ${code}, when it ended`, async () => {
      const messages = watch({ service })[Symbol.asyncIterator]();
      await messages.next();
      expect(told).to.deep.equal([]);
      await messages.next().catch(() => {});
      expect(told).to.deep.equal([["Watch", code, false]]);
    });
});
