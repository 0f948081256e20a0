import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { keepSessionLife, recordHead, sessionClosesAfter } from '../../src/audit/index.js';
import { systemClock } from '../../src/base/index.js';
import { parseVerifierKey, verifyBundle } from '../../src/sdk/auditor/index.js';
import { openDatabase, openSessionLife, openSessionPruning } from '../../src/storage/index.js';
import { outcomeOf, report } from '../support/outcomes.js';
import { ownWorld, tool, tools } from '../support/world.js';
import { bearerAssertion, request, tokenOf } from '../support/writ.js';

const AUDIT_TOKEN = 'test-audit-token-0123456789-abcdefghijklmnop';
const world = await ownWorld({ env: { WRIT_AUDIT_TOKEN: AUDIT_TOKEN } });
const { prisma } = world.writ.database;
const closesAfter = sessionClosesAfter(world.config);
const life = openSessionLife(world.writ.database, closesAfter);
const round = (): Promise<void> => keepSessionLife(life, systemClock);

type Item = Readonly<{
  leaf_hash: string;
  facts: Readonly<Record<string, unknown>>;
  outcome: Readonly<{ decision: string; reason: string; session: string; sequence: number | null }>;
}>;
const recordsOf = async (session: string): Promise<readonly Item[]> =>
  ((await world.admin('GET', `/log?limit=200&session=${session}`)).body as { items: Item[] }).items;
const lastOf = async (session: string): Promise<Item | undefined> => (await recordsOf(session)).at(-1);

/** Once all that is written is in the tree. */
async function bundleOf(id: string): Promise<string> {
  const isBehind = async (): Promise<boolean> =>
    (await prisma.$queryRawUnsafe<object[]>('SELECT 1 FROM log_pending LIMIT 1')).length > 0;
  while (await isBehind()) await pause(50);
  const headers = { authorization: `Bearer ${AUDIT_TOKEN}` };
  return (await request(`${world.issuer}/audit/v1/bundle?session=${id}`, { headers })).text;
}

let people = 0;
/** A session of its own with this many permits; its tokens. */
async function session(
  permits = 1,
): Promise<Readonly<{ id: string; tokens: string[]; person: string; subject: string }>> {
  const person = `person-${String((people += 1))}`;
  const subject_token = await world.personToken(person);
  const tokens: string[] = [];
  for (let at = 0; at < permits; at++)
    tokens.push(tokenOf(await world.exchange({ subject_token, authorization_details: tools(tool('write_file')) })));
  const { sub, writ } = decodeJwt<{ writ: { session: string } }>(tokens[0] ?? '');
  return { id: writ.session, tokens, person: sub ?? '', subject: subject_token };
}
const set = (id: string, sql: string): Promise<unknown> =>
  prisma.$executeRawUnsafe(`UPDATE agent_session SET ${sql} WHERE id = $1`, id);
const overSince = (seconds: number): string => `expires_at = clock_timestamp() - interval '${String(seconds)} seconds'`;
const longEnded = `ended_at = clock_timestamp() - interval '${String(closesAfter + 61)} seconds'`;

