import { describe, expect, it } from '@jest/globals';
import {
  type AuditorOptions,
  type LogSource,
  type Problem,
  type Verdict,
  verifyLog,
} from '../../../src/sdk/auditor/index.js';
import { verifierKey } from '../../../src/tlog/index.js';
import { LogBook, newKey, ORIGIN, witness } from '../../support/log-book.js';

const sourceOf = (log: LogBook, more: Partial<LogSource> = {}): LogSource => ({
  read: (path) => Promise.resolve(log.served(path)),
  hasEntries: true,
  ...more,
});
const judged = (log: LogBook, options: AuditorOptions = log.options): Promise<Verdict> =>
  verifyLog(sourceOf(log), options);
const codes = (problems: readonly Problem[]): unknown[] => problems.map(({ code, entry }) => [code, entry]);

const SIZE = 256 * 3 + 40;
const filled = (key = newKey()): LogBook => {
  const log = new LogBook(key).fill(SIZE);
  log.sign();
  return log;
};

describe('a whole log', () => {
  it('is proved by its tiles and its entries', async () => {
    const log = filled();
    expect(await judged(log)).toEqual({
      isProved: true,
      about: 'log',
      problems: [],
      more: 0,
      checkpoint: {
        origin: ORIGIN,
        size: SIZE,
        root: log.tiles.tree.root().toString('base64'),
        signedBy: [log.options.keys[0]?.text],
      },
      witnessed: undefined,
      entries: { included: SIZE, claimed: SIZE, pruned: 0, unknown: 0, unread: 0 },
      pruning: { runs: [], recorded: undefined },
      people: {},
      sessions: { complete: 0, open: 3, partial: 0 },
      keys: [],
    });
  });

  it('is proved by its tiles alone for whoever may not read the entries', async () => {
    const log = filled();
    const asked: string[] = [];
    const read: LogSource['read'] = (path) => Promise.resolve((asked.push(path), log.served(path)));
    const verdict = await verifyLog(sourceOf(log, { hasEntries: false, read }), log.options);
    expect(verdict).toMatchObject({ isProved: true, entries: { included: SIZE, unread: SIZE } });
    expect(asked.toSorted()).toEqual([
      'checkpoint',
      'tile/0/000',
      'tile/0/001',
      'tile/0/002',
      'tile/0/003.p/40',
      'tile/1/000.p/3',
    ]);
  });

  it('is not read where nobody who is trusted signed it, and no further than somebody did', async () => {
    const log = new LogBook().fill(300);
    const copy = log.sign();
    log.keys = [newKey()];
    log.fill(1_000).sign();
    const tilesOf = async (more: Partial<LogSource>): Promise<readonly string[]> => {
      const asked: string[] = [];
      const read: LogSource['read'] = (path) => Promise.resolve((asked.push(path), log.served(path)));
      const { problems } = await verifyLog(sourceOf(log, { read, ...more }), log.options);
      expect(codes(problems)).toEqual([['checkpoint_untrusted', undefined]]);
      return asked.filter((path) => path.startsWith('tile/0/'));
    };
    expect(await tilesOf({})).toEqual([]);
    expect(await tilesOf({ earlier: [copy] })).toEqual(['tile/0/000', 'tile/0/001']);
  });

  it('is read on where the key that signed it was announced on the way', async () => {
    const log = new LogBook().fill(300);
    const [first = newKey()] = log.keys;
    const [second, third] = [newKey(), newKey()];
    const earlier: string[] = [];
    for (const [before, key] of [
      [first, second],
      [second, third],
    ] as const) {
      log.rotate(key);
      log.keys = [before, key];
      earlier.push(log.sign());
      log.keys = [key];
      log.fill(700).sign();
    }
    const verdict = await verifyLog(sourceOf(log, { earlier }), log.options);
    expect(verdict).toMatchObject({ isProved: true, entries: { included: log.size }, keys: { length: 2 } });
  });

  it('of nothing is proved', async () => {
    const log = new LogBook();
    log.sign();
    expect(await judged(log)).toMatchObject({ isProved: true, entries: { included: 0, claimed: 0 } });
  });

  it('is read by its full tiles where the partial ones are gone', async () => {
    const log = filled();
    const note = Buffer.from([...log.notes.values()].at(-1) ?? '');
    log.fill(300).sign();
    const read: LogSource['read'] = (path) =>
      Promise.resolve(
        path === 'checkpoint' ? note : path.includes('.p/') && path.includes('/0/') ? undefined : log.served(path),
      );
    const verdict = await verifyLog(sourceOf(log, { hasEntries: false, read }), log.options);
    expect(verdict.problems).toEqual([]);
  });

  it('continues the copies that the auditor kept', async () => {
    const log = new LogBook().fill(300);
    const copy = log.sign();
    log.fill(300).sign();
    const verdict = await judged(log, { ...log.options, copies: [copy] });
    expect(verdict).toMatchObject({ isProved: true, witnessed: { size: 300 }, entries: { claimed: 300 } });
  });

  it('says when its witnesses had seen it', async () => {
    const log = filled();
    const key = newKey();
    log.cosign(SIZE, 'w1', key, 77);
    const witnesses = { keys: [witness('w1', key)], quorum: 1 };
    expect((await judged(log, { ...log.options, witnesses })).witnessed).toEqual({ size: SIZE, at: 77, by: ['w1'] });
  });

  it('is followed through a change of its key by a copy under the first one', async () => {
    const log = new LogBook().fill(10);
    const [first] = log.keys;
    const second = newKey();
    log.rotate(second);
    log.keys = first ? [first, second] : [];
    const copy = log.sign();
    log.keys = [second];
    log.fill(5).sign();
    const verdict = await judged(log, { ...log.options, copies: [copy] });
    expect(verdict).toMatchObject({ isProved: true, keys: [verifierKey(ORIGIN, second).text] });
    expect(codes((await judged(log)).problems)).toEqual([['checkpoint_untrusted', undefined]]);
    const earlier = await verifyLog(sourceOf(log, { earlier: [copy] }), log.options);
    expect(earlier.isProved).toBe(true);
  });
});

