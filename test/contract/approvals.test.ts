import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import {
  approvalKey,
  type Approver,
  type Asking,
  type Call,
  type Demand,
  type Held,
  MOST_OF_AGENT,
  MOST_OF_PERSON,
} from '../../src/approval/index.js';
import { readRecord } from '../../src/audit/index.js';
import { sha256 } from '../../src/protocol/index.js';
import { type ApprovalStore, type Database, openApprovals } from '../../src/storage/index.js';
import { aBinding, anArguments, frozen, NOW, TEXT } from '../support/approvals.js';
import { databaseKinds, freshDatabase } from '../support/databases.js';

const KEY = randomBytes(32);
const CANARY = 'canary-of-an-argument';
const PERSON = 'prs_alice';
const ALICE: Approver = { person: PERSON, groups: [], verifiedAt: NOW };
const BOB: Approver = { person: 'prs_bob', groups: ['finance'], verifiedAt: NOW };

const aDemand = (change: Partial<Demand> = {}): Demand => ({
  policy: 'deletions',
  text: TEXT,
  approvers: [],
  ...change,
});

let made = 0;
const asking = (
  over: Readonly<{
    call?: Partial<Call>;
    demands?: readonly Demand[];
    expiresAt?: number;
    id?: string;
    jkt?: string;
  }> = {},
): Asking => ({
  id: over.id ?? `apr_${String(++made)}`,
  frozen: frozen(
    aBinding(
      { demands: over.demands ?? [aDemand()], ...(over.expiresAt === undefined ? {} : { expiresAt: over.expiresAt }) },
      { ...anArguments({ path: CANARY }), ...over.call },
    ),
  ),
  decision: 'dec_a',
  jkt: over.jkt,
  request: { subject_token: `${CANARY}-token` },
  about: {
    task: 'tsk_a',
    purpose: null,
    reasons: ['Because.'],
    tier: 'high',
    network: '127.0.0.1',
    number: '42',
    by: 'agent',
    texts: {},
  },
});

