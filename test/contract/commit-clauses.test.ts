import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { type LogRecord, readRecord, recordHead } from '../../src/audit/index.js';
import type { Committer } from '../../src/exchange/index.js';
import { Permit } from '../../src/policy/permit.js';
import { prepare } from '../../src/token/index.js';
import { type Database, openCommitter, revoke } from '../../src/storage/index.js';
import { openSessionChanges } from '../../src/storage/session-changes.js';
import { describeDatabases } from '../support/databases.js';
import { delegation, ISS, RS } from '../support/delegations.js';

type Permitted = Parameters<Committer['permit']>[0];
type NotPermitted = Parameters<Committer['refuse']>[0];

const now = (): number => Math.floor(Date.now() / 1000);
const LIVES = { transactionalAccessToken: 180, transactionToken: 180, handOver: 180 };
let counter = 0;
/** Tests share a database: each has people, runs and keys of its own. */
const fresh = (what: string): string => `${what}-${process.pid}-${(counter += 1)}`;

type Wish = Partial<Permitted> & Readonly<{ kid?: string; expiresAt?: number; transaction?: string }>;

describeDatabases('the commit, clause by clause', (database, kind) => {
  let registryVersion = 0;
  let person = '';
  let committer: Committer;

  beforeEach(async () => {
    const state = await database().prisma.registryState.upsert({ where: { id: 1 }, create: { id: 1 }, update: {} });
    registryVersion = Number(state.version);
    person = await personOf(database());
    committer = openCommitter(database());
  });
  afterEach(async () => {
    await database().prisma.registryState.update({ where: { id: 1 }, data: { version: registryVersion } });
  });

  async function personOf(of: Database, more: Readonly<{ status?: string; issuer?: string }> = {}): Promise<string> {
    const id = fresh('prs');
    await of.prisma.person.create({ data: { id, issuer: ISS, subject: id, ...more } });
    return id;
  }
  const open = (runKey = fresh('run'), changes: object = {}) => ({
    open: { runKey, newId: fresh('ses'), personId: person, agentId: 'agt_a', expiresAt: now() + 3_600, ...changes },
  });
  /** What an exchange that is permitted brings. Break one thing of it. */
  const permitted = ({ kid = 'key-1', expiresAt, transaction, ...changes }: Wish = {}): Permitted => {
    const at = changes.now ?? now();
    const grant = {
      decision: 'dec_1',
      policies: [],
      policy: 'rules/1',
      delegation: delegation({}),
      shape: 'txnat+jwt' as const,
      audience: RS,
      scopes: ['files:read'],
      details: undefined,
      localUses: true,
      notAfter: at + 600,
    };
    const token = prepare(new Permit(grant), { issuer: ISS, personId: person, kid, now: at, lifetimes: LIVES });
    return {
      decision: 'permit',
      requestId: fresh('req'),
      record: recordHead('exchange', at, { fact: 'one' }),
      spends: [],
      registryVersion,
      now: at,
      isOver: () => false,
      session: open(),
      token: { ...token, expiresAt: expiresAt ?? token.expiresAt, transaction: transaction ?? token.transaction },
      personId: person,
      newcomer: undefined,
      lineage: [],
      marks: [],
      issuedSince: at,
      parent: undefined,
      ...changes,
    };
  };
  const refused = (changes: Partial<NotPermitted> = {}): NotPermitted => {
    const { requestId, record, isOver } = permitted();
    return {
      decision: 'refuse',
      reason: 'scope_too_wide',
      transaction: undefined,
      requestId,
      record,
      spends: [],
      registryVersion,
      now: now(),
      isOver,
      session: undefined,
      ...changes,
    };
  };
  const spend = (key: string, what: 'assertion' | 'dpop' | 'actor' = 'assertion') => ({
    what,
    key,
    expiresAt: now() + 90,
  });

  /** The verdict, or the session that it was permitted in. */
  const commit = async (outcome: Permitted): Promise<unknown> => {
    const kept = await committer.permit(outcome);
    return kept.ok ? 'permitted' : kept.error;
  };
  const endedOf = (session: string, reason = 'ended'): object => ({
    reason: 'session_ended',
    standing: { session, reason, resumesAt: undefined },
  });
  const sessionOf = async (outcome: Permitted): Promise<string> => {
    const kept = await committer.permit(outcome);
    if (!kept.ok) throw new Error(kept.error.reason);
    return kept.value.commitment.session;
  };
  type Leaf = Readonly<{
    record: LogRecord;
    sessionId: string | null;
    sequence: number | null;
    lineage: readonly string[];
    tokenHash: string | null;
    txn: string | null;
    seen: bigint | null;
    kind: string;
    leaf: Uint8Array;
    leafHash: Uint8Array;
  }>;
  const leaves = async (outcomes: readonly Readonly<{ record: string }>[]): Promise<readonly Leaf[]> => {
    const rows = await database().prisma.logLeaf.findMany({ orderBy: { id: 'asc' } });
    return outcomes.flatMap(({ record }) =>
      rows
        .filter(({ leaf }) => Buffer.from(leaf).toString().startsWith(record))
        .map((row) => {
          const read = readRecord(row.leaf);
          if (read === undefined) throw new Error('a leaf that is no record');
          return { ...row, record: read };
        }),
    );
  };
  const leafOf = async (outcome: Readonly<{ record: string }>): Promise<Leaf> => {
    const [leaf, ...more] = await leaves([outcome]);
    if (leaf === undefined || more.length > 0) throw new Error(`${more.length + (leaf ? 1 : 0)} leaves`);
    return leaf;
  };
  const spentKeys = async (...keys: string[]): Promise<readonly unknown[]> =>
    (await database().prisma.replay.findMany({ where: { key: { in: keys } }, orderBy: { key: 'asc' } })).map(
      ({ key, spender }) => [key, spender],
    );
  const end = (id: string, data: object): Promise<unknown> =>
    database().prisma.agentSession.update({ where: { id }, data });

  it('records a refusal under the transaction that it was asked in', async () => {
    const [within, without] = [refused({ transaction: 'txn-of-the-subject' }), refused()];
    for (const outcome of [within, without]) expect(await committer.refuse(outcome)).toEqual({ ok: true, value: null });
    expect((await leaves([within, without])).map(({ txn }) => txn)).toEqual(['txn-of-the-subject', null]);
  });

  it('permits, with a leaf that says so in full', async () => {
    const key = fresh('jti');
    const outcome = permitted({
      spends: [spend(key)],
      lineage: ['grant:1', 'grant:1', 'person:x'],
      marks: ['server:y'],
    });
    const kept = await committer.permit(outcome);
    if (!kept.ok) throw new Error(kept.error.reason);
    const { session, seen, leaf } = kept.value.commitment;
    const stored = await leafOf(outcome);
    const revocations = await database().prisma.revocation.aggregate({ _max: { number: true } });
    expect(seen).toBe(Number(revocations._max.number ?? 0));
    expect(stored.record.outcome).toEqual({ decision: 'permit', reason: 'permitted', session, sequence: 1, seen });
    expect(leaf).toBe(Buffer.from(stored.leafHash).toString('base64url'));
    expect(leaf).toBe(createHash('sha256').update(Buffer.of(0)).update(stored.leaf).digest('base64url'));
    const { tokenHash, transaction } = outcome.token;
    expect([stored.kind, stored.sessionId, stored.sequence]).toEqual(['exchange', session, 1]);
    expect([stored.txn, stored.tokenHash]).toEqual([transaction, tokenHash]);
    expect([...stored.lineage].sort()).toEqual(
      [
        'grant:1',
        `issuer:${ISS}`,
        'key:key-1',
        'person:x',
        'server:y',
        `session:${session}`,
        `token:${tokenHash}`,
        `txn:${transaction}`,
      ].sort(),
    );
    expect(await spentKeys(key)).toEqual([[key, outcome.requestId]]);
    expect(kept.value.token).toBe(outcome.token);
  });

  it('opens a session as it was wished for', async () => {
    const session = open();
    const id = await sessionOf(permitted({ session }));
    const row = await database().prisma.agentSession.findUniqueOrThrow({ where: { id } });
    expect([id, row.runKey, row.personId, row.agentId, row.status, row.lastSequence]).toEqual([
      session.open.newId,
      session.open.runKey,
      person,
      'agt_a',
      'active',
      1,
    ]);
    expect(row.expiresAt.getTime() / 1000).toBe(session.open.expiresAt);
  });

  it('records a refusal as it was decided, and an ask as an ask', async () => {
    const keys = [fresh('jti'), fresh('jti')];
    const no = refused({ spends: keys.map((key) => spend(key)) });
    const ask = refused({ decision: 'ask', reason: 'approval_required' });
    expect([await committer.refuse(no), await committer.refuse(ask)]).toEqual([
      { ok: true, value: null },
      { ok: true, value: null },
    ]);
    const seen = expect.any(Number);
    const outside = { session: null, sequence: null, seen };
    expect((await leafOf(no)).record.outcome).toEqual({ decision: 'refuse', reason: 'scope_too_wide', ...outside });
    expect((await leafOf(ask)).record.outcome).toEqual({ decision: 'ask', reason: 'approval_required', ...outside });
    const { lineage, tokenHash, txn } = await leafOf(no);
    expect([lineage, tokenHash, txn]).toEqual([[], null, null]);
    expect(await spentKeys(...keys)).toEqual([...keys].sort().map((key) => [key, no.requestId]));
  });

  it('writes nothing that was decided with another registry', async () => {
    const key = fresh('jti');
    for (const version of [registryVersion - 1, registryVersion + 1]) {
      const [yes, no] = [
        permitted({ registryVersion: version, spends: [spend(key)] }),
        refused({ registryVersion: version }),
      ];
      expect(await commit(yes)).toEqual({ reason: 'stale' });
      expect(await committer.refuse(no)).toEqual({ ok: false, error: { reason: 'stale' } });
      expect(await leaves([yes, no])).toEqual([]);
    }
    expect(await spentKeys(key)).toEqual([]);
  });

  it.each([-120, 120])('writes nothing while the clocks differ: ours by %p s', async (difference) => {
    const key = fresh('jti');
    const outcome = permitted({ now: now() + difference, spends: [spend(key)] });
    await expect(committer.permit(outcome)).rejects.toMatchObject({ name: 'Fault', code: 'database_unavailable' });
    expect([await leaves([outcome]), await spentKeys(key)]).toEqual([[], []]);
  });

  it.each([-20, 20])('takes a small difference of the clocks: ours by %p s', async (difference) => {
    expect(await commit(permitted({ now: now() + difference }))).toBe('permitted');
  });

  it('spends what a refusal presented, and refuses the same again by its kind', async () => {
    const keys = [fresh('a-jti'), fresh('b-jti'), fresh('c-jti')];
    const [one = '', two = '', three = ''] = keys;
    await committer.refuse(refused({ spends: [spend(one)] }));
    const again = permitted({ spends: [spend(two, 'dpop'), spend(one, 'actor')] });
    expect(await commit(again)).toEqual({ reason: 'replayed', what: 'actor' });
    expect((await leafOf(again)).record.outcome).toMatchObject({
      decision: 'refuse',
      reason: 'replayed',
      session: null,
    });
    expect((await leafOf(again)).tokenHash).toBeNull();
    // What else it brought is spent all the same.
    expect(await commit(permitted({ spends: [spend(two, 'dpop')] }))).toEqual({ reason: 'replayed', what: 'dpop' });
    expect(await commit(permitted({ spends: [spend(two, 'dpop'), spend(one, 'actor')] }))).toEqual({
      reason: 'replayed',
      what: 'actor',
    });
    const refusal = refused({ spends: [spend(three), spend(two)] });
    expect(await committer.refuse(refusal)).toEqual({ ok: false, error: { reason: 'replayed', what: 'assertion' } });
  });

  it('spends nothing twice for a request that comes again under its own id', async () => {
    const key = fresh('jti');
    const first = refused({ spends: [spend(key)] });
    await committer.refuse(first);
    expect(await commit(permitted({ requestId: first.requestId, spends: [spend(key)] }))).toBe('permitted');
    expect(await spentKeys(key)).toEqual([[key, first.requestId]]);
  });

  it('lets one of two in the same statement spend a thing, and leaves their neighbour alone', async () => {
    const key = fresh('jti');
    const rivals = [
      permitted({ spends: [spend(key)] }),
      permitted({ spends: [spend(key)] }),
      permitted({ spends: [spend(fresh('jti'))] }),
    ];
    const verdicts = await Promise.all(rivals.map(commit));
    expect(verdicts.filter((one) => one === 'permitted')).toHaveLength(2);
    expect(verdicts[2]).toBe('permitted');
    expect(verdicts).toContainEqual({ reason: 'replayed', what: 'assertion' });
  });

  it('refuses what was revoked: an ancestor, an ancestor of its parent, itself', async () => {
    const [grant, other] = [fresh('grant'), fresh('grant')];
    const parent = permitted({ lineage: [grant] });
    expect(await commit(parent)).toBe('permitted');
    const child = (): Permitted => permitted({ parent: parent.token.tokenHash, lineage: [other] });
    expect(await commit(child())).toBe('permitted');
    await revoke(database().prisma, [grant], 'admin', 'test');
    for (const outcome of [child(), permitted({ lineage: [other, grant] })]) {
      expect(await commit(outcome)).toEqual({ reason: 'revoked' });
      const { record, tokenHash, lineage } = await leafOf(outcome);
      expect([record.outcome.decision, record.outcome.reason, tokenHash, lineage]).toEqual([
        'refuse',
        'revoked',
        null,
        [],
      ]);
    }
    expect(await commit(permitted({ lineage: [other] }))).toBe('permitted');
  });

  it('passes the lineage of a parent on', async () => {
    const grant = fresh('grant');
    const parent = permitted({ lineage: [grant] });
    await commit(parent);
    const child = permitted({ parent: parent.token.tokenHash });
    await commit(child);
    expect((await leafOf(child)).lineage).toEqual(expect.arrayContaining([grant, `token:${parent.token.tokenHash}`]));
  });

  it('ends what was got before a cut-off, and not what is got after it', async () => {
    for (const which of ['agent', 'server']) {
      const [agent, server] = [`agent:${fresh('agt')}`, `server:${fresh('rs')}`];
      const cut = which === 'agent' ? agent : server;
      const parent = permitted({ lineage: [agent], marks: [server] });
      await commit(parent);
      const child = (): Permitted => permitted({ parent: parent.token.tokenHash });
      expect(await commit(child())).toBe('permitted');
      await revoke(database().prisma, [cut], 'admin', 'test');
      expect(await commit(child())).toEqual({ reason: 'revoked' });
      const anew = permitted({ lineage: [agent], marks: [server], issuedSince: now() + 2 });
      expect(await commit(anew)).toBe('permitted');
      const kept = await leafOf(anew);
      expect(kept.lineage).toEqual(expect.arrayContaining([agent, server]));
      expect(Number(kept.seen)).toBe(kept.record.outcome.seen);
      expect(await commit(permitted({ parent: anew.token.tokenHash }))).toBe('permitted');
    }
  });

  it('refuses a person’s token from before the person, their issuer or the agent was cut off', async () => {
    const issuer = fresh('https://idp');
    const personId = await personOf(database(), { issuer });
    const targets = [`person:${personId}`, `agent:${fresh('agt')}`, `issuer:${issuer}`];
    const lineage = targets.slice(0, 2);
    for (const target of targets) {
      await revoke(database().prisma, [target], 'admin', 'test');
      const older = permitted({ personId, lineage, issuedSince: now() - 5 });
      expect([target, await commit(older)]).toEqual([target, { reason: 'revoked' }]);
      const newer = permitted({ personId, lineage, issuedSince: now() + 2 });
      expect([target, await commit(newer)]).toEqual([target, 'permitted']);
      expect((await leafOf(newer)).lineage).toEqual(expect.arrayContaining(targets));
    }
  });

  it('leaves a person’s token good for a server and a tool that were cut off', async () => {
    const marks = [`server:${fresh('rs')}`, `tool:${fresh('rs')}#read`];
    await revoke(database().prisma, marks, 'admin', 'test');
    expect(await commit(permitted({ marks, issuedSince: now() - 5 }))).toBe('permitted');
  });

  it('refuses what is made from a token of ours that has no record', async () => {
    expect(await commit(permitted({ parent: fresh('hash') }))).toEqual({ reason: 'revoked' });
  });

  it('writes nothing that a withdrawn key would sign', async () => {
    const kid = fresh('key');
    await revoke(database().prisma, [`key:${kid}`], 'admin', 'test');
    const outcome = permitted({ kid });
    expect([await commit(outcome), await leaves([outcome])]).toEqual([{ reason: 'stale' }, []]);
    // A subject that such a key signed is another matter: it is refused for good.
    expect(await commit(permitted({ lineage: [`key:${kid}`] }))).toEqual({ reason: 'revoked' });
  });

  it('counts the revocations that it has seen', async () => {
    await revoke(database().prisma, [fresh('grant')], 'admin', 'test');
    const kept = await committer.permit(permitted());
    const { _max } = await database().prisma.revocation.aggregate({ _max: { number: true } });
    expect(kept.ok && kept.value.commitment.seen).toBe(Number(_max.number));
    expect(Number(_max.number)).toBeGreaterThan(0);
  });

  it.each(['disabled', 'unknown'])('refuses for a person who is %s', async (status) => {
    const personId = status === 'unknown' ? fresh('prs') : await personOf(database(), { status });
    expect(await commit(permitted({ personId }))).toEqual({ reason: 'person_disabled' });
  });

  it('refuses for a person whose issuer is trusted no more, and for nobody else’s', async () => {
    const [off, on] = [fresh('https://off'), fresh('https://on')];
    for (const [issuer, status] of [
      [off, 'disabled'],
      [on, 'active'],
    ] as const)
      await database().prisma.trustedIssuer.create({ data: { issuer, status, document: {} } });
    expect(await commit(permitted({ personId: await personOf(database(), { issuer: off }) }))).toEqual({
      reason: 'revoked',
    });
    expect(await commit(permitted({ personId: await personOf(database(), { issuer: on }) }))).toBe('permitted');
  });

  it('meets a person once: in the same statement the first exchange, and later ones decide again', async () => {
    const [issuer, subject] = [fresh('https://new'), fresh('sub')];
    const newcomer = { issuer, subject, attributes: { email: 'a@example' }, salt: 'c2FsdHNhbHRzYWx0c2FsdA' };
    const met = (more: Partial<Permitted> = {}): Permitted =>
      permitted({ newcomer, personId: fresh('prs'), spends: [spend(fresh('jti'))], ...more });
    const [first, second] = [met(), met()];
    expect(await Promise.all([commit(first), commit(second)])).toEqual(['permitted', { reason: 'stale' }]);
    const people = await database().prisma.person.findMany({ where: { issuer } });
    expect(people.map(({ id, subject: of, attributes, status }) => [id, of, attributes, status])).toEqual([
      [first.personId, subject, newcomer.attributes, 'active'],
    ]);
    const [late] = [met()];
    expect([await commit(late), await leaves([late, second])]).toEqual([{ reason: 'stale' }, []]);
    expect(await spentKeys(...[...second.spends, ...late.spends].map(({ key }) => key))).toEqual([]);
    const others = [
      { ...newcomer, subject: fresh('sub') },
      { ...newcomer, issuer: fresh('https://new') },
    ];
    expect(await Promise.all(others.map((one) => commit(met({ newcomer: one }))))).toEqual(['permitted', 'permitted']);
  });

  it('meets nobody whose exchange it refuses, and keeps a known run from them', async () => {
    const newcomer = { issuer: fresh('https://new'), subject: 'x', attributes: {}, salt: 'c2FsdHNhbHRzYWx0c2FsdA' };
    const grant = fresh('grant');
    await revoke(database().prisma, [grant], 'admin', 'test');
    expect(await commit(permitted({ newcomer, personId: fresh('prs'), lineage: [grant] }))).toEqual({
      reason: 'revoked',
    });
    const session = open();
    await commit(permitted({ session }));
    expect(await commit(permitted({ newcomer, personId: fresh('prs'), session: open(session.open.runKey) }))).toEqual({
      reason: 'revoked',
    });
    expect(await database().prisma.person.count({ where: { issuer: newcomer.issuer } })).toBe(0);
  });

  it('continues a session by its run and by its id, and numbers its records without a gap', async () => {
    const session = open();
    const id = await sessionOf(permitted({ session }));
    const again = open(session.open.runKey);
    const outcomes = [permitted({ session: again }), permitted({ session: { continue: id } })];
    expect(await Promise.all(outcomes.map(sessionOf))).toEqual([id, id]);
    const no = refused({ session: { join: session.open.runKey } });
    const grant = fresh('grant');
    await revoke(database().prisma, [grant], 'admin', 'test');
    const revoked = permitted({ session: { continue: id }, lineage: [grant] });
    await committer.refuse(no);
    await committer.refuse(refused({ session: { continue: id } }));
    await commit(revoked);
    const numbered = await database().prisma.logLeaf.findMany({
      where: { sessionId: id },
      orderBy: { sequence: 'asc' },
    });
    expect(numbered.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6]);
    expect((await leafOf(no)).record.outcome).toMatchObject({ session: id, sequence: 4 });
    expect((await leafOf(revoked)).record.outcome).toMatchObject({ reason: 'revoked', session: id, sequence: 6 });
    const row = await database().prisma.agentSession.findUniqueOrThrow({ where: { id } });
    expect([row.lastSequence, row.personId, row.agentId]).toEqual([6, person, 'agt_a']);
    expect(row.lastUsedAt.getTime()).toBeGreaterThan(row.openedAt.getTime());
  });

  it('numbers one run in one statement in the order that it came, and other runs apart', async () => {
    const [run, other] = [open(), open()];
    const outcomes = [
      permitted({ session: run }),
      permitted({ session: other }),
      permitted({ session: open(run.open.runKey, { expiresAt: run.open.expiresAt + 100 }) }),
    ];
    const sessions = await Promise.all(outcomes.map(sessionOf));
    expect([sessions[0] === sessions[2], sessions[0] === sessions[1], sessions[0]]).toEqual([
      true,
      false,
      run.open.newId,
    ]);
    const numbers = await Promise.all(outcomes.map(async (one) => (await leafOf(one)).sequence));
    expect(numbers).toEqual([1, 1, 2]);
    const row = await database().prisma.agentSession.findUniqueOrThrow({ where: { id: run.open.newId } });
    expect(row.expiresAt.getTime() / 1000).toBe(run.open.expiresAt + 100);
  });

  it('opens a session as its exchange wishes, though a refusal of the same run comes first in the statement', async () => {
    const session = open();
    const [no, yes] = [refused({ session: { join: session.open.runKey } }), permitted({ session })];
    await Promise.all([committer.refuse(no), commit(yes)]);
    const row = await database().prisma.agentSession.findUniqueOrThrow({ where: { runKey: session.open.runKey } });
    expect([row.id, row.personId, row.agentId]).toEqual([session.open.newId, person, 'agt_a']);
    expect([(await leafOf(no)).sequence, (await leafOf(yes)).sequence]).toEqual([1, 2]);
  });

  it.each<[string, object, string]>([
    ['key', { jkt: 'key-b' }, 'session_of_another_key'],
    ['key, which is none', { jkt: undefined }, 'session_of_another_key'],
    ['agent', { agentId: 'agt_z' }, 'revoked'],
  ])('asks again whatever would open a run with another %s in the same statement', async (_, changes, reason) => {
    const run = fresh('run');
    const key = fresh('jti');
    const same = { jkt: 'key-a' };
    const other = permitted({ session: open(run, { ...same, ...changes }), spends: [spend(key)] });
    const three = [permitted({ session: open(run, same) }), other, permitted({ session: open(run, same) })];
    expect(await Promise.all(three.map(commit))).toEqual(['permitted', { reason: 'stale' }, 'permitted']);
    expect([await spentKeys(key), await leaves([other])]).toEqual([[], []]);
    expect(await commit(other)).toEqual({ reason });
    const row = await database().prisma.agentSession.findUniqueOrThrow({ where: { runKey: run } });
    expect([row.jkt, row.agentId, row.lastSequence]).toEqual(['key-a', 'agt_a', 3]);
  });

  it('shapes a session by nothing that it refuses in the same statement', async () => {
    const grant = fresh('grant');
    const key = fresh('jti');
    await revoke(database().prisma, [grant], 'admin', 'test');
    await committer.refuse(refused({ spends: [spend(key)] }));
    const run = fresh('run');
    const mine = { jkt: 'key-b', purpose: 'mine' };
    const four = [
      permitted({ session: open(run, { jkt: 'key-a', purpose: 'revoked', agentId: 'agt_z' }), lineage: [grant] }),
      permitted({ session: open(run, { ...mine, purpose: 'replayed' }), spends: [spend(key)] }),
      permitted({ session: open(run, mine) }),
      permitted({ session: open(run, mine) }),
    ];
    expect(await Promise.all(four.map(commit))).toEqual([
      { reason: 'revoked' },
      { reason: 'replayed', what: 'assertion' },
      'permitted',
      'permitted',
    ]);
    const row = await database().prisma.agentSession.findUniqueOrThrow({ where: { runKey: run } });
    expect([row.jkt, row.purpose, row.agentId, row.lastSequence]).toEqual(['key-b', 'mine', 'agt_a', 4]);
  });

  it('opens none for a refusal, nor for what it refuses itself', async () => {
    const runs = [fresh('run'), fresh('run')];
    const grant = fresh('grant');
    await revoke(database().prisma, [grant], 'admin', 'test');
    await committer.refuse(refused({ session: { join: runs[0] ?? '' } }));
    await commit(permitted({ session: open(runs[1]), lineage: [grant] }));
    expect(await database().prisma.agentSession.count({ where: { runKey: { in: runs } } })).toBe(0);
  });

  it('refuses what would continue a session that is not there, or another person’s', async () => {
    expect(await commit(permitted({ session: { continue: fresh('ses') } }))).toEqual({ reason: 'session_ended' });
    const session = open();
    const id = await sessionOf(permitted({ session }));
    const personId = await personOf(database());
    expect(await commit(permitted({ session: { continue: id }, personId }))).toEqual({ reason: 'revoked' });
    expect(await commit(permitted({ session: open(session.open.runKey), personId }))).toEqual({ reason: 'revoked' });
  });

  it('refuses an ended session, by run and by id, without a number in it', async () => {
    const session = open();
    const id = await sessionOf(permitted({ session }));
    await end(id, { status: 'ended', expiresAt: new Date((now() + 100) * 1000) });
    for (const wish of [{ continue: id }, open(session.open.runKey)]) {
      const outcome = permitted({ session: wish });
      expect(await commit(outcome)).toEqual(endedOf(id));
      expect((await leafOf(outcome)).record.outcome).toMatchObject({
        reason: 'session_ended',
        session: null,
        sequence: null,
      });
    }
    expect((await database().prisma.agentSession.findUniqueOrThrow({ where: { id } })).lastSequence).toBe(1);
    const no = refused({ session: { join: session.open.runKey } });
    await committer.refuse(no);
    expect((await leafOf(no)).record.outcome).toMatchObject({ reason: 'scope_too_wide', session: null });
  });

  it('lets no token outlive its session: by id refused, by run closed and opened anew', async () => {
    const session = open();
    const id = await sessionOf(permitted({ session }));
    await end(id, { expiresAt: new Date((now() + 100) * 1000) });
    expect(await commit(permitted({ session: { continue: id } }))).toEqual(endedOf(id, 'expired'));
    expect(await commit(permitted({ session: { continue: id }, expiresAt: now() + 60 }))).toBe('permitted');
    expect(await commit(permitted({ session: open(session.open.runKey), expiresAt: now() + 60 }))).toBe('permitted');
    const key = fresh('jti');
    const outcome = permitted({ session: open(session.open.runKey), spends: [spend(key)] });
    expect(await commit(outcome)).toEqual({ reason: 'stale' });
    expect([await leaves([outcome]), await spentKeys(key)]).toEqual([[], []]);
    expect((await database().prisma.agentSession.findUniqueOrThrow({ where: { id } })).status).toBe('ended');
    const renewed = await sessionOf(outcome);
    expect(renewed).not.toBe(id);
  });

  it('ends and numbers all that is below a session which it closes', async () => {
    const session = open();
    const id = await sessionOf(permitted({ session }));
    const below = await sessionOf(permitted({ session: open(fresh('run'), { above: id, agentId: 'agt_b' }) }));
    await end(id, { expiresAt: new Date((now() + 100) * 1000) });
    expect(await commit(permitted({ session: open(session.open.runKey) }))).toEqual({ reason: 'stale' });
    const targets = [id, below].map((one) => `session:${one}`);
    expect(await database().prisma.revocation.count({ where: { target: { in: targets } } })).toBe(2);
    const row = await database().prisma.agentSession.findUniqueOrThrow({ where: { id: below } });
    expect([row.status, row.endedBy, row.endedReason, row.lastSequence]).toEqual(['ended', 'writ', 'expired', 2]);
    const [last] = await database().prisma.logLeaf.findMany({ where: { sessionId: below, sequence: 2 } });
    expect(readRecord(last?.leaf ?? new Uint8Array())).toMatchObject({
      kind: 'session',
      facts: { what: 'ended', by: 'writ' },
      outcome: { decision: 'done', reason: 'expired', session: below, sequence: 2 },
    });
  });

  it('lets a token end with its session, to the second', async () => {
    const session = open();
    const id = await sessionOf(permitted({ session }));
    const expiresAt = now() + 100;
    await end(id, { expiresAt: new Date(expiresAt * 1000) });
    for (const wish of [{ continue: id }, open(session.open.runKey)]) {
      expect(await sessionOf(permitted({ session: wish, expiresAt }))).toBe(id);
      expect(await commit(permitted({ session: wish, expiresAt: expiresAt + 1 }))).not.toBe('permitted');
    }
  });

  it('refuses what a paused session would mint, numbered in it, with why and until when', async () => {
    const session = open();
    const id = await sessionOf(permitted({ session }));
    const changes = openSessionChanges(database(), now);
    expect(await changes.pause(id, { by: 'adm', reason: 'INC-1', seconds: undefined })).toBe('paused');
    const paused = {
      reason: 'session_paused',
      standing: { session: id, reason: 'INC-1', resumesAt: undefined },
    };
    for (const wish of [{ continue: id }, open(session.open.runKey)]) {
      const outcome = permitted({ session: wish });
      expect(await commit(outcome)).toEqual(paused);
      expect((await leafOf(outcome)).record.outcome).toMatchObject({ reason: 'session_paused', session: id });
    }
    const no = refused({ session: { join: session.open.runKey } });
    await committer.refuse(no);
    expect((await leafOf(no)).sequence).toBe(5);
    expect(await changes.resume(id, { by: 'adm', reason: 'over' })).toBe('resumed');
    expect(await sessionOf(permitted({ session: open(session.open.runKey) }))).toBe(id);
  });

  it('says until when a pause lasts, and ends one whose time is over, on the record', async () => {
    const session = open();
    const id = await sessionOf(permitted({ session }));
    await openSessionChanges(database(), now).pause(id, { by: 'adm', reason: 'rest', seconds: 600 });
    const refusal = await commit(permitted({ session: open(session.open.runKey) }));
    const { resumesAt } = await database().prisma.agentSession.findUniqueOrThrow({ where: { id } });
    expect(refusal).toEqual({
      reason: 'session_paused',
      standing: { session: id, reason: 'rest', resumesAt: Math.round((resumesAt?.getTime() ?? 0) / 1000) },
    });
    await end(id, { status: 'paused', resumesAt: new Date(Date.now() - 1000) });
    expect(await commit(permitted({ session: open(session.open.runKey) }))).toEqual({ reason: 'stale' });
    expect(await sessionOf(permitted({ session: open(session.open.runKey) }))).toBe(id);
    const rows = await database().prisma.logLeaf.findMany({ where: { sessionId: id }, orderBy: { sequence: 'asc' } });
    expect(rows.map(({ kind, sequence }) => [kind, sequence])).toEqual([
      ['exchange', 1],
      ['session', 2],
      ['exchange', 3],
      ['session', 4],
      ['exchange', 5],
    ]);
  });

  it('opens a session below another that is active, for no longer than that one', async () => {
    const root = open(fresh('run'), { expiresAt: now() + 1_000, purpose: 'report' });
    const above = await sessionOf(permitted({ session: root, acr: 'phr' }));
    const below = open(fresh('run'), { above, agentId: 'agt_b' });
    const id = await sessionOf(permitted({ session: below, acr: 'phr' }));
    const row = await database().prisma.agentSession.findUniqueOrThrow({ where: { id } });
    expect([row.parentId, row.agentId, row.acr, row.expiresAt.getTime() / 1000]).toEqual([
      above,
      'agt_b',
      'phr',
      root.open.expiresAt,
    ]);
    expect((await database().prisma.agentSession.findUniqueOrThrow({ where: { id: above } })).purpose).toBe('report');
    const changes = openSessionChanges(database(), now);
    const other = (): Wish => ({ session: open(fresh('run'), { above, agentId: 'agt_b' }) });
    await changes.pause(above, { by: 'adm', reason: 'INC', seconds: undefined });
    expect(await commit(permitted(other()))).toEqual({
      reason: 'session_paused',
      standing: { session: above, reason: 'INC', resumesAt: undefined },
    });
    expect(await commit(permitted({ session: below }))).toEqual({
      reason: 'session_paused',
      standing: { session: id, reason: 'INC', resumesAt: undefined },
    });
    await changes.end(above, { by: 'adm', reason: 'INC' });
    expect(await commit(permitted(other()))).toEqual(endedOf(above));
    expect(await commit(permitted({ session: below }))).toEqual(endedOf(id));
    expect(await commit(permitted({ session: open(fresh('run'), { above: fresh('ses') }) }))).toEqual({
      reason: 'session_ended',
    });
    const short = await sessionOf(permitted({ session: open(fresh('run'), { expiresAt: now() + 200 }) }));
    const late = permitted({ session: open(fresh('run'), { above: short }), expiresAt: now() + 250 });
    expect(await commit(late)).toEqual(endedOf(short, 'expired'));
  });

  it('refuses a session to another agent and to another key, and to none where there was one', async () => {
    const session = open(fresh('run'), { jkt: 'key-a' });
    const id = await sessionOf(permitted({ session }));
    const join = (changes: object): Promise<unknown> =>
      commit(permitted({ session: open(session.open.runKey, changes) }));
    expect(await join({ jkt: 'key-a', agentId: 'agt_z' })).toEqual({ reason: 'revoked' });
    expect(await join({ jkt: 'key-b' })).toEqual({ reason: 'session_of_another_key' });
    expect(await join({})).toEqual({ reason: 'session_of_another_key' });
    expect(await sessionOf(permitted({ session: open(session.open.runKey, { jkt: 'key-a' }) }))).toBe(id);
    const free = open();
    expect(await sessionOf(permitted({ session: free }))).toBe(free.open.newId);
    expect(await sessionOf(permitted({ session: open(free.open.runKey, { jkt: 'key-b' }) }))).toBe(free.open.newId);
  });

  it('gives up a session that is bound to another key for whoever signed in after it was opened', async () => {
    const session = open(fresh('run'), { jkt: 'key-a' });
    const id = await sessionOf(permitted({ session }));
    const by = (signedInSince: number) => open(session.open.runKey, { jkt: 'key-b', signedInSince });
    expect(await commit(permitted({ session: by(now() - 60) }))).toEqual({ reason: 'session_of_another_key' });
    const again = by(now() + 5);
    expect(await commit(permitted({ session: again }))).toEqual({ reason: 'stale' });
    expect(await sessionOf(permitted({ session: again }))).toBe(again.open.newId);
    const row = await database().prisma.agentSession.findUniqueOrThrow({ where: { id } });
    expect([row.status, row.endedBy, row.endedReason]).toEqual(['ended', 'writ', 'signed in anew with another key']);
    expect(await commit(permitted({ session: open(session.open.runKey, { jkt: 'key-a' }) }))).toEqual({
      reason: 'session_of_another_key',
    });
  });

  it('gives up the session of somebody who was erased for whoever comes as a new person', async () => {
    const session = open();
    const id = await sessionOf(permitted({ session }));
    await database().prisma.person.delete({ where: { id: person } });
    const newPerson = fresh('prs');
    const newcomer = { issuer: ISS, subject: fresh('sub'), attributes: {}, salt: 'salt' };
    const come = (): Permitted =>
      permitted({
        ...{ personId: newPerson, newcomer },
        session: open(session.open.runKey, { personId: newPerson, newId: `${id}-2` }),
      });
    expect(await commit(come())).toEqual({ reason: 'stale' });
    expect(await sessionOf(come())).toBe(`${id}-2`);
    const row = await database().prisma.agentSession.findUniqueOrThrow({ where: { id } });
    expect([row.status, row.endedReason]).toEqual(['ended', 'erased']);
  });

  it('takes what is refused for no use of the session, and weakens nothing by it', async () => {
    const session = open(fresh('run'), { jkt: 'key-a' });
    const id = await sessionOf(permitted({ session, acr: 'phr' }));
    const idleUntil = new Date((now() + 100) * 1_000);
    const lastUsedAt = new Date((now() - 50) * 1_000);
    await database().prisma.agentSession.update({ where: { id }, data: { idleUntil, lastUsedAt } });
    const other = permitted({ session: open(session.open.runKey, { jkt: 'key-b' }), acr: 'pwd' });
    expect(await commit(other)).toEqual({ reason: 'session_of_another_key' });
    await committer.refuse(refused({ session: { join: session.open.runKey }, acr: 'pwd' }));
    const row = await database().prisma.agentSession.findUniqueOrThrow({ where: { id } });
    expect(row).toMatchObject({ acr: 'phr', idleUntil, lastUsedAt, lastSequence: 3 });
  });

  it('keeps of the authentication only what all exchanges of a session have in common', async () => {
    const session = open();
    const acrOf = async (acr: string | undefined): Promise<unknown> => {
      const id = await sessionOf(permitted({ session: open(session.open.runKey), acr }));
      return (await database().prisma.agentSession.findUniqueOrThrow({ where: { id } })).acr;
    };
    expect([await acrOf('phr'), await acrOf('phr'), await acrOf('pwd'), await acrOf('phr')]).toEqual([
      'phr',
      'phr',
      null,
      null,
    ]);
  });

  it('closes a session that was unused for too long, unless one below it lives', async () => {
    const session = open();
    const id = await sessionOf(permitted({ session }));
    const below = await sessionOf(permitted({ session: open(fresh('run'), { above: id }) }));
    const idle = { idleUntil: new Date(Date.now() - 1000) };
    await database().prisma.agentSession.update({ where: { id }, data: idle });
    expect(await sessionOf(permitted({ session: open(session.open.runKey) }))).toBe(id);
    await database().prisma.agentSession.update({ where: { id }, data: idle });
    await end(below, { status: 'ended' });
    const again = open(session.open.runKey);
    expect(await commit(permitted({ session: again }))).toEqual({ reason: 'stale' });
    expect(await sessionOf(permitted({ session: again }))).toBe(again.open.newId);
    const row = await database().prisma.agentSession.findUniqueOrThrow({ where: { id } });
    expect([row.status, row.endedBy, row.endedReason]).toEqual(['ended', 'writ', 'idle']);
  });

  it('leaves no gap for what it does not number: stale, too far off, ended, and to be opened anew', async () => {
    const session = open();
    const id = await sessionOf(permitted({ session }));
    await end(id, { expiresAt: new Date((now() + 100) * 1000) });
    const again = open(session.open.runKey);
    const soon = now() + 60;
    const [first, last] = [1, 2].map(() => permitted({ session: again, expiresAt: soon }));
    if (first === undefined || last === undefined) throw new Error('two were made');
    const verdicts = await Promise.allSettled([
      commit(first),
      commit(permitted({ session: again, expiresAt: soon, registryVersion: registryVersion + 1 })),
      commit(permitted({ session: again, expiresAt: soon, now: now() + 120 })),
      commit(permitted({ session: again })),
      commit(permitted({ session: { continue: id } })),
      commit(last),
    ]);
    expect(verdicts.map((one) => (one.status === 'fulfilled' ? one.value : 'outage'))).toEqual([
      'permitted',
      { reason: 'stale' },
      'outage',
      { reason: 'stale' },
      endedOf(id, 'expired'),
      'permitted',
    ]);
    expect([(await leafOf(first)).sequence, (await leafOf(last)).sequence]).toEqual([2, 3]);
    const numbered = await database().prisma.logLeaf.findMany({
      where: { sessionId: id },
      orderBy: { sequence: 'asc' },
    });
    expect(numbered.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
    expect((await database().prisma.agentSession.findUniqueOrThrow({ where: { id } })).lastSequence).toBe(4);
  });

  // The embedded database has one connection, and so no such race.
  if (kind === 'server') {
    it('refuses what continues a session that is paused while it is committed', async () => {
      const session = open();
      const id = await sessionOf(permitted({ session }));
      const below = permitted({ session: open(fresh('run'), { above: id }) });
      const outcome = permitted({ session: open(session.open.runKey) });
      let late: Promise<unknown>[] = [];
      await database().prisma.$transaction(async (transaction) => {
        await transaction.$queryRawUnsafe('SELECT 1 AS one FROM agent_session WHERE id = $1 FOR UPDATE', id);
        const data = { status: 'paused', pausedReason: 'INC', pausedWith: id };
        await transaction.agentSession.update({ where: { id }, data });
        late = [commit(outcome), pause(50).then(() => openCommitter(database()).permit(below))];
        await pause(200);
      });
      const [joined, opened] = await Promise.all(late);
      expect(joined).toEqual({
        reason: 'session_paused',
        standing: { session: id, reason: 'INC', resumesAt: undefined },
      });
      expect(opened).toEqual({ ok: false, error: { reason: 'stale' } });
    });

    it.each<[string, object, object, unknown]>([
      ['another key', {}, { jkt: 'key-b' }, { reason: 'session_of_another_key' }],
      ['no key', {}, { jkt: undefined }, { reason: 'session_of_another_key' }],
      ['another agent', {}, { agentId: 'agt_z' }, { reason: 'revoked' }],
      ['the same', {}, {}, 'permitted'],
      ['any key', { jkt: null }, { jkt: 'key-b' }, 'permitted'],
      ['a token too long', { expiresAt: new Date((now() + 100) * 1000) }, {}, 'ended'],
    ])('asks what another replica opens at the same moment as what was there: %s', async (_, row, changes, wanted) => {
      const [run, id] = [fresh('run'), fresh('ses')];
      const outcome = permitted({ session: open(run, { jkt: 'key-a', ...changes }) });
      let late: Promise<unknown> | undefined;
      await database().prisma.$transaction(async (transaction) => {
        const opened = { id, runKey: run, personId: person, agentId: 'agt_a', status: 'active', lastSequence: 1 };
        const data = { ...opened, jkt: 'key-a', expiresAt: new Date((now() + 3_600) * 1000), ...row };
        await transaction.agentSession.create({ data });
        late = commit(outcome);
        await pause(200);
      });
      expect(await late).toEqual(wanted === 'ended' ? endedOf(id) : wanted);
      const { jkt, agentId } = await database().prisma.agentSession.findUniqueOrThrow({ where: { runKey: run } });
      expect([jkt, agentId]).toEqual(['jkt' in row ? null : 'key-a', 'agt_a']);
    });

    it('refuses what continues a session that ends while it is committed', async () => {
      const session = open();
      const id = await sessionOf(permitted({ session }));
      for (const wish of [open(session.open.runKey), { continue: id }]) {
        await end(id, { status: 'active' });
        const outcome = permitted({ session: wish });
        let late: Promise<unknown> | undefined;
        await database().prisma.$transaction(async (transaction) => {
          await transaction.agentSession.update({ where: { id }, data: { status: 'ended' } });
          late = commit(outcome);
          await pause(100);
        });
        expect(await late).toEqual(endedOf(id));
        expect((await leafOf(outcome)).record.outcome).toMatchObject({ decision: 'refuse', session: null });
      }
    });
  }
});