describe('a log that was changed', () => {
  it.each([
    [
      'an entry',
      (log: LogBook) => {
        log.alter(300, { leaf: Buffer.from('{}') });
      },
      ['entry_altered', 300],
    ],
    [
      'a hash of its leaves',
      (log: LogBook) => {
        flip(log, '0/1');
      },
      ['tile_altered', undefined],
    ],
    [
      'a hash above them',
      (log: LogBook) => {
        flip(log, '1/0');
      },
      ['tile_altered', undefined],
    ],
    ['a tile that is gone', (log: LogBook) => log.tiles.stored.delete('0/2'), ['tile_altered', undefined]],
    [
      'an entry that is gone',
      (log: LogBook) => {
        log.alter(300, { leaf: undefined });
      },
      ['entry_missing', undefined],
    ],
    ['its checkpoint', (log: LogBook) => log.notes.set(SIZE, 'hello'), ['unreadable', undefined]],
    [
      'its size',
      (log: LogBook) => log.notes.set(SIZE, new LogBook(log.keys[0]).fill(SIZE - 1).sign()),
      ['tile_altered', undefined],
    ],
    ['its key', (log: LogBook) => ((log.keys = [newKey()]), log.sign()), ['checkpoint_untrusted', undefined]],
  ])('in %s is not proved', async (_, change, expected) => {
    const log = filled();
    change(log);
    const verdict = await judged(log);
    expect(verdict.isProved).toBe(false);
    expect(codes(verdict.problems)).toContainEqual(expected);
  });

  it('AU-05 into another by its own key is not the continuation of a copy', async () => {
    const log = filled();
    const copy = log.sign();
    const anew = filled(log.keys[0]);
    anew.fill(20).sign();
    expect(codes((await judged(anew, { ...log.options, copies: [copy] })).problems)).toEqual([
      ['inconsistent', undefined],
    ]);
  });

  it('AU-04 into what it was before is smaller than a copy', async () => {
    const log = filled();
    const before = new LogBook(log.keys[0]).fill(20);
    before.sign();
    const copies = [log.sign()];
    expect(codes((await judged(before, { ...log.options, copies })).problems)).toEqual([['rolled_back', undefined]]);
  });

  it('so that a session has a gap is not proved', async () => {
    const log = new LogBook().fill(30);
    log.write({ session: 'ses_9', sequence: 2 });
    log.sign();
    expect(codes((await judged(log)).problems)).toEqual([['session_gap', 30]]);
  });
});

function flip(log: LogBook, tile: string): void {
  const bytes = log.tiles.stored.get(tile) ?? Buffer.alloc(0);
  bytes[40] = (bytes[40] ?? 0) ^ 1;
}
