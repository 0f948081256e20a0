import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import pg from 'pg';
import { databaseKinds } from '../support/databases.js';
import { startWorld, type World } from '../support/world.js';
import { type Reply, tokenOf } from '../support/writ.js';

type Receipt = Readonly<{ session: string; leaf: string; seen: number }>;
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

  it('decides again with the registry of now when another process changed it, and answers once', async () => {
    await sql(world, kind, 'UPDATE registry_state SET version = version + 1');
    const { session } = receiptOf(await world.exchange({ subject_token: await world.personToken('dora') }));
    const items = itemsOf(await world.admin('GET', `/log?session=${session}`));
    expect(items.map(({ outcome }) => outcome.decision)).toEqual(['permit']);
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
