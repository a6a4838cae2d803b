import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import fc from "fast-check";
import { envelope, readEnvelopes } from "../../../lib/rpc/envelopes.js";

type Read = { flags: number; text: string };

/** What comes out when the bytes arrive in chunks of these lengths, and the rest as one. */
function readIn(bytes: Buffer, lengths: readonly number[], limitBytes = 1_000): Read[] {
  const all: Read[] = [];
  const take = readEnvelopes(limitBytes, (flags, each) => all.push({ flags, text: each.toString("latin1") }));
  let from = 0;
  for (const length of [...lengths, bytes.length]) {
    if (from < bytes.length) take(bytes.subarray(from, from + length));
    from += length;
  }
  return all;
}

describe("envelopes of a stream", () => {
  it("hold flags, the length in four bytes, and the message", () => {
    expect(envelope(2, Buffer.from("abc")).toString("hex")).to.equal("0200000003616263");
    expect(envelope(0, Buffer.alloc(0)).toString("hex")).to.equal("0000000000");
  });

  it("come out as they went in, however the bytes are cut", () => {
    const message = fc.record({
      flags: fc.integer({ min: 0, max: 255 }),
      text: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
    });
    const cuts = fc.array(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 400 })));
    fc.assert(
      fc.property(fc.array(message, { maxLength: 8 }), cuts, (messages, lengths) => {
        const bytes = Buffer.concat(messages.map(({ flags, text }) => envelope(flags, Buffer.from(text, "latin1"))));
        expect(readIn(bytes, lengths)).to.deep.equal(messages);
      }),
    );
  });

  it("hand on nothing of one that is not whole", () => {
    const bytes = Buffer.concat([envelope(0, Buffer.from("a")), envelope(0, Buffer.from("bc"))]);
    for (const missing of [1, 2, 3, 6]) expect(readIn(bytes.subarray(0, -missing), [])).to.have.length(1);
  });

  it("are refused by their length alone when they are too large, and not a byte earlier", () => {
    const [fits, tooLarge] = [envelope(0, Buffer.alloc(10)), envelope(0, Buffer.alloc(11))];
    expect(readIn(fits, [], 10)).to.have.length(1);
    const refused = () => readIn(Buffer.concat([fits, tooLarge.subarray(0, 5)]), [], 10);
    expect(refused).to.throw(ConnectError, "message size 11 is larger").with.property("code", Code.ResourceExhausted);
    expect(readIn(Buffer.concat([fits, tooLarge.subarray(0, 4)]), [], 10)).to.have.length(1);
  });
});
