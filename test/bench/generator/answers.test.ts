import { expect } from "chai";
import fc from "fast-check";
import { type Answer, answerReader, headersIn } from "../../../bench/generator/answers.js";

const answer = (status: number, body: string, name = "Content-Length"): string =>
  `HTTP/1.1 ${status} OK\r\nDate: now\r\n${name}: ${Buffer.byteLength(body)}\r\nKeep-Alive: timeout=5\r\n\r\n${body}`;

const readAll = (chunks: readonly Buffer[]): Answer[] => {
  const reader = answerReader();
  return chunks.flatMap((chunk) => reader.read(chunk));
};
const seen = (answers: readonly Answer[]) => answers.map(({ status, body }) => ({ status, body }));

describe("the reader of answers", () => {
  const bytes = Buffer.from(answer(200, '{"a":"ü"}') + answer(503, "") + answer(200, "x", "content-length"));
  const wanted = [
    { status: 200, body: '{"a":"ü"}' },
    { status: 503, body: "" },
    { status: 200, body: "x" },
  ];

  it("finds the same answers wherever the bytes are cut", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 20 }), (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
        expect(seen(readAll(chunks))).to.deep.equal(wanted);
      }),
    );
  });

  it("gives the head for a later look", () => {
    const [first] = readAll([Buffer.from(answer(200, ""))]);
    expect(headersIn(first?.head ?? "")).to.deep.include({ "content-length": "0", "keep-alive": "timeout=5" });
  });

  const wrong: { name: string; bytes: string }[] = [
    {
      name: "an answer without Content-Length",
      bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    },
    { name: "what is no HTTP/1.1", bytes: "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n" },
    { name: "a head without an end", bytes: "x".repeat(20_000) },
  ];
  for (const { name, bytes } of wrong)
    it(`throws at ${name}`, () => {
      expect(() => readAll([Buffer.from(bytes)])).to.throw();
    });
});
