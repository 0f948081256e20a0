import { expect, it } from '@jest/globals';
import { leafFlaws, readRecord, type RetentionStore, retention, searchKeys } from '../../src/audit/index.js';
import { systemClock } from '../../src/base/index.js';
import {
  leafOf,
  openEventFinder,
  openLogIndex,
  openRetention,
  openTree,
  openTreeReader,
} from '../../src/storage/index.js';
import { Tree } from '../../src/tlog/index.js';
import { describeDatabases } from '../support/databases.js';

const DAYS = 30;
const NOON = 1_795_305_600;
const all = { keys: [], since: undefined, until: undefined };

describeDatabases('retention', (database) => {
  const tree = new Tree();
  const store = (): RetentionStore => openRetention(database(), systemClock);
  const sql = (text: string, ...values: unknown[]): Promise<unknown> =>
    database().prisma.$executeRawUnsafe(text, ...values);
  const write = async (kind: 'key' | 'decision', count: number): Promise<void> => {
    for (let n = 0; n < count; n++) {
      const facts = { what: 'test', person: n % 2 === 0 ? 'prs_even' : 'prs_odd' };
      const { leaf, leafHash } = leafOf({ kind, at: NOON, facts, decision: 'done', reason: 'test' });
      await sql(
        'INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage) VALUES ($1::bytea, $2::bytea, $3, ARRAY[]::text[])',
        ...[leaf, leafHash, kind],
      );
    }
  };
  /** Puts what waits into the tree, and lets everybody pass it who follows. */
  const sequence = async (): Promise<void> => {
    const writer = openTree(database(), systemClock);
    await writer.look('test', 60_000);
    const waiting = await writer.waiting(2_000);
    const from = tree.size;
    waiting.ids.forEach((_id, i) => {
      tree.append(waiting.hashes.subarray(i * 32, (i + 1) * 32));
    });
    const step = { holder: 'test', from, waiting, tiles: tree.takeGrown(), note: `note ${String(tree.size)}\n` };
    expect(await writer.append(step)).toBe('appended');
    while ((await openLogIndex(database()).step()) === 'more');
    await pass('findings', tree.size);
    await pass('findings-due', tree.size);
  };
  const pass = (name: string, index: number): Promise<unknown> =>
    sql(
      `INSERT INTO log_consumer (name, index) VALUES ($1, $2::bigint) ON CONFLICT (name) DO UPDATE SET index = $2::bigint`,
      ...[name, index],
    );
  const grow = (days: number, below = tree.size): Promise<unknown> =>
    sql(
      `UPDATE log_leaf l SET at = at - make_interval(days => $1::int) FROM log_entry e WHERE e.leaf_id = l.id AND e.index < $2::bigint`,
      ...[days, below],
    );
  const notice = (): Promise<unknown> =>
    sql(`UPDATE log_retention SET announced_at = announced_at - interval '1 hour'`);
  const places = async (): Promise<unknown> => {
    const { pruned, announced } = await store().look(3_600);
    return [pruned, announced];
  };
  const entries = async (start: number, end: number) =>
    openTreeReader(database()).entries({ start, end, limit: 1_000 });
  const found = async (keys: readonly string[] = []): Promise<number[]> => {
    const page = await openEventFinder(database()).find({ ...all, keys }, { after: -1, limit: 1_000 });
    return page.entries.map(({ index }) => index);
  };

  it('takes whole tiles of what is old enough, in the tree, and passed by all who follow it', async () => {
    await write('decision', 3);
    await write('key', 1);
    await write('decision', 560);
    expect(await store().reach(DAYS)).toMatchObject({ below: 0 });
    await sequence();
    expect(await store().reach(DAYS)).toMatchObject({ below: 0 });
    await grow(DAYS + 1, 300);
    expect(await store().reach(DAYS)).toMatchObject({ below: 256 });
    await grow(DAYS + 1);
    expect(await store().reach(DAYS)).toMatchObject({ below: 512 });
    for (const name of ['search', 'findings', 'findings-due']) {
      await pass(name, 300);
      expect([name, await store().reach(DAYS)]).toEqual([name, expect.objectContaining({ below: 256 })]);
      await pass(name, tree.size);
    }
  });

  it('leaves the records of a session that is not closed', async () => {
    await sql(
      `INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, opened_at, expires_at)
        VALUES ('ses_1', 'r', 'p', 'a', 'active', 1, now() - interval '70 days', now())`,
    );
    expect(await store().reach(DAYS)).toMatchObject({ below: 0 });
    await sql(`UPDATE agent_session SET closed_at = now()`);
    expect(await store().reach(DAYS)).toMatchObject({ below: 512 });
  });

  it('says in the log what it will remove, once for all processes, before it removes anything', async () => {
    const steps = [1, 2, 3, 4].map(() => retention({ store: store(), days: DAYS, onPruned: () => undefined }));
    await Promise.all(steps.map((step) => step()));
    await Promise.all(steps.map((step) => step()));
    expect(await places()).toEqual([0, 512]);
    const records = await database().prisma.logLeaf.findMany({ where: { kind: 'retention' } });
    expect(records).toHaveLength(1);
    const leaf = Buffer.from(records[0]?.leaf ?? []);
    expect([leafFlaws(leaf), readRecord(leaf)?.facts]).toEqual([
      [],
      { what: 'pruned', from: 0, below: 512, older_than: expect.any(Number), days: DAYS, by: 'writ' },
    ]);
    expect(await store().look(0)).toMatchObject({ isDue: false });
    await sequence();
    expect(await store().look(0)).toMatchObject({ isDue: true });
    expect(await store().look(3_600)).toMatchObject({ isDue: false });
    expect(await openTreeReader(database()).retentionRecords()).toEqual([tree.size - 1]);
  });

  it('removes content, what it is found by and what was made of it, and no hash and no key', async () => {
    await sql(
      `INSERT INTO outcome (key, content, server, token_hash, tool, outcome, leaf_hash)
        SELECT index::text, '', '', '', '', '', leaf_hash FROM log_entry WHERE index IN (7, 520)`,
    );
    await sql(
      `INSERT INTO log_finding (id, kind, facts, at)
        VALUES ('old', 'no_outcome', '{}', now() - interval '31 days 1 minute'), ('new', 'no_outcome', '{}', now())`,
    );
    await sql(`UPDATE log_leaf SET at = at + interval '1 day' WHERE kind = 'retention'`);
    await notice();
    const before = await entries(0, 600);
    const removed: number[] = [];
    const step = retention({ store: store(), days: DAYS, onPruned: (records) => removed.push(records) });
    await step();
    expect([await places(), removed]).toEqual([
      [512, 512],
      [255, 256],
    ]);
    const after = await entries(0, 600);
    expect(after.map(({ leafHash }) => leafHash)).toEqual(before.map(({ leafHash }) => leafHash));
    const isGone = after.map(({ leaf, isPruned }) => leaf === undefined && isPruned);
    expect(isGone.flatMap((gone, index) => (gone ? [] : [index]))).toEqual([
      3,
      ...Array.from({ length: tree.size - 512 }, (_, n) => n + 512),
    ]);
    expect(await found()).toEqual(isGone.flatMap((gone, index) => (gone ? [] : [index])));
    expect((await found(['person:prs_even'])).slice(0, 3)).toEqual([3, 512, 514]);
    expect(await found(['kind:key'])).toEqual([3]);
    expect((await database().prisma.outcome.findMany()).map(({ key }) => key)).toEqual(['520']);
    expect((await database().prisma.logFinding.findMany()).map(({ id }) => id)).toEqual(['new']);
    expect(await openTreeReader(database()).retentionRecords()).toEqual([tree.size - 1]);
  });

  it('pages over what it removed as over nothing', async () => {
    const page = (after: number, limit: number) => openEventFinder(database()).find(all, { after, limit });
    const read: number[] = [];
    for (let after: number | undefined = -1; after !== undefined;) {
      const { entries: some, next }: Awaited<ReturnType<typeof page>> = await page(after, 7);
      read.push(...some.map(({ index }) => index));
      after = next;
    }
    expect(read).toEqual(await found());
  });

  it('takes no entry for its own whose leaf somebody else removed', async () => {
    await sql('UPDATE log_entry SET leaf_id = NULL WHERE index = 530');
    await sql('DELETE FROM log_leaf l USING log_entry e WHERE e.leaf_id = l.id AND e.index = 531');
    expect((await entries(529, 533)).map(({ leaf, isPruned }) => [leaf === undefined, isPruned])).toEqual([
      [false, false],
      [true, false],
      [true, false],
      [false, false],
    ]);
  });

  it('removes a tile once, whoever tries, and hides nothing that was tampered with', async () => {
    await write('decision', 300);
    await sequence();
    await sql(`UPDATE log_leaf l SET leaf = 'other' FROM log_entry e WHERE e.leaf_id = l.id AND e.index = 540`);
    await grow(DAYS + 1);
    const step = (): Promise<unknown> => retention({ store: store(), days: DAYS, onPruned: () => undefined })();
    await step();
    expect(await places()).toEqual([512, 768]);
    await sequence();
    expect(await openTreeReader(database()).retentionRecords()).toEqual([564, tree.size - 1]);
    const taken = await Promise.all([1, 2, 3].map(() => store().prune(512, DAYS)));
    expect(taken.filter((one) => one !== undefined)).toEqual([256 - 4]);
    const left = (await entries(512, 768)).filter(({ leaf }) => leaf !== undefined);
    expect(left.map(({ index }) => index)).toEqual([540, 564]);
    expect((await entries(531, 532)).map(({ isPruned }) => isPruned)).toEqual([false]);
  });

  it('removes nothing that is too young, nor while the log is halted', async () => {
    await write('decision', 300);
    await sequence();
    await grow(DAYS + 1);
    await sql(`UPDATE log_tree SET halted = 'test'`);
    expect(await store().reach(DAYS)).toBeUndefined();
    await sql(`UPDATE log_retention SET announced = 1024`);
    expect(await store().prune(768, DAYS)).toBeUndefined();
    await sql(`UPDATE log_tree SET halted = NULL`);
    await sql(`UPDATE log_leaf l SET at = now() FROM log_entry e WHERE e.leaf_id = l.id AND e.index = 1000`);
    expect(await store().prune(768, DAYS)).toBeUndefined();
    expect(await store().prune(768, DAYS - 29)).toBeUndefined();
    await grow(DAYS + 1);
    expect(await store().prune(1_024, DAYS)).toBeUndefined();
    expect(await store().prune(768, DAYS)).toBe(255);
  });

  it('forgets who people were of whom nothing is left, and nobody else', async () => {
    const old = `now() - interval '31 days'`;
    await sql(`INSERT INTO person (id, issuer, subject, status, created_at) VALUES
      ('prs_even', 'i', 'in the log', 'active', ${old}), ('prs_gone', 'i', 'gone', 'active', ${old}),
      ('prs_new', 'i', 'new', 'active', now()), ('prs_off', 'i', 'off', 'disabled', ${old}),
      ('prs_consent', 'i', 'consent', 'active', ${old}), ('prs_session', 'i', 'session', 'active', ${old}),
      ('prs_passkey', 'i', 'passkey', 'active', ${old}), ('prs_invited', 'i', 'invited', 'active', ${old}),
      ('prs_too_late', 'i', 'too late', 'active', ${old})`);
    await sql(`INSERT INTO passkey (id, person_id, public_key, counter, transports, may_be_copied, is_backed_up)
      VALUES ('pk', 'prs_passkey', '\\x00', 0, '{}', false, false)`);
    await sql(`INSERT INTO enrolment (token_hash, person_id, expires_at) VALUES
      ('open', 'prs_invited', now() + interval '1 hour'), ('over', 'prs_too_late', now() - interval '1 hour')`);
    await database().prisma.engineRecord.create({
      data: { key: 'k', model: 'Grant', payload: { accountId: 'prs_consent' } },
    });
    await sql(
      `INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, expires_at)
        VALUES ('ses_2', 'r2', 'prs_session', 'a', 'active', 1, now())`,
    );
    expect(
      searchKeys({
        kind: 'decision',
        at: 0,
        facts: { person: 'prs_gone' },
        decision: 'done',
        session: null,
        txn: null,
      }),
    ).toContain('person:prs_gone');
    expect(await store().forget('', DAYS)).toEqual({ next: undefined });
    const left = await database().prisma.person.findMany({ orderBy: { id: 'asc' } });
    expect(left.map(({ id }) => id)).toEqual([
      ...['prs_consent', 'prs_even', 'prs_invited', 'prs_new', 'prs_off', 'prs_passkey', 'prs_session'],
    ]);
  });
});
