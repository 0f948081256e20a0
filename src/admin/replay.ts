import { setImmediate as turn } from 'node:timers/promises';
import { z } from 'zod';
import { type Clock, ok } from '../base/index.js';
import { type BlastRadius, type KeptInputs, Outcome, Replay } from '../policy/index.js';
import type { RegistryReader } from '../registry/index.js';
import { ADMINISTRATOR } from './change.js';
import type { InTurn } from './in-turn.js';
import { NoBody, NoQuery, type Operation, operation } from './operation.js';
import { check, File, FILES, SET_LIMIT } from './policies.js';
import { Id } from './shapes.js';

const DAY = 86_400;

/** Inputs of one call, and how many of them are read and decided over at a time before others have their turn. */
const MAX_INPUTS = 5_000;
const READ = 250;
const DECIDED = 4;

const Reason = z.enum(['not_kept', 'tool_gone', 'tool_changed', 'unreadable']);

const Radius = z.strictObject({
  considered: z.number().int(),
  unchanged: z.number().int(),
  undecidable: z.number().int().describe('How many cannot be decided again, and are in no change.'),
  undecidable_because: z
    .partialRecord(Reason, z.number().int())
    .describe('not_kept: the candidate looks at a value that was not kept.'),
  changes: z.array(
    z.strictObject({
      from: Outcome,
      to: Outcome,
      agent: z.string(),
      person: z.string(),
      tool: z.string(),
      count: z.number().int(),
      examples: z.array(z.string()).describe('Decision ids, three at most.'),
    }),
  ),
  next: z.string().nullable().describe('`after` of the next call; null when there are no more.'),
});

const EXAMPLE: z.infer<typeof Radius> = {
  considered: 120,
  unchanged: 117,
  undecidable: 1,
  undecidable_because: { not_kept: 1 },
  changes: [
    {
      from: 'allow',
      to: 'approval',
      agent: 'agt_planner',
      person: 'prs_7HqXb2c4d6e8f0a1b2c3d4',
      tool: 'https://mcp.example.com/files#delete_file',
      count: 2,
      examples: ['dec_3q2-7w8xYzAbCdEfGhIjKl'],
    },
  ],
  next: null,
};

export type ReplayDeps = Readonly<{ inputs: KeptInputs; registry: RegistryReader; clock: Clock; inTurn: InTurn }>;

/** Try a policy set on decisions of the past, and erase what is kept of those. */
export const replayOperations = (deps: ReplayDeps): readonly Operation[] => [
  operation({
    id: 'replayPolicySet',
    method: 'POST',
    path: '/admin/v1/policies/replay',
    about:
      'Decides again, by this policy set, what was decided lately, and answers what would change. Changes nothing.',
    query: NoQuery,
    body: z.strictObject({
      files: z.array(File).min(1).max(500),
      since_seconds: z
        .number()
        .int()
        .min(1)
        .max(90 * DAY)
        .default(7 * DAY)
        .describe('How far back.'),
      after: z
        .string()
        .regex(/^\d{1,12}\.\d{1,12}\.\d{1,15}$/, { error: 'must be `next` of the call before' })
        .optional(),
    }),
    bodyExample: { files: FILES, since_seconds: 7 * DAY },
    bodyLimit: SET_LIMIT,
    answers: [{ status: 200, about: 'What would change.', schema: Radius, example: EXAMPLE }],
    run: ({ body: { files, since_seconds, after } }) =>
      deps.inTurn(async () => {
        const set = check(files, await deps.registry.refresh());
        if (!set.ok) return set;
        const replay = new Replay(set.value);
        const next = await decideAgain(replay, { since: deps.clock.now() - since_seconds, after }, deps.inputs);
        return ok({ status: 200, body: viewOf(replay.result, next) });
      }),
  }),
  operation({
    id: 'eraseDecisionInputs',
    method: 'DELETE',
    path: '/admin/v1/policies/inputs',
    about: 'Erases what is kept of the decisions about one person.',
    query: z.strictObject({ person: Id.describe('The id of the person.') }),
    body: NoBody,
    answers: [
      {
        status: 200,
        about: 'It is erased; records of the log stay.',
        schema: z.strictObject({ erased: z.number().int() }),
        example: { erased: 12 },
      },
    ],
    run: async ({ query: { person } }) =>
      ok({ status: 200, body: { erased: await deps.inputs.erase(person, ADMINISTRATOR) } }),
  }),
];

/** A bounded part of the past, in small steps between which the process does other work. Answers where to go on. */
async function decideAgain(
  replay: Replay,
  { since, after }: Readonly<{ since: number; after: string | undefined }>,
  inputs: KeptInputs,
): Promise<string | undefined> {
  let place = after;
  for (let read = 0; read < MAX_INPUTS; read += READ) {
    const page = await inputs.page(since, { after: place, limit: READ });
    for (const [index, past] of page.past.entries()) {
      if (index % DECIDED === 0) await turn();
      replay.add(past);
    }
    place = page.next;
    if (place === undefined) return undefined;
  }
  return place;
}

function viewOf(radius: BlastRadius, next: string | undefined): z.infer<typeof Radius> {
  const { considered, unchanged, undecidable, changes } = radius;
  return {
    considered,
    unchanged,
    undecidable: Object.values(undecidable).reduce((sum, count) => sum + count, 0),
    undecidable_because: undecidable,
    changes: changes.map((change) => ({ ...change, examples: [...change.examples] })),
    next: next ?? null,
  };
}
