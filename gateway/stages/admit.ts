// RequestHead -> AdmittedRequest: is this a call of one of our APIs, in a form that we take?
import type { Endpoints } from "../alipayplus/endpoints.js";
import { Refusal } from "../alipayplus/result.js";
import type { AdmittedRequest, RequestHead } from "./messages.js";

export function admit(head: RequestHead, endpoints: Endpoints): AdmittedRequest {
  const endpoint = endpoints.get(head.path);
  if (endpoint === undefined) throw new Refusal("NO_INTERFACE_DEF");
  if (head.method !== "POST") throw new Refusal("METHOD_NOT_SUPPORTED");
  const { headers } = head;
  if (!isJsonInUtf8(headers["content-type"]) || !isIdentity(headers["content-encoding"]) || !takesJson(headers.accept))
    throw new Refusal("MEDIA_TYPE_NOT_ACCEPTABLE");
  return { endpoint, ...head };
}

// trim() takes more for white space than HTTP does.
const word = (text: string): string =>
  text
    .replace(/^[ \t]+/, "")
    .replace(/(?<![ \t])[ \t]+$/, "")
    .toLowerCase();

/** What Alipay+ sends. */
const usual = "application/json; charset=UTF-8";

// Alipay+ marks Content-Type as optional and says that UTF-8 is the default.
function isJsonInUtf8(contentType: string | undefined): boolean {
  if (contentType === undefined || contentType === usual) return true;
  const [type = "", ...parameters] = contentType.split(";").map(word);
  const charset = parameters.find((parameter) => parameter.startsWith("charset="))?.slice("charset=".length);
  return type === "application/json" && (charset === undefined || /^"?utf-?8"?$/.test(charset));
}

const isIdentity = (encoding: string | undefined): boolean => encoding === undefined || word(encoding) === "identity";

/** RFC 9110, 12.5.1: the most specific range decides, and q=0 excludes. */
function takesJson(accept: string | undefined): boolean {
  if (accept === undefined || accept.trim() === "") return true;
  const weights = new Map<string, number>();
  for (const range of accept.split(",")) {
    const [type = "", ...parameters] = range.split(";").map(word);
    const q = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
    weights.set(type, q === undefined ? 1 : Number(q));
  }
  const weight = weights.get("application/json") ?? weights.get("application/*") ?? weights.get("*/*") ?? 0;
  return weight > 0;
}
