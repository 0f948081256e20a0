import { describe, expect, it } from '@jest/globals';
import { systemClock } from '../../src/base/index.js';
import type { EngineRecord } from '../../src/oauth/index.js';
import { sha256 } from '../../src/protocol/index.js';
import { openDatabase, openEngineStore, openSignOuts, revoke } from '../../src/storage/index.js';
import { describeDatabases, freshDatabase, databaseKinds } from '../support/databases.js';

const NOW = 1_795_300_000;
const IN_AN_HOUR = new Date(Date.now() + 3_600_000);

const record = (key: string, rest: Partial<EngineRecord> = {}): EngineRecord => ({
  key,
  model: 'AuthorizationCode',
  payload: '{"a": 1}',
  grant: undefined,
  uid: undefined,
  expiresAt: NOW + 60,
  ...rest,
});

describeDatabases('what the engine keeps', (database) => {
  const store = () => openEngineStore(database());
  const revocations = () => database().prisma.revocation.findMany({ orderBy: { number: 'asc' } });

  const useUntil = (key: string, at: number) =>
    database().prisma.tokenUse.create({ data: { key, used: 1, expiresAt: new Date(at * 1000) } });

  it('answers a record as it was put, and the newer one after a second put', async () => {
    await store().put(record('put', { uid: 'u1' }));
    expect(await store().find('put')).toEqual({ ...record('put', { uid: 'u1' }), consumedAt: undefined });
    await store().put(record('put', { payload: '{"a": 2}', expiresAt: undefined }));
    expect(await store().find('put')).toEqual({
      ...record('put', { payload: '{"a": 2}', expiresAt: undefined }),
      consumedAt: undefined,
    });
  });

  it('knows no record that was never put', async () => {
    expect(await store().find('nothing')).toBeUndefined();
    expect(await store().findByUid('Session', 'nothing')).toBeUndefined();
  });

  it('finds and removes by uid within one model', async () => {
    await store().put(record('session', { model: 'Session', uid: 'shared' }));
    await store().put(record('other', { model: 'Other', uid: 'shared' }));
    expect((await store().findByUid('Session', 'shared'))?.key).toBe('session');
    await store().removeByUid('Session', 'shared');
    expect(await store().find('session')).toBeUndefined();
    expect((await store().find('other'))?.key).toBe('other');
  });

  it('consumes once, remembers when, and a later put does not undo it', async () => {
    await store().put(record('code'));
    expect(await store().consume('code', NOW)).toBe(true);
    expect(await store().consume('code', NOW + 1)).toBe(false);
    await store().put(record('code', { payload: '{"a": 3}' }));
    expect((await store().find('code'))?.consumedAt).toBe(NOW);
    expect(await store().consume('gone', NOW)).toBe(false);
  });

  it('takes once', async () => {
    await store().put(record('taken'));
    expect((await store().take('taken'))?.key).toBe('taken');
    expect(await store().take('taken')).toBeUndefined();
  });

  it('spends once', async () => {
    expect(await store().spend('jti', NOW)).toBe(true);
    expect(await store().spend('jti', NOW + 60)).toBe(false);
  });

  it('ends a family whole, numbers the revocation once, and lets nothing of it come back', async () => {
    await store().put(record('f-code', { grant: 'family' }));
    await store().put(record('f-token', { grant: 'family' }));
    await store().put(record('stranger', { grant: 'another' }));
    await store().revokeFamily('family', 'agt_a', 'test');
    await store().revokeFamily('family', 'agt_b', 'again');
    await store().put(record('f-late', { grant: 'family' }));
    expect(await Promise.all(['f-code', 'f-token', 'f-late'].map((key) => store().find(key)))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect((await store().find('stranger'))?.key).toBe('stranger');
    expect(await revocations()).toEqual([
      { target: 'grant:family', number: 1n, reason: 'test', revokedBy: 'agt_a', revokedAt: expect.any(Date) },
    ]);
  });

  it('ends the session that came of a revoked grant, with a number for verifiers, who know no grants', async () => {
    const { prisma } = database();
    await prisma.person.create({ data: { id: 'prs_g', issuer: 'https://idp.example', subject: 'g' } });
    const session = { personId: 'prs_g', agentId: 'agt_a', status: 'active', lastSequence: 3, expiresAt: IN_AN_HOUR };
    await prisma.agentSession.create({ data: { ...session, id: 'ses_g', runKey: sha256('grant ended') } });
    await prisma.agentSession.create({ data: { ...session, id: 'ses_h', runKey: sha256('grant other') } });
    await store().revokeFamily('ended', 'agt_a', 'test');
    const sessions = await prisma.agentSession.findMany({ orderBy: { id: 'asc' } });
    expect(sessions).toMatchObject([
      { id: 'ses_g', status: 'ended', endedBy: 'agt_a', endedReason: 'test', lastSequence: 4 },
      { id: 'ses_h', status: 'active', lastSequence: 3 },
    ]);
    expect((await revocations()).slice(-2).map(({ target }) => target)).toEqual(['grant:ended', 'session:ses_g']);
    expect(await prisma.logLeaf.findMany({ where: { sessionId: 'ses_g' } })).toMatchObject([
      { kind: 'session', sequence: 4 },
    ]);
  });

  const signIn = (uid: string, payload: object = {}): EngineRecord =>
    record(`cookie of ${uid}`, {
      model: 'Session',
      uid,
      payload: JSON.stringify({ accountId: `prs_${uid}`, ...payload }),
    });
  const derived = (uid: string): readonly EngineRecord[] => [
    record(`code of ${uid}`, { payload: JSON.stringify({ sessionUid: uid }), grant: `grant-${uid}` }),
    record(`grant of ${uid}`, { model: 'Grant', payload: JSON.stringify({ sessionUid: uid }), grant: `grant-${uid}` }),
  ];

  it('ends a sign-in with what came of it, under a number and with one record, and keeps no later copy of it', async () => {
    const { prisma } = database();
    await prisma.person.create({ data: { id: 'prs_out', issuer: 'https://idp.example', subject: 'out' } });
    const session = { personId: 'prs_out', agentId: 'agt_a', status: 'active', lastSequence: 1, expiresAt: IN_AN_HOUR };
    for (const uid of ['out', 'stays']) {
      for (const one of [signIn(uid), ...derived(uid)]) await store().put(one);
      await prisma.agentSession.create({
        data: { ...session, id: `ses_${uid}`, runKey: sha256(`grant grant-${uid}`) },
      });
    }
    await openSignOuts(database(), systemClock).here('out', 'prs_out');
    await store().put({ ...signIn('out'), key: 'the next cookie of out' });
    for (const late of derived('out')) await store().put({ ...late, key: `late ${late.key}`, grant: undefined });
    expect(await prisma.engineRecord.count({ where: { key: { endsWith: 'of out' } } })).toBe(0);
    for (const { key } of [signIn('stays'), ...derived('stays')]) expect((await store().find(key))?.key).toBe(key);
    expect((await revocations()).slice(-3).map(({ target, revokedBy }) => [target, revokedBy])).toEqual([
      ['sign-in:out', 'prs_out'],
      ['grant:grant-out', 'prs_out'],
      ['session:ses_out', 'prs_out'],
    ]);
    const states = await prisma.agentSession.findMany({ where: { personId: 'prs_out' }, orderBy: { id: 'asc' } });
    expect(states.map(({ id, status }) => [id, status])).toEqual([
      ['ses_out', 'ended'],
      ['ses_stays', 'active'],
    ]);
    const number = (await revocations()).find(({ target }) => target === 'sign-in:out')?.number;
    const [leaf] = await prisma.logLeaf.findMany({ where: { kind: 'revocation' }, orderBy: { id: 'desc' }, take: 1 });
    expect(JSON.parse(Buffer.from(leaf?.leaf ?? []).toString('utf8'))).toMatchObject({
      facts: {
        what: 'scope',
        kind: 'sign_in',
        id: 'out',
        number: Number(number),
        sessions: 1,
        consents: 1,
        by: 'prs_out',
      },
    });
  });

  it.each([
    ['sign-in', (uid: string) => `sign-in:${uid}`],
    ['person', (uid: string) => `person:prs_${uid}`],
    ['issuer', () => 'issuer:https://idp.example'],
  ])('does not find a sign-in that was written while it was cut off by its %s', async (kind, targetOf) => {
    const uid = `raced-${kind}`;
    const seen = await store().lastRevocation();
    await store().put(signIn(uid, { origin: { issuer: 'https://idp.example', seen } }));
    expect((await store().find(`cookie of ${uid}`))?.uid).toBe(uid);
    expect((await store().findByUid('Session', uid))?.uid).toBe(uid);
    await revoke(database().prisma, [targetOf(uid)], 'test', 'test');
    expect(await store().find(`cookie of ${uid}`)).toBeUndefined();
    expect(await store().findByUid('Session', uid)).toBeUndefined();
    const origin = { issuer: 'https://idp.example', seen: await store().lastRevocation() };
    await store().put(signIn(`${uid}-anew`, { origin, accountId: `prs_${uid}` }));
    expect((await store().find(`cookie of ${uid}-anew`))?.uid).toBe(`${uid}-anew`);
  });

  it('prunes what has expired and nothing else', async () => {
    await store().put(record('old', { expiresAt: NOW - 10 }));
    await store().put(record('for ever', { expiresAt: undefined }));
    await store().spend('old jti', NOW - 10);
    await useUntil('old use', NOW - 10);
    await useUntil('use', NOW);
    await store().prune(NOW - 5);
    expect(await database().prisma.tokenUse.findMany({ select: { key: true } })).toEqual([{ key: 'use' }]);
    expect(await store().find('old')).toBeUndefined();
    expect((await store().find('for ever'))?.key).toBe('for ever');
    expect(await store().spend('old jti', NOW)).toBe(true);
    expect(await store().spend('jti', NOW)).toBe(false);
  });
});

describe.each(databaseKinds)('one-time steps of the engine in a race (%s)', (kind) => {
  it('have one winner each, and revocations have numbers without a gap', async () => {
    const { database, options, drop } = await freshDatabase(kind);
    const replica = kind === 'server' ? await openDatabase(options) : database;
    const stores = [openEngineStore(database), openEngineStore(replica)] as const;
    const racers = Array.from({ length: 12 }, (_, n) => stores[n % 2] ?? stores[0]);
    try {
      await stores[0].put(record('raced'));
      await stores[0].put(record('taken'));
      const wins = (answers: readonly unknown[]): number =>
        answers.filter((answer) => answer !== false && answer !== undefined).length;
      expect(wins(await Promise.all(racers.map((store) => store.consume('raced', NOW))))).toBe(1);
      expect(wins(await Promise.all(racers.map((store) => store.take('taken'))))).toBe(1);
      expect(wins(await Promise.all(racers.map((store) => store.spend('raced', NOW))))).toBe(1);
      await Promise.all(racers.map((store, n) => store.revokeFamily(`g${n % 6}`, 'writ', 'race')));
      const numbers = await database.prisma.revocation.findMany({
        orderBy: { number: 'asc' },
        select: { number: true },
      });
      expect(numbers.map(({ number }) => Number(number))).toEqual([1, 2, 3, 4, 5, 6]);
    } finally {
      if (replica !== database) await replica.close();
      await drop();
    }
  });
});
