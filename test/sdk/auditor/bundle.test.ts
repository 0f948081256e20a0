import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Problem } from '../../../src/sdk/auditor/index.js';
import { verifierKey } from '../../../src/tlog/index.js';
import { AT, commitmentOf, judge, LogBook, newKey, ORIGIN, witness } from '../../support/log-book.js';

const found = (problems: readonly Problem[]): unknown[] =>
  problems.map(({ code, entry, run, line }) => [code, entry ?? run ?? line]);

describe('a bundle', () => {
  it('of a range proves every entry of it, across tiles', async () => {
    const log = new LogBook().fill(600);
    log.sign();
    const verdict = await judge(await log.bundle({ range: [0, 600] }), log.options);
    expect(verdict).toEqual({
      isProved: true,
      about: { range: [0, 600] },
      problems: [],
      more: 0,
      checkpoint: {
        origin: ORIGIN,
        size: 600,
        root: log.tiles.tree.root().toString('base64'),
        signedBy: [log.options.keys[0]?.text],
      },
      witnessed: undefined,
      entries: { included: 600, claimed: 600, pruned: 0, unknown: 0, unread: 0 },
      pruning: { runs: [], recorded: undefined },
      people: {},
      sessions: { complete: 0, open: 3, partial: 0 },
      keys: [],
    });
    for (const range of [
      [255, 257],
      [300, 301],
      [1, 600],
      [256, 512],
    ] as const) {
      expect((await judge(await log.bundle({ range }), log.options)).isProved).toBe(true);
    }
  });

  it('of a session proves that it is whole, and closed', async () => {
    const log = new LogBook().fill(30);
    log.close('ses_1', { permits: 10, refusals: 0, asks: 0, outcomes: 0 });
    log.write({ session: 'ses_0', decision: 'refuse' });
    log.sign();
    const closed = await judge(await log.bundle({ session: 'ses_1' }), log.options);
    expect(closed).toMatchObject({ isProved: true, sessions: { complete: 1, open: 0 }, entries: { included: 11 } });
    const open = await judge(await log.bundle({ session: 'ses_0' }), log.options);
    expect(open).toMatchObject({ isProved: true, sessions: { complete: 0, open: 1 }, entries: { included: 11 } });
  });

  it('of a transaction proves its entries', async () => {
    const log = new LogBook().fill(30);
    log.sign();
    const verdict = await judge(await log.bundle({ txn: 'txn3' }), log.options);
    expect(verdict).toMatchObject({ isProved: true, about: { txn: 'txn3' }, entries: { included: 4 } });
  });

  it('AU-08: of a transaction with nothing of it is not proved, however right all of it is', async () => {
    const log = new LogBook().fill(30);
    log.rotate(newKey());
    log.fill(2).sign();
    const verdict = await judge(await log.bundle({ txn: 'txn9' }), log.options);
    expect(verdict).toMatchObject({ entries: { included: 1 }, problems: [{ code: 'entry_missing' }] });
    const header = (await log.bundle({ txn: 'txn3' })).replace('"about":{"txn":"txn3"}', '"about":{"txn":"txn9"}');
    expect(found((await judge(header, log.options)).problems)).toEqual([['entry_missing', undefined]]);
  });

  it('AU-08: answers what was asked, or is not proved', async () => {
    const log = new LogBook().fill(30);
    log.sign();
    const asked = [
      { session: 'ses_1' },
      { session: 'ses_2' },
      { txn: 'txn3' },
      { txn: 'txn4' },
      { from: AT, until: AT + 9 },
      { from: AT, until: AT + 8 },
      { range: [0, 30] },
      { range: [0, 29] },
      { range: [3, 30] },
    ] as const;
    for (const about of asked) {
      const bundle = await log.bundle(about);
      for (const wanted of asked) {
        const { problems } = await judge(bundle, { ...log.options, about: wanted });
        expect([about, wanted, found(problems)]).toEqual([
          about,
          wanted,
          about === wanted ? [] : [['other_subject', 1]],
        ]);
      }
    }
    const beyond = await judge(await log.bundle({ range: [3, 99] }), { ...log.options, about: { range: [3, 99] } });
    expect(beyond.problems).toEqual([]);
  });

  it('says which entry’s bytes are not those that were hashed', async () => {
    const log = new LogBook().fill(20);
    log.sign();
    const leaf = Buffer.from(log.entries[7]?.leaf ?? '');
    leaf[40] = (leaf[40] ?? 0) ^ 1;
    log.alter(7, { leaf });
    const verdict = await judge(await log.bundle({ range: [0, 20] }), log.options);
    expect(verdict.isProved).toBe(false);
    expect(found(verdict.problems)[0]).toEqual(['entry_altered', 7]);
  });

  it('says which entry is gone, and takes none for pruned that was not said to be', async () => {
    const log = new LogBook().fill(20);
    log.sign();
    log.alter(7, { leaf: undefined });
    const verdict = await judge(await log.bundle({ range: [0, 20] }), log.options);
    expect(found(verdict.problems)).toEqual([
      ['entry_missing', 7],
      ['session_gap', 1],
    ]);
  });

  it('takes for pruned only what comes before everything that is left', async () => {
    const log = new LogBook().fill(20);
    log.prune(5);
    log.forget(7);
    log.sign();
    const verdict = await judge(await log.bundle({ range: [0, 20] }), log.options);
    expect(found(verdict.problems)).toEqual([
      ['entry_missing', 7],
      ['pruned_unrecorded', [7, 8]],
    ]);
  });

  it('proves the place of entries whose content was pruned, and says which and by which record', async () => {
    const log = new LogBook().fill(3);
    log.rotate(newKey());
    log.fill(16);
    const record = log.prune(8);
    log.sign();
    const verdict = await judge(await log.bundle({ range: [0, 19] }), log.options);
    expect(verdict).toMatchObject({ isProved: true, problems: [], entries: { included: 20, pruned: 7 } });
    const runs = [
      [0, 3],
      [4, 8],
    ];
    expect(verdict.pruning).toEqual({ runs, recorded: { entry: record, below: 8, olderThan: AT } });
    const strict = await judge(await log.bundle({ range: [0, 19] }), { ...log.options, prunedBelow: 7 });
    expect(found(strict.problems)).toEqual([['entry_missing', 7]]);
  });

  const pruned = (log: LogBook, facts: Readonly<Record<string, string | number>> = {}): void => {
    log.prune(2, facts);
    log.forget(2);
  };
  const unrecorded = [
    [
      'no record',
      (log: LogBook): void => {
        for (const index of [0, 1, 2]) log.forget(index);
      },
      [[0, 3]],
    ],
    [
      'a record of fewer',
      (log: LogBook): void => {
        pruned(log);
      },
      [[2, 3]],
    ],
    [
      'a record that came before them',
      (log: LogBook): void => {
        pruned(log, { below: 99 });
      },
      [[0, 3]],
    ],
    [
      'a record without an end',
      (log: LogBook): void => {
        pruned(log, { below: 'all' });
      },
      [[0, 3]],
    ],
  ] as const;
  it.each(unrecorded)('AU-03: says which entries were taken away as if pruned, with %s', async (_title, take, runs) => {
    const log = new LogBook().fill(20);
    take(log);
    log.sign();
    const { problems } = await judge(await log.bundle({ range: [0, 20] }), log.options);
    expect(problems.filter(({ code }) => code === 'pruned_unrecorded').map(({ run }) => run)).toEqual(runs);
  });

  it('of a session lacks only what may have been pruned', async () => {
    const closed = (opened: number): LogBook => {
      const log = new LogBook();
      for (let n = 0; n < 6; n++) log.write({ session: 'ses_0' });
      log.prune(3);
      log.close('ses_0', { permits: 6, opened_at: opened });
      log.sign();
      return log;
    };
    const old = closed(AT - 60);
    const verdict = await judge(await old.bundle({ session: 'ses_0' }), old.options);
    expect(verdict).toMatchObject({ isProved: true, sessions: { complete: 0, open: 0, partial: 1 } });
    const young = closed(AT + 60);
    const { problems } = await judge(await young.bundle({ session: 'ses_0' }), young.options);
    expect(found(problems)).toEqual([['session_gap', 3]]);
  });

  it('whose tile was changed says in which run', async () => {
    const log = new LogBook().fill(300);
    log.sign();
    const tile = log.tiles.stored.get('0/1') ?? Buffer.alloc(0);
    tile[5] = (tile[5] ?? 0) ^ 1;
    const verdict = await judge(await log.bundle({ range: [0, 300] }), log.options);
    expect(found(verdict.problems)).toEqual(
      expect.arrayContaining([
        ['run_altered', [256, 300]],
        ['entry_altered', 256],
      ]),
    );
  });
});

