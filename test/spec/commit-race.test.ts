import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import pg from 'pg';
import { databaseKinds } from '../support/databases.js';
import { COMPANY, RS2, startWorld, tool, tools, type World } from '../support/world.js';
import { type Reply, startReplica, tokenOf } from '../support/writ.js';

type Receipt = Readonly<{ session: string; leaf: string; seen: number }>;
const receiptOf = (answer: Reply): Receipt => decodeJwt<{ writ: Receipt }>(tokenOf(answer)).writ;

type Item = Readonly<{ outcome: { sequence: number } }>;
const itemsOf = ({ body }: Reply): readonly Item[] => (body as { items: readonly Item[] }).items;

describe.each(databaseKinds.filter((kind) => kind === 'server'))('two replicas on one database (%s)', () => {
  let world: World;
  let replica: Awaited<ReturnType<typeof startReplica>>;
  beforeAll(async () => {
    world = await startWorld({ kind: 'server' });
    replica = await startReplica(world);
  });
  afterAll(async () => {
    await replica.close();
    await world.close();
    expect([...world.faults, ...replica.faults]).toEqual([]);
  });

  it('obey what the registry takes away from the next commit on, and what it gives within a second or so', async () => {
    expect((await replica.post('/token', await world.form())).status).toBe(200);
    const agent = (await world.admin('GET', '/agents/agt_a1')).body as Record<string, unknown>;
    await world.admin('PUT', '/agents/agt_a1', { ...agent, status: 'disabled' });
    const refusedThere = await replica.post('/token', await world.form());
    await world.admin('PUT', '/agents/agt_a1', { ...agent, status: 'active' });
    await world.minutePasses();
    const servedThere = await eventually(
      async () => replica.post('/token', await world.form()),
      ({ status }) => status === 200,
    );
    expect([refusedThere.status, refusedThere.body]).toEqual([
      401,
      { error: 'invalid_client', error_description: 'client authentication failed' },
    ]);
    expect(servedThere.status).toBe(200);
  });

  it('let one of two simultaneous uses of an assertion win, in each of 60 rounds', async () => {
    for (let round = 0; round < 60; round++) {
      const form = await world.form();
      const answers = await Promise.all([world.post('/token', form), replica.post('/token', form)]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 401]);
    }
  });

  it('let the loser of a first meeting with one person spend nothing until it is recorded, and win at its second try', async () => {
    const client = new pg.Client({ connectionString: world.config.databaseUrl });
    await client.connect();
    try {
      await client.query('BEGIN');
      await client.query(`INSERT INTO person (id, issuer, subject) VALUES ('prs_met', $1, 'newcomer')`, [COMPANY]);
      const answer = world.exchange({ subject_token: await world.personToken('newcomer') });
      await untilOneWaits(client);
      await client.query('COMMIT');
      expect(decodeJwt(tokenOf(await answer)).sub).toBe('prs_met');
      expect((await client.query(SPENT_APART)).rows).toEqual([{ records: expect.any(Number), apart: 0 }]);
    } finally {
      await client.end();
    }
  });

  it('meet one person once, each exchange spent and recorded in one transaction, in each of 40 rounds', async () => {
    for (let round = 0; round < 40; round++) {
      const subjects = await Promise.all([0, 1].map(() => world.personToken(`person-${round}`)));
      const forms = await Promise.all(subjects.map((subject_token) => world.form({ subject_token })));
      const answers = await Promise.all(forms.map((form, n) => (n === 0 ? world : replica).post('/token', form)));
      expect(new Set(answers.map((answer) => decodeJwt(tokenOf(answer)).sub)).size).toBe(1);
    }
    const client = new pg.Client({ connectionString: world.config.databaseUrl });
    await client.connect();
    const { rows } = await client.query<{ records: number; apart: number }>(SPENT_APART);
    await client.end();
    expect(rows).toEqual([{ records: expect.any(Number), apart: 0 }]);
    expect(rows[0]?.records).toBeGreaterThanOrEqual(80);
  });

  it('number one session together without gap or double', async () => {
    const subject_token = await world.personToken('alice');
    const forms = await Promise.all(Array.from({ length: 60 }, () => world.form({ subject_token })));
    const answers = await Promise.all(forms.map((form, n) => (n % 2 === 0 ? world : replica).post('/token', form)));
    const sessions = new Set(answers.map((answer) => receiptOf(answer).session));
    expect(sessions.size).toBe(1);
    const items = itemsOf(await replica.admin('GET', `/log?session=${[...sessions][0] ?? ''}&limit=200`));
    expect(items.map(({ outcome }) => outcome.sequence).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 60 }, (_, n) => n + 1),
    );
  });

  it('take the only use of a token once between them, in each of 30 rounds', async () => {
    for (let round = 0; round < 30; round++) {
      const token = tokenOf(await world.exchange({ authorization_details: tools(tool('write_file')) }));
      const asks = await Promise.all(
        [0, 1].map(async () => ({ ...(await world.form({}, world.rs1)), token, consume: 'write_file' })),
      );
      const answers = await Promise.all([
        world.post('/introspect', asks[0] ?? {}),
        replica.post('/introspect', asks[1] ?? {}),
      ]);
      expect(answers.map(({ body }) => (body as { active: boolean }).active).sort()).toEqual([false, true]);
    }
  });

  it('never let two changes that exclude each other both into the registry', async () => {
    const server = (await world.admin('GET', `/servers/${encodeURIComponent(RS2)}`)).body as Record<string, unknown>;
    const agent = (await world.admin('GET', '/agents/agt_a2')).body as Record<string, unknown>;
    for (let round = 0; round < 20; round++) {
      const [removed, named] = await Promise.all([
        world.admin('DELETE', `/servers/${encodeURIComponent(RS2)}`),
        replica.admin('PUT', '/agents/agt_a2', {
          ...agent,
          allow: [{ resource: RS2, scopes: ['repo:read'], tools: '*' }],
        }),
      ]);
      expect([removed.status < 300, named.status < 300].sort()).toEqual([false, true]);
      await world.admin('PUT', `/servers/${encodeURIComponent(RS2)}`, server);
      await world.admin('PUT', '/agents/agt_a2', agent);
    }
  });

  it('publish the same keys, so that either verifies what the other signed', async () => {
    const token = tokenOf(await replica.post('/token', await world.form()));
    const answer = await world.post('/introspect', { ...(await world.form({}, world.rs1)), token });
    expect(answer.body).toMatchObject({ active: true });
  });
});

/** Exchanges whose credentials were spent by another transaction than the one that recorded them (xmin is what wrote a row). */
const SPENT_APART = `
  SELECT count(*)::int AS records, (count(*) FILTER (WHERE r.xmin::text <> l.xmin::text))::int AS apart FROM log_leaf l
  JOIN replay r ON r.spender = convert_from(l.leaf, 'UTF8')::jsonb #>> '{facts,request}' WHERE l.kind = 'exchange'`;

async function untilOneWaits(client: pg.Client): Promise<void> {
  const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
  while ((await client.query(waiting)).rows.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Asks until the answer is as wanted, for at most three seconds; then the last answer. */
async function eventually<T>(ask: () => Promise<T>, wanted: (answer: T) => boolean): Promise<T> {
  const end = Date.now() + 3_000;
  for (;;) {
    const answer = await ask();
    if (wanted(answer) || Date.now() > end) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
