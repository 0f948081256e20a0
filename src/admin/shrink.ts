import { z } from 'zod';
import { err, ok, type Result, type Seconds } from '../base/index.js';
import { fieldProblem, plainProblem, type Problem } from '../http/index.js';
import { ClientId, ResourceUri, ScopeToken, ToolName } from '../protocol/index.js';
import {
  type Agent,
  beyond,
  beyondBeside,
  type Right,
  rightName,
  type RightsUse,
  type Taken,
  type TakenBeside,
  unusedBeside,
  unusedOf,
  withoutRights,
} from '../registry/index.js';
import { type ChangeDeps, etagOf, makeChange } from './change.js';
import { type Contents, contentsOf } from './contents.js';
import { ChangeEffect } from './foresight.js';
import { unmet } from './objects.js';
import { type Answer, NoBody, type Operation, operation, type Preconditions } from './operation.js';
import { NOTHING } from './plan.js';
import { AgentView, DryRun, instant } from './shapes.js';

const DAY: Seconds = 86_400;
const WORDS = 'must be 1 to 365';

export const DaysUnused = z.coerce
  .number({ error: WORDS })
  .int({ error: WORDS })
  .min(1, { error: WORDS })
  .max(365, { error: WORDS })
  .default(90)
  .describe('A right that was granted and not used for so many days is unused.');

/** What is, or may be, taken at one MCP server. */
export const TakenRights = z.strictObject({
  resource: ResourceUri,
  server: z.boolean().describe('Whether nothing is left of this server, so that all of it goes.'),
  tools: z.array(ToolName).max(512),
  scopes: z.array(ScopeToken).max(256),
});

const Take = z
  .array(TakenRights)
  .max(256)
  .refine((take) => new Set(take.map(({ resource }) => resource)).size === take.length, {
    error: 'names one server twice',
  })
  .default([]);
const TakeHeirs = z.array(ClientId).max(64).default([]).describe('The agents to which it may hand over no more.');
const TakeDomain = z.boolean().default(false).describe('Whether it may ask for no more tokens for the trust domain.');

const Unused = z.strictObject({
  client_id: z.string(),
  unused_days: z.number().int(),
  counted_until: z.iso.datetime().describe('Uses are counted up to here; later ones are looked up in the log.'),
  unused: z.array(TakenRights),
  unused_hand_over_to: z.array(z.string()).describe('The agents to which it has not handed over for so long.'),
  unused_transaction_tokens: z
    .boolean()
    .describe('Whether it may ask for tokens for the trust domain, and has not for so long.'),
});
const Shrunk = z.strictObject({
  client_id: z.string(),
  result: z.enum(['shrunk', 'would_be_shrunk']),
  taken: z.array(TakenRights),
  taken_hand_over_to: z.array(z.string()),
  taken_transaction_tokens: z.boolean(),
  allow: AgentView.shape.allow.describe('What the agent may ask for afterwards.'),
  effect: ChangeEffect.optional(),
});

const RESOURCE = 'https://mcp.example.com/files';
const TAKEN: Taken = { resource: RESOURCE, server: false, tools: ['delete_file'], scopes: ['files:delete'] };
const LEFT = { resource: RESOURCE, scopes: ['files:read'], tools: ['read_file'] };
const PARAMS = { id: 'Its client_id, percent-encoded.' };

export type ShrinkDeps = ChangeDeps & Readonly<{ rights: RightsUse }>;

/** OWASP NHI5: what an agent may and does not do is shown, and taken when an administrator has looked at it; never by itself. */
export const shrinkOperations = (deps: ShrinkDeps): readonly Operation[] => [
  operation({
    id: 'listUnusedRights',
    method: 'GET',
    path: '/admin/v1/agents/:id/unused-rights',
    params: PARAMS,
    about: 'Lists what an agent was granted so long ago and has not used since: what a review may take from it.',
    query: z.strictObject({ unused_days: DaysUnused }),
    body: NoBody,
    answers: [
      {
        status: 200,
        about: 'By MCP server, with the ETag of the agent.',
        schema: Unused,
        example: {
          ...{ client_id: 'agt_planner', unused_days: 90, counted_until: '2026-11-22T09:00:00.000Z' },
          unused: [TAKEN],
          ...{ unused_hand_over_to: ['agt_writer'], unused_transaction_tokens: false },
        },
      },
    ],
    hasTag: true,
    problems: ['not_found'],
    run: ({ params: { id = '' }, query: { unused_days: days } }) => listUnused(id, days, deps),
  }),
  operation({
    id: 'shrinkAgent',
    method: 'POST',
    path: '/admin/v1/agents/:id/shrink',
    params: PARAMS,
    about:
      'Takes rights from an agent that it does not use: exactly those that are named here. Refused when one of them was granted or used meanwhile.',
    query: DryRun,
    body: z.strictObject({
      unused_days: DaysUnused,
      take: Take,
      take_hand_over_to: TakeHeirs,
      take_transaction_tokens: TakeDomain,
    }),
    bodyExample: { unused_days: 90, take: [TAKEN], take_hand_over_to: ['agt_writer'] },
    preconditions: ['If-Match'],
    hasTag: true,
    answers: [
      {
        status: 200,
        about: 'They are taken.',
        schema: Shrunk,
        example: {
          ...{ client_id: 'agt_planner', result: 'shrunk', taken: [TAKEN], allow: [LEFT] },
          ...{ taken_hand_over_to: ['agt_writer'], taken_transaction_tokens: false },
        },
      },
    ],
    problems: ['not_found', 'conflict'],
    run: ({ params: { id = '' }, query, body, ...conditions }) =>
      shrink(
        {
          ...{ id, days: body.unused_days, take: body.take, dryRun: query.dry_run === 'true', conditions },
          beside: { handOverTo: body.take_hand_over_to, transactionTokens: body.take_transaction_tokens },
        },
        deps,
      ),
  }),
];