describe('a session', () => {
  const written = async (write: (log: LogBook) => void, session?: string) => {
    const log = new LogBook().fill(3);
    write(log);
    log.sign();
    const about = session === undefined ? { range: [0, log.size] as const } : { session };
    return judge(await log.bundle(about), log.options);
  };

  it.each([
    ['its first record is missing', (log: LogBook) => log.write({ session: 's', sequence: 2 }), 'session_gap'],
    [
      'a record is missing',
      (log: LogBook) => [1, 2, 4].map((sequence) => log.write({ session: 's', sequence })),
      'session_gap',
    ],
    [
      'a place is taken twice',
      (log: LogBook) => [1, 2, 2].map((sequence) => log.write({ session: 's', sequence })),
      'session_double',
    ],
    [
      'it goes on after its summary',
      (log: LogBook) => [log.write({ session: 's' }), log.close('s'), log.write({ session: 's' })],
      'session_double',
    ],
    [
      'it begins anew after its summary',
      (log: LogBook) => [log.write({ session: 's' }), log.close('s'), log.write({ session: 's', sequence: 1 })],
      'session_double',
    ],
    [
      'something without a place in it comes after its summary',
      (log: LogBook) => [
        log.write({ session: 's' }),
        log.close('s'),
        log.write({ kind: 'outcome', session: 's', sequence: null }),
      ],
      'session_double',
    ],
    [
      'it has another summary',
      (log: LogBook) => [log.write({ session: 's' }), log.close('s'), log.close('s')],
      'session_double',
    ],
    [
      'what was used is not in its summary',
      (log: LogBook) => [
        log.write({ session: 's' }),
        log.write({ kind: 'introspection', decision: 'refuse', session: 's', sequence: null }),
        log.close('s', { refusals: 0 }),
      ],
      'summary_wrong',
    ],
    [
      'its summary counts one too many',
      (log: LogBook) => [log.write({ session: 's' }), log.close('s', { entries: 2 })],
      'summary_wrong',
    ],
    [
      'its summary counts other decisions',
      (log: LogBook) => [log.write({ session: 's' }), log.close('s', { permits: 0, refusals: 1 })],
      'summary_wrong',
    ],
    [
      'only what came of it is there',
      (log: LogBook) => log.write({ kind: 'outcome', session: 's', sequence: 7 }),
      'session_gap',
    ],
  ])('is refused when %s', async (_, write, code) => {
    const verdict = await written(write);
    expect(verdict.problems.map((problem) => problem.code)).toContain(code);
    expect(verdict.isProved).toBe(false);
  });

  it('that the log has nothing of is not proved', async () => {
    const verdict = await written(() => undefined, 'ses_nowhere');
    expect(found(verdict.problems)).toEqual([['session_gap', undefined]]);
  });

  it('may come out of order, and begin before a range', async () => {
    const log = new LogBook();
    for (const sequence of [3, 1, 2, 5, 4]) log.write({ session: 's', sequence });
    log.write({ session: 's', sequence: 6 });
    log.sign();
    expect((await judge(await log.bundle({ range: [0, 6] }), log.options)).isProved).toBe(true);
    const late = await judge(await log.bundle({ range: [3, 6] }), log.options);
    expect(late).toMatchObject({ isProved: true, sessions: { open: 0, partial: 1 } });
  });
});

