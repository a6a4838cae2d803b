// Says where a rival listens, and ends it when it is told.
import { once } from "node:events";
import type { Server } from "node:net";

export async function announce(server: Server): Promise<void> {
  if (!server.listening) await once(server, "listening");
  const address = server.address();
  process.stdout.write(`ready http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}\n`);
  process.on("SIGTERM", () => process.exit(0));
}
