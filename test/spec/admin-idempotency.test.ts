import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { AgentDraftInput } from '../../src/registry/index.js';
import { openIdempotency } from '../../src/storage/index.js';
import { OWNER, SPONSOR } from '../support/accountable.js';
import { type AdminServer, type Answer, problem, startAdmin, statusAndBody } from '../support/admin.js';
import { describeDatabases } from '../support/databases.js';

const agent: AgentDraftInput = {
  client_id: 'agt_planner',
  name: 'Planner',
  owner: OWNER,
  sponsor: SPONSOR,
  purpose: 'Plans.',
  authentication: { method: 'client_secret_basic' },
};

let admin: AdminServer;
beforeAll(async () => {
  admin = await startAdmin();
});
afterAll(() => admin.close());
beforeEach(async () => {
  await run('TRUNCATE agent, log_leaf, idempotency_key');
  await run('UPDATE registry_state SET version = version + 1');
  await admin.registry.refresh();
});

const run = (sql: string, ...values: unknown[]): Promise<number> =>
  admin.fresh.database.prisma.$executeRawUnsafe(sql, ...values);
const keys = (): Promise<unknown[]> => admin.fresh.database.prisma.$queryRawUnsafe('SELECT * FROM idempotency_key');
const key = (value: string): Record<string, string> => ({ 'Idempotency-Key': value });
const put = (header: string, changes: object = {}, more: Record<string, string> = {}): Promise<Answer> =>
  admin.ask('PUT', '/agents/agt_planner', { ...agent, ...changes }, { ...key(header), ...more });
const isReplayed = ({ headers }: Answer): string | null => headers.get('Idempotent-Replayed');

describe('draft-ietf-httpapi-idempotency-key-header: a change', () => {
  it('that is asked for again is answered again as it was, and made once', async () => {
    const [first, second] = [await put('"k-1"'), await put('"k-1"')];
    expect([first.status, isReplayed(first)]).toStrictEqual([201, null]);
    expect([statusAndBody(second), isReplayed(second)]).toStrictEqual([statusAndBody(first), 'true']);
    expect(second.headers.get('ETag')).toBe(first.headers.get('ETag'));
    await admin.ask('DELETE', '/agents/agt_planner');
    expect((await put('"k-1"')).status).toBe(201);
    expect(admin.registry.current().agent('agt_planner')).toBeUndefined();
  });

  it('has the same key with and without the quotes of a structured field', async () => {
    await put('"k-1"');
    expect(isReplayed(await put('k-1'))).toBe('true');
    expect(isReplayed(await put('k-2'))).toBeNull();
  });

  it.each<[string, () => Promise<Answer>]>([
    ['another body', () => put('k-1', { name: 'Other' })],
    ['another precondition', () => put('k-1', {}, { 'If-Match': '*' })],
    ['another query', () => admin.ask('PUT', '/agents/agt_planner?dry_run=true', agent, key('k-1'))],
    ['another path', () => admin.ask('PUT', '/agents/agt_other', agent, key('k-1'))],
    ['another method', () => admin.ask('DELETE', '/agents/agt_planner', undefined, key('k-1'))],
  ])('with the key of a request that had %s is 422', async (_, ask) => {
    await put('k-1');
    expect(statusAndBody(await ask())).toStrictEqual(problem('idempotency_key_reused'));
  });

  it('that was refused is refused again, by the same answer', async () => {
    const stale = (): Promise<Answer> => put('k-1', {}, { 'If-Match': '"other"' });
    expect(statusAndBody(await stale())).toStrictEqual(problem('precondition_failed'));
    const again = await stale();
    expect([statusAndBody(again), isReplayed(again)]).toStrictEqual([problem('precondition_failed'), 'true']);
  });

  it('that was not understood spends no key', async () => {
    expect((await put('k-1', { name: 7 })).status).toBe(400);
    expect((await put('k-1')).status).toBe(201);
  });

  it.each(['"', '"a', 'a b', '""', '"\u00e9"', `"${'a'.repeat(256)}"`, '1, 2', "'a'"])(
    'with the key %s is refused by field',
    async (header) => {
      const detail = 'must be one string of 1 to 255 printable ASCII characters in quotes, or a word such as a UUID';
      expect(statusAndBody(await put(Buffer.from(header).toString('latin1')))).toStrictEqual(
        problem('invalid_field', undefined, ['Idempotency-Key', detail]),
      );
    },
  );

  it('that comes again before it is answered is 409, and is begun again when its process was gone for a minute', async () => {
    await put('k-1');
    await run('UPDATE idempotency_key SET answer = NULL');
    expect(statusAndBody(await put('k-1'))).toStrictEqual(problem('idempotency_key_in_use'));
    await run(`UPDATE idempotency_key SET begun_at = clock_timestamp() - interval '61 seconds'`);
    expect((await put('k-1')).status).toBe(200);
    expect(isReplayed(await put('k-1'))).toBe('true');
  });

  it('is forgotten after 24 hours', async () => {
    await put('k-1');
    const [row] = (await keys()) as { begun_at: Date; expires_at: Date }[];
    const kept = Number(row?.expires_at) - Number(row?.begun_at);
    expect(Math.abs(kept - 86_400_000)).toBeLessThan(1_000);
    await run('UPDATE idempotency_key SET expires_at = clock_timestamp()');
    expect((await put('k-1', { name: 'Other' })).status).toBe(200);
    await run('UPDATE idempotency_key SET expires_at = clock_timestamp()');
    await openIdempotency(admin.fresh.database).prune();
    expect(await keys()).toStrictEqual([]);
  });

  it('that broke on an outage holds no key', async () => {
    await run('ALTER TABLE agent RENAME TO agent_away');
    const broken = await put('k-1');
    await run('ALTER TABLE agent_away RENAME TO agent');
    expect(broken.status).toBeGreaterThanOrEqual(500);
    expect(await keys()).toStrictEqual([]);
    expect((await put('k-1')).status).toBe(201);
  });

  it('answers a client secret again, which stands nowhere in the database in clear', async () => {
    await put('k-1');
    const make = (): Promise<Answer> => admin.ask('POST', '/agents/agt_planner/secret', undefined, key('k-secret'));
    const [first, second] = [await make(), await make()];
    expect(first.body).toMatchObject({ client_secret: expect.stringMatching(/^wcs_[\w-]{43}$/) });
    expect([statusAndBody(second), isReplayed(second)]).toStrictEqual([statusAndBody(first), 'true']);
    const { client_secret: secret } = first.body as { client_secret: string };
    const stored = Buffer.concat(
      ((await keys()) as { answer: Uint8Array; key: string }[]).flatMap(({ answer, key: hash }) => [
        Buffer.from(answer),
        Buffer.from(hash),
      ]),
    );
    expect(stored.includes(secret)).toBe(false);
    expect(stored.includes('k-secret')).toBe(false);
    expect(stored.includes('client_secret')).toBe(false);
  });

  it('without a key is made each time, and a key means nothing for reading', async () => {
    await admin.ask('PUT', '/agents/agt_planner', agent);
    expect((await admin.ask('PUT', '/agents/agt_planner', agent)).status).toBe(200);
    expect((await admin.ask('GET', '/agents', undefined, key('"'))).status).toBe(200);
    expect(await keys()).toStrictEqual([]);
  });
});

