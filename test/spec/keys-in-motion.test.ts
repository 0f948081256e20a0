import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeProtectedHeader } from 'jose';
import { loadConfig } from '../../src/config/index.js';
import { createVerifier } from '../../src/sdk/verifier/index.js';
import { startWrit } from '../../src/server.js';
import { databaseKinds } from '../support/databases.js';
import { RS1, startWorld, type World } from '../support/world.js';
import { ADMIN_TOKEN, type Reply, request, startReplica, tokenOf } from '../support/writ.js';

type Key = Readonly<{ kid: string; state: string; activates_at: string; published_until: string | null }>;
type Server = Pick<World, 'post' | 'admin'>;

const kidOf = (token: string): string => decodeProtectedHeader(token).kid ?? '';
const keysOf = async ({ admin }: Server): Promise<readonly Key[]> =>
  ((await admin('GET', '/keys')).body as { items: readonly Key[] }).items;
const published = async (base: string): Promise<readonly string[]> =>
  ((await request(`${base}/jwks`, {})).body as { keys: readonly Key[] }).keys.map(({ kid }) => kid);
const isActive = async (world: World, token: string, at: Server = world): Promise<unknown> => {
  const answer = await at.post('/introspect', { ...(await world.form({}, world.rs1)), token });
  return (answer.body as { active: unknown }).active;
};
const rotate = (server: Server, activate_after_seconds: number): Promise<Reply> =>
  server.admin('POST', '/keys/rotate', { reason: 'test', activate_after_seconds });

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 5_000;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error('it did not come to be within 5 s');
    await pause(20);
  }
}

describe.each(databaseKinds)('keys in motion (%s)', (kind) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ kind });
  });
  afterAll(async () => {
    await world.close();
    expect(world.faults).toEqual([]);
  });

  it('STANDARDS 10.8 a new key is published at once and signs only when every cache may know it', async () => {
    const [first] = await keysOf(world);
    const asked = Date.now();
    const { status, body } = await world.admin('POST', '/keys/rotate');
    const next = body as Key;
    expect([status, next.state]).toEqual([201, 'next']);
    expect(Math.abs(Date.parse(next.activates_at) - asked - 610_000)).toBeLessThan(5_000);
    expect(await published(world.issuer)).toEqual([next.kid, first?.kid]);
    expect(kidOf(tokenOf(await world.exchange()))).toBe(first?.kid);
    const again = await world.admin('POST', '/keys/rotate');
    expect([again.status, again.body]).toEqual([409, expect.objectContaining({ code: 'conflict' })]);
    expect((await world.admin('POST', `/keys/${next.kid}/withdraw`, { reason: 'test' })).status).toBe(200);
    expect(await published(world.issuer)).toEqual([first?.kid]);
  });

  it('STANDARDS 10.8 tokens of the key before verify for as long as the longest of them lives, and as caches hold it', async () => {
    const before = tokenOf(await world.exchange());
    const { kid } = (await rotate(world, 0.2)).body as Key;
    await until(async () => kidOf(tokenOf(await world.exchange())) === kid);
    expect(await isActive(world, before)).toBe(true);
    expect(await isActive(world, tokenOf(await world.exchange()))).toBe(true);
    const keys = await keysOf(world);
    const [active, retired] = ['active', 'retired'].map((state) => keys.find((key) => key.state === state));
    expect([active?.kid, retired?.kid]).toEqual([kid, kidOf(before)]);
    const overlap = Date.parse(retired?.published_until ?? '') - Date.parse(active?.activates_at ?? '');
    expect(overlap).toBeGreaterThanOrEqual((600 + 600 + 30) * 1000);
    expect(await published(world.issuer)).toEqual([kid, kidOf(before)]);
  });

  it('a withdrawn key is out of the JWKS and every token of it inactive at once, and another one signs', async () => {
    const token = tokenOf(await world.exchange());
    expect(await isActive(world, token)).toBe(true);
    const answer = await world.admin('POST', `/keys/${kidOf(token)}/withdraw`, { reason: 'it leaked' });
    expect(answer.body).toMatchObject({
      result: 'withdrawn',
      key: { kid: kidOf(token), state: 'withdrawn' },
      active: { state: 'active' },
    });
    expect(await published(world.issuer)).not.toContain(kidOf(token));
    expect(await isActive(world, token)).toBe(false);
    const newer = tokenOf(await world.exchange());
    expect(kidOf(newer)).toBe((answer.body as { active: Key }).active.kid);
    expect(await isActive(world, newer)).toBe(true);
    const again = await world.admin('POST', `/keys/${kidOf(token)}/withdraw`);
    expect(again.body).toMatchObject({ result: 'already_withdrawn' });
    const nothing = await world.admin('POST', '/keys/nothing/withdraw');
    expect([nothing.status, nothing.body]).toEqual([404, expect.objectContaining({ code: 'not_found' })]);
  });

  it('every event is in the log, and no answer or record has anything of a private half', async () => {
    const { text } = await world.admin('GET', '/log?kind=key&limit=200');
    const { items } = JSON.parse(text) as { items: readonly { facts: { what: string } }[] };
    const kinds = new Set(items.map(({ facts }) => facts.what));
    expect([...kinds].sort()).toEqual(['activated', 'created', 'published', 'retired', 'withdrawn']);
    for (const shown of [
      text,
      (await world.admin('GET', '/keys')).text,
      (await request(`${world.issuer}/jwks`, {})).text,
    ])
      expect(shown).not.toMatch(/"d"|sealed|private/i);
  });
});

