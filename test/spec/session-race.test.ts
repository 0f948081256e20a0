import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { databaseKinds } from '../support/databases.js';
import { startWorld, type World } from '../support/world.js';
import { bearerAssertion, type Reply, startReplica, tokenOf } from '../support/writ.js';

type Receipt = Readonly<{ session: string; seen: number }>;
const receiptOf = (answer: Reply): Receipt => decodeJwt<{ writ: Receipt }>(tokenOf(answer)).writ;

describe.each(databaseKinds.filter((kind) => kind === 'server'))('a session at two replicas (%s)', (kind) => {
  let world: World;
  let replica: Awaited<ReturnType<typeof startReplica>>;
  beforeAll(async () => {
    world = await startWorld({ kind });
    replica = await startReplica(world);
  });
  afterAll(async () => {
    await replica.close();
    await world.close();
    expect([...world.faults, ...replica.faults]).toEqual([]);
  });

  const act = async (session: string, what: string): Promise<unknown> => {
    const { body } = await replica.admin('POST', `/sessions/${session}/${what}`);
    return (body as { result: unknown }).result;
  };
  const numberOf = async (session: string): Promise<number> => {
    const row = await world.writ.database.prisma.revocation.findUniqueOrThrow({
      where: { target: `session:${session}` },
    });
    return Number(row.number);
  };
  const isActive = async (token: string): Promise<unknown> => {
    const form = { ...(await bearerAssertion(world.issuer, world.rs1)), token };
    return ((await world.post('/introspect', form)).body as { active: unknown }).active;
  };

  it('is paused between two exchanges, and never within one: what is minted is older than the pause and dead', async () => {
    const subject_token = await world.personToken('alice');
    const { session } = receiptOf(await world.exchange({ subject_token }));
    for (let round = 0; round < 8; round++) {
      const forms = await Promise.all(Array.from({ length: 24 }, () => world.form({ subject_token })));
      const send = (form: (typeof forms)[number], n: number): Promise<Reply> =>
        (n % 2 === 0 ? world : replica).post('/token', form);
      const racing = forms.slice(0, 20).map(send);
      await racing[round];
      expect(await act(session, 'pause')).toBe('paused');
      const after = await Promise.all(forms.slice(20).map(send));
      expect(after.map(({ body }) => body)).toEqual(
        after.map(() => ({
          error: 'transaction_denied',
          error_description: 'the agent session is paused; try again when it is resumed',
          session_state: { status: 'paused', session, reason: 'administrator' },
        })),
      );
      const answers = await Promise.all(racing);
      const minted = answers.filter(({ status }) => status === 200);
      expect(minted.length).toBeGreaterThan(0);
      const number = await numberOf(session);
      for (const answer of minted) expect(receiptOf(answer).seen).toBeLessThan(number);
      expect(await act(session, 'resume')).toBe('resumed');
      const again = await replica.post('/token', await world.form({ subject_token }));
      expect([receiptOf(again).session, receiptOf(again).seen >= number]).toEqual([session, true]);
      expect([await isActive(tokenOf(again)), await isActive(tokenOf(minted[0] ?? again))]).toEqual([true, false]);
    }
    const rows = await world.writ.database.prisma.logLeaf.findMany({
      where: { sessionId: session, sequence: { not: null } },
      orderBy: { sequence: 'asc' },
    });
    expect(rows.map(({ sequence }) => sequence)).toEqual(rows.map((_, at) => at + 1));
  }, 60_000);

  it('is ended with what is opened below it at the same moment', async () => {
    for (let round = 0; round < 12; round++) {
      const subject_token = await world.personToken(`person-${round}`);
      const handed = await world.exchange({
        ...{ subject_token, resource: undefined, audience: 'agt_a2', authorization_details: undefined },
        scope: 'repo:read',
      });
      const { session } = receiptOf(handed);
      const form = await world.form({ subject_token: tokenOf(handed) }, world.a2);
      const [opened, ended] = await Promise.all([world.post('/token', form), act(session, 'end')]);
      expect(ended).toBe('ended');
      const below = await world.admin('GET', `/sessions?parent=${session}`);
      const { items } = below.body as { items: { status: string }[] };
      expect(items.map(({ status }) => status)).toEqual(opened.status === 200 ? ['ended'] : []);
      if (opened.status === 200) expect(await isActive(tokenOf(opened))).toBe(false);
      else
        expect(opened.body).toEqual({
          error: 'transaction_denied',
          error_description: 'the agent session has ended; the person has to authorise again',
          session_state: { status: 'ended', session, reason: 'ended' },
        });
    }
  }, 60_000);

  it('does not resume below one that is being paused, however long the two wait for each other', async () => {
    const { prisma } = world.writ.database;
    await prisma.$executeRawUnsafe(
      `INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, expires_at, parent_id)
       VALUES ('above', 'run 1', 'prs_1', 'agt_a1', 'active', 1, now() + interval '1 hour', NULL),
         ('below', 'run 2', 'prs_1', 'agt_a2', 'active', 1, now() + interval '1 hour', 'above')`,
    );
    expect(await act('below', 'pause')).toBe('paused');
    const waiting = async (many: number): Promise<void> => {
      const sql = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%agent_session%'`;
      while ((await prisma.$queryRawUnsafe<object[]>(sql)).length < many) await pause(20);
    };
    const answers: Promise<unknown>[] = [];
    await prisma.$transaction(
      async (holding) => {
        await holding.$executeRawUnsafe(`SELECT 1 FROM agent_session WHERE id = 'below' FOR UPDATE`);
        answers.push(act('above', 'pause'));
        await waiting(1);
        answers.push(world.admin('POST', '/sessions/below/resume').then(({ status }) => status));
        await waiting(2);
      },
      { timeout: 30_000 },
    );
    expect(await Promise.all(answers)).toEqual(['paused', 409]);
    const { body } = await world.admin('GET', '/sessions/below');
    expect(body).toMatchObject({ status: 'paused' });
  });
});