describe('the checkpoint of a bundle', () => {
  it('must be signed by a key that is trusted', async () => {
    const log = new LogBook().fill(5);
    log.sign();
    const keys = [verifierKey(ORIGIN, newKey())];
    const verdict = await judge(await log.bundle({ range: [0, 5] }), { keys });
    expect(found(verdict.problems)).toEqual([['checkpoint_untrusted', undefined]]);
    expect(verdict.checkpoint?.signedBy).toEqual([]);
  });

  it('must be of the log that was asked about', async () => {
    const log = new LogBook().fill(5);
    log.sign();
    const verdict = await judge(await log.bundle({ range: [0, 5] }), { ...log.options, origin: 'other.example/audit' });
    expect(found(verdict.problems)).toEqual([['other_log', undefined]]);
  });

  const w1 = newKey();
  const w2 = newKey();
  const witnesses = { keys: [witness('w1', w1), witness('w2', w2)], quorum: 2 };

  it('says when enough witnesses had seen it, and how many entries are newer', async () => {
    const log = new LogBook().fill(10);
    log.sign();
    log.cosign(10, 'w1', w1, AT + 5);
    log.cosign(10, 'w2', w2, AT + 2);
    const verdict = await judge(await log.bundle({ range: [0, 10] }), { ...log.options, witnesses });
    expect(verdict.witnessed).toEqual({ size: 10, at: AT + 5, by: ['w1', 'w2'] });
    expect(verdict.entries.claimed).toBe(0);
    expect(verdict.isProved).toBe(true);
  });

  it('is not proved while fewer witnesses saw it than wanted', async () => {
    const log = new LogBook().fill(10);
    log.sign();
    log.cosign(10, 'w1', w1);
    log.cosign(10, 'w1', w1, AT + 1);
    log.cosign(10, 'w3', newKey());
    const verdict = await judge(await log.bundle({ range: [0, 10] }), { ...log.options, witnesses });
    expect(found(verdict.problems)).toEqual([['not_witnessed', undefined]]);
    expect(verdict).toMatchObject({ witnessed: undefined, entries: { claimed: 10 } });
  });

  it('continues a copy that the auditor kept, and what came since is only claimed', async () => {
    const log = new LogBook().fill(300);
    const copy = log.sign();
    log.fill(7).sign();
    const options = { ...log.options, copies: [copy] };
    const verdict = await judge(await log.bundle({ range: [0, 307] }, [300]), options);
    expect(verdict).toMatchObject({ isProved: true, witnessed: { size: 300 }, entries: { included: 307, claimed: 7 } });
    const without = await judge(await log.bundle({ range: [0, 307] }), options);
    expect(found(without.problems)).toEqual([['copy_not_compared', undefined]]);
  });

  it('AU-05 of a log that was written anew is of another history than the copy, even by the same key', async () => {
    const key = newKey();
    const log = new LogBook(key).fill(30);
    const copy = log.sign();
    const anew = new LogBook(key).fill(40);
    anew.sign();
    const verdict = await judge(await anew.bundle({ range: [0, 40] }, [30]), { ...log.options, copies: [copy] });
    expect(found(verdict.problems)).toEqual([['inconsistent', undefined]]);
  });

  it('AU-04 of a log whose tail is gone is smaller than the copy', async () => {
    const key = newKey();
    const log = new LogBook(key).fill(30);
    const copy = log.sign();
    const before = new LogBook(key).fill(20);
    before.sign();
    const verdict = await judge(await before.bundle({ range: [0, 20] }), { ...log.options, copies: [copy] });
    expect(found(verdict.problems)).toEqual([['rolled_back', undefined]]);
  });

  it('is not compared with a copy that nobody who is trusted signed', async () => {
    const log = new LogBook().fill(5);
    log.sign();
    const other = new LogBook().fill(3).sign();
    for (const copy of [other, 'hello', '']) {
      const verdict = await judge(await log.bundle({ range: [0, 5] }), { ...log.options, copies: [copy] });
      expect(found(verdict.problems)).toEqual([['copy_unusable', undefined]]);
    }
  });
});

