import { type EventEmitter, once } from "node:events";
import http1 from "node:http";
import http2, { type ClientHttp2Session, type Http2Session, type ServerHttp2Stream } from "node:http2";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";
import { Code, ConnectError } from "@connectrpc/connect";
import { errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { expect } from "chai";
import { type ConnectChannel, connectChannel } from "../../../lib/rpc/connect-channel.js";
import type { TlsFiles } from "../../../lib/tls-files.js";
import { ErrorInfoSchema } from "../../../proto/gen/google/rpc/error_details_pb.js";
import { createAuthority } from "../../support/certificates.js";
import { temporaryFolder, until } from "../../support/processes.js";

type Answer = (stream: ServerHttp2Stream, session: Http2Session) => void;
type Peer = {
  readonly url: string;
  readonly sessions: Http2Session[];
  readonly sockets: net.Socket[];
  behave: Answer;
};

const proto = { ":status": 200, "content-type": "application/proto" };
const echo: Answer = (stream) => {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("end", () => {
    stream.respond(proto);
    stream.end(Buffer.concat(chunks));
  });
};
const answering =
  (headers: http2.OutgoingHttpHeaders, body: Buffer | string = "") =>
  (stream: ServerHttp2Stream): void => {
    stream.resume();
    stream.respond(headers);
    stream.end(body);
  };
const withJson = (status: number, body: unknown, contentType = "application/json"): Answer =>
  answering({ ":status": status, "content-type": contentType }, JSON.stringify(body));

describe("a channel in the Connect protocol", () => {
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  const channelTo = (url: string, tls?: TlsFiles): ConnectChannel => {
    const channel = connectChannel(url, { tls, readMaxBytes: 1_000 });
    ends.push(channel.close);
    return channel;
  };

  async function listening(server: net.Server, scheme = "http"): Promise<{ url: string; sockets: net.Socket[] }> {
    const sockets: net.Socket[] = [];
    server.on("connection", (socket: net.Socket) => {
      sockets.push(socket);
      socket.on("error", () => {});
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ends.push(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    });
    return { url: `${scheme}://127.0.0.1:${(server.address() as net.AddressInfo).port}`, sockets };
  }

  /** A peer of which the test says what becomes of a call. */
  async function peerThat(behave: Answer): Promise<Peer> {
    const server = http2.createServer();
    const sessions: Http2Session[] = [];
    server.on("session", (session) => {
      sessions.push(session);
      session.on("error", () => {});
    });
    server.on("stream", (stream) => {
      stream.on("error", () => {});
      peer.behave(stream, stream.session as Http2Session);
    });
    const peer: Peer = { ...(await listening(server)), sessions, behave };
    return peer;
  }

  const failure = (reply: Promise<unknown>): Promise<ConnectError> =>
    reply.then(
      () => Promise.reject(new Error("the call succeeded")),
      (error: unknown) => {
        expect(error).to.be.instanceOf(ConnectError);
        return error as ConnectError;
      },
    );
  const ask = (channel: ConnectChannel, timeoutMs?: number, text = "request") =>
    channel.call("/made.up.Service/Do", Buffer.from(text), timeoutMs);
  const refusal = new ConnectError("no", Code.AlreadyExists, undefined, [
    { desc: ErrorInfoSchema, value: { reason: "SOME_REASON", domain: "made.up" } },
  ]);
  const refusalJson = Buffer.from(errorToJsonBytes(refusal, undefined)).toString();

  it("brings the bytes of the request there and those of the response back", async () => {
    const peer = await peerThat((stream, session) => {
      expect(stream.sentHeaders).to.equal(undefined);
      echo(stream, session);
    });
    expect((await ask(channelTo(peer.url), undefined, "x".repeat(900))).toString()).to.equal("x".repeat(900));
    expect((await ask(channelTo(peer.url), undefined, "")).length).to.equal(0);
  });

  it("says who it is and until when it waits", async () => {
    const headers: http2.IncomingHttpHeaders[] = [];
    const server = http2.createServer((request, response) => {
      headers.push(request.headers);
      response.writeHead(200, { "content-type": "application/proto" }).end();
    });
    const channel = channelTo((await listening(server)).url);
    await ask(channel, 4_321);
    await ask(channel);
    expect(headers[0]).to.include({
      ":method": "POST",
      ":path": "/made.up.Service/Do",
      "content-type": "application/proto",
      "connect-protocol-version": "1",
      "connect-timeout-ms": "4321",
    });
    expect(headers[1]).to.not.have.property("connect-timeout-ms");
  });

  it("makes all calls on one connection, and leaves neither timers nor listeners on it", async () => {
    const peer = await peerThat(echo);
    const opened = sessionsOpened();
    const channel = channelTo(peer.url);
    await ask(channel);
    const listeners = () =>
      opened.flatMap((session: EventEmitter) => session.eventNames().map((name) => session.listenerCount(name)));
    const before = listeners();
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const timersBefore = timers();
    await Promise.all(Array.from({ length: 100 }, () => ask(channel)));
    expect(peer.sessions).to.have.length(1);
    expect(listeners()).to.deep.equal(before);
    expect(timers()).to.equal(timersBefore);
  });

  // Every way in which a peer may die, lie or say no, and what the caller is told.
  const table: { name: string; behave: Answer; code: Code; hasDetails?: true }[] = [
    { name: "dies in flight", behave: (_, session) => session.destroy(), code: Code.Unavailable },
    {
      name: "resets the connection in flight",
      behave: (_, session) => void session.socket?.resetAndDestroy(),
      code: Code.Unavailable,
    },
    {
      name: "dies after the headers",
      behave(stream, session) {
        stream.respond(proto);
        stream.write("some");
        setImmediate(() => session.destroy());
      },
      code: Code.Unavailable,
    },
    ...(["NO_ERROR", "CANCEL", "REFUSED_STREAM", "INTERNAL_ERROR", "ENHANCE_YOUR_CALM"] as const).map((word) => ({
      name: `resets the call with ${word}`,
      behave: (stream: ServerHttp2Stream) => stream.close(http2.constants[`NGHTTP2_${word}`]),
      code: Code.Unavailable,
    })),
    {
      name: "resets the call in the middle of the response",
      behave(stream) {
        stream.respond(proto);
        stream.write("some", () => void stream.destroy(new Error("reset")));
      },
      code: Code.Unavailable,
    },
    {
      name: "goes away in flight with an error",
      behave: (_, session) => session.goaway(http2.constants.NGHTTP2_INTERNAL_ERROR),
      code: Code.Unavailable,
    },
    {
      name: "goes away in flight and leaves the call undone",
      behave: (_, session) => session.destroy(undefined, http2.constants.NGHTTP2_NO_ERROR),
      code: Code.Unavailable,
    },
    {
      name: "cuts the body",
      behave: answering({ ...proto, "content-length": 10 }, "cut"),
      code: Code.Unavailable,
    },
    {
      name: "answers without a content type",
      behave: answering({ ":status": 200 }, "x"),
      code: Code.Unknown,
    },
    { name: "answers in another form", behave: withJson(200, {}), code: Code.Unknown },
    {
      name: "answers a page of a proxy",
      behave: answering({ ":status": 200, "content-type": "text/html" }, "<p>"),
      code: Code.Unknown,
    },
    {
      name: "compresses unasked",
      behave: answering({ ...proto, "content-encoding": "gzip" }, "x"),
      code: Code.Unknown,
    },
    {
      name: "refuses with details",
      behave: answering({ ":status": 409, "content-type": "application/json" }, refusalJson),
      code: Code.AlreadyExists,
      hasDetails: true,
    },
    {
      name: "refuses with details and names the charset",
      behave: answering({ ":status": 409, "content-type": "application/json; charset=utf-8" }, refusalJson),
      code: Code.AlreadyExists,
      hasDetails: true,
    },
    {
      name: "refuses with details under another status of HTTP",
      behave: answering({ ":status": 503, "content-type": "application/json" }, refusalJson),
      code: Code.AlreadyExists,
      hasDetails: true,
    },
    {
      name: "says details with HTTP 200",
      behave: answering({ ":status": 200, "content-type": "application/json" }, refusalJson),
      code: Code.Unknown,
    },
    {
      name: "cuts the details",
      behave: answering({ ":status": 409, "content-type": "application/json" }, refusalJson.slice(0, -9)),
      code: Code.Unknown,
    },
    { name: "refuses in JSON without a code", behave: withJson(503, { error: "no" }), code: Code.Unavailable },
    { name: "refuses with a code that is none", behave: withJson(403, { code: "so_so" }), code: Code.PermissionDenied },
    ...(
      [
        [400, Code.Internal],
        [401, Code.Unauthenticated],
        [403, Code.PermissionDenied],
        [404, Code.Unimplemented],
        [429, Code.Unavailable],
        [500, Code.Unknown],
        [502, Code.Unavailable],
        [503, Code.Unavailable],
        [504, Code.Unavailable],
      ] as const
    ).map(([status, code]) => ({
      name: `answers HTTP ${status} alone`,
      behave: answering({ ":status": status, "content-type": "text/plain" }, "no"),
      code,
    })),
    {
      name: "answers more than is read",
      behave: answering(proto, "x".repeat(1_001)),
      code: Code.ResourceExhausted,
    },
    {
      name: "answers more than is read without an end",
      behave(stream) {
        stream.respond(proto);
        const write = (): void => {
          if (!stream.destroyed) stream.write("x".repeat(100), () => setImmediate(write));
        };
        write();
      },
      code: Code.ResourceExhausted,
    },
    {
      name: "refuses at more length than is read",
      behave: answering({ ":status": 409, "content-type": "application/json" }, refusalJson.padEnd(1_001)),
      code: Code.ResourceExhausted,
    },
  ];
  for (const { name, behave, code, hasDetails } of table)
    it(`says ${Code[code]} of a peer that ${name}, and the next call gets through`, async () => {
      const peer = await peerThat(behave);
      const channel = channelTo(peer.url);
      const error = await failure(ask(channel));
      expect(Code[error.code], String(error.cause ?? error)).to.equal(Code[code]);
      expect(error.findDetails(ErrorInfoSchema).map(({ reason }) => reason)).to.deep.equal(
        hasDetails ? ["SOME_REASON"] : [],
      );
      peer.behave = echo;
      await until("a call gets through", () =>
        ask(channel).then(
          () => true,
          () => false,
        ),
      );
    });

  it("says UNAVAILABLE when nothing listens, and gets through as soon as something does", async () => {
    const server = http2.createServer();
    server.on("stream", (stream) => echo(stream, stream.session as Http2Session));
    const { url } = await listening(server);
    await new Promise((resolve) => server.close(resolve));
    const channel = channelTo(url);
    for (let i = 0; i < 3; i++) expect((await failure(ask(channel))).code).to.equal(Code.Unavailable);
    server.listen(Number(new URL(url).port), "127.0.0.1");
    expect((await ask(channel)).toString()).to.equal("request");
  });

  it("says UNAVAILABLE of a peer that hangs up on connections, or speaks another protocol", async () => {
    const hangingUp = await listening(net.createServer((socket) => void socket.destroy()));
    const older = await listening(http1.createServer((_, response) => response.end("x")));
    const shouting = await listening(net.createServer((socket) => void socket.write("* OK IMAP4 ready\r\n".repeat(9))));
    for (const { url } of [hangingUp, older, shouting])
      expect((await failure(ask(channelTo(url)))).code).to.equal(Code.Unavailable);
  });

  it("finishes what is under way when the peer goes away in order, and calls on a new connection meanwhile", async () => {
    let answer = (): void => {};
    const peer = await peerThat((stream, session) => {
      answer = () => echo(stream, session);
      session.close();
    });
    const channel = channelTo(peer.url);
    const first = ask(channel, undefined, "first");
    await until("the peer is going away", () => peer.sessions[0]?.closed ?? false);
    peer.behave = echo;
    await until("the channel knows", () =>
      ask(channel).then(
        () => true,
        () => false,
      ),
    );
    expect(peer.sessions).to.have.length(2);
    answer();
    expect((await first).toString()).to.equal("first");
  });

  it("waits no longer than its deadline for a peer that is silent, and tries a new connection next", async () => {
    const peer = await peerThat((stream) => void stream.resume());
    const channel = channelTo(peer.url);
    const started = performance.now();
    const calls = [150, 150, 200].map((timeoutMs) => failure(ask(channel, timeoutMs)));
    for (const error of await Promise.all(calls)) expect(error.code).to.equal(Code.DeadlineExceeded);
    expect(performance.now() - started).to.be.within(140, 1_500);
    peer.behave = echo;
    expect((await ask(channel)).toString()).to.equal("request");
    expect(peer.sessions).to.have.length(2);
    await until("the silent connection is closed", () => peer.sessions[0]?.destroyed ?? false);
  });

  it("keeps a connection on which others were answered while one call ran out of time", async () => {
    let isThere = false;
    const peer = await peerThat((stream) => {
      stream.resume();
      isThere = true;
    });
    const channel = channelTo(peer.url);
    const slow = failure(ask(channel, 400));
    await until("the slow call is there", () => isThere);
    peer.behave = echo;
    await ask(channel);
    expect((await slow).code).to.equal(Code.DeadlineExceeded);
    await ask(channel);
    expect(peer.sessions).to.have.length(1);
  });

  it("waits no longer than its deadline for the end of a response", async () => {
    const peer = await peerThat((stream) => {
      stream.respond(proto);
      stream.write("some");
    });
    expect((await failure(ask(channelTo(peer.url), 100))).code).to.equal(Code.DeadlineExceeded);
  });

  it("gives a connection 1.5 s to come about, and says UNAVAILABLE", async () => {
    const silent = await listening(net.createServer(), "https");
    const started = performance.now();
    const channel = channelTo(silent.url);
    const late = failure(ask(channel, 100));
    const error = await failure(ask(channel));
    expect(error.code).to.equal(Code.Unavailable);
    expect(performance.now() - started).to.be.within(1_400, 4_000);
    expect((await late).code).to.equal(Code.DeadlineExceeded);
    expect(silent.sockets, "a late call has not ended the connection under the other").to.have.length(1);
  });

  it("opens another connection when one has given its last call a name", async () => {
    const peer = await peerThat(echo);
    const opened = sessionsOpened();
    const channel = channelTo(peer.url);
    await ask(channel);
    const [session] = opened as { setNextStreamID?: (id: number) => void }[];
    session?.setNextStreamID?.(2 ** 31 - 1);
    await ask(channel);
    expect((await failure(ask(channel))).code).to.equal(Code.Unavailable);
    await ask(channel);
    expect(peer.sessions).to.have.length(2);
  });

  it("takes no call once it is closed, and ends those under way and every connection", async () => {
    const peer = await peerThat((stream, session) => {
      stream.resume();
      session.close();
    });
    const channel = channelTo(peer.url);
    const [old, young] = [failure(ask(channel)), until("a second connection", () => peer.sessions.length === 2)];
    await until("the first is going away", () => peer.sessions[0]?.closed ?? false);
    peer.behave = (stream) => void stream.resume();
    const second = failure(ask(channel));
    await young;
    channel.close();
    for (const call of [old, second, failure(ask(channel))]) expect((await call).code).to.equal(Code.Unavailable);
    await until("both are gone", () => peer.sessions.every(({ destroyed }) => destroyed));
  });

  it("says UNAVAILABLE when its certificate files are none", async () => {
    const nothing = Buffer.from("nothing");
    const channel = channelTo("https://127.0.0.1:1", { cert: nothing, key: nothing, ca: nothing });
    expect((await failure(ask(channel))).code).to.equal(Code.Unavailable);
  });

  it("is closed while it is connecting, without a word too many", async () => {
    const peer = await peerThat(echo);
    const channel = channelTo(peer.url);
    const call = failure(ask(channel));
    channel.close();
    expect((await call).code).to.equal(Code.Unavailable);
  });

  describe("over TLS", () => {
    const folder = temporaryFolder();
    after(() => folder.remove());
    const authority = (name: string) => createAuthority(folder.path, name);

    it("gets through with a certificate that the peer trusts, and not to a peer whose own it does not trust", async () => {
      const [own, other] = [authority("own"), authority("other")];
      const secure = http2.createSecureServer({
        ...own.issue("IP:127.0.0.1"),
        ...{ ca: own.ca, requestCert: true, rejectUnauthorized: true },
      });
      secure.on("stream", (stream) => echo(stream, stream.session as Http2Session));
      secure.on("sessionError", () => {});
      const { url } = await listening(secure, "https");
      const certificate = own.issue("DNS:gateway");
      expect((await ask(channelTo(url, { ...certificate, ca: own.ca }))).toString()).to.equal("request");
      const distrusting = { ...certificate, ca: other.ca };
      const distrusted = { ...other.issue("DNS:gateway"), ca: own.ca };
      for (const files of [distrusting, distrusted])
        expect((await failure(ask(channelTo(url, files)))).code).to.equal(Code.Unavailable);
    });
  });

  /** The connections that node:http2 opens from now on. */
  function sessionsOpened(): ClientHttp2Session[] {
    const opened: ClientHttp2Session[] = [];
    const { connect } = http2;
    const watching = (...args: unknown[]): ClientHttp2Session => {
      const session = (connect as (...all: unknown[]) => ClientHttp2Session)(...args);
      opened.push(session);
      return session;
    };
    const use = (it: unknown): void => {
      Object.assign(http2, { connect: it });
      syncBuiltinESMExports();
    };
    use(watching);
    ends.push(() => use(connect));
    return opened;
  }
});
