import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { LEASE_MS } from '../../src/audit/sequencer.js';
import { leafOf } from '../../src/storage/index.js';
import { parseCheckpoint, parseNote, Tree } from '../../src/tlog/index.js';
import { type Compiled, compileSource } from '../support/compiled.js';
import { databaseKinds, freshDatabase, type TestDatabase } from '../support/databases.js';
import { temporaryDirectory } from '../support/postgres.js';
import { spawnWrit, type WritProcess } from '../support/process.js';
import { ADMIN_TOKEN, freePort, request } from '../support/writ.js';

const ROUNDS = 6;

type Replica = { base: string; dataDir: string; writ: WritProcess };

describe.each(databaseKinds.filter((kind) => kind === 'server'))('two processes and one log (%s)', (kind) => {
  let fresh: TestDatabase;
  let compiled: Compiled;
  let issuer = '';
  const replicas: Replica[] = [];
  /** Every root that anybody was shown or that was stored, by its size. */
  const shown = new Map<number, Set<string>>();
  let written = 0;

  const start = async (dataDir: string): Promise<Replica> => {
    const port = await freePort();
    if (issuer === '') issuer = `http://localhost:${String(port)}`;
    const writ = await spawnWrit(compiled, {
      WRIT_ISSUER: issuer,
      WRIT_PORT: String(port),
      WRIT_ADMIN_TOKEN: ADMIN_TOKEN,
      WRIT_DATA_DIR: dataDir,
      DATABASE_URL: fresh.options.url,
    });
    return { base: `http://127.0.0.1:${String(port)}`, dataDir, writ };
  };
  const run = (sql: string, ...values: unknown[]): Promise<number> =>
    fresh.database.prisma.$executeRawUnsafe(sql, ...values);
  const rows = <T>(sql: string): Promise<T[]> => fresh.database.prisma.$queryRawUnsafe<T[]>(sql);

  const write = async (count: number): Promise<void> => {
    const made = Array.from({ length: count }, () =>
      leafOf({ kind: 'session', at: 1, facts: { what: 'ended', by: 'test' }, decision: 'done', reason: 'expired' }),
    );
    await run(
      `INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage)
       SELECT leaf, hash, 'session', '{}' FROM unnest($1::bytea[], $2::bytea[]) AS t(leaf, hash)`,
      made.map(({ leaf }) => leaf),
      made.map(({ leafHash }) => leafHash),
    );
    written += count;
  };
  const see = (note: string): void => {
    const parsed = parseNote(note);
    const checkpoint = parsed.ok ? parseCheckpoint(parsed.value.text) : undefined;
    if (checkpoint?.ok !== true) throw new Error(`no checkpoint: ${note}`);
    const { size, root } = checkpoint.value;
    shown.set(size, (shown.get(size) ?? new Set()).add(root.toString('base64')));
  };
  const look = async ({ base }: Replica): Promise<void> => {
    const { status, text } = await request(`${base}/audit/v1/checkpoint`, {});
    if (status === 200) see(text);
  };
  const tree = async (): Promise<{ holder: string | null; halted: string | null; isHeld: boolean }> => {
    const [row] = await rows<{ holder: string | null; halted: string | null; isHeld: boolean }>(
      'SELECT holder, halted, coalesce(held_until > clock_timestamp(), false) AS "isHeld" FROM log_tree',
    );
    if (row === undefined) throw new Error('no tree');
    return row;
  };
  /** Writes and looks for so long. */
  const busy = async (ms: number, others: readonly Replica[], steal = false): Promise<void> => {
    for (const until = performance.now() + ms; performance.now() < until;) {
      await write(1 + (written % 40));
      if (steal) await run(`UPDATE log_tree SET held_until = clock_timestamp() - interval '1 second'`);
      await Promise.all(others.map(look));
      await pause(15);
    }
  };
  const settled = async (): Promise<void> => {
    for (let waited = 0; ; waited += 50) {
      const [row] = await rows<{ waiting: number }>('SELECT count(*)::int AS waiting FROM log_pending');
      if (row?.waiting === 0) return;
      if (waited > 15_000) throw new Error('leaves wait and nobody appends them');
      await pause(50);
    }
  };
  const readyOf = async ({ base }: Replica): Promise<unknown> => (await request(`${base}/readyz`, {})).body;
  const until = async (isSo: () => Promise<boolean>): Promise<void> => {
    for (let waited = 0; !(await isSo()); waited += 50) {
      if (waited > 15_000) throw new Error('not in time');
      await pause(50);
    }
  };
  const soundly = { status: 'ready' };
  const unsoundly = { status: 'not_ready', reasons: ['log_inconsistent'] };

  beforeAll(async () => {
    compiled = compileSource();
    fresh = await freshDatabase(kind);
    const dataDirs = [temporaryDirectory('race-a'), temporaryDirectory('race-b')] as const;
    replicas.push(await start(dataDirs[0]));
    // The same secrets, and a memory of its own.
    cpSync(dataDirs[0], dataDirs[1], { recursive: true, filter: (path) => !path.endsWith('/checkpoint') });
    replicas.push(await start(dataDirs[1]));
  }, 120_000);
  afterAll(async () => {
    for (const { writ, dataDir } of replicas) {
      writ.child.kill('SIGKILL');
      rmSync(dataDir, { recursive: true, force: true });
    }
    await fresh.drop();
    compiled.remove();
  });

  it(`append each leaf once, in one order, though the lease is taken from the one that holds it all the time`, async () => {
    await busy(6_000, replicas, true);
    await settled();
    expect(await tree()).toMatchObject({ halted: null });
  }, 60_000);

  it(`go on when the holder stands still beyond its lease and wakes up, in each of ${String(ROUNDS)} rounds`, async () => {
    let woken = 0;
    for (let round = 0; woken < ROUNDS && round < 4 * ROUNDS; round++) {
      const [victim, other] = round % 2 === 0 ? replicas : [...replicas].reverse();
      if (victim === undefined || other === undefined) throw new Error('two replicas');
      const before = await tree();
      await busy(Math.random() * 300, replicas);
      victim.writ.child.kill('SIGSTOP');
      await busy(LEASE_MS * 1.6, [other]);
      const during = await tree();
      // The other one took over: it was the holder that stood still, in whatever it was about.
      if (before.holder !== null && during.holder !== before.holder) woken += 1;
      victim.writ.child.kill('SIGCONT');
      await busy(600, replicas);
      expect(await tree()).toMatchObject({ halted: null });
    }
    expect(woken).toBe(ROUNDS);
    await settled();
  }, 180_000);

  it('have made one log, of which every checkpoint that was ever shown is a part', async () => {
    for (const { note } of await rows<{ note: string }>('SELECT note FROM log_checkpoint')) see(note);
    for (const { dataDir } of replicas) see(readFileSync(join(dataDir, 'checkpoint'), 'utf8'));
    const entries = await rows<{ index: bigint; leaf_id: bigint; hash: Uint8Array }>(
      'SELECT e.index, e.leaf_id, l.leaf_hash AS hash FROM log_entry e JOIN log_leaf l ON l.id = e.leaf_id ORDER BY index',
    );
    const [leaves] = await rows<{ count: number }>(`SELECT count(*)::int AS count FROM log_leaf`);
    expect(entries.map(({ index }) => Number(index))).toEqual(entries.map((_, at) => at));
    expect(new Set(entries.map(({ leaf_id }) => leaf_id)).size).toBe(leaves?.count);
    expect(entries.length).toBeGreaterThanOrEqual(written);
    const whole = new Tree();
    const rootsAt = new Map<number, string>([[0, whole.root().toString('base64')]]);
    for (const { hash } of entries) {
      whole.append(Buffer.from(hash));
      if (shown.has(whole.size)) rootsAt.set(whole.size, whole.root().toString('base64'));
    }
    expect([...shown].filter(([size, roots]) => roots.size !== 1 || !roots.has(rootsAt.get(size) ?? ''))).toEqual([]);
    expect(shown.size).toBeGreaterThan(50);
    for (const replica of replicas) {
      expect(await readyOf(replica)).toEqual(soundly);
      expect(replica.writ.out() + replica.writ.err()).not.toMatch(/log_inconsistent|"level":"(error|fatal)"/);
    }
  });

  it('are none the worse for a third that has lost what it judges by: it alone refuses, until an operator says so (AU-03)', async () => {
    const [sound, lost] = replicas;
    if (sound === undefined || lost === undefined) throw new Error('two replicas');
    lost.writ.child.kill('SIGKILL');
    await lost.writ.exited();
    writeFileSync(join(lost.dataDir, 'checkpoint'), 'not one');
    Object.assign(lost, await start(lost.dataDir));
    expect(await readyOf(lost)).toEqual(unsoundly);
    await busy(LEASE_MS * 1.5, [sound]);
    await settled();
    expect([await readyOf(sound), await readyOf(lost)]).toEqual([soundly, unsoundly]);
    const recover = ({ base }: Replica): Promise<{ status: number; body: unknown }> =>
      request(`${base}/admin/v1/log/recovery`, {
        method: 'POST',
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
        body: JSON.stringify({ reason: 'INC-2' }),
      });
    expect((await recover(sound)).status).toBe(409);
    expect(await recover(lost)).toMatchObject({
      status: 200,
      body: { halted: expect.stringMatching(/the file checkpoint in WRIT_DATA_DIR is no checkpoint/) },
    });
    await until(async () => JSON.stringify(await readyOf(lost)) === JSON.stringify(soundly));
    await until(async () => JSON.stringify(await readyOf(sound)) === JSON.stringify(soundly));
    await settled();
    expect(await tree()).toMatchObject({ halted: null });
  }, 60_000);
});