describe('the keys of a log', () => {
  const second = newKey();
  const third = newKey();

  /** Three keys, each announced under the one before. */
  const rotated = (): LogBook => {
    const log = new LogBook().fill(10);
    const first = log.keys;
    log.sign();
    log.rotate(second);
    log.keys = [...first, second];
    log.fill(5).sign();
    log.rotate(third);
    log.keys = [second, third];
    log.fill(3).sign();
    log.keys = [third];
    log.fill(20).sign();
    return log;
  };

  it('are followed from the one that is trusted, by the entries that announce them', async () => {
    const log = rotated();
    const verdict = await judge(await log.bundle({ range: [30, 33] }), log.options);
    expect(verdict).toMatchObject({
      isProved: true,
      keys: [second, third].map((key) => verifierKey(ORIGIN, key).text),
      checkpoint: { signedBy: [verifierKey(ORIGIN, third).text] },
      entries: { included: 5 },
    });
  });

  it('are not followed to one that is announced only under itself', async () => {
    const log = new LogBook().fill(10);
    log.sign();
    log.rotate(third);
    log.keys = [third];
    log.fill(3).sign();
    const verdict = await judge(await log.bundle({ range: [0, 5] }), log.options);
    expect(found(verdict.problems)).toEqual([['checkpoint_untrusted', undefined]]);
  });

  it('are not followed by an entry that is not the log’s', async () => {
    const log = rotated();
    const bundle = await log.bundle({ range: [30, 33] });
    const forged = newKey();
    const leaf = log.entries[10]?.leaf?.toString('utf8') ?? '';
    const other = leaf.replace(verifierKey(ORIGIN, second).text, verifierKey(ORIGIN, forged).text);
    const changed = bundle.replace(Buffer.from(leaf).toString('base64url'), Buffer.from(other).toString('base64url'));
    expect(changed).not.toBe(bundle);
    const verdict = await judge(changed, log.options);
    expect(found(verdict.problems)).toEqual([
      ['entry_altered', 10],
      ['checkpoint_untrusted', undefined],
    ]);
  });
});

