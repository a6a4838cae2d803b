// Reply -> Answer: SUCCESS, and beside it the members that the API's response declares.
import { resultOf } from "../alipayplus/result.js";
import type { Answer, Reply } from "./messages.js";

export function encode({ endpoint, response }: Reply): Answer {
  return { result: resultOf("SUCCESS"), members: endpoint.encodeResponse(response) };
}
