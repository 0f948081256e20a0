import { z } from 'zod';
import { err, ok } from '../base/index.js';
import { plainProblem } from '../http/index.js';
import { BudgetState, Text } from '../protocol/index.js';
import type { AgentSession, SessionBudget, SessionFilter, SessionsAdmin } from '../session/index.js';
import { ADMINISTRATOR } from './change.js';
import { NoBody, NoQuery, type Operation, operation } from './operation.js';
import { Id, instant, pageOf, Paging } from './shapes.js';

const Status = z.enum(['active', 'paused', 'ended']);

/** A session as the API shows it. */
export const SessionView = z.strictObject({
  id: z.string(),
  person: z.string(),
  agent: z.string(),
  status: Status,
  last_sequence: z.number().int().describe('How many records this session has in the log.'),
  opened_at: z.iso.datetime(),
  last_used_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
  idle_until: z.iso.datetime().nullable().describe('Unused until then it ends.'),
  parent: z.string().nullable().describe('The session of the agent that handed over to this one.'),
  purpose: z.string().nullable(),
  acr: z
    .string()
    .nullable()
    .describe('How the person was authenticated in every exchange of it; null where that differed or was not said.'),
  jkt: z.string().nullable().describe('RFC 9449: the thumbprint of the key that alone continues it.'),
  paused_at: z.iso.datetime().nullable(),
  paused_by: z.string().nullable(),
  paused_reason: z.string().nullable(),
  paused_with: z.string().nullable().describe('The session whose pause it is: itself, or one above it.'),
  resumes_at: z.iso.datetime().nullable().describe('When the pause ends by itself.'),
  ended_at: z.iso.datetime().nullable(),
  ended_by: z.string().nullable(),
  ended_reason: z.string().nullable(),
});
type SessionView = z.infer<typeof SessionView>;

const EXAMPLE: SessionView = {
  id: 'ses_3q2-7w8xYzAbCdEfGhIjKl',
  person: 'prs_7HqXb2c4d6e8f0a1b2c3d4',
  agent: 'agt_planner',
  status: 'active',
  last_sequence: 12,
  opened_at: '2026-11-22T09:00:00.000Z',
  last_used_at: '2026-11-22T09:12:30.000Z',
  expires_at: '2026-11-22T17:00:00.000Z',
  idle_until: '2026-11-22T09:43:00.000Z',
  parent: null,
  purpose: 'publish-report',
  acr: null,
  jkt: null,
  paused_at: null,
  paused_by: null,
  paused_reason: null,
  paused_with: null,
  resumes_at: null,
  ended_at: null,
  ended_by: null,
  ended_reason: null,
};

const BudgetView = z.strictObject({
  declared_by: z.string().describe('Where: `agent:<client id>`, `tool:<resource>#<name>`, or `writ`: for all.'),
  unit: BudgetState.shape.unit,
  scope: BudgetState.shape.scope,
  limit: z.string().describe('A decimal, by which it was last drawn on.'),
  used: z.string().describe('What counts against the limit: spent, or reserved by tokens.'),
  reserved: z.string().describe('What of that is reserved by tokens and may return.'),
  currency: z.string().nullable().describe('Of money.'),
  resets_at: z.iso.datetime().nullable().describe('When it begins anew; null for never.'),
});

const SessionDetail = SessionView.extend({
  budgets: z
    .array(BudgetView)
    .describe('What it has drawn on budgets of its own, with its whole tree of sessions; gone once it is closed.'),
});

const DETAIL: z.infer<typeof SessionDetail> = {
  ...EXAMPLE,
  budgets: [
    {
      declared_by: 'agent:agt_planner',
      unit: 'money',
      scope: 'session',
      limit: '250',
      used: '42.5',
      reserved: '12.5',
      currency: 'EUR',
      resets_at: null,
    },
  ],
};

const Ended = z.strictObject({ id: z.string(), result: z.enum(['ended', 'already_ended']) });
const Paused = z.strictObject({ id: z.string(), result: z.enum(['paused', 'already_paused']) });
const Resumed = z.strictObject({ id: z.string(), result: z.enum(['resumed', 'not_paused']) });
const WEEK = 604_800;

const Reason = Text.min(1).max(256).default('administrator');
const REASON = 'administrator';

