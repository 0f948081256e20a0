import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { openSessionLife } from '../../src/storage/index.js';
import { type AdminServer, problem, startAdmin, statusAndBody } from '../support/admin.js';

let admin: AdminServer;
beforeAll(async () => {
  admin = await startAdmin();
});
afterAll(() => admin.close());

const UNPAUSED = { paused_at: null, paused_by: null, paused_reason: null, paused_with: null, resumes_at: null };
const view = (id: string, person: string, agent: string): Record<string, unknown> => ({
  id,
  person,
  agent,
  status: 'active',
  last_sequence: 2,
  opened_at: '2026-11-22T10:00:00.000Z',
  last_used_at: '2026-11-22T11:00:00.000Z',
  expires_at: '2026-11-22T18:00:00.000Z',
  idle_until: null,
  parent: null,
  purpose: null,
  acr: null,
  jkt: null,
  ...UNPAUSED,
  ended_at: null,
  ended_by: null,
  ended_reason: null,
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

const revoked = async (): Promise<readonly string[]> => {
  const rows = await admin.fresh.database.prisma.revocation.findMany({ orderBy: { target: 'asc' } });
  return rows.map(({ target }) => target);
};

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
      body: { ...view('ses_3', 'prs_bob', 'agt_a'), budgets: [] },
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
      budgets: [],
      status: 'ended',
      last_sequence: 3,
      ended_at: expect.any(String),
      ended_by: 'admin-token',
      ended_reason: 'INC-4711',
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

  it('are paused and resumed, with who, why and until when in the log, and are cut off by a number', async () => {
    const act = (what: string, body?: object): ReturnType<AdminServer['ask']> =>
      admin.ask('POST', `/sessions/ses_1/${what}`, body);
    expect(statusAndBody(await act('resume'))).toStrictEqual({
      status: 200,
      body: { id: 'ses_1', result: 'not_paused' },
    });
    expect(statusAndBody(await act('pause', { reason: 'INC-4711', seconds: 3_600 }))).toStrictEqual({
      status: 200,
      body: { id: 'ses_1', result: 'paused' },
    });
    expect(statusAndBody(await act('pause', { reason: 'shorter', seconds: 3_600 }))).toStrictEqual({
      status: 200,
      body: { id: 'ses_1', result: 'already_paused' },
    });
    expect((await admin.ask('GET', '/sessions?status=paused')).body).toStrictEqual({
      items: [
        {
          ...view('ses_1', 'prs_alice', 'agt_a'),
          status: 'paused',
          last_sequence: 3,
          paused_at: expect.any(String),
          paused_by: 'admin-token',
          paused_reason: 'INC-4711',
          paused_with: 'ses_1',
          resumes_at: expect.any(String),
        },
      ],
      next: null,
    });
    expect(statusAndBody(await act('resume', { reason: 'over' }))).toStrictEqual({
      status: 200,
      body: { id: 'ses_1', result: 'resumed' },
    });
    expect((await admin.ask('GET', '/sessions/ses_1')).body).toStrictEqual({
      ...view('ses_1', 'prs_alice', 'agt_a'),
      budgets: [],
      last_sequence: 4,
    });
    const { items } = (await admin.ask('GET', '/log?session=ses_1')).body as { items: { facts: object }[] };
    expect(items).toMatchObject([
      {
        facts: { what: 'paused', by: 'admin-token', resumes_at: expect.any(Number) },
        outcome: { decision: 'done', reason: 'INC-4711', session: 'ses_1', sequence: 3 },
      },
      {
        facts: { what: 'resumed', by: 'admin-token' },
        outcome: { decision: 'done', reason: 'over', session: 'ses_1', sequence: 4 },
      },
    ]);
    expect(await revoked()).toStrictEqual(['session:ses_1']);
  });

  it('stay paused as long as whoever paused them longest said, on the record', async () => {
    const pause = async (body: object): Promise<unknown> =>
      ((await admin.ask('POST', '/sessions/ses_1/pause', body)).body as { result: string }).result;
    const paused = async (): Promise<unknown> => (await admin.ask('GET', '/sessions/ses_1')).body;
    expect(await pause({ reason: 'a minute', seconds: 60 })).toBe('paused');
    expect(await pause({ reason: 'an hour', seconds: 3_600 })).toBe('paused');
    expect(await paused()).toMatchObject({
      status: 'paused',
      paused_reason: 'an hour',
      resumes_at: expect.any(String),
    });
    expect(await pause({ reason: 'until further notice' })).toBe('paused');
    expect(await paused()).toMatchObject({ paused_reason: 'until further notice', resumes_at: null });
    expect(await pause({ reason: 'a day', seconds: 86_400 })).toBe('already_paused');
    expect(await paused()).toMatchObject({ paused_reason: 'until further notice', resumes_at: null, last_sequence: 5 });
    const { items } = (await admin.ask('GET', '/log?session=ses_1')).body as { items: { outcome: object }[] };
    expect(items).toMatchObject([
      { facts: { what: 'paused' }, outcome: { reason: 'a minute', sequence: 3 } },
      { facts: { what: 'paused' }, outcome: { reason: 'an hour', sequence: 4 } },
      { facts: { what: 'paused' }, outcome: { reason: 'until further notice', sequence: 5 } },
    ]);
  });

  it('have a pause that becomes part of the one above when its own time is over first', async () => {
    const { database } = admin.fresh;
    await database.prisma.$executeRawUnsafe(`UPDATE agent_session SET parent_id = 'ses_1' WHERE id = 'ses_2'`);
    const act = (id: string, what: string, body?: object): ReturnType<AdminServer['ask']> =>
      admin.ask('POST', `/sessions/${id}/${what}`, body);
    await act('ses_2', 'pause', { seconds: 60 });
    await act('ses_1', 'pause', { reason: 'INC-4711' });
    await database.prisma.$executeRawUnsafe(
      `UPDATE agent_session SET resumes_at = now() - interval '1 second' WHERE id = 'ses_2'`,
    );
    await openSessionLife(database, 600).resume(0);
    const child = async (): Promise<unknown> => (await admin.ask('GET', '/sessions/ses_2')).body;
    expect(await child()).toMatchObject({ paused_with: 'ses_1', paused_reason: 'INC-4711', resumes_at: null });
    await act('ses_1', 'resume');
    expect(await child()).toMatchObject({ status: 'active' });
  });

  it('pass pause, resume and end on to those below them, and to no other', async () => {
    const { prisma } = admin.fresh.database;
    await prisma.$executeRawUnsafe(`UPDATE agent_session SET parent_id = 'ses_1' WHERE id = 'ses_2'`);
    await prisma.$executeRawUnsafe(`UPDATE agent_session SET parent_id = 'ses_2' WHERE id = 'ses_3'`);
    const act = async (id: string, what: string): Promise<unknown> => {
      const { status, body } = await admin.ask('POST', `/sessions/${id}/${what}`);
      return status === 200 ? (body as { result: string }).result : status;
    };
    const states = async (): Promise<unknown> =>
      ((await admin.ask('GET', '/sessions')).body as { items: { status: string; paused_with: unknown }[] }).items.map(
        ({ status, paused_with }) => paused_with ?? status,
      );
    expect(await act('ses_2', 'pause')).toBe('paused');
    expect(await states()).toStrictEqual(['active', 'ses_2', 'ses_2']);
    expect(await act('ses_1', 'pause')).toBe('paused');
    expect(await states()).toStrictEqual(['ses_1', 'ses_2', 'ses_2']);
    expect([await act('ses_2', 'resume'), await act('ses_3', 'resume')]).toStrictEqual([409, 409]);
    expect(await act('ses_1', 'resume')).toBe('resumed');
    expect(await states()).toStrictEqual(['active', 'ses_2', 'ses_2']);
    expect(await act('ses_2', 'resume')).toBe('resumed');
    expect(await states()).toStrictEqual(['active', 'active', 'active']);
    expect([await act('ses_1', 'pause'), await act('ses_2', 'pause'), await act('ses_1', 'resume')]).toStrictEqual([
      'paused',
      'paused',
      'resumed',
    ]);
    expect(await states()).toStrictEqual(['active', 'ses_2', 'ses_2']);
    expect((await admin.ask('GET', '/sessions?parent=ses_1')).body).toMatchObject({ items: [{ id: 'ses_2' }] });
    expect(await act('ses_1', 'end')).toBe('ended');
    expect(await states()).toStrictEqual(['ended', 'ended', 'ended']);
    expect([await act('ses_1', 'pause'), await act('ses_1', 'resume')]).toStrictEqual([409, 409]);
    expect(await revoked()).toStrictEqual(['session:ses_1', 'session:ses_2', 'session:ses_3']);
  });

  it('are neither paused nor resumed when there is none', async () => {
    for (const what of ['pause', 'resume'])
      expect(statusAndBody(await admin.ask('POST', `/sessions/ses_9/${what}`))).toStrictEqual(
        problem('not_found', 'There is no session ses_9'),
      );
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
