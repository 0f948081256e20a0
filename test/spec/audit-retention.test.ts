import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { run } from '../../src/cli/index.js';
import { leafOf } from '../../src/storage/index.js';
import { databaseKinds } from '../support/databases.js';
import { startWorld, type World } from '../support/world.js';
import { request, tokenOf } from '../support/writ.js';

const AUDIT_TOKEN = randomBytes(32).toString('hex');
const env = { WRIT_AUDIT_TOKEN: AUDIT_TOKEN, WRIT_LOG_RETENTION_DAYS: '30' };

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let waited = 0; !(await isSo()); waited += 100) {
    if (waited > 60_000) throw new Error('not in time');
    await pause(100);
  }
}

const tools = (world: World) => {
  const { prisma } = world.writ.database;
  const sql = (text: string): Promise<number> => prisma.$executeRawUnsafe(text);
  const asAuditor = { headers: { authorization: `Bearer ${AUDIT_TOKEN}` } };
  return {
    sql,
    ask: (path: string) => request(`${world.issuer}/audit/v1/${path}`, asAuditor),
    places: async () => {
      const { pruned, announced } = await prisma.logRetention.findUniqueOrThrow({ where: { id: 1 } });
      return [Number(pruned), Number(announced)];
    },
    /** Records of something that was decided, and then of now. */
    fill: async (count: number): Promise<void> => {
      for (let n = 0; n < count; n++) {
        const made = leafOf({
          kind: 'grant',
          at: 1,
          facts: { client: 'a', route: 'r' },
          decision: 'done',
          reason: 'r',
        });
        await prisma.$executeRawUnsafe(
          `INSERT INTO log_leaf (leaf, leaf_hash, kind, lineage) VALUES ($1::bytea, $2::bytea, 'grant', ARRAY[]::text[])`,
          ...[made.leaf, made.leafHash],
        );
      }
      await until(async () => (await prisma.logPending.count()) === 0);
    },
    verify: async (url: string): Promise<readonly [code: number, out: string]> => {
      const out: string[] = [];
      const { keys } = (await request(`${world.issuer}/audit/v1/keys`, {})).body as { keys: { vkey: string }[] };
      const code = await run(['audit', 'verify', url, '--key', keys[0]?.vkey ?? ''], {
        env: { WRIT_AUDIT_TOKEN: AUDIT_TOKEN, WRIT_ISSUER: world.issuer },
        readFile: () => undefined,
        makePrivateFile: () => false,
        readStdin: () => Promise.resolve(''),
        out: (text) => out.push(text),
        err: (text) => out.push(text),
      });
      return [code, out.join('\n')];
    },
  };
};

describe.each(databaseKinds)('a log whose records are kept for some days (%s)', (kind) => {
  it('loses their content on record, and proves all that remains; AU-03: what else is gone is found', async () => {
    const world = await startWorld({ kind, env });
    const { sql, ask, places, fill, verify } = tools(world);
    const log = `${world.issuer}/audit/v1`;
    const { txn } = decodeJwt(tokenOf(await world.exchange())) as { txn: string };
    await fill(300);
    expect((await ask(`transactions/${txn}`)).body).toMatchObject({ complete: true, pruned_before: null });
    expect(await places()).toEqual([0, 0]);
    await sql(`UPDATE agent_session SET opened_at = opened_at - interval '31 days', closed_at = now()`);
    await sql(`UPDATE log_leaf SET at = at - interval '31 days'`);
    await until(async () => (await places())[1] === 256);
    expect((await ask('tile/entries/000')).status).toBe(200);
    await sql(`UPDATE log_retention SET announced_at = announced_at - interval '1 hour'`);
    await until(async () => (await places())[0] === 256);

    const gone = await ask('tile/entries/000');
    expect([gone.status, gone.body]).toEqual([
      404,
      expect.objectContaining({ detail: 'Retention removed the content of these entries; their hashes stay' }),
    ]);
    expect((await ask('tile/0/000')).status).toBe(200);
    const events = (await ask('events')).body as { items: { index: number; kind: string }[]; pruned_before: string };
    expect(events.items.every(({ index, kind: of }) => index >= 256 || of === 'key')).toBe(true);
    expect(events.pruned_before).toMatch(/^\d{4}-\d\d-\d\dT[\d:]+\.000Z$/);
    expect((await ask('events?kind=retention')).body).toMatchObject({
      items: [{ kind: 'retention', facts: { what: 'pruned', from: 0, below: 256, days: 30, by: 'writ' } }],
    });
    expect((await ask(`transactions/${txn}`)).body).toMatchObject({
      code: 'not_found',
      detail: `Retention removed what was written before ${events.pruned_before}`,
    });
    const lines = (await ask('bundle?from=200&to=201')).text.split('\n');
    expect(JSON.parse(lines[1] ?? '')).toEqual({ index: 200, hash: expect.any(String), leaf: null, pruned: true });
    expect((await request(`${world.issuer}/metrics`, {})).text).toMatch(/\nwrit_log_pruned_total(\{.*\})? 25\d\n/);

    for (const url of [log, `${log}/bundle?from=0&to=290`]) {
      const [code, out] = await verify(url);
      expect([url, code, out]).toEqual([url, 0, expect.stringContaining('retention removed what is below entry 256')]);
    }
    expect((await verify(log))[1]).toContain('said to be pruned: entries 1 to 255\n');
    const [none, why] = await verify(`${log}/bundle?txn=${txn}`);
    expect([none, why]).toEqual([1, expect.stringContaining(`nothing here is of the transaction ${txn}`)]);
    expect(why).toContain('retention removed what is below entry 256');

    await sql('DELETE FROM log_leaf l USING log_entry e WHERE e.leaf_id = l.id AND e.index IN (270, 272)');
    await sql('UPDATE log_entry SET leaf_id = NULL WHERE index = 270');
    expect((await ask('tile/entries/001.p/20')).status).toBe(503);
    for (const url of [log, `${log}/bundle?from=0&to=290`]) {
      const [code, out] = await verify(url);
      const flaws = out.split('\n').filter((line) => line.startsWith('  '));
      expect([code, flaws]).toEqual([
        1,
        ['  entry_missing (entry 270): the log has lost it', '  entry_missing (entry 272): the log has lost it'],
      ]);
    }
    await sql('UPDATE log_retention SET pruned = 290');
    const [code, out] = await verify(`${log}/bundle?from=250&to=290`);
    expect([code, out]).toEqual([
      1,
      expect.stringContaining('pruned_unrecorded (entries 270 to 270): the content is gone'),
    ]);
    await world.close();
  }, 240_000);
});