describe.each(databaseKinds)('requests to people (%s)', (kind) => {
  const withStore = async (work: (store: ApprovalStore, database: Database) => Promise<void>) => {
    const fresh = await freshDatabase(kind);
    try {
      for (const person of ['prs_alice', 'prs_bob', 'prs_eve'])
        await fresh.database.prisma.$executeRawUnsafe(
          `INSERT INTO person (id, issuer, subject) VALUES ($1, 'https://people.example', $1)`,
          person,
        );
      await work(openApprovals(fresh.database, [KEY]), fresh.database);
    } finally {
      await fresh.drop();
    }
  };
  const ask = async (store: ApprovalStore, one: Asking): Promise<Held> => {
    const asked = await store.ask(one, NOW);
    if (!asked.ok) throw new Error(asked.error);
    return asked.value.held;
  };
  const recordsOf = async (database: Database): Promise<readonly unknown[]> => {
    const rows = await database.prisma.$queryRawUnsafe<{ leaf: Uint8Array }[]>(
      `SELECT leaf FROM log_leaf WHERE kind = 'approval' ORDER BY id`,
    );
    return rows.map(({ leaf }) => readRecord(leaf)?.facts);
  };
  const textOf = async (database: Database): Promise<string> =>
    JSON.stringify(
      await database.prisma.$queryRawUnsafe(
        `SELECT row_to_json(a)::text AS text FROM approval a UNION ALL SELECT encode(leaf, 'escape') FROM log_leaf`,
      ),
    );
  const grant = (store: ApprovalStore, one: Asking, by: Approver = ALICE) =>
    store.answer(one.id, { event: 'grant', by, sha256: one.frozen.sha256 }, { now: NOW, shown: sha256('page') });

  it('are kept sealed, and read again whole', async () => {
    await withStore(async (store, database) => {
      const one = asking();
      const asked = await store.ask(one, NOW);
      const held = {
        ...{ id: one.id, state: 'asked', person: PERSON, client: 'agt_a', jkt: undefined },
        ...{
          server: one.frozen.binding.call.server,
          tool: one.frozen.binding.call.tool,
          about: one.about,
          answers: [],
        },
        ...{ askedAt: NOW, expiresAt: one.frozen.binding.expiresAt, endedAt: undefined, request: one.request },
        approval: { frozen: one.frozen, state: 'asked', answers: [] },
      };
      expect(asked).toEqual({ ok: true, value: { held, code: expect.stringMatching(/^dfr_[\w-]{43}$/) } });
      expect(await store.byId(one.id, NOW)).toEqual(held);
      expect(await store.byId('apr_unknown', NOW)).toBeUndefined();
      const text = await textOf(database);
      for (const secret of [CANARY, Buffer.from(CANARY).toString('hex'), asked.ok ? asked.value.code : ''])
        expect(text).not.toContain(secret);
      expect(await openApprovals(database, [randomBytes(32), KEY]).byId(one.id, NOW)).toEqual(held);
      expect((await openApprovals(database, [randomBytes(32)]).byId(one.id, NOW))?.approval).toBeUndefined();
    });
  });

  it('are one request with one code for whoever asks the same again by the same key', async () => {
    await withStore(async (store, database) => {
      const first = await store.ask(asking({ id: 'apr_first' }), NOW);
      expect(await store.ask(asking({ id: 'apr_again' }), NOW)).toEqual(first);
      expect(await openApprovals(database, [randomBytes(32), KEY]).ask(asking(), NOW)).toEqual(first);
      const others = [
        asking({ jkt: 'another-key' }),
        asking({ call: anArguments({ path: 'other' }) }),
        asking({ call: { session: 'ses_other' } }),
      ];
      for (const other of others) expect((await ask(store, other)).id).toBe(other.id);
      await store.answer('apr_first', { event: 'refuse', by: ALICE, sha256: asking().frozen.sha256 }, { now: NOW });
      const anew = asking();
      expect((await ask(store, anew)).id).toBe(anew.id);
    });
  });

  it('are so many at once and no more, for an agent and for a person', async () => {
    await withStore(async (store) => {
      const of = (client: string, n: number): Asking => asking({ call: { ...anArguments({ n }), chain: [client] } });
      for (let n = 0; n < MOST_OF_AGENT; n++) await ask(store, of('agt_a', n));
      expect(await store.ask(of('agt_a', MOST_OF_AGENT), NOW)).toEqual({ ok: false, error: 'too_many' });
      for (let n = MOST_OF_AGENT; n < MOST_OF_PERSON; n++) await ask(store, of(`agt_${String(n)}`, n));
      expect(await store.ask(of('agt_z', 0), NOW)).toEqual({ ok: false, error: 'too_many' });
      expect((await ask(store, asking({ call: { person: 'prs_eve' } }))).state).toBe('asked');
    });
  });

  it('wait for the person, or for a group that is not the person, and not for who has answered', async () => {
    await withStore(async (store) => {
      const own = asking();
      const both = asking({
        call: anArguments({ path: 'both' }),
        demands: [aDemand({ policy: 'own' }), aDemand({ policy: 'four-eyes', approvers: ['finance'] })],
      });
      for (const one of [own, both]) await ask(store, one);
      const waiting = async (by: Approver): Promise<readonly string[]> =>
        (await store.waitingFor(by, NOW, 10)).map(({ id }) => id);
      expect(await waiting(ALICE)).toEqual([own.id, both.id]);
      expect(await waiting({ ...ALICE, groups: ['finance'] })).toEqual([own.id, both.id]);
      expect(await waiting(BOB)).toEqual([both.id]);
      expect(await waiting({ ...BOB, groups: ['sales'] })).toEqual([]);
      await grant(store, both);
      expect(await waiting(ALICE)).toEqual([own.id]);
      expect(await waiting(BOB)).toEqual([both.id]);
      expect((await store.waitingFor(ALICE, own.frozen.binding.expiresAt, 10)).length).toBe(0);
    });
  });

  it('are granted when all demands are, and each answer is in the log', async () => {
    await withStore(async (store, database) => {
      const one = asking({
        demands: [aDemand({ policy: 'own' }), aDemand({ policy: 'four-eyes', approvers: ['finance'] })],
      });
      await ask(store, one);
      expect(await grant(store, one)).toMatchObject({ ok: true, value: { state: 'asked' } });
      expect(await grant(store, one)).toEqual({ ok: false, error: { reason: 'already_granted', state: 'asked' } });
      expect(await grant(store, one, BOB)).toMatchObject({
        ok: true,
        value: { state: 'granted', request: one.request },
      });
      const about = { approval: one.id, person: PERSON };
      const { call, demands, policySet, expiresAt } = one.frozen.binding;
      expect(await recordsOf(database)).toEqual([
        {
          ...{ what: 'asked', ...about, decision: 'dec_a', agents: call.chain, server: call.server, tool: call.tool },
          ...{
            arguments_sha256: call.argumentsSha256,
            policy: policySet,
            policies: demands.map(({ policy }) => policy),
          },
          ...{ approvers: ['finance'], asked_sha256: one.frozen.sha256, expires_at: expiresAt },
        },
        { what: 'granted', ...about, by: PERSON, policies: ['own'], complete: false, shown: sha256('page') },
        { what: 'granted', ...about, by: BOB.person, policies: ['four-eyes'], complete: true, shown: sha256('page') },
      ]);
    });
  });

  const ends = {
    refused: (store: ApprovalStore, one: Asking) =>
      store.answer(one.id, { event: 'refuse', by: ALICE, sha256: one.frozen.sha256 }, { now: NOW }),
    withdrawn: (store: ApprovalStore, one: Asking) =>
      store.answer(one.id, { event: 'withdraw', by: 'agt_a' }, { now: NOW }),
    expired: (store: ApprovalStore, one: Asking) => store.byId(one.id, one.frozen.binding.expiresAt),
  };
  it.each(Object.entries(ends))('are %s for good, and their arguments are erased', async (state, end) => {
    await withStore(async (store, database) => {
      const one = asking();
      await ask(store, one);
      await end(store, one);
      expect(await store.byId(one.id, NOW)).toMatchObject({ state, approval: undefined, request: undefined });
      expect(await grant(store, one)).toEqual({ ok: false, error: { reason: 'over', state } });
      expect((await recordsOf(database)).at(-1)).toMatchObject({ what: state, approval: one.id });
      const sealed = await database.prisma.$queryRawUnsafe('SELECT sealed FROM approval');
      expect(sealed).toEqual([{ sealed: null }]);
    });
  });

  it('that nobody answered are ended by who keeps the house, also those that nobody can open any more', async () => {
    await withStore(async (store, database) => {
      const one = asking();
      await ask(store, one);
      const { expiresAt } = one.frozen.binding;
      const blind = openApprovals(database, [randomBytes(32)]);
      await blind.keep(expiresAt - 1);
      expect((await store.byId(one.id, NOW))?.state).toBe('asked');
      await blind.keep(expiresAt);
      expect((await store.byId(one.id, NOW))?.state).toBe('expired');
      expect((await recordsOf(database)).at(-1)).toEqual({
        what: 'expired',
        approval: one.id,
        person: PERSON,
        by: 'writ',
      });
      await blind.keep(expiresAt + 30 * 86_400);
      expect(await store.byId(one.id, NOW)).toBeUndefined();
    });
  });

  it('that were granted are not taken back from a redemption whose commit was first', async () => {
    await withStore(async (store, database) => {
      const one = asking();
      await ask(store, one);
      await grant(store, one);
      await database.prisma.$executeRawUnsafe(
        `INSERT INTO replay (key, spender, expires_at) VALUES ($1, 'req_a', now() + interval '1 hour')`,
        approvalKey(one.id),
      );
      const withdrawn = store.answer(one.id, { event: 'withdraw', by: PERSON }, { now: NOW });
      expect(await withdrawn).toEqual({ ok: false, error: { reason: 'over', state: 'used' } });
    });
  });

  it('come to one end, however many answer at once', async () => {
    await withStore(async (store, database) => {
      for (let round = 0; round < 10; round++) {
        const one = asking({ call: anArguments({ round }) });
        await ask(store, one);
        const answers = await Promise.all([
          grant(store, one),
          ends.refused(store, one),
          ends.withdrawn(store, one),
          store.byId(one.id, one.frozen.binding.expiresAt),
        ]);
        expect(answers.length).toBe(4);
      }
      const records = await recordsOf(database);
      const ended = records.filter((facts) => /refused|withdrawn|expired/.test(JSON.stringify(facts)));
      expect(ended.length).toBe(10);
    });
  });

  it('tell which arguments differ from those of the last one that was used before, by digests that only we can make', async () => {
    await withStore(async (store, database) => {
      const last = asking({ call: anArguments({ path: CANARY, mode: 'a', gone: 1 }) });
      await ask(store, last);
      await database.prisma.$executeRawUnsafe(
        `UPDATE approval SET state = 'used', ended_at = to_timestamp($1::float8), sealed = NULL`,
        NOW - 1,
      );
      const next = await ask(store, asking({ call: anArguments({ path: CANARY, mode: 'b', more: true }) }));
      const difference = { at: NOW - 1, changed: ['mode'], added: ['more'], missing: 1 };
      expect(await store.difference(next)).toEqual(difference);
      expect(await openApprovals(database, [randomBytes(32), KEY]).difference(next)).toEqual(difference);
      const other = await ask(store, asking({ call: { ...anArguments({}), tool: 'another' } }));
      expect(await store.difference(other)).toBeUndefined();
      await database.prisma.$executeRawUnsafe(
        `UPDATE approval SET ended_at = to_timestamp($1::float8) WHERE ended_at IS NOT NULL`,
        NOW,
      );
      // What is used since it was asked changes nothing that somebody may be reading.
      expect(await store.difference(next)).toBeUndefined();
      expect(await textOf(database)).not.toContain(sha256(CANARY));
    });
  });

  it('go with the person who is erased', async () => {
    await withStore(async (store, database) => {
      const one = asking();
      await ask(store, one);
      await database.prisma.$executeRawUnsafe('DELETE FROM person WHERE id = $1', PERSON);
      expect(await store.byId(one.id, NOW)).toBeUndefined();
    });
  });
});
