// Captured requests in every form that people have them in.
import { expect } from "chai";
import { CaptureError, captureFormat, readCaptures } from "../../tools/captures.js";
import { readCurlCommand, shellWords } from "../../tools/curl-command.js";

const body = '{"name":"J\u00fcrgen \'x\'"}\n';
const head = ["POST /aps/api/v1/x?a=1 HTTP/1.1", "Host: mpp.example.com", "Client-Id: C", "Signature: s=1, t=2"];
const one = (text: string | Buffer) => {
  const captures = readCaptures(Buffer.from(text as string), "file");
  expect(captures).to.have.length(1);
  const [{ request } = expect.fail()] = captures;
  const { host, "client-id": clientId, signature } = request.headers;
  return { ...request, headers: { host, clientId, signature }, body: Buffer.from(request.body).toString() };
};
const expected = {
  method: "POST",
  target: "/aps/api/v1/x?a=1",
  headers: { host: "mpp.example.com", clientId: "C", signature: "s=1, t=2" },
  body,
};
const length = Buffer.byteLength(body);
const har = (...urls: string[]) =>
  JSON.stringify({
    log: {
      entries: urls.map((url) => ({
        request: {
          method: "POST",
          url,
          headers: url.includes("other")
            ? []
            : [
                { name: "client-id", value: "C" },
                { name: "Signature", value: "s=1, t=2" },
              ],
          postData: { text: body },
        },
      })),
    },
  });

describe("a captured request", () => {
  const forms: [name: string, text: string | Buffer][] = [
    ["raw HTTP", [...head, "", body].join("\r\n")],
    ["raw HTTP with line feeds alone", [...head, "", body].join("\n")],
    [
      "raw HTTP with more behind the body than Content-Length says",
      [...head, `Content-Length: ${length}`, "", `${body}\n`].join("\r\n"),
    ],
    [
      "raw HTTP in chunks",
      [
        ...head,
        "Transfer-Encoding: chunked",
        "",
        "5",
        '{"nam',
        (length - 5).toString(16),
        body.slice(5),
        "0",
        "",
        "",
      ].join("\r\n"),
    ],
    ["what curl -v prints", [...head.map((line) => `> ${line}`), "> ", body].join("\n")],
    ["a HAR", har("https://mpp.example.com/aps/api/v1/x?a=1", "https://other.example.com/")],
    [
      "a curl command",
      `curl -sS 'https://mpp.example.com/aps/api/v1/x?a=1' \\\n  -H 'Client-Id: C' -H "Signature: s=1, t=2" --data-raw $'{"name":"J\\u00fcrgen \\'x\\'"}\\n' --compressed`,
    ],
    [
      "another curl command",
      `$ curl -vXPOST --url=https://mpp.example.com/aps/api/v1/x?a=1 -HClient-Id:C --header Signature:\\ s=1,\\ t=2 -m 5 -d '${body.replaceAll("'", "'\\''")}'`,
    ],
    [
      "our own capture",
      JSON.stringify({
        format: captureFormat,
        method: "POST",
        target: "/aps/api/v1/x?a=1",
        headers: { Host: "mpp.example.com", "Client-Id": "C", Signature: "s=1, t=2" },
        bodyBase64: Buffer.from(body).toString("base64"),
      }),
    ],
  ];
  for (const [name, text] of forms)
    it(`is read from ${name}`, () => {
      expect(one(text)).to.deep.equal(expected);
    });

  it("has the target as it was written, not as it resolves", () => {
    expect(readCaptures(Buffer.from("curl http://h/a/../b%2fc?q#f -d x"), "c")[0]?.request.target).to.equal(
      "/a/../b%2fc?q",
    );
  });

  it("has all signed requests of a HAR", () => {
    expect(
      readCaptures(Buffer.from(har("http://h/1", "http://h/2", "http://other/")), "h").map(({ name }) => name),
    ).to.deep.equal(["h, entry 1", "h, entry 2"]);
  });

  it("knows what curl -d takes from a file, and what was there", () => {
    const { body: sent, asFiled } = readCurlCommand("curl h -d @b.json", () => Buffer.from("{\r\n}\n"));
    expect([sent.toString(), asFiled[0]?.toString()]).to.deep.equal(["{}", "{\r\n}\n"]);
  });

  const broken: [text: string, says: RegExp][] = [
    ["hello", /file is no HTTP request, no HAR/],
    ["{}", /file is JSON, but no HAR/],
    ["{", /file starts like JSON, but is none/],
    [`{"format":"${captureFormat}"}`, /file lacks method/],
    ['{"log":{"entries":[]}}', /file holds no POST/],
    ["curl 'http://h", /file cannot be read: a quotation mark is not closed/],
    ["curl -s", /file cannot be read: it names no address/],
  ];
  for (const [text, says] of broken)
    it(`is refused when it is ${JSON.stringify(text)}`, () => {
      expect(() => readCaptures(Buffer.from(text), "file")).to.throw(CaptureError, says);
    });
});

describe("words of a shell", () => {
  for (const [command, words] of [
    ["a  b\n c", ["a", "b", "c"]],
    [`a'b "c'"d \\"e\\n$"`, ['ab "cd "e\\n$']],
    ["a\\\n b\\ c ''", ["a", "b c", ""]],
    ["$'\\x41\\101\\t\\u4e2d' $x", ["AA\t\u4e2d", "$x"]],
  ] as [string, string[]][])
    it(`of ${JSON.stringify(command)} are ${JSON.stringify(words)}`, () => {
      expect(shellWords(command)).to.deep.equal(words);
    });
});
