// Rival: a monolith on Koa.
import Koa from "koa";
import { announce } from "./announce.js";
import { createMonolith } from "./monolith.js";

const monolith = createMonolith(process.env);
const app = new Koa();
app.use(async (ctx) => {
  const chunks: Buffer[] = [];
  for await (const chunk of ctx.req as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
  const reply = await monolith(ctx.method, ctx.url, ctx.headers, body);
  ctx.set(reply.headers);
  ctx.body = reply.body;
});
announce(app.listen(0, "127.0.0.1"));
