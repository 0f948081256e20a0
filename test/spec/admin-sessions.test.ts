import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type AdminServer, problem, startAdmin, statusAndBody } from '../support/admin.js';

let admin: AdminServer;
beforeAll(async () => {
  admin = await startAdmin();
});
afterAll(() => admin.close());

const view = (id: string, person: string, agent: string): Record<string, unknown> => ({
  id,
  person,
  agent,
  status: 'active',
  last_sequence: 2,
  opened_at: '2026-11-22T10:00:00.000Z',
  last_used_at: '2026-11-22T11:00:00.000Z',
  expires_at: '2026-11-22T18:00:00.000Z',
  ended_at: null,
  ended_by: null,
});

beforeEach(async () => {
  const { prisma } = admin.fresh.database;
  await prisma.$executeRawUnsafe('TRUNCATE agent_session, log_leaf, revocation');
  for (const [id, person, agent] of [
    ['ses_1', 'prs_alice', 'agt_a'],
    ['ses_2', 'prs_alice', 'agt_b'],
    ['ses_3', 'prs_bob', 'agt_a'],
  ] as const) {
    await prisma.$executeRawUnsafe(
      `INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, opened_at, last_used_at, expires_at)
       VALUES ($1, $1, $2, $3, 'active', 2, '2026-11-22T10:00:00Z', '2026-11-22T11:00:00Z', '2026-11-22T18:00:00Z')`,
      id,
      person,
      agent,
    );
  }
});

describe('sessions', () => {
  it('are listed whole, in pages, and by person, agent and status', async () => {
    expect(statusAndBody(await admin.ask('GET', '/sessions'))).toStrictEqual({
      status: 200,
      body: {
        items: [
          view('ses_1', 'prs_alice', 'agt_a'),
          view('ses_2', 'prs_alice', 'agt_b'),
          view('ses_3', 'prs_bob', 'agt_a'),
        ],
        next: null,
      },
    });
    const ids = async (query: string): Promise<unknown> => {
      const { items, next } = (await admin.ask('GET', `/sessions?${query}`)).body as {
        items: { id: string }[];
        next: unknown;
      };
      return [...items.map(({ id }) => id), next];
    };
    expect(await ids('limit=2')).toStrictEqual(['ses_1', 'ses_2', 'ses_2']);
    expect(await ids('limit=2&after=ses_2')).toStrictEqual(['ses_3', null]);
    expect(await ids('person=prs_alice')).toStrictEqual(['ses_1', 'ses_2', null]);
    expect(await ids('person=prs_alice&agent=agt_b')).toStrictEqual(['ses_2', null]);
    expect(await ids('status=ended')).toStrictEqual([null]);
  });

  it('are shown one by one', async () => {
    expect(statusAndBody(await admin.ask('GET', '/sessions/ses_3'))).toStrictEqual({
      status: 200,
      body: view('ses_3', 'prs_bob', 'agt_a'),
    });
    expect(statusAndBody(await admin.ask('GET', '/sessions/ses_9'))).toStrictEqual(
      problem('not_found', 'There is no session ses_9'),
    );
  });

  it('are ended once, with who and why in the log', async () => {
    const end = (body?: object): ReturnType<AdminServer['ask']> => admin.ask('POST', '/sessions/ses_1/end', body);
    expect(statusAndBody(await end({ reason: 'INC-4711' }))).toStrictEqual({
      status: 200,
      body: { id: 'ses_1', result: 'ended' },
    });
    expect(statusAndBody(await end())).toStrictEqual({ status: 200, body: { id: 'ses_1', result: 'already_ended' } });
    expect((await admin.ask('GET', '/sessions/ses_1')).body).toStrictEqual({
      ...view('ses_1', 'prs_alice', 'agt_a'),
      status: 'ended',
      last_sequence: 3,
      ended_at: expect.any(String),
      ended_by: 'admin-token',
    });
    expect((await admin.ask('GET', '/log?session=ses_1')).body).toStrictEqual({
      items: [
        {
          id: expect.any(String),
          at: '2026-11-22T12:00:00.000Z',
          kind: 'session',
          txn: null,
          leaf_hash: expect.stringMatching(/^[\w-]{43}$/),
          facts: { what: 'ended', by: 'admin-token' },
          outcome: { decision: 'done', reason: 'INC-4711', session: 'ses_1', sequence: 3, seen: 0 },
        },
      ],
      next: null,
    });
  });

  it('are not ended when there is none, or for a reason that is no text', async () => {
    expect(statusAndBody(await admin.ask('POST', '/sessions/ses_9/end'))).toStrictEqual(
      problem('not_found', 'There is no session ses_9'),
    );
    expect(statusAndBody(await admin.ask('POST', '/sessions/ses_1/end', { reason: ['x'] }))).toStrictEqual(
      problem('invalid_field', undefined, ['reason', 'Invalid input: expected string, received array']),
    );
    expect((await admin.ask('GET', '/sessions/ses_1')).body).toMatchObject({ status: 'active' });
  });
});

describe('the log', () => {
  it('is read on from the last entry', async () => {
    for (const id of ['ses_1', 'ses_2', 'ses_3']) await admin.ask('POST', `/sessions/${id}/end`);
    const first = (await admin.ask('GET', '/log?limit=2&kind=session')).body as {
      items: { id: string }[];
      next: string;
    };
    expect(first.items).toHaveLength(2);
    expect(first.next).toBe(first.items[1]?.id);
    const rest = (await admin.ask('GET', `/log?after=${first.next}&kind=session`)).body as {
      items: { outcome: object }[];
      next: unknown;
    };
    expect(rest).toMatchObject({ items: [{ outcome: { session: 'ses_3' } }], next: null });
  });

  it('is not there to be written', async () => {
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const { status, headers } = await admin.ask(method, '/log');
      expect([status, headers.get('Allow')]).toStrictEqual([405, 'GET, HEAD']);
    }
  });
});
