import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { type Judged, type KeptInputs, Replay } from '../../src/policy/index.js';
import { type Database, openDecisionInputs, openLog } from '../../src/storage/index.js';
import { databaseKinds, freshDatabase } from '../support/databases.js';
import { anInput, BANK, setOf, theTransfer } from '../support/policies.js';

const CANARY = 'canary-of-an-attribute';
const KEY = randomBytes(32);
const NOW = Math.floor(Date.now() / 1000);
const DAY = 86_400;

const set = setOf('@id("people") permit(principal is Person, action, resource);');
const input = anInput({ person: { id: 'prs_ada', attributes: { department: CANARY } } });
const judged: readonly Judged[] = [{ set, input, verdict: set.decide(input) }];

describe.each(databaseKinds)('what decisions looked at (%s)', (kind) => {
  const withDatabase = async (work: (database: Database) => Promise<void>) => {
    const fresh = await freshDatabase(kind);
    try {
      await work(fresh.database);
    } finally {
      await fresh.drop();
    }
  };
  const open = (database: Database, more: Partial<Parameters<typeof openDecisionInputs>[1]> = {}) => {
    const counts = { kept: 0, dropped: 0 };
    const reported: unknown[] = [];
    const store = openDecisionInputs(database, {
      clock: { now: () => NOW },
      encryptionKeys: [KEY],
      days: 7,
      watch: (count, outcome) => (counts[outcome] += count),
      report: (thrown) => reported.push(thrown),
      ...more,
    });
    return { store, counts, reported };
  };
  const decisions = async (inputs: KeptInputs, limit = 100, since = NOW - DAY) => {
    const found: string[] = [];
    for (let after: string | undefined, first = true; first || after !== undefined; first = false) {
      const page = await inputs.page(since, { after, limit });
      found.push(...page.past.map(({ decision }) => decision));
      after = page.next;
    }
    return found;
  };

  it('is read again page by page, the oldest first, and is sealed in the database', async () => {
    await withDatabase(async (database) => {
      const { store, counts } = open(database);
      for (let n = 0; n < 70; n++)
        store.keep({ decision: `dec_${String(n)}`, person: 'prs_ada', at: NOW - 70 + n, judged });
      expect(await decisions(store, 7)).toEqual(Array.from({ length: 70 }, (_, n) => `dec_${String(n)}`));
      expect(await decisions(store, 100, NOW - 1)).toEqual(['dec_69']);
      expect(counts).toEqual({ kept: 70, dropped: 0 });
      const rows = await database.prisma.$queryRawUnsafe('SELECT row_to_json(d)::text AS text FROM decision_input d');
      expect(JSON.stringify(rows)).not.toContain(CANARY);
      expect(JSON.stringify(rows)).not.toContain(Buffer.from(CANARY).toString('hex'));
      const { past } = await store.page(NOW - DAY, { limit: 1 });
      expect(past[0]?.kept).toMatchObject({ outcome: 'deny', person: { attributes: { department: CANARY } } });
    });
  });

  it('is opened by an earlier encryption key, and by no other key and in no other row', async () => {
    await withDatabase(async (database) => {
      const { store } = open(database);
      store.keep({ decision: 'dec_a', person: 'prs_ada', at: NOW, judged });
      await store.flush();
      const read = async (...encryptionKeys: [Uint8Array, ...Uint8Array[]]) =>
        (await open(database, { encryptionKeys }).store.page(0, { limit: 5 })).past[0]?.kept?.outcome;
      expect(await read(randomBytes(32), KEY)).toBe('deny');
      expect(await read(randomBytes(32))).toBeUndefined();
      await database.prisma.$executeRawUnsafe(`UPDATE decision_input SET person = 'prs_bob'`);
      expect(await read(KEY)).toBeUndefined();
    });
  });

  it('is erased by person, and the log says so without what it was', async () => {
    await withDatabase(async (database) => {
      const { store } = open(database);
      for (const person of ['prs_ada', 'prs_bob', 'prs_ada'])
        store.keep({ decision: `dec_${person}`, person, at: NOW, judged });
      expect(await store.erase('prs_ada', 'ann')).toBe(2);
      expect(await decisions(store)).toEqual(['dec_prs_bob']);
      const { entries } = await openLog(database).read({}, { limit: 5 });
      expect(JSON.stringify(entries)).toContain('inputs_erased');
      expect(JSON.stringify(entries)).not.toContain(CANARY);
    });
  });

  it('goes when its time is over, or when less time is configured', async () => {
    await withDatabase(async (database) => {
      const { store } = open(database);
      for (const age of [6 * DAY, 2 * DAY, 0])
        store.keep({ decision: `dec_${String(age)}`, person: 'prs_ada', at: NOW - age, judged });
      await store.flush();
      await open(database, { clock: { now: () => NOW + 2 * DAY } }).store.prune();
      expect(await decisions(store, 100, 0)).toEqual(['dec_172800', 'dec_0']);
      await open(database, { days: 1 }).store.prune();
      expect(await decisions(store, 100, 0)).toEqual(['dec_0']);
      await open(database, { days: 0 }).store.prune();
      expect(await decisions(store, 100, 0)).toEqual([]);
    });
  });

  it('is kept without its arguments when it is larger than 16 KB, and is not guessed at', async () => {
    await withDatabase(async (database) => {
      const { store, counts } = open(database);
      const rules = `@id("a") permit(principal, action, resource);
        @id("b") forbid(principal, action == Action::"${BANK}#transfer", resource)
        unless { context has arguments && context.arguments.to != "nobody" };`;
      const noted = setOf(rules);
      for (const to of ['somebody', 'x'.repeat(17_000)]) {
        const given = theTransfer({ amount: 1, to, times: 1 });
        const one = { set: noted, input: given, verdict: noted.decide(given) };
        store.keep({ decision: `dec_${String(to.length)}`, person: 'prs_ada', at: NOW, judged: [one] });
      }
      const { past } = await store.page(NOW - DAY, { limit: 5 });
      expect(past.map(({ kept }) => [kept?.outcome, kept?.arguments])).toEqual([
        ['allow', { seen: { to: 'somebody' }, covered: { to: true } }],
        ['allow', { seen: {}, covered: {} }],
      ]);
      const replay = new Replay(noted);
      for (const one of past) replay.add(one);
      expect(replay.result).toMatchObject({ considered: 2, unchanged: 1, undecidable: { not_kept: 1 } });
      expect(counts).toEqual({ kept: 2, dropped: 0 });
    });
  });

  it('is not kept at all with 0 days', async () => {
    await withDatabase(async (database) => {
      const { store, counts } = open(database, { days: 0 });
      store.keep({ decision: 'dec_a', person: 'prs_ada', at: NOW, judged });
      expect(await decisions(store)).toEqual([]);
      expect(counts).toEqual({ kept: 0, dropped: 0 });
    });
  });

  it('is dropped and counted when the queue is full or the database is down, and nothing is thrown', async () => {
    await withDatabase(async (database) => {
      const { store, counts, reported } = open(database);
      for (let n = 0; n < 1_100; n++) store.keep({ decision: `dec_${String(n)}`, person: 'prs_ada', at: NOW, judged });
      const dropped = counts.dropped;
      expect(dropped).toBeGreaterThan(0);
      await store.flush();
      expect(counts).toEqual({ kept: 1_100 - dropped, dropped });
      await database.close();
      store.keep({ decision: 'dec_late', person: 'prs_ada', at: NOW, judged });
      await store.flush();
      expect([counts.dropped, reported.length]).toEqual([dropped + 1, 1]);
    });
  });
});