describeDatabases('idempotency keys', (database) => {
  const begun = () => ({ key: randomUUID(), request: 'r', holder: randomUUID() });

  it('are begun by one of many at once, and hold its answer alone', async () => {
    const store = openIdempotency(database());
    const { key: name, request } = begun();
    const all = Array.from({ length: 20 }, () => ({ key: name, request, holder: randomUUID() }));
    const states = await Promise.all(all.map(async (each) => (await store.begin(each)).state));
    expect(states.filter((state) => state === 'begun')).toHaveLength(1);
    expect(states.filter((state) => state === 'in_use')).toHaveLength(19);
    const winner = all[states.indexOf('begun')] ?? begun();
    const loser = all[states.indexOf('in_use')] ?? begun();
    await store.keep(loser, new Uint8Array([1]));
    await store.forget(loser);
    expect(await store.begin(loser)).toStrictEqual({ state: 'in_use' });
    await store.keep(winner, new Uint8Array([0, 255]));
    expect(await store.begin(loser)).toStrictEqual({ state: 'answered', answer: new Uint8Array([0, 255]) });
  });

  it('are kept up to a number, and those that are there still answer', async () => {
    await database().prisma.$executeRawUnsafe('TRUNCATE idempotency_key');
    const store = openIdempotency(database(), 2);
    const [one, two, three] = [begun(), begun(), begun()];
    expect(await store.begin(one)).toStrictEqual({ state: 'begun' });
    expect(await store.begin(two)).toStrictEqual({ state: 'begun' });
    await store.keep(two, new Uint8Array([7]));
    expect(await store.begin(three)).toStrictEqual({ state: 'too_many' });
    expect(await store.begin(two)).toStrictEqual({ state: 'answered', answer: new Uint8Array([7]) });
    await store.forget(one);
    expect(await store.begin(three)).toStrictEqual({ state: 'begun' });
  });
});
