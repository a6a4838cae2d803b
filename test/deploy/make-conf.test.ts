// The files of make-conf.sh and the settings of compose.yaml, run as processes of this machine in place of containers.
import { execFileSync, spawn } from "node:child_process";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { parse } from "yaml";
import { notification, notify } from "../support/notification.js";
import { startTestPart, type TestPart, temporaryFolder, until } from "../support/processes.js";
import { freePort } from "../support/programs.js";

const deploy = fileURLToPath(new URL("../../deploy/", import.meta.url));
const clientId = "SANDBOX_DEVELOPMENT";

describe("deploy/compose.yaml with the files of make-conf.sh", () => {
  const folder = temporaryFolder();
  const conf = join(folder.path, "conf");
  const stops: (() => unknown)[] = [folder.remove];
  const { services } = parse(readFileSync(join(deploy, "compose.yaml"), "utf8"), { merge: true });
  let gateway: TestPart;
  let service: TestPart;

  /** A path in a container as the path that is mounted there. */
  const outside = (volumes: string[], path: string): string => {
    const [source = "", target = ""] =
      volumes.map((each) => each.split(":")).find(([, target = ""]) => path.startsWith(target)) ?? [];
    return path.replace(target, source.replace("./conf", conf));
  };
  const environmentOf = (name: string, more: Record<string, string>): Record<string, string> => {
    const { environment, volumes } = services[name];
    const mounted = ([key, value]: [string, string]) => [key, value.startsWith("/") ? outside(volumes, value) : value];
    return { ...Object.fromEntries((Object.entries(environment) as [string, string][]).map(mounted)), ...more };
  };

  before(async () => {
    execFileSync(join(deploy, "make-conf.sh"), [conf], { stdio: "ignore" });
    const port = await freePort();
    const [program = "", ...args] = services.redis.command as string[];
    const local = args.map((arg) =>
      arg === "/data" ? folder.path : arg === "/conf/users.acl" ? join(conf, "redis/users.acl") : arg,
    );
    const redis = spawn(program, [...local, "--port", `${port}`, "--bind", "127.0.0.1"], { stdio: "ignore" });
    const gone = new Promise((resolve) => redis.once("exit", resolve));
    stops.push(async () => {
      redis.kill();
      await gone;
    });
    const [, url = ""] = /^REDIS_URL=(.*)$/m.exec(readFileSync(join(conf, "service.env"), "utf8")) ?? [];
    service = await startTestPart(
      "service",
      environmentOf("token-service-1", {
        ...{ REDIS_URL: url.replace("redis:6379", `127.0.0.1:${port}`), NODE_ENV: "production" },
        ...{ TOKEN_SERVICE_HOST: "localhost", CONSOLE_PARTS: "" },
      }),
      join(folder.path, "service.log"),
    );
    stops.push(service.stop);
    await until("the token service serves", async () => (await fetch(`${service.adminUrl}/readyz`)).ok);
    gateway = await startTestPart(
      "gateway",
      environmentOf("gateway-1", { TOKEN_SERVICE_URL: service.url.replace("http:", "https:"), NODE_ENV: "production" }),
      join(folder.path, "gateway.log"),
    );
    stops.push(gateway.stop);
  });
  after(async () => {
    for (const stop of stops.reverse()) await stop();
  });

  it("answers a notification with SUCCESS, over mutual TLS and as a user of Redis with few rights", async () => {
    const read = (file: string): Buffer => readFileSync(join(conf, `sender/${clientId}/${file}`));
    const sender = {
      ...{ clientId, keyVersion: 1, privateKey: createPrivateKey(read("alipayplus.1.private.pem")) },
      receiverKey: createPublicKey(read("own.1.public.pem")),
    };
    const { result, isSigned } = await notify(gateway.url, notification(), { sender });
    expect([result.resultCode, isSigned]).to.deep.equal(["SUCCESS", true]);
  });

  it("keeps what is secret from other users of the machine", () => {
    expect(statSync(conf).mode & 0o077).to.equal(0);
    for (const file of [
      "keyring/token-data.1.key",
      "service.env",
      "redis/users.acl",
      `keys/${clientId}/own.1.private.pem`,
    ])
      expect(statSync(join(conf, file)).mode & 0o077, file).to.equal(0);
  });

  it("gives the token service the rights in Redis that docs/redis.md names, and no others", () => {
    const document = readFileSync(join(deploy, "../docs/redis.md"), "utf8");
    const rights = (text: string): string[] =>
      /^user tokens on >\S+ ([\s\S]*?~deactivated)/m.exec(text)?.[1]?.split(/\s+/) ?? [];
    const given = rights(readFileSync(join(conf, "redis/users.acl"), "utf8").trim());
    expect(given.length).to.be.above(20);
    expect(given).to.deep.equal(rights(document));
  });

  it("is not made twice", () => {
    expect(() => execFileSync(join(deploy, "make-conf.sh"), [conf], { stdio: "ignore" })).to.throw();
  });
});
