// The rules that the conformance cases check, and where each stands. Only published rules can fail an endpoint.

/** How far a rule can be relied on. */
export type Standing = "documented" | "family" | "standard" | "sibling" | "inferred" | "open";

/** What each standing means, and whether breaking such a rule fails an endpoint. */
export const standings: Readonly<Record<Standing, { readonly meaning: string; readonly fails: boolean }>> = {
  documented: { meaning: "Alipay+ says so.", fails: true },
  family: { meaning: "Ant's official SDKs do so, and what they talk to relies on it.", fails: true },
  standard: { meaning: "An RFC that Alipay+ builds on says so.", fails: true },
  sibling: { meaning: "Published for sibling products of the same gateway, not for Alipay+.", fails: false },
  inferred: { meaning: "Our conclusion; nobody published it.", fails: false },
  open: { meaning: "Alipay+ leaves it open.", fails: false },
};

export type Rule = {
  /** One sentence. */
  readonly says: string;
  /** The document, by its name in `sources`, and the place in it. */
  readonly at: string;
  readonly standing: Standing;
};

/** Where the documents are that the rules name. */
export const sources: Readonly<Record<string, string>> = {
  "API page": "https://docs.alipayplus.com/alipayplus/alipayplus/alipayplus_nfc_ios/token_activation_notification",
  "API overview": "https://docs.alipayplus.com/alipayplus/alipayplus/api_mpp/api_overview",
  "signature page": "https://docs.alipayplus.com/alipayplus/alipayplus/api_mpp/signature",
  "idempotency page": "https://docs.alipayplus.com/alipayplus/alipayplus/api_mpp/idempotency",
  "timeout page": "https://docs.alipayplus.com/alipayplus/alipayplus/api_mpp/timeout",
  "result page": "https://docs.alipayplus.com/alipayplus/alipayplus/api_acq_tile/inquiry_payment",
  "official SDKs": "https://github.com/alipay/global-open-sdk-java",
  "Antom pages": "https://global.alipay.com/docs/ac/ams/digital_signature",
  "AlipayHK pages": "https://docs.alipay.hk/alipayhkdocs/hk/auto_earn/api_fundamentals",
  "RFC 9110": "https://www.rfc-editor.org/rfc/rfc9110",
  "RFC 9112": "https://www.rfc-editor.org/rfc/rfc9112",
  "RFC 3986": "https://www.rfc-editor.org/rfc/rfc3986",
};

