// Which instance of the token service a try goes to: in turn, past those that are sick, and of two the one with less to do.
import type { Transport } from "@connectrpc/connect";

export type Instance = {
  readonly address: string;
  readonly index: number;
  /** Another one after its certificates were renewed. */
  transport: Transport;
  /** What its health probe heard last. */
  saysServing: boolean;
  /** True from a row of failed tries until a try is answered or the next probe is heard. */
  isPutAside: boolean;
  /** Tries under way. */
  inFlight: number;
  /** Tries since the last that was answered. */
  failedInARow: number;
  /** Tries since the start, by their end. */
  answered: number;
  failed: number;
  /** Times that it was put aside while another one was sound. */
  putAside: number;
};

export type Spread = {
  readonly instances: readonly Instance[];
  /** The instance for the next try of a call, which must end in `answered` or `failed`. */
  readonly next: (last: Instance | undefined) => Instance;
  /** The instance said something, be it a refusal. */
  readonly answered: (instance: Instance) => void;
  /** The instance could not be reached, did not answer in time, or said that it cannot answer now. */
  readonly failed: (instance: Instance) => void;
  /** Takes what the health probe heard at an address. */
  readonly probed: (address: string, isServing: boolean) => void;
  /** True when another instance is sound, so that one which hangs need not have all of a call's time. */
  readonly hasOther: (instance: Instance) => boolean;
};

/** Tries that fail in a row before an instance is put aside. */
export const failuresToPutAside = 3;

/** Gets calls as a matter of course; the others get them when no instance is sound. */
export const isSound = ({ saysServing, isPutAside }: Instance): boolean => saysServing && !isPutAside;

/** `onPutAside` hears of an instance that says SERVING and does not answer its calls, when another one takes them. */
export function createSpread(
  addresses: readonly string[],
  transportOf: (address: string) => Transport,
  onPutAside: (address: string) => void,
): Spread {
  const instances = addresses.map(
    (address, index): Instance => ({
      ...{ address, index, transport: transportOf(address), saysServing: false, isPutAside: false },
      ...{ inFlight: 0, failedInARow: 0, answered: 0, failed: 0, putAside: 0 },
    }),
  );
  const count = instances.length;
  let turn = 0;

  function hasOther(than: Instance): boolean {
    for (const instance of instances) if (instance !== than && isSound(instance)) return true;
    return false;
  }

  return {
    instances,
    hasOther,
    next(last) {
      const start = last === undefined ? turn : (last.index + 1) % count;
      if (last === undefined) turn = (turn + 1) % count;
      let chosen: Instance | undefined;
      for (let step = 0; step < count; step++) {
        const instance = instances[(start + step) % count] as Instance;
        if (instance === last || !isSound(instance)) continue;
        if (chosen === undefined) {
          chosen = instance;
          continue;
        }
        // Calls pile up at one that hangs, long before a probe or a deadline tells.
        if (instance.inFlight < chosen.inFlight) chosen = instance;
        break;
      }
      chosen ??= instances[start];
      if (chosen === undefined) throw new Error("no address of the token service");
      chosen.inFlight += 1;
      return chosen;
    },
    answered(instance) {
      instance.inFlight -= 1;
      instance.answered += 1;
      instance.failedInARow = 0;
      // Not what it says of itself: one that drains answers to its end, and wants no more calls.
      instance.isPutAside = false;
    },
    failed(instance) {
      instance.inFlight -= 1;
      instance.failed += 1;
      instance.failedInARow += 1;
      if (instance.failedInARow < failuresToPutAside || !isSound(instance)) return;
      instance.isPutAside = true;
      if (!hasOther(instance)) return;
      instance.putAside += 1;
      onPutAside(instance.address);
    },
    probed(address, isServing) {
      const instance = instances.find((each) => each.address === address);
      if (instance === undefined) return;
      instance.saysServing = isServing;
      // Its row of failures stays: a single one more is enough to be put aside again.
      instance.isPutAside = false;
    },
  };
}
