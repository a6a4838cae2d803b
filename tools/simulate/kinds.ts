// What may happen to one token, as a story: which notifications are sent, in which order, how, and what should come of it.

/** How a notification is sent the first time; its repeats are sent plainly. */
export type Manner = "plain" | "tornRequest" | "tornAnswer" | "slowBody";

/** What a story's notifications should get. */
export const expectations = {
  S: "every notification gets S",
  F: "every notification gets F",
  U: "no notification is ever decided",
  first: "the first notification gets S, every other one F",
  one: "one notification gets S, every other one F",
  any: "anything, as long as it is the same each time",
} as const;
export type Expectation = keyof typeof expectations;

/** The notifications of a story: how far the times of each are from the story's. Each has content of its own. */
export const roles = {
  event: { offsetMs: 0 },
  later: { offsetMs: 60_000 },
  daysBefore: { offsetMs: -3 * 86_400_000 },
  other: { offsetMs: 0 },
} as const;
export type RoleName = keyof typeof roles;

type Story = {
  readonly about: string;
  /** Rounds one after the other; the notifications of a round at once. */
  readonly rounds: readonly (readonly RoleName[])[];
  readonly manner?: Manner;
  readonly expect: Expectation;
};

export const kinds = {
  plain: { about: "one notification", rounds: [["event"]], expect: "S" },
  duplicates: { about: "the same again after its answer", rounds: [["event"], ["event"]], expect: "S" },
  overlaps: { about: "the same again while the first is running", rounds: [["event", "event"]], expect: "S" },
  outOfOrder: {
    about: "two events of a token at once, the later one first",
    rounds: [["later", "event"]],
    expect: "S",
  },
  late: { about: "an event of days before, after one of now", rounds: [["event"], ["daysBefore"]], expect: "S" },
  conflicts: {
    about: "other content at the same event time, afterwards",
    rounds: [["event"], ["other"]],
    expect: "first",
  },
  conflictsAtOnce: {
    about: "other content at the same event time, at once",
    rounds: [["event", "other"]],
    expect: "one",
  },
  tornRequests: {
    about: "the connection is cut in the middle of the body",
    rounds: [["event"]],
    manner: "tornRequest",
    expect: "S",
  },
  tornAnswers: {
    about: "the connection is cut before the answer",
    rounds: [["event"]],
    manner: "tornAnswer",
    expect: "S",
  },
  slowBodies: { about: "the body comes in pieces", rounds: [["event"]], manner: "slowBody", expect: "S" },
} as const satisfies Record<string, Story>;
export type Kind = keyof typeof kinds;
export const kindNames = Object.keys(kinds) as readonly Kind[];
export const storyOf = (kind: Kind): Story => kinds[kind];
