// VerifiedRequest -> Call: the JSON body becomes the request message of the rpc.
import { hash } from "node:crypto";
import { DialectError, type Notes } from "../alipayplus/dialect.js";
import type { Endpoint } from "../alipayplus/endpoints.js";
import { type Json, JsonError, parseJson } from "../alipayplus/json.js";
import { Refusal, ruleWord } from "../alipayplus/result.js";
import { instantOfMs } from "../alipayplus/time.js";
import type { Call, VerifiedRequest } from "./messages.js";

export function decode(
  request: VerifiedRequest,
  deliveryId: string,
  receivedMs: number,
  lenientEnums: ReadonlySet<string> = new Set(),
  traceparent = "",
): Call {
  const { endpoint, body, clientId } = request;
  const notes: Notes = { ignoredMembers: 0, lenientEnums };
  const json = jsonOf(body, endpoint);
  try {
    const message = endpoint.decodeBody(json, notes);
    const delivery = {
      clientId,
      deliveryId,
      receivedTime: instantOfMs(receivedMs),
      bodySha256: hash("sha256", body, "buffer"),
      traceparent,
    };
    const tokenReferenceId = endpoint.referenceOf(message);
    const { ignoredMembers } = notes;
    return { endpoint, request: endpoint.requestOf(message, delivery), ignoredMembers, tokenReferenceId };
  } catch (error) {
    if (error instanceof DialectError)
      throw new Refusal("PARAM_ILLEGAL", error.message, { field: error.field, rule: ruleWord(error.rule) });
    throw error;
  }
}

function jsonOf(body: Buffer, { knowsName }: Endpoint): Json {
  try {
    return parseJson(body);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    // A name of the sender's own is a value too; one that the schema has may be said.
    const detail =
      error.member !== undefined && knowsName(error.member) ? `${error.message}: ${error.member}` : error.message;
    throw new Refusal("PARAM_ILLEGAL", detail, {
      field: "the body",
      rule: ruleWord(error.message.replace(/^the body /, "")),
    });
  }
}
