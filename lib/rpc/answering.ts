// A unary rpc behind its interceptors, as one function: for the ways into the service that do not go through the library's handler.
import { create, type DescMethodUnary, type MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, Interceptor, UnaryRequest, UnaryResponse } from "@connectrpc/connect";

export type UnaryRpc = {
  readonly method: DescMethodUnary;
  readonly implementation: (
    request: never,
    context: HandlerContext,
  ) => Promise<MessageInitShape<DescMethodUnary["output"]>>;
};

export type Answer = (request: UnaryRequest) => Promise<UnaryResponse>;

/** As in the library: the first interceptor is the outermost. */
export const answering = (rpc: UnaryRpc, interceptors: readonly Interceptor[]): Answer =>
  interceptors.reduceRight<Answer>((next, interceptor) => interceptor(next as never) as Answer, answerOf(rpc));

function answerOf({ method, implementation }: UnaryRpc): Answer {
  return async (request) => {
    const context = {
      method,
      service: request.service,
      protocolName: "connect",
      requestMethod: "POST",
      url: request.url,
      signal: request.signal,
      values: request.contextValues,
      requestHeader: request.header,
      responseHeader: new Headers(),
      responseTrailer: new Headers(),
      timeoutMs: () => undefined,
    } satisfies HandlerContext;
    const output = await implementation(request.message as never, context);
    return {
      stream: false,
      service: request.service,
      method,
      header: context.responseHeader,
      trailer: context.responseTrailer,
      message: create(method.output, output),
    };
  };
}
