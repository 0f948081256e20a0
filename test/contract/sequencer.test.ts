import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { beforeEach, expect, it } from '@jest/globals';
import {
  type LogSigner,
  logSigner,
  type Remembered,
  Sequencer,
  type Step,
  type TreeWriter,
} from '../../src/audit/index.js';
import { systemClock } from '../../src/base/index.js';
import { openTree, openTreeReader } from '../../src/storage/index.js';
import { leafHash, rootAt, Tree } from '../../src/tlog/index.js';
import { describeDatabases } from '../support/databases.js';

const ISSUER = 'https://writ.example';
const key = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
const KEY = key();

const INSERT = `INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage)
  SELECT convert_to(text, 'UTF8'), sha256('\\x00'::bytea || convert_to(text, 'UTF8')), 'session', ARRAY[]::text[]
  FROM unnest($1::text[]) AS u(text)`;

const TABLES = ['pending', 'entry', 'tile', 'checkpoint', 'cosignature', 'verifier_key', 'leaf'].map((t) => `log_${t}`);
const names = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `leaf ${from + i}`);

describeDatabases('the sequencer', (database, kind) => {
  const write = async (...texts: string[]): Promise<void> => {
    await database().prisma.$executeRawUnsafe(INSERT, texts);
  };
  const run = (sql: string): Promise<number> => database().prisma.$executeRawUnsafe(sql);

  const writer = (): TreeWriter => openTree(database(), systemClock);

  type Process = Readonly<{ sequencer: Sequencer; remembered(): Remembered; signer: LogSigner }>;
  /** A process with what it remembers, which may be what another left. */
  const start = (memory: Partial<Remembered> = {}, signer = logSigner(ISSUER, [KEY]), tree = writer()): Process => {
    let kept: Remembered = { checkpoint: undefined, recovery: undefined, ...memory };
    let timeMs = 0;
    const sequencer = new Sequencer({
      holder: crypto.randomUUID(),
      tree,
      reader: openTreeReader(database()),
      signer,
      memory: { recall: () => kept, keep: (more) => (kept = { ...kept, ...more }) },
      // Every step looks at everything.
      timeMs: () => (timeMs += 60_000),
    });
    return { sequencer, remembered: () => kept, signer };
  };
  const through = async ({ sequencer }: Pick<Process, 'sequencer'>): Promise<Step> => {
    for (;;) {
      const step = await sequencer.step();
      if (step.did !== 'appended') return step;
    }
  };
  const leaves = async (): Promise<string[]> =>
    (await openTreeReader(database()).entries({ start: 0, end: 100_000, limit: 100_000 })).map(({ leaf }) =>
      String(leaf),
    );
  /** The tree that the stored checkpoint signs is the one over the stored entries, in one order, each once. */
  const mustBeOneLog = async (signer = logSigner(ISSUER, [KEY])): Promise<string[]> => {
    const reader = openTreeReader(database());
    const texts = await leaves();
    const tree = new Tree();
    for (const text of texts) tree.append(leafHash(Buffer.from(text)));
    const opened = signer.openCheckpoint((await reader.latest())?.note ?? '');
    expect(opened).toMatchObject({ ok: true, value: { size: texts.length, root: tree.root() } });
    expect(await rootAt(texts.length, reader.tiles)).toEqual(tree.root());
    expect(new Set(texts).size).toBe(texts.length);
    return texts;
  };

  beforeEach(async () => {
    await run(`TRUNCATE ${TABLES.join(', ')}`);
    await run('UPDATE log_tree SET size = 0, holder = NULL, held_until = NULL, halted = NULL, recovery = NULL');
  });

  it('signs a checkpoint of the empty log', async () => {
    const process = start();
    expect(await process.sequencer.step()).toMatchObject({ did: 'appended', appended: 0, size: 0 });
    expect(await process.sequencer.step()).toMatchObject({ did: 'idle' });
    expect(await mustBeOneLog()).toEqual([]);
  });

  it('puts everything that waits into the tree, batch after batch, and remembers the last checkpoint', async () => {
    const process = start();
    await write(...names(0, 5_000));
    expect(await process.sequencer.step()).toMatchObject({ did: 'appended', appended: 2_048, isMore: true });
    await through(process);
    await write(...names(5_000, 5_003));
    await through(process);
    expect(await mustBeOneLog()).toEqual(names(0, 5_003));
    expect(process.remembered().checkpoint).toBe((await openTreeReader(database()).latest())?.note);
  }, 60_000);

  it('goes on where another process stopped', async () => {
    await write(...names(0, 300));
    const first = start();
    await through(first);
    await first.sequencer.release();
    await write(...names(300, 600));
    await through(start(first.remembered()));
    expect(await mustBeOneLog()).toEqual(names(0, 600));
  });

  it('leaves the tree to the process that holds it, until its lease is over', async () => {
    const [first, second] = [start(), start()];
    await through(first);
    await write('a');
    expect(await second.sequencer.step()).toMatchObject({ did: 'standby', lag: expect.any(Number) });
    await run(`UPDATE log_tree SET held_until = clock_timestamp() - interval '1 second'`);
    expect(await second.sequencer.step()).toMatchObject({ did: 'appended', appended: 1 });
    await write('b');
    expect(await first.sequencer.step()).toMatchObject({ did: 'standby' });
    await run(`UPDATE log_tree SET held_until = clock_timestamp() - interval '1 second'`);
    await through(first);
    expect(await mustBeOneLog()).toEqual(['a', 'b']);
  });

  it('makes one log though every process believes to hold it', async () => {
    const all = [start(), start(), start()];
    for (let round = 0; round < 20; round++) {
      await write(...names(round * 10, round * 10 + 10));
      const steps = all.map(async ({ sequencer }) => {
        await run(`UPDATE log_tree SET held_until = clock_timestamp() - interval '1 second'`);
        return sequencer.step();
      });
      for (const { did } of await Promise.all(steps)) expect(['appended', 'lost', 'standby', 'idle']).toContain(did);
    }
    await run(`UPDATE log_tree SET held_until = clock_timestamp() - interval '1 second'`);
    await through(start());
    expect((await mustBeOneLog()).sort()).toEqual(names(0, 200).sort());
  }, 60_000);

  it('says nothing of a tree that another process let grow while it was looked at', async () => {
    await write(...names(0, 3));
    const other = start();
    await through(other);
    let isOvertaken = false;
    const tail: TreeWriter['tail'] = async (size, most) => {
      if (!isOvertaken) {
        isOvertaken = true;
        await write(...names(3, 6));
        await run(`UPDATE log_tree SET held_until = clock_timestamp() - interval '1 second'`);
        await through(other);
      }
      return writer().tail(size, most);
    };
    await run(`UPDATE log_tree SET held_until = clock_timestamp() - interval '1 second'`);
    const overtaken = start({}, logSigner(ISSUER, [KEY]), { ...writer(), tail });
    expect(await overtaken.sequencer.step()).toMatchObject({ did: 'lost', halted: undefined });
    expect(await overtaken.sequencer.step()).toMatchObject({ did: 'standby' });
    await run(`UPDATE log_tree SET held_until = clock_timestamp() - interval '1 second'`);
    await write(...names(6, 9));
    await through(overtaken);
    expect(await mustBeOneLog()).toEqual(names(0, 9));
  });

  it('says nothing of a tree that an operator let go on while it was looked at', async () => {
    await write(...names(0, 3));
    const tail: TreeWriter['tail'] = async () => {
      await run(`UPDATE log_tree SET recovery = 'newer'`);
      return { entries: 9, hashes: undefined };
    };
    const late = start({}, logSigner(ISSUER, [KEY]), { ...writer(), tail });
    expect(await late.sequencer.step()).toMatchObject({ did: 'lost', halted: undefined });
    expect(await writer().look('other', 0)).toMatchObject({ halted: undefined });
  });

  const spoilt = [
    ['whose tail was cut off (AU-04)', 'UPDATE log_tree SET size = 3', /has 3 leaves, and had 6/],
    [
      'that is an old backup (AU-04)',
      `WITH a AS (DELETE FROM log_entry WHERE index > 2), b AS (DELETE FROM log_checkpoint WHERE size > 3) UPDATE log_tree SET size = 3`,
      /has 3 leaves, and had 6/,
    ],
    [
      'that was emptied (AU-03)',
      `WITH a AS (DELETE FROM log_entry), b AS (DELETE FROM log_tile), c AS (DELETE FROM log_checkpoint) UPDATE log_tree SET size = 0`,
      /has 0 leaves, and had 6/,
    ],
    [
      'with another tile',
      `UPDATE log_tile SET hashes = overlay(hashes PLACING '\\x00'::bytea FROM 1) WHERE level = 0`,
      /do not lead to the root/,
    ],
    [
      'with a shorter tile',
      `UPDATE log_tile SET hashes = substring(hashes FROM 1 FOR 32)`,
      /does not have its 6 hashes/,
    ],
    [
      'with another checkpoint (AU-05)',
      `UPDATE log_checkpoint SET note = replace(note, E'\\n6\\n', E'\\n7\\n')`,
      /no key of WRIT_LOG_KEY_FILE signed/,
    ],
    ['without its last leaf (AU-03)', `DELETE FROM log_leaf WHERE leaf = 'leaf 5'`, /last entries/],
    ['with another last leaf', `UPDATE log_leaf SET leaf = 'x' WHERE leaf = 'leaf 5'`, /last entries/],
    ['without its last entry', 'DELETE FROM log_entry WHERE index = 5', /last entries/],
    ['with another last entry', `UPDATE log_entry SET leaf_hash = sha256('x') WHERE index = 5`, /last entries/],
  ] as const;
  it.each(spoilt)('appends nothing to a log %s, running or started anew', async (_title, sql, reason) => {
    const process = start();
    await write(...names(0, 3));
    await through(process);
    await write(...names(3, 6));
    await through(process);
    await run(sql);
    await write('more');
    const before = await openTreeReader(database()).latest();
    expect(await process.sequencer.step()).toMatchObject({ did: 'halted', halted: expect.stringMatching(reason) });
    await run(`UPDATE log_tree SET halted = NULL, held_until = clock_timestamp() - interval '1 second'`);
    const anew = start(process.remembered());
    expect(await anew.sequencer.step()).toMatchObject({ did: 'halted', halted: expect.stringMatching(reason) });
    // Whoever remembers nothing believes those who do.
    expect(await start().sequencer.step()).toMatchObject({ did: 'halted', halted: expect.stringMatching(reason) });
    expect(await openTreeReader(database()).latest()).toEqual(before);
    expect((await openTree(database(), systemClock).waiting(9)).ids).toHaveLength(1);
  });

  it.each(['', '0', 'a file of somebody else'])(
    'appends nothing when the file that it left says %j (AU-03)',
    async (checkpoint) => {
      await write('a');
      const spoilt = start({ checkpoint });
      const refusal = { did: 'unfit', appended: 0, halted: expect.stringMatching(/file checkpoint in WRIT_DATA_DIR/) };
      expect(await spoilt.sequencer.step()).toMatchObject(refusal);
      // That is no reason for a process with a file of its own to stop, whichever asks first.
      const sound = start();
      expect(await through(sound)).toMatchObject({ did: 'idle', size: 1 });
      expect(await spoilt.sequencer.step()).toMatchObject(refusal);
      await sound.sequencer.release();
      for (const text of ['b', 'c']) {
        expect(await spoilt.sequencer.step()).toMatchObject(refusal);
        await write(text);
        expect(await through(sound)).toMatchObject({ did: 'idle', halted: undefined });
      }
      expect(await mustBeOneLog()).toEqual(['a', 'b', 'c']);
    },
  );

  it('leaves a log that a newer key signs to those who have it, and goes on where they sign with its own', async () => {
    const next = key();
    await write('a');
    const old = start();
    await through(old);
    const [both, newer] = [start({}, logSigner(ISSUER, [next, KEY])), start({}, logSigner(ISSUER, [next]))];
    const turn = async (process: Process): Promise<Step> => {
      await run(`UPDATE log_tree SET held_until = clock_timestamp() - interval '1 second'`);
      return process.sequencer.step();
    };
    // A rolling change: who has the old key alone and who has both append by turns.
    for (let round = 0; round < 4; round++) {
      await write(`round ${round}`);
      expect(await turn(round % 2 === 0 ? both : old)).toMatchObject({ did: 'appended' });
    }
    await turn(both);
    await write('by the new one');
    expect(await turn(newer)).toMatchObject({ did: 'appended' });
    const refusal = { did: 'unfit', halted: expect.stringMatching(/of this process signed/) };
    expect(await turn(old)).toMatchObject(refusal);
    await write('more');
    expect(await through(newer)).toMatchObject({ did: 'idle', halted: undefined });
    await write('by both');
    expect(await turn(both)).toMatchObject({ did: 'appended' });
    expect(await old.sequencer.step()).toMatchObject({ halted: undefined });
    const announced = (await mustBeOneLog(both.signer)).filter((leaf) => leaf.startsWith('{'));
    expect(announced).toHaveLength(1);
  });

  it('appends nothing to a log that another key signed (AU-05)', async () => {
    await write('a');
    const stranger = start({}, logSigner(ISSUER, [key()]));
    await through(stranger);
    await stranger.sequencer.release();
    expect(await start().sequencer.step()).toMatchObject({ did: 'unfit', halted: expect.stringMatching(/no key of/) });
  });

  it('appends no leaf whose bytes were changed while it waited', async () => {
    const process = start();
    await through(process);
    await write('a', 'b');
    await run(`UPDATE log_leaf SET leaf = 'x' WHERE leaf = 'b'`);
    expect(await process.sequencer.step()).toMatchObject({
      did: 'halted',
      halted: expect.stringMatching(/not what was written/),
    });
    expect(await leaves()).toEqual([]);
  });

  it('signs with a new key and the one before it, once the log says so, and then with the new one alone', async () => {
    const [old, next] = [KEY, key()];
    await write('a');
    const before = start({}, logSigner(ISSUER, [old]));
    await through(before);
    await before.sequencer.release();
    const both = start(before.remembered(), logSigner(ISSUER, [next, old]));
    await through(both);
    await both.sequencer.release();
    const { note = '' } = (await openTreeReader(database()).latest()) ?? {};
    expect(note.split('\n').filter((line) => line.startsWith('— writ.example/audit '))).toHaveLength(2);
    const after = start(both.remembered(), logSigner(ISSUER, [next]));
    await write('b');
    await through(after);
    const [a, announced = '', b, ...others] = await leaves();
    expect([a, b, others]).toEqual(['a', 'b', []]);
    const [vkey, previous] = [after.signer.keys[0].text, before.signer.keys[0].text];
    expect(JSON.parse(announced)).toMatchObject({ kind: 'key', facts: { what: 'log_key', vkey, previous } });
    expect(await openTreeReader(database()).verifierKeys()).toEqual([
      { vkey: previous, fromSize: 0, leafHash: undefined },
      { vkey, fromSize: 1, leafHash: leafHash(Buffer.from(announced)) },
    ]);
  });

  it('keeps its log when the issuer gets another address, and announces the name as a key', async () => {
    await write('a');
    const before = start();
    await through(before);
    await before.sequencer.release();
    const moved = start(before.remembered(), logSigner('https://other.example', [KEY]));
    await through(moved);
    expect((await openTreeReader(database()).latest())?.note).toMatch(/^other\.example\/audit\n2\n/);
  });

  it('goes on after a recovery that an operator signed, and not after an earlier one that is put back', async () => {
    const process = start();
    await write(...names(0, 3));
    await through(process);
    const [atThree] = [await openTreeReader(database()).latest()];
    await write(...names(3, 6));
    await through(process);
    const backup = async (): Promise<void> => {
      await run('DELETE FROM log_entry WHERE index > 2');
      await run('DELETE FROM log_checkpoint WHERE size > 3');
      await run(`UPDATE log_tree SET size = 3, halted = NULL, held_until = clock_timestamp() - interval '1 second'`);
    };
    await backup();
    expect(await process.sequencer.step()).toMatchObject({ did: 'halted' });
    const head = process.signer.openCheckpoint(atThree?.note ?? '');
    if (!head.ok) throw new Error('not ours');
    const recovery = process.signer.signRecovery({ ...head.value, at: 1_800_000_000 });
    await run(`UPDATE log_tree SET halted = NULL, recovery = E'${recovery.replaceAll('\n', '\\n')}'`);
    await write('after');
    expect(await process.sequencer.step()).toMatchObject({ did: 'appended', size: 4 });
    expect(await through(start(process.remembered()))).toMatchObject({ did: 'standby', size: 4 });
    await backup();
    expect(await process.sequencer.step()).toMatchObject({ did: 'halted', halted: expect.stringMatching(/had 4/) });
  });

  // The embedded database has one connection.
  if (kind === 'server')
    it('takes a row whose id is lower and whose commit is later', async () => {
      const process = start();
      let commit = (): void => undefined;
      const held = new Promise<void>((resolve) => (commit = resolve));
      let began = (): void => undefined;
      const isWritten = new Promise<void>((resolve) => (began = resolve));
      const slow = database().prisma.$transaction(async (transaction) => {
        await transaction.$executeRawUnsafe(INSERT, ['lower']);
        began();
        await held;
      });
      await isWritten;
      await write('higher');
      await through(process);
      expect(await leaves()).toEqual(['higher']);
      commit();
      await slow;
      await through(process);
      expect(await mustBeOneLog()).toEqual(['higher', 'lower']);
    });
});
