import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import pg from 'pg';
import { databaseKinds } from '../support/databases.js';
import { startWorld, tool, tools, type World } from '../support/world.js';
import { type Reply, startReplica } from '../support/writ.js';

type Receipt = Readonly<{ session: string; leaf: string; seen: number }>;
const tokenOf = ({ body, text }: Reply): string => {
  if (typeof body === 'object' && body !== null && 'access_token' in body && typeof body.access_token === 'string')
    return body.access_token;
  throw new Error(text);
};
const receiptOf = (answer: Reply): Receipt => decodeJwt<{ writ: Receipt }>(tokenOf(answer)).writ;

type Item = Readonly<{
  leaf_hash: string;
  outcome: { sequence: number; decision: string; reason: string };
  facts: Record<string, unknown>;
}>;
const itemsOf = ({ body }: Reply): readonly Item[] => (body as { items: readonly Item[] }).items;

describe.each(databaseKinds)('the commit (%s)', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind });
  });
  afterAll(async () => {
    await world.close();
    expect(world.faults).toEqual([]);
  });

  it('makes each token the promise of a record: its leaf is in the log', async () => {
    const { leaf, session } = receiptOf(await world.exchange());
    const items = itemsOf(await world.admin('GET', `/log?session=${session}`));
    expect(items.map(({ leaf_hash }) => leaf_hash)).toEqual([leaf]);
  });

  it('numbers a hundred simultaneous decisions of one session without gap or double', async () => {
    const subject_token = await world.personToken('alice');
    const forms = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        world.form({ subject_token, ...(n % 5 === 0 ? { scope: 'repo:admin' } : {}) }),
      ),
    );
    const answers = await Promise.all(forms.map((form) => world.post('/token', form)));
    const granted = answers.filter(({ status }) => status === 200);
    expect(granted).toHaveLength(80);
    const sessions = new Set(granted.map((answer) => receiptOf(answer).session));
    expect(sessions.size).toBe(1);
    const items = itemsOf(await world.admin('GET', `/log?session=${[...sessions][0] ?? ''}&limit=200`));
    const numbers = items.map(({ outcome }) => outcome.sequence).sort((a, b) => a - b);
    // A refusal that came before the first permit found no session to join; all the others are numbered.
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, n) => n + 1));
    expect(items.filter(({ outcome }) => outcome.decision === 'permit')).toHaveLength(80);
  });

  it('spends a refused neighbour’s credentials and leaves the others of its batch alone', async () => {
    const same = await world.form();
    const others = await Promise.all(Array.from({ length: 10 }, () => world.form()));
    const answers = await Promise.all([same, same, ...others].map((form) => world.post('/token', form)));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array.from({ length: 11 }, () => 200), 401]);
  });

  it('refuses a person who was disabled, in the words of any unacceptable subject', async () => {
    await world.exchange({ subject_token: await world.personToken('mallory') });
    await sql(world, kind, `UPDATE person SET status = 'disabled' WHERE subject = 'mallory'`);
    const answer = await world.exchange({ subject_token: await world.personToken('mallory') });
    expect([answer.status, answer.body]).toEqual([
      400,
      { error: 'invalid_request', error_description: 'subject_token is not acceptable' },
    ]);
  });

  it('closes a session that ends before the token would, records that, and opens the next', async () => {
    const subject_token = await world.personToken('alice');
    const first = receiptOf(await world.exchange({ subject_token })).session;
    await sql(
      world,
      kind,
      `UPDATE agent_session SET expires_at = clock_timestamp() + interval '60 seconds' WHERE id = '${first}'`,
    );
    const second = receiptOf(await world.exchange({ subject_token })).session;
    expect(second).not.toBe(first);
    const records = itemsOf(await world.admin('GET', `/log?session=${first}`)).map(({ outcome }) => [
      outcome.sequence,
      outcome.reason,
    ]);
    expect(records).toEqual([
      [1, 'permitted'],
      [2, 'expired'],
    ]);
  });
});

/** Asks until the answer is as wanted, for at most three seconds; then the last answer. */
async function eventually<T>(ask: () => Promise<T>, wanted: (answer: T) => boolean): Promise<T> {
  const end = Date.now() + 3_000;
  for (;;) {
    const answer = await ask();
    if (wanted(answer) || Date.now() > end) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Direct access to what no API of today does. The embedded database admits one process: ours is in it. */
async function sql(world: World, kind: string, statement: string): Promise<void> {
  if (kind === 'embedded') {
    await world.writ.database.prisma.$executeRawUnsafe(statement);
    return;
  }
  const client = new pg.Client({ connectionString: world.config.databaseUrl });
  await client.connect();
  await client.query(statement);
  await client.end();
}

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
    const servedThere = await eventually(async () => replica.post('/token', await world.form()), ({ status }) => status === 200);
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

  it('publish the same keys, so that either verifies what the other signed', async () => {
    const token = tokenOf(await replica.post('/token', await world.form()));
    const answer = await world.post('/introspect', { ...(await world.form({}, world.rs1)), token });
    expect(answer.body).toMatchObject({ active: true });
  });
});
