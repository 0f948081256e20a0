import { generateKeyPairSync } from 'node:crypto';
import { beforeEach, expect, it } from '@jest/globals';
import { logSigner, type RecordKind, Sequencer } from '../../src/audit/index.js';
import { systemClock } from '../../src/base/index.js';
import {
  leafOf,
  openCosignatures,
  openLogConsumers,
  openLogIndex,
  openLogRecovery,
  openTree,
  openTreeReader,
} from '../../src/storage/index.js';
import { describeDatabases } from '../support/databases.js';

const signer = logSigner('https://writ.example', [generateKeyPairSync('ed25519').privateKey]);
const INSERT = `INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage) VALUES ($1::bytea, $2::bytea, $3, ARRAY[]::text[])`;

const TABLES = ['pending', 'entry', 'tile', 'checkpoint', 'cosignature', 'verifier_key', 'consumer', 'posting', 'leaf'];

describeDatabases('a log that an operator lets go on', (database) => {
  const run = (sql: string): Promise<number> => database().prisma.$executeRawUnsafe(sql);
  const write = async (from: number, to: number, kind: RecordKind): Promise<void> => {
    for (let n = from; n < to; n++) {
      const { leaf, leafHash } = leafOf({ kind, at: 1_700_000_000, facts: { n }, decision: 'done', reason: 'x' });
      await database().prisma.$executeRawUnsafe(INSERT, leaf, leafHash, kind);
    }
  };
  const through = async (): Promise<void> => {
    let timeMs = 0;
    const sequencer = new Sequencer({
      ...{ holder: crypto.randomUUID(), tree: openTree(database(), systemClock), reader: openTreeReader(database()) },
      ...{ signer, timeMs: () => (timeMs += 60_000) },
      memory: { recall: () => ({ checkpoint: undefined, recovery: undefined }), keep: () => undefined },
    });
    let step = await sequencer.step();
    while (step.did === 'appended') step = await sequencer.step();
    expect(step).toMatchObject({ did: 'idle' });
    await sequencer.release();
    const index = openLogIndex(database());
    while ((await index.step()) === 'more');
  };
  const recover = async (): Promise<number | undefined> => {
    await run(`UPDATE log_tree SET halted = 'the test says so'`);
    const operator = openLogRecovery(database(), systemClock, { signer, why: () => undefined });
    return (await operator.recover('operator', 'test'))?.size;
  };
  /** Every entry that the index finds by its kind, beside what it is. */
  const found = async (): Promise<readonly string[]> => {
    const postings = await database().prisma.$queryRawUnsafe<{ key: string; tile: string; bits: string }[]>(
      `SELECT key, tile::text AS tile, bits::text AS bits FROM log_posting WHERE key LIKE 'kind:%'`,
    );
    return postings
      .flatMap(({ key, tile, bits }) =>
        Array.from(bits).flatMap((bit, at) => (bit === '1' ? [`${Number(tile) * 256 + at} ${key.slice(5)}`] : [])),
      )
      .sort();
  };
  const there = async (): Promise<readonly string[]> => {
    const rows = await database().prisma.$queryRawUnsafe<{ text: string }[]>(
      `SELECT e.index || ' ' || l.kind AS text FROM log_entry e JOIN log_leaf l ON l.id = e.leaf_id`,
    );
    return rows.map(({ text }) => text).sort();
  };
  const unsequenced = async (): Promise<number> =>
    Number(
      (
        await database().prisma.$queryRawUnsafe<{ count: bigint }[]>(
          `SELECT count(*) AS count FROM log_leaf l LEFT JOIN log_entry e ON e.leaf_id = l.id WHERE e.index IS NULL`,
        )
      )[0]?.count,
    );

  beforeEach(async () => {
    await run(`TRUNCATE ${TABLES.map((table) => `log_${table}`).join(', ')}`);
    await run('UPDATE log_tree SET size = 0, holder = NULL, held_until = NULL, halted = NULL, recovery = NULL');
    await run('UPDATE log_retention SET pruned = 0, announced = 0');
  });

  it('is searched and sent again from where it was cut, and finds what is there now', async () => {
    await write(0, 200, 'key');
    await write(200, 230, 'policy');
    await write(230, 530, 'session');
    await through();
    const consumers = openLogConsumers(database());
    await consumers.advance('webhook', 0, 530);
    await consumers.advance('behind', 0, 7);
    await run('UPDATE log_retention SET pruned = 512, announced = 512');
    await run(`DELETE FROM log_leaf WHERE id IN (SELECT leaf_id FROM log_entry WHERE index BETWEEN 200 AND 229)`);
    await run('DELETE FROM log_entry WHERE index BETWEEN 200 AND 229');

    expect(await recover()).toBe(200);
    expect(await found()).toEqual((await there()).filter((entry) => entry.endsWith(' key')));
    const positions = ['webhook', 'search', 'behind'].map((name) => consumers.position(name));
    expect(await Promise.all(positions)).toEqual([200, 200, 7]);
    expect(await database().prisma.logRetention.findMany()).toMatchObject([{ pruned: 0n, announced: 0n }]);
    await through();
    expect((await there()).length).toBe(501);
    expect(await found()).toEqual(await there());
  }, 60_000);

  it('gets every whole leaf that was not in it any more, though its entry was deleted', async () => {
    await write(0, 300, 'key');
    await through();
    await run('DELETE FROM log_entry WHERE index >= 256');
    await write(300, 302, 'session');
    await run('DELETE FROM log_pending');
    expect(await recover()).toBe(256);
    await through();
    expect([await unsequenced(), (await there()).length]).toEqual([0, 303]);
    expect(await found()).toEqual(await there());
  }, 60_000);

  it('keeps what witnesses said of the tree that it has, and nothing that they said of another', async () => {
    const said = openCosignatures(database());
    const sizes = async (): Promise<readonly bigint[]> =>
      (await database().prisma.logCosignature.findMany({ orderBy: { size: 'asc' } })).map(({ size }) => size);
    await write(0, 2, 'key');
    await through();
    await write(2, 4, 'key');
    await through();
    await write(4, 6, 'key');
    await through();
    for (const size of [2, 4, 6]) await said.keep(size, [{ name: 'w', line: `— w ${size}`, at: 1_700_000_000 }]);
    await run('DELETE FROM log_entry WHERE index >= 4');
    expect(await recover()).toBe(4);
    expect(await sizes()).toEqual([2n, 4n]);

    await run(
      `UPDATE log_leaf SET leaf = 'x', leaf_hash = sha256('\\x00'::bytea || 'x') WHERE id = (SELECT leaf_id FROM log_entry WHERE index = 3)`,
    );
    await run(`UPDATE log_entry SET leaf_hash = sha256('\\x00'::bytea || 'x') WHERE index = 3`);
    expect(await recover()).toBe(4);
    expect(await sizes()).toEqual([2n]);
  }, 60_000);
});
