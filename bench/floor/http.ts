// Second part of the floor: a bare node:http server that reads the request and answers a constant.
import { createServer } from "node:http";

const body = '{"result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":"Success"}}';
const headers = { "Content-Type": "application/json; charset=UTF-8", "Content-Length": String(body.length) };

const server = createServer((request, response) => {
  request.on("data", () => {});
  request.on("end", () => {
    response.writeHead(200, headers);
    response.end(body);
  });
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.stdout.write(`ready http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}\n`);
});
process.on("SIGTERM", () => process.exit(0));
