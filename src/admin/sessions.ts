import { z } from 'zod';
import { err, ok } from '../base/index.js';
import { plainProblem } from '../http/index.js';
import { Text } from '../protocol/index.js';
import type { AgentSession, SessionFilter, SessionsAdmin } from '../session/index.js';
import { ADMINISTRATOR } from './change.js';
import { NoBody, NoQuery, type Operation, operation } from './operation.js';
import { Id, instant, pageOf, Paging } from './shapes.js';

const Status = z.enum(['active', 'ended']);

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
  ended_at: z.iso.datetime().nullable(),
  ended_by: z.string().nullable(),
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
  ended_at: null,
  ended_by: null,
};

const Ended = z.strictObject({ id: z.string(), result: z.enum(['ended', 'already_ended']) });

/** List, read and end the sessions of agents. */
export const sessionOperations = (sessions: SessionsAdmin): readonly Operation[] => [
  operation({
    id: 'listSessions',
    method: 'GET',
    path: '/admin/v1/sessions',
    about: 'Lists sessions, those of one person or agent or status when asked so.',
    query: Paging.extend({ person: Id.optional(), agent: Id.optional(), status: Status.optional() }),
    body: NoBody,
    answers: [
      { status: 200, about: 'A page.', schema: pageOf(SessionView), example: { items: [EXAMPLE], next: null } },
    ],
    run: async ({ query: { limit, after, person, agent, status } }) => {
      const filter: SessionFilter = {
        ...(person === undefined ? {} : { person }),
        ...(agent === undefined ? {} : { agent }),
        ...(status === undefined ? {} : { status }),
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
    about: 'Shows one session.',
    query: NoQuery,
    body: NoBody,
    answers: [{ status: 200, about: 'The session.', schema: SessionView, example: EXAMPLE }],
    problems: ['not_found'],
    run: async ({ params: { id = '' } }) => {
      const session = await sessions.get(id);
      if (session === undefined) return err(plainProblem('not_found', `There is no session ${id}`));
      return ok({ status: 200, body: viewOf(session) });
    },
  }),
  operation({
    id: 'endSession',
    method: 'POST',
    path: '/admin/v1/sessions/:id/end',
    params: { id: 'The id of the session.' },
    about: 'Ends a session and with it every token of it, at once.',
    query: NoQuery,
    body: z.strictObject({ reason: Text.min(1).max(256).default('administrator') }).optional(),
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
      const result = await sessions.end(id, ADMINISTRATOR, body?.reason ?? 'administrator');
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
  ended_at: session.endedAt === undefined ? null : instant(session.endedAt),
  ended_by: session.endedBy ?? null,
});
