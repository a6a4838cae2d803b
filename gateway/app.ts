// Koa outside, the pipeline inside: HTTP in, HTTP 200 with a signed result out.
import Koa from "koa";
import { answerTo, type PipelineDeps } from "./pipeline.js";
import { discardBody, readBody } from "./read-body.js";

export function createApp(deps: PipelineDeps, bodyLimitBytes: number): Koa {
  const app = new Koa();
  app.use(async (ctx) => {
    const { req } = ctx;
    const target = req.url ?? "";
    const query = target.indexOf("?");
    const head = {
      method: req.method ?? "",
      path: query === -1 ? target : target.slice(0, query),
      query: query === -1 ? undefined : target.slice(query + 1),
      headers: req.headers,
    };
    const answer = await answerTo(head, () => readBody(req, bodyLimitBytes), deps);
    // The sender may not look for an answer before it has written its last byte.
    if (!req.complete) discardBody(req);
    ctx.status = 200;
    ctx.set(answer.headers);
    ctx.body = answer.body;
  });
  // The pipeline answers every failure of its own; what arrives here is a sender that went away.
  app.on("error", () => {});
  return app;
}
