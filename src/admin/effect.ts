import { setImmediate as turn } from 'node:timers/promises';
import { z } from 'zod';
import { type Clock, err, ok } from '../base/index.js';
import { plainProblem } from '../http/index.js';
import { type KeptInputs, type LivePermits, type Loss, Outcome, type PolicyStore, reexamine } from '../policy/index.js';
import type { RegistryReader } from '../registry/index.js';
import type { InTurn } from './in-turn.js';
import { NoBody, type Operation, operation } from './operation.js';
import { check } from './policies.js';

/** The longest life of a token, and its decision a little earlier. */
const DECIDED_WITHIN = 600;
const MOST = 500;

const Effect = z.strictObject({
  considered: z.number().int().describe('Live tokens.'),
  undecided: z
    .number()
    .int()
    .describe(
      'Tokens whose decision was not kept so that it could be made again: they end too, ten seconds after the activation.',
    ),
  losses: z.array(
    z.strictObject({
      session: z.string().nullable(),
      agent: z.string(),
      person: z.string().nullable(),
      tool: z.string(),
      to: Outcome.describe('What would come of it now.'),
      tokens: z.number().int().describe('How many tokens end.'),
    }),
  ),
  next: z.string().nullable().describe('`after` of the next call; null when there are no more.'),
});

const EXAMPLE: z.infer<typeof Effect> = {
  considered: 12,
  undecided: 0,
  losses: [
    {
      session: 'ses_3q2-7w8xYzAbCdEfGhIjKl',
      agent: 'agt_planner',
      person: 'prs_7HqXb2c4d6e8f0a1b2c3d4',
      tool: 'https://mcp.example.com/files#delete_file',
      to: 'deny',
      tokens: 2,
    },
  ],
  next: null,
};

export type EffectDeps = Readonly<{
  policies: PolicyStore;
  inputs: KeptInputs;
  live: LivePermits;
  registry: RegistryReader;
  issuer: string;
  clock: Clock;
  inTurn: InTurn;
}>;

/** What activating a set would end. */
export const effectOperation = ({ policies, inputs, live, registry, issuer, clock, inTurn }: EffectDeps): Operation =>
  operation({
    id: 'previewPolicySet',
    method: 'GET',
    path: '/admin/v1/policies/:hash/effect',
    params: { hash: 'The hash of the set.' },
    about:
      'Decides again, by this policy set, over the tokens that are live, and answers which sessions would lose what.',
    query: z.strictObject({
      after: z
        .string()
        .regex(/^\d{1,18}$/, { error: 'must be `next` of the call before' })
        .default('0')
        .describe('`next` of the page before.'),
    }),
    body: NoBody,
    answers: [{ status: 200, about: 'What would end.', schema: Effect, example: EXAMPLE }],
    problems: ['not_found'],
    run: ({ params: { hash = '' }, query: { after } }) =>
      inTurn(async () => {
        const files = (await policies.read(hash))?.files;
        if (files === undefined) return err(plainProblem('not_found', `There is no policy set ${hash}`));
        const snapshot = await registry.refresh();
        const set = check(files, snapshot);
        if (!set.ok) return set;
        const { tokens, next } = await live.page(Number.MAX_SAFE_INTEGER, { after, limit: MOST });
        const since = clock.now() - DECIDED_WITHIN;
        const past = await inputs.of(
          tokens.map(({ decision }) => decision),
          since,
        );
        const { lost, undecided } = await reexamine(
          { set: set.value, registry: snapshot, issuer, now: clock.now() },
          tokens,
          past,
          () => turn(),
        );
        const body = {
          considered: tokens.length,
          undecided: undecided.length,
          losses: bySession(lost),
          next: next ?? null,
        };
        return ok({ status: 200, body });
      }),
  });

type Row = z.infer<typeof Effect>['losses'][number];

function bySession(lost: readonly Loss[]): Row[] {
  const rows = new Map<string, Row>();
  for (const { token, tool, to } of lost) {
    const { session = null, agent, person = null } = token;
    const key = JSON.stringify([session, agent, tool, to]);
    rows.set(key, { session, agent, person, tool, to, tokens: (rows.get(key)?.tokens ?? 0) + 1 });
  }
  return [...rows.values()];
}