type Shrinking = Readonly<{
  id: string;
  days: number;
  take: readonly Taken[];
  beside: TakenBeside;
  dryRun: boolean;
  conditions: Preconditions;
}>;

const nobody = (id: string): Problem => plainProblem('not_found', `There is no agent ${id}`);

async function listUnused(id: string, days: number, deps: ShrinkDeps): Promise<Result<Answer, Problem>> {
  const { agent: agents, server: servers } = contentsOf(await deps.registry.refresh());
  const agent = agents.get(id);
  if (agent === undefined) return err(nobody(id));
  const { until, rights } = await known(id, days, deps);
  const beside = unusedBeside(agent, rights);
  return ok({
    status: 200,
    headers: { ETag: etagOf(agent) },
    body: {
      ...{ client_id: id, unused_days: days, counted_until: instant(until), unused: unusedOf(agent, rights, servers) },
      ...{ unused_hand_over_to: beside.handOverTo, unused_transaction_tokens: beside.transactionTokens },
    },
  });
}

/** What is in the log and not counted yet counts here. */
async function known(
  id: string,
  days: number,
  { rights, clock }: ShrinkDeps,
): Promise<Readonly<{ until: Seconds; rights: readonly Right[] }>> {
  const until = await rights.countedUntil();
  const all = (await rights.unused([id], clock.now() - days * DAY)).get(id) ?? [];
  // Nothing is unused as long as nobody can say so.
  if (until < clock.now() - DAY) return { until, rights: [] };
  const later = new Set((await rights.usedSince(id, until - 60)).map(rightName));
  return { until, rights: all.filter((right) => !later.has(rightName(right))) };
}

async function shrink(
  { id, days, take, beside, dryRun, conditions }: Shrinking,
  deps: ShrinkDeps,
): Promise<Result<Answer, Problem>> {
  if (conditions.ifMatch === undefined)
    return err(fieldProblem([{ param: 'If-Match', detail: 'must be the ETag of the agent that was looked at' }]));
  if (take.length === 0 && beside.handOverTo.length === 0 && !beside.transactionTokens)
    return err(fieldProblem([{ param: 'take', detail: 'names nothing that is to be taken' }]));
  const { rights } = await known(id, days, deps);
  const object = ({ agent, server }: Contents): Problem | undefined => {
    const before = agent.get(id);
    if (before === undefined) return nobody(id);
    const stale = unmet(before, conditions);
    if (stale !== undefined) return stale;
    const over =
      beyond(take, before, unusedOf(before, rights, server), server) ??
      beyondBeside(beside, unusedBeside(before, rights));
    return over === undefined
      ? undefined
      : plainProblem('conflict', `${over} is in use, was granted lately, or is needed by what stays`);
  };
  const wish = ({ agent, server }: Contents): typeof NOTHING => {
    const before = agent.get(id);
    return {
      ...NOTHING,
      agent: before === undefined ? [] : [withoutRights(before, take, { servers: server, beside })],
    };
  };
  const refuse: Parameters<typeof makeChange>[0]['refuse'] = (flaws) =>
    fieldProblem(
      flaws.map(({ kind, id: of, path, message }) => ({ param: `${kind} ${of}: ${path}`, detail: message })),
    );
  const changed = await makeChange({ object, wish, refuse, dryRun }, deps);
  if (!changed.ok) return changed;
  const after = changed.value.after.agent.get(id);
  return after === undefined ? err(nobody(id)) : ok(answerOf(after, { take, beside }, changed.value.effect));
}

const answerOf = (
  after: Agent,
  { take, beside }: Pick<Shrinking, 'take' | 'beside'>,
  effect: ChangeEffect | undefined,
): Answer => ({
  status: 200,
  headers: { ETag: etagOf(after) },
  body: {
    client_id: after.client_id,
    result: effect === undefined ? 'shrunk' : 'would_be_shrunk',
    taken: take,
    taken_hand_over_to: beside.handOverTo,
    taken_transaction_tokens: beside.transactionTokens,
    allow: after.allow,
    effect,
  },
});
