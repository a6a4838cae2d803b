import { readFileSync } from "node:fs";
import { connect as connectHttp2, constants } from "node:http2";
import { gzipSync } from "node:zlib";
import { expect } from "chai";
import { apiPath, notification, notify } from "../support/notification.js";
import { startTestStack, type TestPart, type TestStack, until } from "../support/processes.js";
import { startTestGateway, type TestGateway } from "../support/stand-in-service.js";
import {
  headBytes,
  isSignedFor,
  openWire,
  requestBytes,
  sendBytes,
  signedHeaders,
  type Wire,
  type WireAnswer,
  withHeader,
} from "../support/wire.js";

const megabyte = 1024 * 1024;
const memoryOf = (part: TestPart): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${part.pid()}/status`, "utf8"))?.[1] ?? Number.NaN) * 1024;
const bodyOf = (tokenReferenceId: string, members: Record<string, unknown> = {}): string =>
  JSON.stringify(notification({ tokenReferenceId, ...members }));
const resultCode = (answer: WireAnswer | "closed"): string => (answer === "closed" ? answer : answer.result.resultCode);

describe("the gateway's door and hostile HTTP", () => {
  let stack: TestGateway;
  // Started first, looked at last: the gateway may take 15 s to lose patience, and the other tests need not wait for it.
  let slow: { name: string; wire: Wire; answer: Promise<WireAnswer | "closed" | Error> }[] = [];
  before(async () => {
    stack = await startTestGateway({ GATEWAY_MAX_CONNECTIONS: "1500" });
    const headers = signedHeaders("{}");
    const starts = {
      "sends nothing": "",
      "sends half a request line": "POST /aps",
      "sends half of its headers": headBytes(apiPath, headers).subarray(0, 200),
      "sends a header every 200 ms": headBytes(apiPath, headers).subarray(0, -2),
      "sends no body": headBytes(apiPath, [...headers, ["Content-Length", "2"]]),
      "sends half of its body": `${headBytes(apiPath, [...headers, ["Content-Length", "2"]])}{`,
      "sends half a chunk": `${headBytes(apiPath, [...headers, ["Transfer-Encoding", "chunked"]])}ff\r\n{`,
    };
    slow = Object.entries(starts).map(([name, bytes]) => {
      const wire = openWire(stack.gateway.url);
      if (bytes.length > 0) wire.write(bytes);
      if (name.includes("every")) {
        const timer = setInterval(() => (wire.isClosed() ? clearInterval(timer) : wire.write("X-A: b\r\n")), 200);
        timer.unref();
      }
      return { name, wire, answer: wire.answerOrEnd(30_000).catch((error: Error) => error) };
    });
  });
  after(async () => {
    for (const { wire } of slow) wire.close();
    await stack.stop();
  });

  const honest = async (): Promise<void> => {
    const answer = await notify(stack.gateway.url, notification());
    expect(answer.result.resultCode).to.equal("SUCCESS");
    expect(answer.isSigned).to.equal(true);
  };

  describe("framing that two readers could take for two things", () => {
    const inner = bodyOf("T-smuggled");
    const smuggled = requestBytes(apiPath, signedHeaders(inner), inner).toString("latin1");
    const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
    const outer = bodyOf("T-outer");
    const lines = (extra: string): string =>
      `POST ${apiPath} HTTP/1.1\r\n${signedHeaders(outer)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join("")}${extra}\r\n`;
    const length = Buffer.byteLength(outer);
    const chunked = `${chunk(outer)}0\r\n\r\n`;
    // Node refuses these itself, with a 400 that has no body which we could sign, and closes.
    for (const { name, bytes } of [
      {
        name: "Content-Length and then chunks (CL.TE)",
        bytes: `${lines(`Content-Length: 4\r\nTransfer-Encoding: chunked\r\n`)}0\r\n\r\n${smuggled}`,
      },
      {
        name: "chunks and then Content-Length (TE.CL)",
        bytes: `${lines(`Transfer-Encoding: chunked\r\nContent-Length: 4\r\n`)}${chunk(smuggled)}0\r\n\r\n`,
      },
      {
        name: "two Content-Lengths that differ",
        bytes: `${lines(`Content-Length: ${length}\r\nContent-Length: 0\r\n`)}${outer}${smuggled}`,
      },
      {
        name: "two Content-Lengths that agree",
        bytes: `${lines(`Content-Length: ${length}\r\nContent-Length: ${length}\r\n`)}${outer}`,
      },
      { name: "a list of Content-Lengths", bytes: `${lines(`Content-Length: ${length}, ${length}\r\n`)}${outer}` },
      { name: "a signed Content-Length", bytes: `${lines(`Content-Length: +${length}\r\n`)}${outer}` },
      { name: "a negative Content-Length", bytes: `${lines("Content-Length: -1\r\n")}${outer}` },
      { name: "a hexadecimal Content-Length", bytes: `${lines("Content-Length: 0x10\r\n")}${outer}` },
      { name: "a Content-Length of 30 digits", bytes: `${lines(`Content-Length: ${"9".repeat(30)}\r\n`)}${outer}` },
      { name: "chunked twice", bytes: `${lines("Transfer-Encoding: chunked, chunked\r\n")}${chunked}` },
      {
        name: "chunked and then something else",
        bytes: `${lines("Transfer-Encoding: chunked, identity\r\n")}${chunked}${smuggled}`,
      },
      {
        name: "an encoding that nobody knows",
        bytes: `${lines("Transfer-Encoding: xchunked\r\n")}${chunked}${smuggled}`,
      },
      { name: "a space before the colon", bytes: `${lines("Transfer-Encoding : chunked\r\n")}${chunked}${smuggled}` },
      {
        name: "a chunk length with a sign",
        bytes: `${lines("Transfer-Encoding: chunked\r\n")}+5\r\nhello\r\n0\r\n\r\n`,
      },
      { name: "a chunk length with 0x", bytes: `${lines("Transfer-Encoding: chunked\r\n")}0x5\r\nhello\r\n0\r\n\r\n` },
      {
        name: "a chunk length beyond 64 bits",
        bytes: `${lines("Transfer-Encoding: chunked\r\n")}fffffffffffffffff\r\nhello\r\n`,
      },
      {
        name: "a chunk longer than it says",
        bytes: `${lines("Transfer-Encoding: chunked\r\n")}2\r\nhello\r\n0\r\n\r\n`,
      },
      {
        name: "a chunk ended by a bare LF",
        bytes: `${lines("Transfer-Encoding: chunked\r\n")}${length.toString(16)}\n${outer}\n0\n\n`,
      },
      {
        name: "headers ended by bare LFs",
        bytes: `${lines(`Content-Length: ${length}\r\n`).replaceAll("\r\n", "\n")}${outer}`,
      },
      { name: "a bare CR as the end of a line", bytes: `${lines(`X-A: b\rContent-Length: ${length}\r\n`)}${outer}` },
      {
        name: "a method of nobody's",
        bytes: lines(`Content-Length: ${length}\r\n`).replace("POST", "P\xf6ST") + outer,
      },
      { name: "a line before the request", bytes: `garbage\r\n\r\n${smuggled}` },
      { name: "TLS on the plain port", bytes: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" },
      { name: "the start of HTTP/2", bytes: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
    ])
      it(`is refused: ${name}`, async () => {
        const wire = openWire(stack.gateway.url);
        wire.write(Buffer.from(bytes, "latin1"));
        const first = await wire.answerOrEnd();
        if (first !== "closed") expect(first.status, resultCode(first)).to.equal(400);
        expect(await wire.answerOrEnd(), "an answer to what was smuggled").to.equal("closed");
        expect(stack.service.arrived).to.not.include("T-smuggled");
        expect(stack.service.arrived).to.not.include("T-outer");
      });

    // obs-fold: Node joins the lines. What counts is that it reads one request with one body, or none.
    it("takes a folded Transfer-Encoding for one thing", async () => {
      const wire = openWire(stack.gateway.url);
      wire.write(Buffer.from(`${lines("Transfer-Encoding:\r\n chunked\r\n")}${chunk(outer)}0\r\n\r\n`, "latin1"));
      const answer = await wire.answerOrEnd();
      expect(resultCode(answer)).to.be.oneOf(["SUCCESS", "closed", "no JSON: "]);
      wire.close();
    });

    for (const { name, bytes } of [
      {
        name: "chunks of one byte",
        bytes: () => `${lines("Transfer-Encoding: chunked\r\n")}${[...outer].map(chunk).join("")}0\r\n\r\n`,
      },
      {
        name: "chunk extensions",
        bytes: () =>
          `${lines("Transfer-Encoding: chunked\r\n")}${length.toString(16)};a=b;c="d"\r\n${outer}\r\n0;e\r\n\r\n`,
      },
      {
        name: "trailers",
        bytes: () => `${lines("Transfer-Encoding: chunked\r\n")}${chunk(outer)}0\r\nClient-Id: NOBODY\r\n\r\n`,
      },
    ])
      it(`is read as one request: ${name}`, async () => {
        const answer = await sendBytes(stack.gateway.url, Buffer.from(bytes(), "latin1"));
        expect(resultCode(answer)).to.equal("SUCCESS");
        expect(isSignedFor(answer as WireAnswer)).to.equal(true);
      });

    it("refuses chunk extensions without end", async () => {
      const wire = openWire(stack.gateway.url);
      wire.write(
        Buffer.from(`${lines("Transfer-Encoding: chunked\r\n")}2;${"a".repeat(200_000)}\r\n{}\r\n0\r\n\r\n`, "latin1"),
      );
      const answer = await wire.answerOrEnd();
      if (answer !== "closed") expect(answer.status).to.equal(413);
      expect(await wire.answerOrEnd()).to.equal("closed");
    });

    it("takes what follows a body for a request of its own", async () => {
      const wire = openWire(stack.gateway.url);
      wire.write(requestBytes(apiPath, signedHeaders("{}"), "{}"));
      wire.write("G");
      expect(resultCode(await wire.answer())).to.equal("SUCCESS");
      wire.write("ET / HTTP/1.1\r\nHost: a\r\n\r\n");
      const second = await wire.answer();
      expect(resultCode(second)).to.equal("NO_INTERFACE_DEF");
      expect(isSignedFor(second, "/", "GET")).to.equal(true);
      wire.close();
    });
  });

  describe("methods and versions", () => {
    const body = "{}";
    for (const method of ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH"])
      it(`answers ${method} with a signed METHOD_NOT_SUPPORTED`, async () => {
        const bytes = requestBytes(apiPath, signedHeaders(body, { method }), body, method);
        const answer = await sendBytes(stack.gateway.url, bytes);
        expect(resultCode(answer)).to.equal("METHOD_NOT_SUPPORTED");
        expect(isSignedFor(answer as WireAnswer, apiPath, method)).to.equal(true);
      });

    // CONNECT asks for a tunnel; Node closes the connection when nobody offers one.
    it("opens no tunnel", async () => {
      const answer = await sendBytes(
        stack.gateway.url,
        headBytes("example.com:443", [["Host", "example.com"]], "CONNECT"),
      );
      if (answer !== "closed") expect(answer.status).to.be.within(400, 499);
    });

    it("answers HTTP/1.0 and closes", async () => {
      const text = bodyOf("T-http-1.0");
      const wire = openWire(stack.gateway.url);
      const headers = [...signedHeaders(text), ["Content-Length", String(text.length)] as const];
      wire.write(Buffer.concat([headBytes(apiPath, headers, "POST", "1.0"), Buffer.from(text)]));
      expect(resultCode(await wire.answer())).to.equal("SUCCESS");
      expect(await wire.answerOrEnd()).to.equal("closed");
    });

    it("answers HEAD with headers that are signed and no body", async () => {
      const answer = await sendBytes(stack.gateway.url, headBytes("/", [["Host", "a"]], "HEAD"));
      expect(answer !== "closed" && answer.status === 200 && isSignedFor(answer, "/", "HEAD")).to.equal(true);
    });
  });

  describe("connections", () => {
    it("answers 50 pipelined requests in their order, each for itself", async () => {
      const wire = openWire(stack.gateway.url);
      const kinds = [
        { code: "SUCCESS", bytes: () => good(), path: apiPath },
        { code: "INVALID_SIGNATURE", bytes: () => requestBytes(apiPath, signedHeaders("{}"), "[]"), path: apiPath },
        { code: "NO_INTERFACE_DEF", bytes: () => requestBytes("/other", signedHeaders("{}"), "{}"), path: "/other" },
        { code: "PARAM_ILLEGAL", bytes: () => requestBytes(apiPath, signedHeaders("["), "["), path: apiPath },
        {
          code: "INVALID_CLIENT",
          bytes: () => requestBytes(apiPath, withHeader(signedHeaders("{}"), "Client-Id", "X"), "{}"),
          path: apiPath,
        },
      ];
      const good = (): Buffer => {
        const text = bodyOf(`T-pipeline-${Math.random()}`);
        return requestBytes(apiPath, signedHeaders(text), text);
      };
      const order = Array.from({ length: 50 }, (_, i) => kinds[(i * i + 1) % kinds.length] as (typeof kinds)[number]);
      wire.write(Buffer.concat(order.map(({ bytes }) => bytes())));
      for (const [i, { code, path }] of order.entries()) {
        const answer = await wire.answer();
        expect(resultCode(answer), `answer ${i}`).to.equal(code);
        expect(isSignedFor(answer, path), `answer ${i} signed`).to.equal(true);
      }
      wire.close();
    });

    for (const [name, size] of [
      ["just over the limit", 64 * 1024 + 1],
      ["of 1 MiB and a bit", megabyte + 1],
      ["of 8 MiB", 8 * megabyte],
    ] as const)
      it(`answers a body ${name} with a signed PARAM_ILLEGAL, and the next request on that connection`, async () => {
        const wire = openWire(stack.gateway.url);
        wire.write(requestBytes(apiPath, signedHeaders("{}"), Buffer.alloc(size, 0x20)));
        const answer = await wire.answer();
        expect(resultCode(answer)).to.equal("PARAM_ILLEGAL");
        expect(isSignedFor(answer)).to.equal(true);
        wire.write(requestBytes(apiPath, signedHeaders("{}"), "{}"));
        expect(resultCode(await wire.answer())).to.equal("SUCCESS");
        wire.close();
      });

    it("answers a refused request at once, before its body has come", async () => {
      const wire = openWire(stack.gateway.url);
      wire.write(
        headBytes("/other", [
          ["Host", "a"],
          ["Content-Length", "1000"],
        ]),
      );
      const answer = await wire.answer(2_000);
      expect(resultCode(answer)).to.equal("NO_INTERFACE_DEF");
      expect(isSignedFor(answer, "/other")).to.equal(true);
      wire.close();
    });

    it("does not mind 300 uploads that break off", async () => {
      const before = stack.service.arrived.length;
      const text = bodyOf("T-aborted");
      const bytes = requestBytes(apiPath, signedHeaders(text), text);
      const wires = Array.from({ length: 300 }, () => openWire(stack.gateway.url));
      await Promise.all(
        wires.map(
          (wire, i) =>
            new Promise<void>((resolve) => {
              wire.socket.write(bytes.subarray(0, bytes.length - 1 - (i % 400)), () => {
                if (i % 2 === 0) wire.socket.resetAndDestroy();
                else wire.close();
                resolve();
              });
            }),
        ),
      );
      await honest();
      expect(stack.service.arrived).to.have.length(before + 1);
    });

    it("goes on answering while senders pipeline 500 requests each and read no answer", async function () {
      this.timeout(20_000);
      const bytes = requestBytes("/other", [["Host", "a"]], "")
        .toString("latin1")
        .repeat(500);
      const flood = async (): Promise<number> => {
        const wires = Array.from({ length: 10 }, () => openWire(stack.gateway.url));
        for (const wire of wires) {
          wire.socket.pause();
          wire.write(bytes);
        }
        for (let i = 0; i < 10; i++) await honest();
        for (const wire of wires) wire.close();
        return memoryOf(stack.gateway);
      };
      // The heap grows to what such a flood needs, and no further.
      await flood();
      const first = await flood();
      for (let i = 0; i < 2; i++) await flood();
      expect((await flood()) - first).to.be.below(100 * megabyte);
    });

    it("goes on answering while 1,000 slow senders hold connections with half a body", async function () {
      this.timeout(20_000);
      const before = memoryOf(stack.gateway);
      const text = bodyOf("T-slow");
      const bytes = requestBytes(apiPath, signedHeaders(text), text);
      const half = bytes.subarray(0, bytes.length - 20);
      const wires = Array.from({ length: 1_000 }, () => openWire(stack.gateway.url));
      for (const wire of wires) wire.write(half);
      for (let i = 0; i < 50; i++) await honest();
      expect(memoryOf(stack.gateway) - before).to.be.below(200 * megabyte);
      for (const wire of wires) wire.close();
    });
  });

  it("loses patience with senders that are slow", async function () {
    this.timeout(30_000);
    for (const { name, answer } of slow) {
      const last = await answer;
      // Node's own words: there is no request yet that we could answer.
      expect(last === "closed" || (last instanceof Error ? last.message : last.status), name).to.be.oneOf([true, 408]);
    }
  });

  it("answers the next honest request", honest);

  it("logs no line that is no JSON", () => {
    for (const line of stack.gateway.log().trim().split("\n")) expect(line).to.match(/^\{.*\}$/);
  });
});

describe("the gateway's door when it is full", () => {
  it("lets slow senders have no part of MAX_IN_FLIGHT", async () => {
    const stack = await startTestGateway({ MAX_IN_FLIGHT: "4" });
    try {
      const text = bodyOf("T-slow");
      const bytes = requestBytes(apiPath, signedHeaders(text), text);
      const wires = Array.from({ length: 50 }, () => openWire(stack.gateway.url));
      for (const wire of wires) wire.write(bytes.subarray(0, bytes.length - 1));
      await until("they are connected", async () => wires.every((wire) => !wire.socket.connecting));
      for (let i = 0; i < 20; i++)
        expect((await notify(stack.gateway.url, notification())).result.resultCode).to.equal("SUCCESS");
      for (const wire of wires) wire.write(bytes.subarray(bytes.length - 1));
      const codes = await Promise.all(wires.map(async (wire) => resultCode(await wire.answer())));
      expect(new Set(codes)).to.have.keys(
        ["SUCCESS", "REQUEST_TRAFFIC_EXCEED_LIMIT"].filter((code) => codes.includes(code)),
      );
      expect(codes).to.include("SUCCESS");
      for (const wire of wires) wire.close();
    } finally {
      await stack.stop();
    }
  });

  it("refuses connections beyond GATEWAY_MAX_CONNECTIONS and takes new ones when there is room", async () => {
    const stack = await startTestGateway({ GATEWAY_MAX_CONNECTIONS: "20" });
    try {
      const held = Array.from({ length: 20 }, () => openWire(stack.gateway.url));
      for (const wire of held) {
        wire.write(requestBytes(apiPath, signedHeaders("{}"), "{}"));
        expect(resultCode(await wire.answer())).to.equal("SUCCESS");
      }
      for (let i = 0; i < 10; i++)
        expect(await sendBytes(stack.gateway.url, requestBytes(apiPath, signedHeaders("{}"), "{}"))).to.equal("closed");
      for (const wire of held) {
        wire.write(requestBytes(apiPath, signedHeaders("{}"), "{}"));
        expect(resultCode(await wire.answer())).to.equal("SUCCESS");
      }
      for (const wire of held) wire.close();
      await until(
        "there is room",
        async () => (await sendBytes(stack.gateway.url, requestBytes(apiPath, signedHeaders("{}"), "{}"))) !== "closed",
      );
    } finally {
      await stack.stop();
    }
  });
});

describe("the token service's door and hostile HTTP/2", () => {
  let stack: TestStack;
  before(async () => {
    stack = await startTestStack({
      appendfsync: "no",
      service: { LOG_LEVEL: "info", DURABILITY: "memory" },
      gateway: { LOG_LEVEL: "info" },
    });
  });
  after(() => stack.stop());

  const path = "/mpp.token.v1.TokenLifecycleService/GetToken";
  type Reply = { status: number; grpcStatus: string; body: Buffer };
  const honest = async (): Promise<void> => {
    // As Alipay+ does: again after a U, which a flood may cause.
    const members = notification();
    await until("an honest notification gets its SUCCESS", async () => {
      const { result } = await notify(stack.gateway.url, members);
      expect(result.resultStatus).to.be.oneOf(["S", "U"]);
      return result.resultCode === "SUCCESS";
    });
    const started = performance.now();
    const reply = await fetch(stack.service.url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ tokenReferenceId: "T-nobody" }),
    });
    expect(reply.status).to.equal(404);
    expect(performance.now() - started).to.be.below(3_000);
  };
  const call = (headers: Record<string, string>, body: Buffer, rpc = path): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const session = connectHttp2(stack.service.url);
      session.on("error", reject);
      const stream = session.request({ ":method": "POST", ":path": rpc, ...headers });
      const reply = { status: 0, grpcStatus: "", body: Buffer.alloc(0) };
      stream.on("response", (received) => {
        reply.status = Number(received[":status"]);
        reply.grpcStatus = String(received["grpc-status"] ?? "");
      });
      stream.on("trailers", (trailers) => {
        reply.grpcStatus = String(trailers["grpc-status"] ?? reply.grpcStatus);
      });
      stream.on("data", (chunk: Buffer) => {
        reply.body = Buffer.concat([reply.body, chunk]);
      });
      const done = (): void => {
        clearTimeout(timer);
        session.destroy();
        resolve(reply);
      };
      const timer = setTimeout(() => reject(new Error("no reply within 8 s")), 8_000);
      stream.on("error", () => {});
      stream.on("end", done);
      stream.on("close", done);
      stream.end(body);
    });
  const grpc = { "content-type": "application/grpc+proto", te: "trailers" };
  const frame = (message: Buffer, isCompressed = false): Buffer => {
    const head = Buffer.alloc(5);
    head[0] = isCompressed ? 1 : 0;
    head.writeUInt32BE(message.length, 1);
    return Buffer.concat([head, message]);
  };
  const getToken = Buffer.from("\x0a\x08T-nobody", "latin1");
  const bomb = gzipSync(Buffer.alloc(100 * megabyte));
  const [invalidArgument, deadlineExceeded, notFound, resourceExhausted] = ["3", "4", "5", "8"];

  it("stays up when 1,000 streams are opened and reset", async () => {
    for (let round = 0; round < 3; round++) {
      const session = connectHttp2(stack.service.url);
      // Past its own limit of resets the server ends the session, which is its good right.
      session.on("error", () => {});
      const closed = new Promise((resolve) => session.once("close", resolve));
      for (let i = 0; i < 1_000 && !session.destroyed; i++) {
        const stream = session.request({ ":method": "POST", ":path": path, ...grpc }, { endStream: false });
        stream.on("error", () => {});
        stream.close(constants.NGHTTP2_CANCEL);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
      session.destroy();
      await closed;
      await honest();
    }
  });

  it("lets no session have more streams than it allows", async () => {
    const session = connectHttp2(stack.service.url);
    session.on("error", () => {});
    const settings = await new Promise<{ maxConcurrentStreams?: number }>((resolve) =>
      session.once("remoteSettings", resolve),
    );
    expect(settings.maxConcurrentStreams).to.equal(1_000);
    const streams = Array.from({ length: 1_500 }, () => {
      const stream = session.request({ ":method": "POST", ":path": path, ...grpc }, { endStream: false });
      stream.on("error", () => {});
      return stream;
    });
    await honest();
    for (const stream of streams) stream.destroy();
    session.destroy();
    await honest();
  });

  for (const { name, send } of [
    { name: "a gRPC message over the limit", send: () => call(grpc, frame(Buffer.alloc(megabyte))) },
    {
      name: "a gRPC frame that says 4 GiB",
      send: () => call(grpc, Buffer.concat([Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), Buffer.alloc(100)])),
    },
    {
      name: "a gRPC frame of 100 MiB of zeros, compressed",
      send: () => call({ ...grpc, "grpc-encoding": "gzip" }, frame(bomb, true)),
    },
  ])
    it(`answers ${name} with RESOURCE_EXHAUSTED`, async () => {
      const before = memoryOf(stack.service);
      const reply = await send();
      expect(reply.status).to.equal(200);
      expect(reply.grpcStatus).to.equal(resourceExhausted);
      expect(memoryOf(stack.service) - before).to.be.below(60 * megabyte);
      await honest();
    });

  for (const { name, headers, body } of [
    { name: "a Connect body over the limit", headers: {}, body: () => Buffer.alloc(megabyte, 0x20) },
    {
      name: "a Connect body of 100 MiB of zeros, compressed",
      headers: { "content-encoding": "gzip" },
      body: () => bomb,
    },
  ])
    it(`answers ${name} with resource_exhausted`, async () => {
      const before = memoryOf(stack.service);
      const reply = await call({ "content-type": "application/json", ...headers } as Record<string, string>, body());
      expect(reply.status).to.equal(429);
      expect(JSON.parse(reply.body.toString()).code).to.equal("resource_exhausted");
      expect(memoryOf(stack.service) - before).to.be.below(60 * megabyte);
      await honest();
    });

  it("stays up under bombs in parallel", async function () {
    this.timeout(20_000);
    const before = memoryOf(stack.service);
    const calls = Array.from({ length: 40 }, () => call({ ...grpc, "grpc-encoding": "gzip" }, frame(bomb, true)));
    for (const reply of await Promise.all(calls)) expect(reply.grpcStatus).to.equal(resourceExhausted);
    expect(memoryOf(stack.service) - before).to.be.below(150 * megabyte);
    await honest();
  });

  it("answers a call without a deadline", async () => {
    const reply = await call(grpc, frame(getToken));
    expect(reply.grpcStatus).to.equal(notFound);
  });

  for (const [deadline, grpcStatus] of [
    ["0n", deadlineExceeded],
    ["500H", notFound],
    ["597H", invalidArgument],
    ["99999999H", invalidArgument],
    ["-1S", invalidArgument],
    ["1x", invalidArgument],
    ["soon", invalidArgument],
    ["999999999S", invalidArgument],
  ] as const)
    it(`answers a call with the deadline "${deadline}" with status ${grpcStatus}`, async () => {
      const reply = await call({ ...grpc, "grpc-timeout": deadline }, frame(getToken));
      expect(reply.status).to.equal(200);
      expect(reply.grpcStatus).to.equal(grpcStatus);
      await honest();
    });

  for (const { name, body } of [
    { name: "no frame", body: Buffer.alloc(0) },
    { name: "half a frame", body: Buffer.from([0, 0, 0]) },
    { name: "a frame that is cut", body: frame(getToken).subarray(0, 8) },
    { name: "two frames", body: Buffer.concat([frame(getToken), frame(getToken)]) },
    { name: "bytes that are no message", body: frame(Buffer.alloc(64, 0xff)) },
    { name: "a frame with unknown flags", body: Buffer.concat([Buffer.from([0x7f]), frame(getToken).subarray(1)]) },
    { name: "compression that was not announced", body: frame(getToken, true) },
  ])
    it(`answers ${name} with an error of gRPC`, async () => {
      const reply = await call(grpc, body);
      expect(reply.status).to.equal(200);
      expect(reply.grpcStatus).to.match(/^[1-9]\d?$/);
    });

  it("stays up under a flood of headers", async () => {
    for (const headers of [
      Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`x-${i}`, "a"])),
      { "x-long": "a".repeat(100_000) },
      Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`x-${i}`, "a".repeat(1_000)])),
    ])
      await call({ ...grpc, ...headers }, frame(getToken)).catch(() => undefined);
    await honest();
  });

  it("stays up when sessions end in the middle of calls", async () => {
    for (let i = 0; i < 50; i++) {
      const session = connectHttp2(stack.service.url);
      session.on("error", () => {});
      const stream = session.request({ ":method": "POST", ":path": path, ...grpc }, { endStream: false });
      stream.on("error", () => {});
      stream.write(frame(getToken).subarray(0, i % 10));
      session.once("connect", () => session.destroy());
    }
    await honest();
  });

  for (const bytes of [
    "PRI",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${"\xff".repeat(500)}`,
    "\0\0\0",
  ])
    it(`does not mind ${JSON.stringify(bytes.slice(0, 30))} and an end`, async () => {
      const wire = openWire(stack.service.url);
      wire.write(Buffer.from(bytes, "latin1"));
      await new Promise((resolve) => setTimeout(resolve, 20));
      wire.close();
      await honest();
    });

  it("logs no line that is no JSON", () => {
    // Standard error is in there too: a deadline that no timer can hold makes Node warn before the call is refused.
    const warning =
      /^\(node:\d+\) TimeoutOverflowWarning: |^Timeout duration was set to 1\.$|^\(Use `node --trace-warn/;
    for (const line of stack.service.log().trim().split("\n"))
      if (!warning.test(line)) expect(line).to.match(/^\{.*\}$/);
  });
});
