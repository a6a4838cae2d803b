// The sender that people try the product with: what it prints, and that its exit code can be trusted.
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { privatePem, publicPem, testClientId } from "../support/keys.js";
import { startTestStack, type TestStack } from "../support/processes.js";
import { freePort, runProgram } from "../support/programs.js";
import { getToken } from "../support/store.js";

describe("npm run notify", () => {
  let stack: TestStack;
  let proxy: Server;
  let keys: { key: string; receiverKey: string; otherKey: string };
  before(async () => {
    stack = await startTestStack();
    keys = {
      key: join(stack.folder, "sender.pem"),
      receiverKey: join(stack.folder, "receiver.pem"),
      otherKey: join(stack.folder, "other.pem"),
    };
    writeFileSync(keys.key, privatePem("aplus"));
    writeFileSync(keys.receiverKey, publicPem("mpp"));
    writeFileSync(keys.otherKey, publicPem("other"));
    proxy = createServer((_, response) => void response.writeHead(502).end("<html>Bad Gateway</html>"));
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
  });
  after(async () => {
    proxy?.close();
    await stack?.stop();
  });

  const run = (...args: string[]) =>
    runProgram("tools/notify.js", [
      ...["--url", stack.gateway.url, "--client-id", testClientId],
      ...["--key", keys.key, "--receiver-key", keys.receiverKey],
      ...args,
    ]);
  const proxyUrl = () => `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;

  const answered: { name: string; args: () => string[]; code: number; stdout: RegExp }[] = [
    {
      name: "one notification",
      args: () => ["--token-reference-id", "T-notify"],
      code: 0,
      stdout: /^S SUCCESS: Success\nHTTP 200, signature of the answer is good, [\d.]+ ms\n\{"result":.*\}\n$/,
    },
    {
      name: "a wrong signature",
      args: () => ["--wrong-signature"],
      code: 0,
      stdout: /^F INVALID_SIGNATURE: The signature is invalid\.\nHTTP 200, signature of the answer is good/,
    },
    {
      name: "a body of one's own",
      args: () => ["--body", "{}"],
      code: 0,
      stdout: /^F PARAM_ILLEGAL: .* tokenReferenceId /,
    },
    {
      name: "a member left out",
      args: () => ["--omit", "tokenData", "walletId"],
      code: 0,
      stdout: /^F PARAM_ILLEGAL: .* tokenData /,
    },
    {
      name: "an answer that the receiver did not sign",
      args: () => ["--receiver-key", keys.otherKey],
      code: 1,
      stdout: /^S SUCCESS: Success\nHTTP 200, ANSWER NOT SIGNED BY THE RECEIVER/,
    },
    {
      name: "many notifications",
      args: () => ["--count", "40", "--concurrency", "8", "--token-reference-id", "T-many"],
      code: 0,
      stdout: /^40 x S SUCCESS\n40 in [\d.]+ s, \d+\/s; p50 [\d.]+ ms, p99 [\d.]+ ms\n$/,
    },
    {
      name: "many with a wrong signature",
      args: () => ["--count", "5", "--wrong-signature"],
      code: 0,
      stdout: /^5 x F INVALID_SIGNATURE\n5 in /,
    },
    {
      name: "many whose answers the receiver did not sign",
      args: () => ["--count", "3", "--receiver-key", keys.otherKey],
      code: 1,
      stdout: /^3 x S SUCCESS \(answer not signed\)\n3 in /,
    },
    {
      name: "many answers of somebody who is no gateway",
      args: () => ["--count", "3", "--url", proxyUrl()],
      code: 1,
      stdout: /^3 x no answer: HTTP 502 without a result\n3 in /,
    },
  ];

  for (const { name, args, code, stdout } of answered)
    it(`prints the result and ends with ${code} for ${name}`, async () => {
      const ended = await run(...args());
      expect(ended.stderr).to.equal("");
      expect(ended.stdout).to.match(stdout);
      expect(ended.code).to.equal(code);
    });

  it("sends as many tokens as it says", async () => {
    await run("--count", "3", "--token-reference-id", "T-counted");
    for (const index of [0, 1, 2])
      expect(await getToken(stack.service.url, `T-counted-${index}`)).to.include({ version: "1" });
  });

  it("ends with 1 when many notifications find nothing listening", async () => {
    const ended = await run("--count", "3", "--url", `http://127.0.0.1:${await freePort()}`);
    expect(ended.stdout).to.match(/^3 x no answer: .*ECONNREFUSED.*\n/);
    expect(ended.code).to.equal(1);
  });

  const failed: { name: string; args: () => string[] | Promise<string[]>; stderr: RegExp }[] = [
    {
      name: "nothing listens",
      args: async () => ["--url", `http://127.0.0.1:${await freePort()}`],
      stderr: /nothing listens on 127\.0\.0\.1:\d+: run npm start, or set --url/,
    },
    {
      name: "somebody answers who is no gateway",
      args: () => ["--url", proxyUrl()],
      stderr: /HTTP 502 without a result/,
    },
    { name: "--url is no address", args: () => ["--url", "gateway"], stderr: /--url .*must be an http:\/\/ address/ },
    {
      name: "--url is of another kind",
      args: () => ["--url", "ftp://host"],
      stderr: /--url .*must be an http:\/\/ address/,
    },
    {
      name: "there is no key",
      args: () => ["--key", join(stack.folder, "no.pem")],
      stderr: /no key in .*no\.pem \(ENOENT\): run npm start once, or name another file/,
    },
    {
      name: "the key is none",
      args: () => ["--key", join(stack.folder, "service.log")],
      stderr: /no key in .*service\.log.*: run npm start once, or name another file/,
    },
    { name: "the count is none", args: () => ["--count", "many"], stderr: /must be a whole number from 1/ },
  ];

  for (const { name, args, stderr } of failed)
    it(`says so in one line and ends with 1 when ${name}`, async () => {
      const ended = await run(...(await args()));
      expect(ended.stderr).to.match(/^[^\n]+\n$/);
      expect(ended.stderr).to.match(stderr);
      expect(ended.stdout).to.equal("");
      expect(ended.code).to.equal(1);
    });
});
