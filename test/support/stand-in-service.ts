// A token service that keeps nothing and can be told to wait, and a gateway in front of it.
import { createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { TokenLifecycleService } from "../../proto/gen/mpp/token/v1/token_lifecycle_service_pb.js";
import { writeClient } from "./keys.js";
import { startTestPart, type TestPart, temporaryFolder } from "./processes.js";

export type StandIn = {
  readonly url: string;
  /** References of the tokens whose activation arrived, in order of arrival. */
  readonly arrived: string[];
  /** Calls wait from now on, until the function it returns is called. */
  readonly hold: () => () => void;
  readonly stop: () => Promise<void>;
};

export async function startStandIn(): Promise<StandIn> {
  const arrived: string[] = [];
  let held: Promise<void> = Promise.resolve();
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer(
    connectNodeAdapter({
      routes: (router) =>
        router.service(TokenLifecycleService, {
          async recordActivation({ activation }) {
            arrived.push(activation?.tokenReferenceId ?? "");
            await held;
            return {};
          },
        }),
    }),
  );
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arrived,
    hold() {
      let release = (): void => {};
      held = new Promise((resolve) => {
        release = resolve;
      });
      return () => release();
    },
    async stop() {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export type TestGateway = {
  readonly gateway: TestPart;
  readonly service: StandIn;
  readonly keysDir: string;
  readonly folder: string;
  readonly stop: () => Promise<void>;
};

/** A gateway with the client TEST_CLIENT before a service that takes everything. */
export async function startTestGateway(
  settings: Record<string, string> = {},
  prepare: (folder: string) => Record<string, string> = () => ({}),
): Promise<TestGateway> {
  const folder = temporaryFolder();
  const keysDir = join(folder.path, "keys");
  writeClient(keysDir);
  const service = await startStandIn();
  const gateway = await startTestPart(
    "gateway",
    {
      ...{ DATA_DIR: folder.path, KEYS_RELOAD_MS: "50", TOKEN_SERVICE_URL: service.url },
      ...settings,
      ...prepare(folder.path),
    },
    join(folder.path, "gateway.log"),
  );
  return {
    gateway,
    service,
    keysDir,
    folder: folder.path,
    async stop() {
      await gateway.stop();
      await service.stop();
      folder.remove();
    },
  };
}
