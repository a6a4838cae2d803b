// Rival: a monolith on Fastify.
import { fastify } from "fastify";
import { announce } from "./announce.js";
import { createMonolith } from "./monolith.js";

const monolith = createMonolith(process.env);
const app = fastify({ logger: false });
// The signature is over the bytes, so they must come as they are.
app.removeAllContentTypeParsers();
app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
app.post("/*", async (request, reply) => {
  const answer = await monolith(request.method, request.url, request.headers, request.body as Buffer);
  return reply.headers(answer.headers).send(answer.body);
});
await app.listen({ port: 0, host: "127.0.0.1" });
announce(app.server);