describe('the life of a session', () => {
  it('begins with the record of the exchange that opened it, number 1', async () => {
    const { id } = await session();
    expect((await recordsOf(id)).map(({ outcome }) => [outcome.decision, outcome.sequence])).toEqual([['permit', 1]]);
  });

  it('ends by itself when its time is over, on the record, and the run may open another', async () => {
    const { id, person } = await session(2);
    await set(id, overSince(1));
    await round();
    const ended = await lastOf(id);
    expect([ended?.facts, ended?.outcome]).toEqual([
      { what: 'ended', by: 'writ' },
      { decision: 'done', reason: 'expired', session: id, sequence: 3, seen: 0 },
    ]);
    const again = await world.exchange({ subject_token: await world.personToken(`person-${String(people)}`) });
    const { sub, writ } = decodeJwt<{ writ: { session: string } }>(tokenOf(again));
    expect([sub, writ.session === id]).toEqual([person, false]);
  });

  it('is left alone while its time is not over, and once ended until the last outcome may have come', async () => {
    const { id } = await session();
    await round();
    expect(await recordsOf(id)).toHaveLength(1);
    await world.admin('POST', `/sessions/${id}/end`, { reason: 'test' });
    await set(id, `ended_at = clock_timestamp() - interval '${String(closesAfter)} seconds'`);
    await round();
    expect((await lastOf(id))?.facts).toMatchObject({ what: 'ended' });
  });

  it('is closed by a summary of everything that is in it, with the next number, and by one only', async () => {
    const { id, tokens, person } = await session(3);
    await report(
      world,
      tokens.slice(0, 2).map((token) => outcomeOf(token)),
      world.rs1,
    );
    for (let use = 0; use < 2; use++)
      await world.post('/introspect', {
        ...(await bearerAssertion(world.issuer, world.rs1)),
        token: tokens[0] ?? '',
        consume: 'write_file',
      });
    const wide = await world.exchange({
      subject_token: tokens[0],
      subject_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token',
    });
    expect(wide.status).toBe(400);
    await set(id, overSince(1));
    await round();
    await set(id, longEnded);
    await round();
    await round();
    const records = await recordsOf(id);
    const numbered = records.filter(({ outcome }) => outcome.sequence !== null);
    const summary = numbered.at(-1);
    const refusals = records.filter(({ outcome }) => outcome.decision === 'refuse').length;
    expect(numbered.map(({ outcome }) => outcome.sequence)).toEqual(numbered.map((_, at) => at + 1));
    expect(records.filter(({ facts }) => facts['what'] === 'closed')).toHaveLength(1);
    expect(summary?.outcome).toEqual({
      decision: 'done',
      reason: 'closed',
      session: id,
      sequence: numbered.length,
      seen: 0,
    });
    expect(summary?.facts).toEqual({
      what: 'closed',
      session: id,
      person,
      agents: ['agt_a1'],
      opened_at: expect.any(Number),
      ended_at: expect.any(Number),
      ended_by: 'writ',
      entries: records.length - 1,
      permits: 3,
      refusals,
      asks: 0,
      introspections: 2,
      outcomes: 2,
      first: numbered[0]?.leaf_hash,
      last: numbered.at(-2)?.leaf_hash,
    });
    const bundle = await bundleOf(id);
    const [vkey = ''] = (JSON.parse(bundle.split('\n', 1)[0] ?? '') as { keys: string[] }).keys;
    const key = parseVerifierKey(vkey);
    expect(await verifyBundle([Buffer.from(bundle)], { keys: key.ok ? [key.value] : [] })).toMatchObject({
      problems: [],
      isProved: true,
      entries: { included: records.length },
      sessions: { complete: 1, open: 0, partial: 0 },
    });
  });

  it('has nothing after its summary: what is refused or reported later is of no session', async () => {
    const { id, tokens } = await session();
    await set(id, overSince(1));
    await round();
    await set(id, longEnded);
    await round();
    const before = await recordsOf(id);
    const late = await report(world, [outcomeOf(tokens[0] ?? '')], world.rs1);
    expect(late.body).toMatchObject({ outcomes: [{ result: 'recorded' }] });
    await round();
    expect(await recordsOf(id)).toEqual(before);
  });

  it('has a summary that says which of its records are missing', async () => {
    const { id } = await session(4);
    await prisma.$executeRawUnsafe('UPDATE log_leaf SET sequence = 6 WHERE session_id = $1 AND sequence = 4', id);
    await set(id, `status = 'ended', ended_by = 'adm', last_sequence = 7, ${longEnded}`);
    await round();
    expect((await lastOf(id))?.facts).toMatchObject({ entries: 4, permits: 4, missing: [4, 5, 7] });
  });

  it('is closed also when it has more records than are read at once', async () => {
    const { id } = await session();
    await prisma.$executeRawUnsafe(
      `INSERT INTO log_leaf (leaf, leaf_hash, kind, session_id, sequence, lineage)
       SELECT l.leaf, l.leaf_hash, l.kind, l.session_id, n, ARRAY[]::text[]
       FROM log_leaf l, generate_series(2, 1203) AS n WHERE l.session_id = $1 AND l.sequence = 1`,
      id,
    );
    await set(id, `status = 'ended', ended_by = 'adm', last_sequence = 1203, ${longEnded}`);
    await round();
    const [closed] = await prisma.$queryRawUnsafe<{ leaf: Uint8Array }[]>(
      'SELECT leaf FROM log_leaf WHERE session_id = $1 AND sequence = 1204',
      id,
    );
    expect(JSON.parse(Buffer.from(closed?.leaf ?? []).toString())).toMatchObject({
      facts: { entries: 1203, permits: 1203 },
    });
  });

  it('is shown for 90 days after it is closed, on the log for as long as that is kept, and is never opened again where it was ended on purpose', async () => {
    const [{ id }, stopped] = [await session(), await session()];
    await world.admin('POST', `/sessions/${stopped.id}/end`, { reason: 'test' });
    await set(id, overSince(1));
    await round();
    const longAgo = `closed_at = now() - interval '91 days', ended_at = now() - interval '92 days'`;
    for (const one of [id, stopped.id]) await set(one, longAgo);
    await session(); // the agent is used by others after it
    await openSessionPruning(world.writ.database).prune(90);
    expect((await world.admin('GET', `/sessions/${id}`)).status).toBe(404);
    expect((await recordsOf(id)).map(({ outcome }) => outcome.reason)).toEqual([expect.any(String), 'expired']);
    expect((await world.admin('GET', `/sessions/${stopped.id}`)).status).toBe(200);
    const again = await world.exchange({ subject_token: stopped.subject });
    expect(again).toMatchObject({ status: 400, body: { error: 'transaction_denied' } });
  });

  it('is ended and closed in the statement that records it, or not at all', async () => {
    const { id } = await session();
    await set(id, overSince(1));
    await prisma.$executeRawUnsafe(`
      CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53100'; END $$`);
    await prisma.$executeRawUnsafe('CREATE TRIGGER t BEFORE INSERT ON log_leaf FOR EACH ROW EXECUTE FUNCTION fail()');
    await expect(round()).rejects.toMatchObject({ code: 'database_unavailable' });
    const [row] = await prisma.$queryRawUnsafe<object[]>(
      'SELECT status, last_sequence FROM agent_session WHERE id = $1',
      id,
    );
    expect(row).toEqual({ status: 'active', last_sequence: 1 });
    await set(id, `status = 'ended', ended_by = 'adm', ${longEnded}`);
    await expect(round()).rejects.toMatchObject({ code: 'database_unavailable' });
    await prisma.$executeRawUnsafe('DROP TRIGGER t ON log_leaf');
    await round();
    expect((await recordsOf(id)).map(({ outcome }) => outcome.sequence)).toEqual([1, 2]);
  });
});

