// Why a signature does not hold: every cause that the doctor knows, with what happened and what to change.

type Words = { readonly what: string; readonly change: string };

export const causes = {
  "query-included": {
    what: "the path was signed with its query",
    change: "sign the path alone, or set SIGNED_URI=path-or-query",
  },
  "full-url": {
    what: "an address with its host stands where the path alone belongs",
    change: "sign and send the path alone",
  },
  "proxy-prefix-removed": {
    what: "a prefix of the signed path is gone",
    change: "let the proxy pass the path on as it came, or sign the path that arrives",
  },
  "proxy-prefix-added": {
    what: "the path has a prefix that was not signed",
    change: "let the proxy pass the path on as it came, or sign the path that arrives",
  },
  "path-decoded": {
    what: "the path was URL-decoded once too often on its way",
    change: "let the proxy pass the path on as it came",
  },
  "path-encoded": {
    what: "the path was URL-decoded once too few, or encoded again on its way",
    change: "let the proxy pass the path on as it came",
  },
  "wrong-path": { what: "another path was signed", change: "sign the path that is called" },
  "bom-added": {
    what: "a byte order mark stands before the body and was not signed",
    change: "send the body without it",
  },
  "bom-removed": {
    what: "a byte order mark before the body was signed and did not arrive",
    change: "sign the body without it",
  },
  "line-ends": {
    what: "line ends of the body are not those that were signed",
    change: "send the very bytes that were signed; with curl use --data-binary",
  },
  "end-of-body": {
    what: "white space around the body is not what was signed",
    change: "send the very bytes that were signed, for instance without the line feed that echo adds",
  },
  whitespace: {
    what: "white space between the members of the body is not what was signed",
    change: "sign the very text that is sent, and let no proxy format it",
  },
  "body-reserialised": {
    what: "the body was parsed and written anew after it was signed",
    change: "keep the text: sign it as it is sent, verify it as it came, and let no proxy touch it",
  },
  charset: {
    what: "the body was signed in another charset than it was sent in",
    change: "turn it into bytes as UTF-8 once, then sign and send those",
  },
  "body-decoded": {
    what: "the body was URL-decoded once too often on its way",
    change: "verify the body as it came",
  },
  "body-encoded": {
    what: "the body was URL-decoded once too few, or encoded on its way",
    change: "send application/json, not a form",
  },
  "body-left-out": { what: "an empty body was signed", change: "sign the body that is sent" },
  "body-of-another-request": {
    what: "the headers belong to a request with another body",
    change: "sign each request anew",
  },
  "header-of-another-request": {
    what: "a header belongs to another request",
    change: "set Client-Id, Request-Time and Signature together, for each request anew",
  },
  "time-reformatted": {
    what: "Request-Time was written in another form when it was signed",
    change: "make its text once, then sign it and send it",
  },
  clock: {
    what: "the clock was read twice: Request-Time is not the time that was signed",
    change: "read the clock once, then sign and send that text",
  },
  "client-id": { what: "another Client-Id was signed", change: "sign the Client-Id that the header carries" },
  "unknown-client": {
    what: "no key is filed under this Client-Id",
    change: "send the Client-Id that the key belongs to, or file the key under this one",
  },
  method: { what: "another method was signed", change: "sign POST, in capitals" },
  layout: {
    what: "the parts of the text were put together in another way",
    change: "sign <method> <path>, a line feed, then <Client-Id>.<Request-Time>.<body>",
  },
  "wrong-hash": { what: "another hash than SHA-256 was signed", change: "use RSASSA-PKCS1-v1_5 with SHA-256" },
  "signature-decoded": {
    what: "the signature value was URL-decoded once too often: blanks stand where it had a +",
    change: "decode the header value once, and never as a form",
  },
  "signature-encoded": {
    what: "the signature value was URL-encoded once too often, or decoded once too few",
    change: "encode the base64 text once",
  },
  "signature-form": {
    what: "the signature value is not plain base64",
    change: "write base64 in one line, without quotes, then URL-encode it",
  },
  "signature-cut": {
    what: "the signature value is not as long as the key",
    change: "send all of it: split the header at commas and each part at its first = alone",
  },
  "signature-header": {
    what: "the Signature header cannot be read",
    change: "write algorithm=RSA256,keyVersion=<number>,signature=<value>, each part once",
  },
  "header-missing": {
    what: "a header is missing",
    change: "send Client-Id, Request-Time and Signature, and let the proxy pass them on",
  },
  "key-version": {
    what: "the key of another version made the signature",
    change: "send the keyVersion of the key that signs, or file the public key under the version that is sent",
  },
  "wrong-key": {
    what: "another key made the signature",
    change: "compare fingerprints, and exchange the public key anew",
  },
  "other-content": {
    what: "the right key made the signature, over a text that is none of those tried",
    change:
      "compare the text that the sender signs with what arrives; a header or the body is of another request, or changed for good",
  },
} as const satisfies Record<string, Words>;

export type Cause = keyof typeof causes;
