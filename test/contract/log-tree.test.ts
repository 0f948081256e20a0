import { createHash } from 'node:crypto';
import { beforeEach, expect, it } from '@jest/globals';
import type { Append, TreeWriter } from '../../src/audit/index.js';
import { systemClock } from '../../src/base/index.js';
import { openTree, openTreeReader } from '../../src/storage/index.js';
import { Tree } from '../../src/tlog/index.js';
import { describeDatabases } from '../support/databases.js';

const INSERT = `INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage)
  SELECT convert_to(text, 'UTF8'), sha256('\\x00'::bytea || convert_to(text, 'UTF8')), 'session', ARRAY[]::text[]
  FROM unnest($1::text[]) AS u(text) RETURNING id`;

const hashOf = (text: string): Buffer => createHash('sha256').update(`\x00${text}`).digest();
const LEASE = 2_000;

describeDatabases('the tree as it is stored', (database) => {
  const tree = (): TreeWriter => openTree(database(), systemClock);
  const write = async (...texts: string[]): Promise<string[]> =>
    (await database().prisma.$queryRawUnsafe<{ id: bigint }[]>(INSERT, texts)).map(({ id }) => String(id));
  const step = async (holder: string, from: Tree, note: string): Promise<Append> => {
    const waiting = await tree().waiting(1_000);
    const size = from.size;
    waiting.ids.forEach((_id, i) => {
      from.append(waiting.hashes.subarray(i * 32, (i + 1) * 32));
    });
    return { holder, from: size, waiting, tiles: from.takeGrown(), note };
  };

  beforeEach(async () => {
    const tables = ['pending', 'entry', 'tile', 'checkpoint', 'cosignature', 'verifier_key', 'leaf'].map(
      (t) => `log_${t}`,
    );
    await database().prisma.$executeRawUnsafe(`TRUNCATE ${tables.join(', ')}`);
    await database().prisma.$executeRawUnsafe(
      'UPDATE log_tree SET size = 0, holder = NULL, held_until = NULL, halted = NULL',
    );
  });

  it('has every leaf that a statement writes in its queue, from that statement on', async () => {
    const ids = await write('a', 'b', 'c');
    const { hashes, ...waiting } = await tree().waiting(1_000);
    expect(waiting).toEqual({ ids, broken: [] });
    expect(hashes).toEqual(Buffer.concat(['a', 'b', 'c'].map(hashOf)));
    expect((await tree().waiting(2)).ids).toEqual(ids.slice(0, 2));
  });

  it('has nothing of a leaf that was rolled back in its queue', async () => {
    const writing = database().prisma.$transaction(async (transaction) => {
      await transaction.$queryRawUnsafe(INSERT, ['d']);
      throw new Error('not this one');
    });
    await expect(writing).rejects.toThrow('not this one');
    expect((await tree().waiting(1_000)).ids).toEqual([]);
  });

  it('names what waits without its leaf, or with a hash that is not of its bytes', async () => {
    const [gone, whole, other] = await write('a', 'b', 'c');
    await database().prisma.$executeRawUnsafe('DELETE FROM log_leaf WHERE id = $1::bigint', gone);
    await database().prisma.$executeRawUnsafe(`UPDATE log_leaf SET leaf = 'other' WHERE id = $1::bigint`, other);
    expect(await tree().waiting(1_000)).toMatchObject({ ids: [gone, whole, other], broken: [gone, other] });
  });

  it('is held by one until the lease is over or given back', async () => {
    expect(await tree().look('one', LEASE)).toMatchObject({
      size: 0,
      isHeld: true,
      note: undefined,
      halted: undefined,
    });
    expect(await tree().look('two', LEASE)).toMatchObject({ isHeld: false });
    expect(await tree().look('one', LEASE)).toMatchObject({ isHeld: true });
    await tree().release('two');
    expect(await tree().look('two', LEASE)).toMatchObject({ isHeld: false });
    await tree().release('one');
    expect(await tree().look('two', LEASE)).toMatchObject({ isHeld: true });
    await database().prisma.$executeRawUnsafe(`UPDATE log_tree SET held_until = clock_timestamp() - interval '1 ms'`);
    expect(await tree().look('one', LEASE)).toMatchObject({ isHeld: true });
  });

  it('grows by one statement: entries, tiles, checkpoint and size, and nothing waits any more', async () => {
    const texts = Array.from({ length: 300 }, (_, i) => `leaf ${i}`);
    await tree().look('one', LEASE);
    expect((await tree().look('one', LEASE)).lag).toBeUndefined();
    const ids = await write(...texts);
    expect((await tree().look('one', LEASE)).lag).toBeGreaterThanOrEqual(0);
    const grown = new Tree();
    expect(await tree().append(await step('one', grown, 'note 300'))).toBe('appended');

    const reader = openTreeReader(database());
    expect(await tree().look('one', LEASE)).toMatchObject({ size: 300, note: 'note 300', lag: undefined });
    expect(await reader.latest()).toEqual({ size: 300, note: 'note 300', at: expect.any(Number) });
    const hashes = texts.map(hashOf);
    expect(
      await reader.tiles([
        { level: 0, index: 1, width: 44 },
        { level: 0, index: 0, width: 256 },
      ]),
    ).toEqual([Buffer.concat(hashes.slice(256)), Buffer.concat(hashes.slice(0, 256))]);
    expect((await reader.tile(1, 0))?.length).toBe(32);
    expect(await reader.tile(2, 0)).toBeUndefined();
    await expect(reader.tiles([{ level: 0, index: 1, width: 45 }])).rejects.toMatchObject({ code: 'log_inconsistent' });
    expect(await reader.indexOf(hashOf('leaf 299'))).toBe(299);
    expect(await reader.indexOf(hashOf('leaf 300'))).toBeUndefined();
    expect(await reader.entries({ start: 298, end: 1_000, limit: 9 })).toEqual(
      [298, 299].map((index) => ({
        index,
        leafHash: hashes[index],
        leaf: Buffer.from(`leaf ${index}`),
        isPruned: false,
      })),
    );
    expect(await tree().tail(300, 2)).toEqual({ entries: 300, hashes: Buffer.concat(hashes.slice(298)) });
    expect(ids).toHaveLength(300);
  });

  const changed = [
    ['somebody else holds it', (s: Append): Append => ({ ...s, holder: 'two' })],
    ['it has another size', (s: Append): Append => ({ ...s, from: 1 })],
  ] as const;
  it.each(changed)('does not grow when %s, and nothing of the step is left', async (_title, change) => {
    await tree().look('one', LEASE);
    const ids = await write('a');
    expect(await tree().append(change(await step('one', new Tree(), 'note')))).toBe('lost');
    expect(await tree().look('one', LEASE)).toMatchObject({ size: 0, note: undefined });
    expect((await tree().waiting(9)).ids).toEqual(ids);
    expect(await openTreeReader(database()).entries({ start: 0, end: 9, limit: 9 })).toEqual([]);
    expect(await openTreeReader(database()).tile(0, 0)).toBeUndefined();
  });

  it('does not grow by a leaf that does not wait any more', async () => {
    await tree().look('one', LEASE);
    await write('a', 'b');
    const wanted = await step('one', new Tree(), 'note');
    await database().prisma.$executeRawUnsafe(
      'DELETE FROM log_pending WHERE leaf_id = $1::bigint',
      wanted.waiting.ids[0],
    );
    await expect(tree().append(wanted)).rejects.toThrow();
    expect(await tree().look('one', LEASE)).toMatchObject({ size: 0, note: undefined });
    expect((await tree().waiting(9)).ids).toEqual(wanted.waiting.ids.slice(1));
  });

  it('does not grow once it is halted, and keeps the first reason', async () => {
    await tree().look('one', LEASE);
    await write('a');
    const seen = { size: 0, recovery: undefined };
    expect(await tree().halt('of another size', { ...seen, size: 1 })).toBe(false);
    expect(await tree().halt('of another recovery', { ...seen, recovery: 'x' })).toBe(false);
    expect(await tree().halt('first', seen)).toBe(true);
    expect(await tree().halt('second', seen)).toBe(true);
    expect(await tree().append(await step('one', new Tree(), 'note'))).toBe('lost');
    expect(await tree().look('one', LEASE)).toMatchObject({ size: 0, halted: 'first' });
  });

  const spoilt = [
    ['whose leaf is gone', `DELETE FROM log_leaf WHERE leaf = 'b'`],
    ['whose leaf is another', `UPDATE log_leaf SET leaf = 'x' WHERE leaf = 'b'`],
    ['that is gone', 'DELETE FROM log_entry WHERE index = 1'],
  ] as const;
  it.each(spoilt)('tells of an entry at its end %s', async (_title, sql) => {
    await tree().look('one', LEASE);
    await write('a', 'b', 'c');
    await tree().append(await step('one', new Tree(), 'note'));
    await database().prisma.$executeRawUnsafe(sql);
    expect(await tree().tail(3, 3)).toEqual({ entries: 3, hashes: undefined });
  });

  it('remembers its verifier keys, and writes the record of a new one', async () => {
    await tree().announceKey({ vkey: 'first', previous: undefined, fromSize: 0 });
    await tree().announceKey({ vkey: 'second', previous: 'first', fromSize: 7 });
    await tree().announceKey({ vkey: 'second', previous: 'first', fromSize: 8 });
    const [leaf, ...others] = await database().prisma.logLeaf.findMany();
    expect(others).toEqual([]);
    expect(JSON.parse(Buffer.from(leaf?.leaf ?? []).toString())).toMatchObject({
      kind: 'key',
      facts: { what: 'log_key', vkey: 'second', previous: 'first' },
    });
    expect(await openTreeReader(database()).verifierKeys()).toEqual([
      { vkey: 'first', fromSize: 0, leafHash: undefined },
      { vkey: 'second', fromSize: 7, leafHash: Buffer.from(leaf?.leafHash ?? []) },
    ]);
  });
});

describeDatabases('a checkpoint with cosignatures', (database) => {
  it('is served as one note, and as the first that covers a size', async () => {
    await database().prisma.$executeRawUnsafe(
      `INSERT INTO log_checkpoint (size, note) VALUES (3, E'three\\n'), (5, E'five\\n')`,
    );
    await database().prisma.$executeRawUnsafe(
      `INSERT INTO log_cosignature (size, name, line) VALUES (5, 'w2', 'two'), (5, 'w1', 'one')`,
    );
    await database().prisma.$executeRawUnsafe('UPDATE log_tree SET size = 5');
    const reader = openTreeReader(database());
    expect(await reader.latest()).toMatchObject({ size: 5, note: 'five\none\ntwo\n' });
    expect(await reader.checkpointFrom(2)).toMatchObject({ size: 3, note: 'three\n' });
    expect(await reader.checkpointFrom(4)).toMatchObject({ size: 5, note: 'five\none\ntwo\n' });
    expect(await reader.checkpointFrom(6)).toBeUndefined();
  });
});