describe.each(databaseKinds)('a new encryption key (%s)', (kind) => {
  const [OLD, NEW] = ['0123456789abcdefghijklmnopqrstuv', 'vutsrqponmlkjihgfedcba9876543210'].map((text) =>
    Buffer.from(text).toString('base64'),
  ) as [string, string];

  it('seals the signing keys again at the start, after which the old one is not needed', async () => {
    const world = await startWorld({ kind, env: { WRIT_KEY_ENCRYPTION_KEY: OLD } });
    const before = await published(world.issuer);
    await world.writ.close();
    const restart = async (env: Record<string, string>): ReturnType<typeof startWrit> => {
      const { dataDir, databaseUrl } = world.config;
      const config = loadConfig(
        {
          WRIT_ISSUER: world.issuer,
          WRIT_ADMIN_TOKEN: ADMIN_TOKEN,
          WRIT_DATA_DIR: dataDir,
          DATABASE_URL: databaseUrl,
          ...env,
        },
        () => undefined,
      );
      if (!config.ok) throw new Error(JSON.stringify(config.error));
      return startWrit(config.value);
    };
    await expect(restart({ WRIT_KEY_ENCRYPTION_KEY: NEW })).rejects.toMatchObject({ code: 'keys_unavailable' });
    await (await restart({ WRIT_KEY_ENCRYPTION_KEY: NEW, WRIT_KEY_ENCRYPTION_KEY_PREVIOUS: OLD })).close();
    await expect(restart({ WRIT_KEY_ENCRYPTION_KEY: OLD })).rejects.toMatchObject({ code: 'keys_unavailable' });
    const after = await restart({ WRIT_KEY_ENCRYPTION_KEY: NEW });
    expect(await published(world.issuer)).toEqual(before);
    await after.close();
    await world.close();
  }, 90_000);
});

describe.each(databaseKinds.filter((kind) => kind === 'server'))('two replicas (%s)', (kind) => {
  let world: World;
  let replica: Awaited<ReturnType<typeof startReplica>>;
  beforeAll(async () => {
    world = await startWorld({ kind });
    replica = await startReplica(world);
  });
  afterAll(async () => {
    await replica.close();
    await world.close();
    expect([...world.faults, ...replica.faults]).toEqual([]);
  });

  it('rotate once between them, in each of 10 rounds, and then sign by the same key', async () => {
    for (let round = 0; round < 10; round++) {
      const answers = await Promise.all([rotate(world, 0.05), rotate(replica, 0.05)]);
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
      const { kid } = answers.find(({ status }) => status === 201)?.body as Key;
      await until(async () => {
        const tokens = await Promise.all([world, replica].map(async (at) => at.post('/token', await world.form())));
        return tokens.every((answer) => kidOf(tokenOf(answer)) === kid);
      });
    }
  });

  it('mint nothing with a key that the other one has withdrawn, and believe no token of it, at once', async () => {
    for (let round = 0; round < 5; round++) {
      const before = tokenOf(await replica.post('/token', await world.form()));
      const asking = await world.form();
      expect((await world.admin('POST', `/keys/${kidOf(before)}/withdraw`)).status).toBe(200);
      const [after, activeThere] = await Promise.all([
        replica.post('/token', asking),
        isActive(world, before, replica),
      ]);
      expect(kidOf(tokenOf(after))).not.toBe(kidOf(before));
      expect(activeThere).toBe(false);
      expect(await isActive(world, tokenOf(after))).toBe(true);
    }
  });
});

describe('ten rotations under load', () => {
  it('fail nobody: not those that exchange, not verifiers that cache the keys', async () => {
    const world = await startWorld({
      env: {
        WRIT_KEY_CACHE_SECONDS: '1',
        WRIT_USER_ACCESS_TOKEN_SECONDS: '5',
        WRIT_TRANSACTIONAL_ACCESS_TOKEN_SECONDS: '5',
        WRIT_TRANSACTION_TOKEN_SECONDS: '5',
        WRIT_CLOCK_SKEW_SECONDS: '1',
      },
    });
    const clock = { now: () => Date.now() / 1000 };
    const verifiers = Array.from({ length: 3 }, () => createVerifier({ issuer: world.issuer, resource: RS1, clock }));
    const kids = new Set<string>();
    const failures: unknown[] = [];
    let verified = 0;
    let isOver = false;
    const load = async (): Promise<void> => {
      while (!isOver) {
        await pause(20);
        try {
          const token = tokenOf(await world.exchange({ authorization_details: undefined, scope: 'repo:read' }));
          kids.add(kidOf(token));
          for (const verifier of verifiers) await verifier.verifyAccessToken(token).catch(guardOnly);
          verified += verifiers.length;
        } catch (error) {
          failures.push(error);
        }
      }
    };
    const loads = [load(), load()];
    for (let n = 0; n < 10; n++) {
      const answer = await rotate(world, 1.2);
      expect(answer.status).toBe(201);
      await until(async () => (await keysOf(world))[0]?.state === 'active');
    }
    await pause(100);
    isOver = true;
    await Promise.all(loads);
    await world.close();
    expect(failures).toEqual([]);
    expect(world.faults).toEqual([]);
    expect(kids.size).toBe(11);
    expect(verified).toBeGreaterThan(100);
  });
});

/** A token for tools verifies and then asks for the guard; anything else is a failure. */
function guardOnly(error: unknown): void {
  if (error instanceof Error && 'reason' in error && error.reason === 'guard_required') return;
  throw error;
}