describe('sessions that two processes look after', () => {
  it('are ended and closed once each', async () => {
    const { databaseUrl: url, dataDir } = world.config;
    // The embedded database has one owner.
    const other = url === undefined ? world.writ.database : await openDatabase({ url, dataDir });
    const twins = [life, openSessionLife(other, closesAfter)];
    const ids: string[] = [];
    for (let at = 0; at < 12; at++) ids.push((await session()).id);
    for (const id of ids) await set(id, overSince(1));
    await Promise.all(twins.flatMap((one) => [keepSessionLife(one, systemClock), keepSessionLife(one, systemClock)]));
    for (const id of ids) await set(id, longEnded);
    await Promise.all(twins.flatMap((one) => [keepSessionLife(one, systemClock), keepSessionLife(one, systemClock)]));
    await round();
    for (const id of ids) {
      const found = (await recordsOf(id)).map(({ facts, outcome }) => [
        facts['what'] ?? outcome.decision,
        outcome.sequence,
      ]);
      expect(found).toEqual([
        ['permit', 1],
        ['ended', 2],
        ['closed', 3],
      ]);
    }
    if (url !== undefined) await other.close();
  });

  it('are ended once each when all take the same few at a time, and one commits while another looks', async () => {
    const { databaseUrl: url, dataDir } = world.config;
    const other = url === undefined ? world.writ.database : await openDatabase({ url, dataDir });
    const { id } = await session();
    await prisma.$executeRawUnsafe(
      `INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, expires_at)
       SELECT 'crowd-' || n, 'crowd-' || n, person_id, agent_id, 'active', 1, clock_timestamp()
       FROM agent_session, generate_series(1, 240) AS n WHERE id = $1`,
      id,
    );
    const heads = Array.from({ length: 4 }, () =>
      recordHead('session', systemClock.now(), { what: 'ended', by: 'writ' }),
    );
    const endAll = async (one: typeof life): Promise<void> => {
      while ((await one.expire(heads)) > 0);
    };
    const twins = [life, openSessionLife(other, closesAfter)];
    await Promise.all(twins.flatMap((one) => [endAll(one), endAll(one), endAll(one)]));
    await endAll(life);
    const ended = await prisma.$queryRawUnsafe(
      `SELECT count(*)::int AS records, count(DISTINCT session_id)::int AS sessions FROM log_leaf
       WHERE session_id LIKE 'crowd-%'`,
    );
    expect(ended).toEqual([{ records: 240, sessions: 240 }]);
    if (url !== undefined) await other.close();
  });
});