const all = {
  // The body.
  accepted: {
    says: "A request that keeps every rule is answered with S SUCCESS.",
    at: "API page, how to return the result",
    standing: "documented",
  },
  required: {
    says: "A required parameter must be there.",
    at: "API page, request parameters",
    standing: "documented",
  },
  "null-required": {
    says: "Only an optional parameter may be null.",
    at: "API page, data type notes",
    standing: "documented",
  },
  optional: {
    says: "An optional parameter may be left out, or be null.",
    at: "API page, data type notes",
    standing: "documented",
  },
  empty: { says: 'No parameter may be "".', at: "API page, data type notes", standing: "documented" },
  strings: {
    says: "The value of every parameter but an array or object is a JSON string, whatever its data type.",
    at: "API page, data type notes",
    standing: "documented",
  },
  objects: {
    says: "A parameter with child parameters is a JSON object.",
    at: "API page, request parameters",
    standing: "documented",
  },
  arrays: { says: "An array is a JSON array.", at: "API page, data type notes", standing: "documented" },
  "maximum-length": {
    says: "A text may be as long as its maximum length and no longer.",
    at: "API page, request parameters",
    standing: "documented",
  },
  "length-unit": {
    says: "A length counts Unicode code points.",
    at: "Alipay+ says characters",
    standing: "inferred",
  },
  words: {
    says: "A parameter with valid values takes each of them.",
    at: "API page, request parameters",
    standing: "documented",
  },
  "other-words": {
    says: "A parameter with valid values takes no other.",
    at: "Alipay+ does not say whether it will add some",
    standing: "inferred",
  },
  dates: {
    says: "A Datetime follows ISO 8601, as in 2019-11-27T12:01:01+08:00.",
    at: "API page, request parameters",
    standing: "documented",
  },
  "invalid-dates": {
    says: "An invalid date is an illegal parameter.",
    at: "API page, result codes",
    standing: "documented",
  },
  "date-forms": {
    says: "A Datetime has date, time, seconds and an offset with a colon.",
    at: "Alipay+ shows this form alone and forbids no other",
    standing: "inferred",
  },
  fractions: {
    says: "A Datetime may have fractions of a second.",
    at: "the card network's own field has them",
    standing: "inferred",
  },
  numbers: {
    says: "A non-numeric input is an illegal parameter.",
    at: "API page, result codes",
    standing: "documented",
  },
  unpublished: {
    says: "The members of this parameter are not published, so what becomes of them is the endpoint's choice.",
    at: "API page, child parameters hidden",
    standing: "open",
  },
  "unknown-members": {
    says: "A member that the API does not declare is ignored, so that Alipay+ can add some.",
    at: "Alipay+ does not say",
    standing: "inferred",
  },
  json: { says: "The body is one JSON object.", at: "API overview, message structure", standing: "documented" },
  utf8: { says: "The body is in UTF-8.", at: "API overview, Content-Type", standing: "documented" },
  "strict-json": {
    says: "JSON that two parsers may read differently is refused.",
    at: "Alipay+ does not say",
    standing: "inferred",
  },
  "body-size": { says: "A body of 64 KiB is taken.", at: "Alipay+ names no limit", standing: "open" },

  // The request line and the headers.
  path: {
    says: "A path identifies one API, and a path without an API is answered with NO_INTERFACE_DEF.",
    at: "API overview, request URL; API page, result codes",
    standing: "documented",
  },
  "path-spelling": {
    says: "A path is compared as it is written.",
    at: "Alipay+ does not say how an MPP compares",
    standing: "open",
  },
  query: {
    says: "A query is no part of the signed path.",
    at: "a real notification of 2019; Antom pages say otherwise",
    standing: "open",
  },
  method: {
    says: "Requests are POST, and another method is answered with METHOD_NOT_SUPPORTED.",
    at: "API overview, request method; API page, result codes",
    standing: "documented",
  },
  "other-methods": {
    says: "OPTIONS is a method like any other.",
    at: "a server in front may answer it",
    standing: "inferred",
  },
  "content-type": {
    says: "Content-Type may be left out, and is application/json with UTF-8 where it is not.",
    at: "API overview, request header",
    standing: "documented",
  },
  "media-type": {
    says: "A media type that is not acceptable is answered with MEDIA_TYPE_NOT_ACCEPTABLE.",
    at: "API page, result codes",
    standing: "documented",
  },
  charset: {
    says: "A charset other than UTF-8 is refused.",
    at: "Alipay+ does not say; official SDKs sign in the charset of Content-Type",
    standing: "inferred",
  },
  "charset-case": { says: "A charset is not case-sensitive.", at: "RFC 9110, 8.3.2", standing: "standard" },
  accept: { says: "Accept: */* and application/json ask for JSON.", at: "RFC 9110, 12.5.1", standing: "standard" },
  "content-encoding": {
    says: "A compressed body is refused: nothing says that it may be one.",
    at: "Alipay+ does not say",
    standing: "inferred",
  },
  chunked: { says: "A body may come in chunks.", at: "RFC 9112, 7.1", standing: "standard" },
  "header-names": {
    says: "Names of headers are not case-sensitive.",
    at: "API overview, request header",
    standing: "documented",
  },
  "header-required": {
    says: "Signature, Client-Id and Request-Time are required.",
    at: "API overview, request header",
    standing: "documented",
  },
  "header-others": {
    says: "Headers that this API does not use are ignored.",
    at: "API overview lists Agent-Token; official SDKs read tracerId",
    standing: "inferred",
  },
  "client-id": {
    says: "A Client-Id that is not known is answered with INVALID_CLIENT.",
    at: "API page, result codes",
    standing: "documented",
  },
  "client-id-case": { says: "A Client-Id is case-sensitive.", at: "Alipay+ does not say", standing: "inferred" },
  "request-time": {
    says: "Request-Time follows ISO 8601, with an offset or Z, with or without fractions.",
    at: "signature page, examples",
    standing: "documented",
  },
  "request-time-forms": {
    says: "Request-Time may be epoch milliseconds, or have an offset without a colon.",
    at: "Antom pages; the official PHP SDK",
    standing: "sibling",
  },
  "request-time-illegal": {
    says: "A Request-Time that is no time is refused.",
    at: "Alipay+ does not say whether it is read",
    standing: "inferred",
  },
  clock: {
    says: "A Request-Time far from now is refused.",
    at: "Alipay+ publishes no allowed difference",
    standing: "open",
  },

  // The signature of the request.
  signed: {
    says: "The signature must be verified, and one that does not hold is answered with INVALID_SIGNATURE.",
    at: "signature page; API page, result codes",
    standing: "documented",
  },
  "exact-bytes": {
    says: "The signature is over the body as it was sent: white space, order, escapes and line ends are not touched.",
    at: "signature page; proved with the official SDKs",
    standing: "documented",
  },
  "signature-form": {
    says: "A Signature header is algorithm, keyVersion and signature, separated by commas, with or without a space.",
    at: "API overview, request header; official SDKs",
    standing: "family",
  },
  "signature-readable": {
    says: "A Signature header without a readable signature is answered with INVALID_SIGNATURE.",
    at: "API page, result codes",
    standing: "documented",
  },
  "signature-defaults": {
    says: "In Signature, algorithm is not case-sensitive and RSA256 when left out; keyVersion is the latest when left out.",
    at: "AlipayHK pages, request header",
    standing: "sibling",
  },
  "signature-spellings": {
    says: "A signature value in plain base64, or in the URL alphabet, is read too.",
    at: "the official PHP and Java SDKs",
    standing: "sibling",
  },
  "percent-encoding": {
    says: "Percent-encoded digits are the same in either case.",
    at: "RFC 3986, 6.2.2.1",
    standing: "standard",
  },
  "signature-order": {
    says: "The parts of a Signature header may stand in any order.",
    at: "Alipay+ says key-value pairs and no order",
    standing: "inferred",
  },
  "other-algorithm": {
    says: "A signature under the name of another algorithm is refused.",
    at: "signature page knows RSA256 alone",
    standing: "inferred",
  },
  "key-version": {
    says: "A key version that does not exist is answered with KEY_NOT_FOUND.",
    at: "API page, result codes",
    standing: "documented",
  },

  // Repeats.
  repeat: {
    says: "A request that comes again gets the result of the first, however often and however late.",
    at: "idempotency page",
    standing: "documented",
  },
  "repeat-spelling": {
    says: "The same parameters in other words, such as another time zone or null for absent, are the same request.",
    at: "Alipay+ leaves what is compared to the MPP",
    standing: "inferred",
  },
  overlap: {
    says: "A repeat may come while the first is still running, since Alipay+ gives up waiting and sends again.",
    at: "timeout page",
    standing: "documented",
  },
  conflict: {
    says: "A repeat with other content is refused for good.",
    at: "idempotency page names no code; the family's is REPEAT_REQ_INCONSISTENT",
    standing: "inferred",
  },
  "new-event": {
    says: "A report with another time of the event is a new event, or an old one that came late.",
    at: "Alipay+ does not say whether there are any",
    standing: "open",
  },
  "no-effect": {
    says: "A request whose signature does not hold has no effect.",
    at: "signature page",
    standing: "documented",
  },
  "after-refusal": {
    says: "A request that was refused for its form leaves nothing behind.",
    at: "Alipay+ does not say",
    standing: "inferred",
  },

  // The answer.
  "http-200": {
    says: "Every answer has HTTP status 200; the result says the rest.",
    at: "official SDKs take any other status for no answer",
    standing: "family",
  },
  result: {
    says: "An answer holds result with resultCode and resultStatus.",
    at: "API page, response parameters; result page",
    standing: "documented",
  },
  "result-length": {
    says: "A resultCode has at most 64 characters.",
    at: "result page",
    standing: "documented",
  },
  "result-status": {
    says: "The resultStatus is S, F or U, and the one that goes with the code.",
    at: "API page, result codes",
    standing: "documented",
  },
  "result-message": {
    says: "An answer has a resultMessage of at most 256 characters.",
    at: "every sample has one; the length is that of sibling products",
    standing: "sibling",
  },
  "listed-codes": {
    says: "Only codes that the API lists are said.",
    at: "API page lets the MPP define more",
    standing: "open",
  },
  "answer-strings": {
    says: "Every scalar of an answer is a JSON string that is not empty.",
    at: "API page, data type notes",
    standing: "documented",
  },
  "answer-headers": {
    says: "An answer carries Signature, Client-Id and Response-Time.",
    at: "API overview, response header",
    standing: "documented",
  },
  "answer-type": {
    says: "Content-Type of an answer, where there is one, is application/json in UTF-8.",
    at: "API overview, response header",
    standing: "documented",
  },
  "answer-client-id": {
    says: "Client-Id of an answer is that of the request.",
    at: "official SDKs",
    standing: "family",
  },
  "answer-time": {
    says: "Response-Time follows ISO 8601 with seconds and an offset or Z.",
    at: "signature page, examples",
    standing: "documented",
  },
  "answer-clock": { says: "Response-Time is the present.", at: "Alipay+ does not say", standing: "inferred" },
  "answer-signed": {
    says: "An answer is signed over the method and path of the request, Client-Id, Response-Time and its exact body.",
    at: "signature page; official SDKs",
    standing: "documented",
  },
  "answer-signature-form": {
    says: "The Signature of an answer names algorithm RSA256 and keyVersion, and its value is percent-encoded base64.",
    at: "signature page; official SDKs",
    standing: "family",
  },
  "refusal-signed": {
    says: "An answer to a request that was not proved to be signed is signed too.",
    at: "Alipay+ does not say",
    standing: "inferred",
  },
  "answer-in-time": {
    says: "An answer comes within 5 s.",
    at: "timeout page lists 5 s for comparable calls, not for this one",
    standing: "inferred",
  },
  "no-secrets": { says: "No answer repeats token data.", at: "nobody says it", standing: "inferred" },
} as const satisfies Record<string, Rule>;

export type RuleName = keyof typeof all;
export const rules: Readonly<Record<RuleName, Rule>> = all;

/** Whether an endpoint that breaks the rule fails. */
export const isStrict = (name: RuleName): boolean => standings[rules[name].standing].fails;
