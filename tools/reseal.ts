// Moves all token data to the newest key of the keyring, while the product runs. Can be interrupted and run again.
import { join } from "node:path";
import { SingleBar } from "cli-progress";
import { readConfig } from "../services/token-lifecycle/config.js";
import { connectRedis } from "../services/token-lifecycle/store/redis.js";
import { type ResealReport, resealAll, sizeOf } from "../services/token-lifecycle/store/reseal.js";
import { openKeySource } from "../services/token-lifecycle/vault/key-source.js";
import { keyringOf } from "../services/token-lifecycle/vault/keyring.js";
import { open, seal } from "../services/token-lifecycle/vault/seal.js";
import { redisFolder } from "./redis-child.js";

const { env } = process;

async function reseal(): Promise<ResealReport> {
  // As npm start does: without REDIS_URL it is the private Redis below DATA_DIR.
  const config = readConfig({
    ...env,
    REDIS_URL: env.REDIS_URL || redisFolder(join(env.DATA_DIR || ".data", "redis")).url,
  });
  const source = await openKeySource(config.keyringSource, config.keyringDir);
  const keyring = keyringOf(await source.secrets());
  const redis = connectRedis(config.redis, 5_000);
  let trouble = "";
  redis.on("error", (error) => {
    trouble = error.message;
  });
  const interrupted = new AbortController();
  process.once("SIGINT", () => interrupted.abort());
  process.once("SIGTERM", () => interrupted.abort());
  const bar = new SingleBar({
    format: "{bar} {value} of about {total} tokens, {resealed} sealed anew",
    noTTYOutput: false,
  });
  try {
    for (const end = Date.now() + 5_000; redis.status !== "ready"; ) {
      if (Date.now() > end)
        throw new Error(`Redis does not answer${trouble ? `: ${trouble}` : ""}. Start it, or set REDIS_URL.`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    bar.start(await sizeOf(redis), 0, { resealed: 0 });
    return await resealAll(
      redis,
      (token) => {
        const { tokenData, tokenReferenceId } = token;
        if (tokenData === undefined || tokenData.keyVersion === keyring.newest.version) return undefined;
        return { ...token, tokenData: seal(open(tokenData, tokenReferenceId, keyring), tokenReferenceId, keyring) };
      },
      ({ seen, resealed }) => bar.update(seen, { resealed }),
      interrupted.signal,
    );
  } finally {
    bar.stop();
    redis.disconnect();
  }
}

try {
  const { seen, resealed, left } = await reseal();
  process.stdout.write(`${seen} tokens seen, ${resealed} sealed anew, ${left} left because they kept changing\n`);
  process.exitCode = left > 0 ? 1 : 0;
} catch (error) {
  process.stderr.write(`reseal: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
