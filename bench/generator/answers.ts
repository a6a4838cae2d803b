// Cuts a stream of bytes into HTTP answers: status, head and body. Knows Content-Length alone, which every system here sends.

export type Answer = { readonly status: number; readonly head: string; readonly body: string };

export type AnswerReader = {
  /** The answers that are complete with these bytes. Throws at what is no HTTP answer with a Content-Length. */
  readonly read: (chunk: Buffer) => Answer[];
};

const headLimit = 16 * 1024;

export function answerReader(): AnswerReader {
  let rest: Buffer | undefined;
  return {
    read(chunk) {
      let bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
      const answers: Answer[] = [];
      while (bytes.length > 0) {
        const headEnd = bytes.indexOf("\r\n\r\n");
        if (headEnd === -1) {
          if (bytes.length > headLimit) throw new Error("an answer without an end of its head");
          break;
        }
        const head = bytes.toString("latin1", 0, headEnd);
        const length = lengthIn(head);
        const end = headEnd + 4 + length;
        if (bytes.length < end) break;
        answers.push({ status: statusIn(head), head, body: bytes.toString("utf8", headEnd + 4, end) });
        bytes = bytes.subarray(end);
      }
      rest = bytes.length > 0 ? bytes : undefined;
      return answers;
    },
  };
}

function statusIn(head: string): number {
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1];
  if (status === undefined) throw new Error(`no HTTP/1.1 answer: ${head.slice(0, 80)}`);
  return Number(status);
}

function lengthIn(head: string): number {
  const length = /\r\ncontent-length: *(\d{1,9})(?:\r\n|$)/i.exec(head)?.[1];
  if (length === undefined) throw new Error(`an answer without Content-Length: ${head.slice(0, 80)}`);
  return Number(length);
}

/** Header fields by their name in lower case. */
export function headersIn(head: string): Record<string, string> {
  const lines = head.split("\r\n").slice(1);
  return Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
}
