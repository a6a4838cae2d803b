// What is told of each answer: counts, one log line, and an event of its own for a notification that is lost for good.
import { errorFields, type Log } from "../lib/log.js";
import type { Fault } from "./alipayplus/result.js";
import type { Metrics } from "./metrics.js";
import type { Journey } from "./pipeline.js";
import type { Trace } from "./stages/messages.js";
import type { Undecided } from "./undecided.js";

export type ObserveDeps = {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly undecided: Undecided;
  readonly traceOf: (deliveryId: string, traceparent: undefined) => Trace;
  /** Hears of each journey whose trace is sampled; undefined where no traces are exported. */
  readonly onSampled: ((journey: Journey, trace: Trace) => void) | undefined;
};

export function observing({ log, metrics, undecided, traceOf, onSampled }: ObserveDeps): (journey: Journey) => void {
  return (journey) => {
    const { deliveryId, api = "", clientId = "", result, trouble, verified, stages, endedAt } = journey;
    const ms = endedAt - journey.beganAt;
    metrics.answers(api, clientId, result?.resultCode ?? "");
    metrics.duration(ms / 1000, api);
    for (let index = 0; index < stages.length; index++) {
      const stage = stages[index] as Journey["stages"][number];
      metrics.stages(((stages[index + 1]?.at ?? endedAt) - stage.at) / 1000, stage.name);
    }
    if (!journey.isSigned) metrics.unsigned();
    if (journey.ignoredMembers) metrics.ignoredMembers.inc({ api }, journey.ignoredMembers);
    if (journey.alert) metrics.wiringFaults();

    const lost = result?.resultStatus === "F" ? faultOfLost(journey) : undefined;
    const referenceInBody = (): string | undefined => verified?.endpoint.referenceIn(verified.body);
    const tokenReferenceId = journey.tokenReferenceId ?? (lost && referenceInBody());
    if (verified && result) {
      const { body } = verified;
      const entryOf = () => ({ deliveryId, tokenReferenceId: tokenReferenceId ?? referenceInBody() });
      undecided.note({ api, clientId, body }, result.resultStatus, entryOf, Date.now());
    }
    const trace = journey.trace ?? traceOf(deliveryId, undefined);
    if (trace.isSampled) onSampled?.({ ...journey, tokenReferenceId }, trace);
    // A line leaves out what is undefined.
    const usual = {
      deliveryId,
      traceId: trace.traceId,
      clientId: clientId || undefined,
      api: api || undefined,
      tokenReferenceId,
      resultCode: result?.resultCode,
      resultMessage: result?.resultStatus === "F" ? result.resultMessage : undefined,
      ms: Math.round(ms * 10) / 10,
      hint: journey.hint,
    };
    const fields =
      trouble === undefined ? usual : { ...usual, ...errorFields(trouble), alert: journey.alert || undefined };
    if (trouble !== undefined) log.error(fields, "answer");
    else log.info(fields, "answer");
    if (lost === undefined) return;
    const { field, rule, clientId: sender = clientId } = lost;
    metrics.refusals(api, sender, labelOf(field), rule);
    const { ms: _, ...told } = fields;
    log.warn({ ...told, clientId: sender, field, rule }, "refusal");
  };
}

/** What an F to a genuine notification is about. Nobody sends it again, so somebody should know. */
function faultOfLost({ clientId, fault, result }: Journey): Fault | undefined {
  if (clientId === undefined) return fault?.clientId === undefined ? undefined : fault;
  return fault ?? { field: "", rule: result?.resultCode ?? "" };
}

/** Any number of fields may differ together; so many series would tell no more than the first name. */
function labelOf(field: string): string {
  const comma = field.indexOf(",");
  return comma === -1 ? field : `${field.slice(0, comma)} and others`;
}