describe('who a person is said to be', () => {
  const salt = Buffer.alloc(16, 9).toString('base64url');
  const met = commitmentOf(salt, 'https://idp.example', 'alice');
  const opened = async (opening: unknown, person = 'prs_1') => {
    const log = new LogBook().fill(3);
    log.write({ session: 's', facts: { person: 'prs_1', met } });
    log.sign();
    const lines = (await log.bundle({ range: [0, 4] })).trimEnd().split('\n');
    lines.splice(-1, 0, JSON.stringify({ openings: { [person]: opening } }));
    return judge(`${lines.join('\n')}\n`, log.options);
  };

  it('is proved by what the log committed to', async () => {
    expect((await opened({ issuer: 'https://idp.example', subject: 'alice', salt })).problems).toEqual([]);
  });

  it('is refused when the log committed to somebody else, or to nobody', async () => {
    const alice = { issuer: 'https://idp.example', subject: 'alice', salt };
    expect(found((await opened({ ...alice, subject: 'bob' })).problems)).toEqual([['opening_wrong', 7]]);
    expect(found((await opened({ ...alice, salt: 'AAAA' })).problems)).toEqual([['opening_wrong', 7]]);
    expect(found((await opened('alice')).problems)).toEqual([['opening_wrong', 7]]);
    expect(found((await opened(alice, 'prs_2')).problems)).toEqual([['opening_unproved', 7]]);
  });
});

