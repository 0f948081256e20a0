import { beforeEach, expect, it } from '@jest/globals';
import { openSessionPruning } from '../../src/storage/index.js';
import { describeDatabases } from '../support/databases.js';

type Row = Readonly<Record<string, string | Date | number | null>>;

const daysAgo = (days: number): Date => new Date(Date.now() - days * 86_400_000);
let counter = 0;

describeDatabases('sessions that were closed 90 days ago', (database) => {
  let agent = '';
  let old = '';
  beforeEach(async () => {
    const { prisma } = database();
    await prisma.agentSession.deleteMany();
    agent = `agt-${(counter += 1)}`;
    old = `ses-old-${counter}`;
    await insert({
      id: 'ses-young',
      run_key: 'young',
      status: 'active',
      opened_at: daysAgo(1),
      ended_at: null,
      closed_at: null,
    });
  });

  /** Of this agent, ended by its time 92 days ago and closed a day later, unless it says otherwise. */
  async function insert(changes: Row): Promise<void> {
    const row: Row = {
      ...{ id: old, run_key: `run ${old}`, person_id: 'prs', agent_id: agent, status: 'ended', last_sequence: 3 },
      ...{ opened_at: daysAgo(93), last_used_at: daysAgo(93), expires_at: daysAgo(92), ended_at: daysAgo(92) },
      ...{ closed_at: daysAgo(91), ...changes },
    };
    const places = Object.keys(row).map((_, n) => `$${String(n + 1)}`);
    const sql = `INSERT INTO agent_session (${Object.keys(row).join()}) VALUES (${places.join()})`;
    await database().prisma.$executeRawUnsafe(sql, ...Object.values(row));
  }
  async function left(rounds = 1): Promise<readonly string[]> {
    const pruning = openSessionPruning(database());
    for (let round = 0; round < rounds; round++) await pruning.prune(90);
    const rows = await database().prisma.agentSession.findMany({ where: { id: { not: 'ses-young' } } });
    return rows.map(({ id }) => id).sort();
  }

  it('are forgotten, with what is left of their budgets', async () => {
    await insert({});
    const account = { key: `key ${old}`, unit: 'calls', scope: 'session', ceiling: 9, used: 1, sessionId: old };
    await database().prisma.budgetAccount.create({ data: account });
    expect(await left()).toEqual([]);
    expect(await database().prisma.budgetAccount.count({ where: { key: account.key } })).toBe(0);
  });

  it.each<[string, Row]>([
    ['when they were closed a day later', { closed_at: daysAgo(89) }],
    ['when they are not closed', { closed_at: null }],
    [
      'when they were ended on purpose 399 days ago: their run is not to be opened again',
      { run_key: 'run', ended_at: daysAgo(399), closed_at: daysAgo(399) },
    ],
    ['when no session of their agent was opened after their end', { agent_id: 'agt-unused' }],
    [
      'when they are below one that is not closed, and were ended on purpose',
      { run_key: 'run', parent_id: 'ses-young' },
    ],
  ])('stay %s', async (_, changes) => {
    await insert(changes);
    expect(await left(2)).toEqual([old]);
  });

  it('are forgotten 400 days after they were ended on purpose, when nothing of their sign-in comes any more', async () => {
    await insert({ run_key: 'run', opened_at: daysAgo(402), ended_at: daysAgo(401), closed_at: daysAgo(401) });
    expect(await left()).toEqual([]);
  });

  it('go after those below them, which go whatever ended them', async () => {
    await insert({});
    await insert({ id: `${old}-below`, run_key: 'below', parent_id: old });
    expect(await left(1)).toEqual([old]);
    expect(await left(1)).toEqual([]);
  });

  it('are found behind any number of those that stay, and by each round from where the last one stopped', async () => {
    const { prisma } = database();
    await prisma.$executeRawUnsafe(
      `INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, opened_at, expires_at, ended_at, closed_at)
       SELECT 'kept-' || n, 'kept-' || n, 'prs', $1, 'ended', 1, now() - interval '100 days', now(), now() - interval '99 days',
         now() - interval '98 days' FROM generate_series(1, 5200) AS n`,
      agent,
    );
    await insert({});
    const pruning = openSessionPruning(database());
    await pruning.prune(90);
    expect(await prisma.agentSession.count({ where: { id: old } })).toBe(1);
    await pruning.prune(90);
    expect(await prisma.agentSession.count({ where: { id: old } })).toBe(0);
    expect(await prisma.agentSession.count()).toBe(5_201);
  });
});
