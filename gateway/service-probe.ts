// Asks the token service at each of its addresses for its health, on connections of its own.
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { TlsFiles } from "../lib/tls-files.js";

export type ServiceProbe = {
  /** Whether each address said SERVING last time. */
  readonly states: () => ReadonlyMap<string, boolean>;
  /** True when any address has said SERVING since the start. */
  readonly wasReached: () => boolean;
  readonly stop: () => void;
};

/** Time for one answer, in milliseconds. */
const timeoutMs = 1_000;
/** Largest answer that is read, in characters. */
const answerLimit = 1_000;

/** Resolves after the first round, or after 250 ms of it. `onAnswer` hears each answer, and whether it is another than before. */
export async function probeService(
  addresses: readonly string[],
  tls: () => TlsFiles | undefined,
  everyMs: number,
  onAnswer: (address: string, isServing: boolean, isNews: boolean) => void,
): Promise<ServiceProbe> {
  const states = new Map(addresses.map((address) => [address, false]));
  let reached = false;
  let asking = false;
  const round = async (): Promise<void> => {
    if (asking) return;
    asking = true;
    await Promise.all(
      addresses.map(async (address) => {
        const isServing = await saysServing(address, tls());
        reached ||= isServing;
        const isNews = isServing !== states.get(address);
        states.set(address, isServing);
        onAnswer(address, isServing, isNews);
      }),
    );
    asking = false;
  };
  const first = round();
  const timer = setInterval(round, everyMs);
  timer.unref();
  await Promise.race([first, new Promise((resolve) => setTimeout(resolve, 250).unref())]);
  return { states: () => states, wasReached: () => reached, stop: () => clearInterval(timer) };
}

function saysServing(address: string, tls: TlsFiles | undefined): Promise<boolean> {
  const send = address.startsWith("https:") ? httpsRequest : httpRequest;
  return new Promise((resolve) => {
    const request = send(
      `${address}/grpc.health.v1.Health/Check`,
      { method: "POST", agent: false, headers: { "content-type": "application/json" }, ...tls },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
          if (text.length > answerLimit) request.destroy();
        });
        response.on("error", () => resolve(false));
        response.on("close", () => resolve(response.statusCode === 200 && /"status":\s*"SERVING"/.test(text)));
      },
    );
    const timer = setTimeout(() => request.destroy(), timeoutMs);
    request.on("error", () => resolve(false));
    request.on("close", () => clearTimeout(timer));
    request.end("{}");
  });
}
