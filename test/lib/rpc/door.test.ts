import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import { expect } from "chai";
import { createDoor, type Door } from "../../../lib/rpc/door.js";
import type { TlsFiles } from "../../../lib/tls-files.js";
import { createAuthority } from "../../support/certificates.js";
import { temporaryFolder } from "../../support/processes.js";

describe("a port for both versions of HTTP", () => {
  const folder = temporaryFolder();
  after(() => folder.remove());

  /** Takes what has the path /direct. */
  const direct = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): boolean => {
    if (headers[":path"] !== "/direct") return false;
    stream.respond({ ":status": 200 });
    stream.end("direct");
    return true;
  };

  async function open(tls?: TlsFiles): Promise<{ door: Door; url: string }> {
    const door = createDoor((request, response) => void response.end(`handler ${request.httpVersion}`), tls, direct);
    await new Promise<void>((resolve) => door.server.listen(0, "127.0.0.1", resolve));
    const { port } = door.server.address() as net.AddressInfo;
    return { door, url: `${tls ? "https" : "http"}://127.0.0.1:${port}` };
  }

  const overHttp1 = (url: string, ca?: Buffer): Promise<string> =>
    new Promise((resolve, reject) => {
      const onResponse = (response: http.IncomingMessage): void => {
        response.setEncoding("utf8").on("data", resolve);
      };
      (ca ? https.get(url, { ca, agent: false }, onResponse) : http.get(url, { agent: false }, onResponse)).on(
        "error",
        reject,
      );
    });

  async function overHttp2(url: string, paths: string[], ca?: Buffer): Promise<string[]> {
    const session = http2.connect(url, ca && { ca });
    try {
      return await Promise.all(
        paths.map(
          (path) =>
            new Promise<string>((resolve, reject) => {
              const stream = session.request({ ":path": path });
              stream.setEncoding("utf8").on("data", resolve).on("error", reject);
            }),
        ),
      );
    } finally {
      session.close();
    }
  }

  for (const name of ["in plain", "over TLS"])
    it(`gives streams of HTTP/2 to the direct way first, and HTTP/1.1 to the handler alone, ${name}`, async () => {
      const authority = name === "in plain" ? undefined : createAuthority(folder.path, "door");
      const tls = authority && { ...authority.issue("IP:127.0.0.1"), ca: authority.ca };
      const { door, url } = await open(tls);
      try {
        expect(await overHttp2(url, ["/direct", "/other", "/direct"], tls?.ca)).to.deep.equal([
          ...["direct", "handler 2.0", "direct"],
        ]);
        for (const path of ["/direct", "/other"])
          expect(await overHttp1(`${url}${path}`, tls?.ca)).to.equal("handler 1.1");
      } finally {
        await door.close();
      }
    });

  it("is not ended by a peer that goes away in the middle of a call", async () => {
    const { door, url } = await open();
    try {
      for (let i = 0; i < 5; i++) {
        const session = http2.connect(url).on("error", () => {});
        session.request({ ":path": "/direct", ":method": "POST" }).on("error", () => {});
        await new Promise((resolve) => session.once("remoteSettings", resolve));
        session.destroy();
      }
      const socket = net.connect(Number(new URL(url).port), "127.0.0.1", () => socket.resetAndDestroy());
      expect(await overHttp2(url, ["/direct"])).to.deep.equal(["direct"]);
    } finally {
      door.destroy();
      await door.close();
    }
  });
});