/** List, read, pause, resume and end the sessions of agents. */
export const sessionOperations = (sessions: SessionsAdmin): readonly Operation[] => [
  operation({
    id: 'listSessions',
    method: 'GET',
    path: '/admin/v1/sessions',
    about: 'Lists sessions, those of one person or agent or status or parent when asked so.',
    query: Paging.extend({
      person: Id.optional(),
      agent: Id.optional(),
      status: Status.optional(),
      parent: Id.optional(),
    }),
    body: NoBody,
    answers: [
      { status: 200, about: 'A page.', schema: pageOf(SessionView), example: { items: [EXAMPLE], next: null } },
    ],
    run: async ({ query: { limit, after, person, agent, status, parent } }) => {
      const filter: SessionFilter = {
        ...(person === undefined ? {} : { person }),
        ...(agent === undefined ? {} : { agent }),
        ...(status === undefined ? {} : { status }),
        ...(parent === undefined ? {} : { parent }),
      };
      const page = await sessions.list(filter, after === undefined ? { limit } : { limit, after });
      return ok({ status: 200, body: { items: page.sessions.map(viewOf), next: page.next ?? null } });
    },
  }),
  operation({
    id: 'getSession',
    method: 'GET',
    path: '/admin/v1/sessions/:id',
    params: { id: 'The id of the session.' },
    about: 'Shows one session, and what is left of its budgets.',
    query: NoQuery,
    body: NoBody,
    answers: [{ status: 200, about: 'The session.', schema: SessionDetail, example: DETAIL }],
    problems: ['not_found'],
    run: async ({ params: { id = '' } }) => {
      const session = await sessions.get(id);
      if (session === undefined) return err(plainProblem('not_found', `There is no session ${id}`));
      const budgets = (await sessions.budgets(id)).map(budgetView);
      return ok({ status: 200, body: { ...viewOf(session), budgets } });
    },
  }),
  operation({
    id: 'pauseSession',
    method: 'POST',
    path: '/admin/v1/sessions/:id/pause',
    params: { id: 'The id of the session.' },
    about:
      'Pauses a session and every session below it: nothing more is minted in them, and every token of them is cut off at once.',
    query: NoQuery,
    body: z
      .strictObject({
        reason: Reason.describe('Its agent is told this.'),
        seconds: z.number().int().min(1).max(WEEK).optional().describe('After so long the pause ends by itself.'),
      })
      .optional(),
    bodyExample: { reason: 'INC-4711', seconds: 3600 },
    answers: [
      {
        status: 200,
        about: 'It is paused, now or since earlier; a longer pause replaces a shorter one.',
        schema: Paused,
        example: { id: EXAMPLE.id, result: 'paused' },
      },
    ],
    problems: ['not_found', 'conflict'],
    run: async ({ params: { id = '' }, body }) => {
      const wish = { by: ADMINISTRATOR, reason: body?.reason ?? REASON, seconds: body?.seconds };
      const result = await sessions.pause(id, wish);
      if (result === 'unknown') return err(plainProblem('not_found', `There is no session ${id}`));
      if (result === 'already_ended') return err(plainProblem('conflict', `Session ${id} has ended`));
      return ok({ status: 200, body: { id, result } });
    },
  }),
  operation({
    id: 'resumeSession',
    method: 'POST',
    path: '/admin/v1/sessions/:id/resume',
    params: { id: 'The id of the session.' },
    about:
      'Ends the pause of a session and of every session below it that was paused with it. Tokens from before it stay dead.',
    query: NoQuery,
    body: z.strictObject({ reason: Reason }).optional(),
    bodyExample: { reason: 'INC-4711 is over' },
    answers: [
      {
        status: 200,
        about: 'It is not paused any more.',
        schema: Resumed,
        example: { id: EXAMPLE.id, result: 'resumed' },
      },
    ],
    problems: ['not_found', 'conflict'],
    run: async ({ params: { id = '' }, body }) => {
      const result = await sessions.resume(id, { by: ADMINISTRATOR, reason: body?.reason ?? REASON });
      if (result === 'unknown') return err(plainProblem('not_found', `There is no session ${id}`));
      if (result === 'already_ended') return err(plainProblem('conflict', `Session ${id} has ended`));
      if (result === 'paused_above')
        return err(plainProblem('conflict', `Session ${id} is below a paused one: resume that one`));
      if (result === 'paused_by_another')
        return err(plainProblem('conflict', `Session ${id} was paused by somebody else`));
      return ok({ status: 200, body: { id, result } });
    },
  }),
  operation({
    id: 'endSession',
    method: 'POST',
    path: '/admin/v1/sessions/:id/end',
    params: { id: 'The id of the session.' },
    about: 'Ends a session and every session below it, and with them every token of them, at once.',
    query: NoQuery,
    body: z.strictObject({ reason: Reason }).optional(),
    bodyExample: { reason: 'INC-4711' },
    answers: [
      {
        status: 200,
        about: 'It is ended, now or since earlier.',
        schema: Ended,
        example: { id: EXAMPLE.id, result: 'ended' },
      },
    ],
    problems: ['not_found'],
    run: async ({ params: { id = '' }, body }) => {
      const result = await sessions.end(id, { by: ADMINISTRATOR, reason: body?.reason ?? REASON });
      if (result === 'unknown') return err(plainProblem('not_found', `There is no session ${id}`));
      return ok({ status: 200, body: { id, result } });
    },
  }),
];

const viewOf = (session: AgentSession): SessionView => ({
  id: session.id,
  person: session.personId,
  agent: session.agentId,
  status: session.status,
  last_sequence: session.lastSequence,
  opened_at: instant(session.openedAt),
  last_used_at: instant(session.lastUsedAt),
  expires_at: instant(session.expiresAt),
  idle_until: at(session.idleUntil),
  parent: session.parentId ?? null,
  purpose: session.purpose ?? null,
  acr: session.acr ?? null,
  jkt: session.jkt ?? null,
  paused_at: at(session.paused?.at),
  paused_by: session.paused?.by ?? null,
  paused_reason: session.paused?.reason ?? null,
  paused_with: session.paused?.with ?? null,
  resumes_at: at(session.paused?.resumesAt),
  ended_at: at(session.endedAt),
  ended_by: session.endedBy ?? null,
  ended_reason: session.endedReason ?? null,
});

const budgetView = (budget: SessionBudget): z.infer<typeof BudgetView> => ({
  declared_by: budget.declaredBy,
  unit: budget.unit,
  scope: budget.scope,
  limit: budget.limit,
  used: budget.used,
  reserved: budget.reserved,
  currency: budget.currency ?? null,
  resets_at: at(budget.resetsAt),
});

const at = (seconds: number | undefined): string | null => (seconds === undefined ? null : instant(seconds));