describe('any change to a bundle', () => {
  const log = new LogBook().fill(12);
  log.sign();
  log.fill(8).sign();
  const whole = log.bundle({ range: [0, 20] }, [12]);
  const lines = async (): Promise<string[]> => (await whole).trimEnd().split('\n');
  const judged = async (changed: readonly string[]) => judge(`${changed.join('\n')}\n`, log.options);

  it('of one byte is found', async () => {
    const bytes = Buffer.from(await whole);
    const header = JSON.parse((await lines())[0] ?? '') as { made_at: number };
    const free = [bytes.indexOf(`"made_at":${header.made_at}`), bytes.indexOf('\n')] as const;
    const keys = [bytes.indexOf('"keys":'), free[0]] as const;
    const range = [bytes.indexOf('"about":'), bytes.indexOf(',"checkpoint"')] as const;
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 7 }), async (at, bit) => {
        // What nobody relies on: when the bundle was made, and the names of keys, which prove themselves by entries.
        if ((at >= free[0] && at < free[1]) || (at >= keys[0] && at < keys[1])) return;
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ (1 << bit);
        // A bundle may have more than it is about, so that alone only whoever asked can say that it is about less.
        const about = at >= range[0] && at < range[1] ? ({ range: [0, 20] } as const) : undefined;
        const verdict = await judge(changed, { ...log.options, about, copies: [log.notes.get(12) ?? ''] });
        expect([at, verdict.isProved]).toEqual([at, false]);
      }),
      {
        numRuns: 400,
        // Of the range: from 1 on, and up to 2.
        examples: [
          [bytes.indexOf('[0,20]') + 1, 0],
          [bytes.indexOf('[0,20]') + 4, 4],
        ],
      },
    );
  });

  it('that leaves out, doubles or moves a line is found', async () => {
    const all = await lines();
    for (let at = 0; at < all.length; at++) {
      const without = [...all.slice(0, at), ...all.slice(at + 1)];
      const twice = [...all.slice(0, at + 1), ...all.slice(at)];
      const moved = [...all.slice(0, at), all[at + 1] ?? '', all[at] ?? '', ...all.slice(at + 2)];
      for (const changed of at === all.length - 1 ? [without, twice] : [without, twice, moved]) {
        const verdict = await judged(changed);
        expect([at, verdict.isProved, verdict.problems.length > 0]).toEqual([at, false, true]);
      }
    }
  });

  it('that cuts it is found, wherever', async () => {
    const bytes = Buffer.from(await whole);
    for (let length = 0; length < bytes.length; length += 97) {
      expect((await judge(bytes.subarray(0, length), log.options)).isProved).toBe(false);
    }
    expect((await judge(bytes.subarray(0, -1), log.options)).problems).toEqual([
      { code: 'truncated', line: 22, detail: 'the bundle stops before its end' },
    ]);
  });

  it('into anything at all is judged without throwing, in pieces of any size', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), async (chunks) => {
        const bytes = (await lines())[0] ?? '';
        const verdict = await judge(Buffer.concat([Buffer.from(`${bytes}\n`), ...chunks]), log.options);
        expect(verdict.isProved).toBe(false);
        expect((await judge(Buffer.concat(chunks), log.options)).isProved).toBe(false);
      }),
    );
    const bytes = Buffer.from(await whole);
    const { verifyBundle } = await import('../../../src/sdk/auditor/index.js');
    for (const size of [1, 7, 1000]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      );
      expect((await verifyBundle(pieces, log.options)).isProved).toBe(true);
    }
  });

  it('to lines that only look right is found', async () => {
    const all = await lines();
    const [header = '', first = '', ...rest] = all;
    const entry = JSON.parse(first) as Record<string, unknown>;
    for (const line of [
      { ...entry, index: 0.5 },
      { ...entry, index: -1 },
      { ...entry, index: 2 ** 53 },
      { ...entry, hash: 'short' },
      { ...entry, leaf: null },
      { ...entry, leaf: null, pruned: false },
      { ...entry, more: 1 },
      { openings: {} },
      { openings: {}, more: 1 },
      { end: true, entries: 0 },
      {},
      null,
      [],
    ]) {
      expect((await judged([header, JSON.stringify(line), ...rest])).isProved).toBe(false);
    }
    for (const change of [
      { bundle: 2 },
      { about: {} },
      { about: { range: [0, 21] } },
      { checkpoint: 'hello' },
      { origin: 'other.example/audit' },
      { earlier: [{ size: 12, consistency: ['x'] }] },
      { earlier: [{ checkpoint: 'x', consistency: [] }] },
      { earlier: [{ checkpoint: log.notes.get(12), consistency: [] }] },
      { more: 1 },
    ]) {
      const changed = JSON.stringify({ ...(JSON.parse(header) as object), ...change });
      expect([change, (await judged([changed, first, ...rest])).isProved]).toEqual([change, false]);
    }
  });
});
