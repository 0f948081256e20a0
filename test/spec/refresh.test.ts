import { describe, expect, it } from '@jest/globals';
import * as oauth from 'oauth4webapi';
import { Fault } from '../../src/base/index.js';
import { openEngineStore } from '../../src/storage/index.js';
import {
  assertionForm,
  claimsOf,
  codeForm,
  INSECURE,
  obtainCode,
  post,
  refreshForm,
  startWrit,
  TestAgent,
} from '../support/engine.js';
import { INVALID_GRANT, ownEngine } from '../support/own-engine.js';

const agent = new TestAgent('agt_planner');
const other = new TestAgent('agt_other');
const offline = { scope: 'openid offline_access files:read files:write', prompt: 'consent' };
const { db, writ } = await ownEngine(agent, other);

type Tokens = Readonly<{ access_token: string; refresh_token: string; scope: string }>;

const begin = async (parameters: Record<string, string> = offline): Promise<Tokens> => {
  const code = await obtainCode(writ, agent, { parameters });
  return (await post(`${writ.issuer}/token`, codeForm(agent, writ.issuer, code))).body as Tokens;
};
const refresh = (token: string, changes: Record<string, string> = {}, by = agent): ReturnType<typeof post> =>
  post(`${writ.issuer}/token`, { ...refreshForm(by, writ.issuer, token), ...changes });

describe('refresh tokens (RFC 6749 section 6, RFC 9700 section 4.14)', () => {
  it('exist only when the person was asked for offline_access', async () => {
    expect('refresh_token' in (await begin({ scope: 'files:read' }))).toBe(false);
    // OpenID Connect Core section 11: without prompt=consent the scope is ignored.
    expect('refresh_token' in (await begin({ scope: 'openid offline_access files:read' }))).toBe(false);
    expect('refresh_token' in (await begin())).toBe(true);
  });

  it('rotate with an independent client, and the new token carries the same facts', async () => {
    const as = await writ.metadata();
    const first = await begin();
    const response = await oauth.refreshTokenGrantRequest(
      as,
      agent.client,
      await agent.authentication(),
      first.refresh_token,
      INSECURE,
    );
    const second = await oauth.processRefreshTokenResponse(as, agent.client, response);
    expect(second.refresh_token).not.toBe(first.refresh_token);
    const [before, after] = [first, second].map(({ access_token: token }) => claimsOf(token));
    for (const claim of ['iss', 'aud', 'sub', 'client_id', 'scope', 'acr', 'amr', 'auth_time', 'writ'])
      expect(after?.[claim]).toEqual(before?.[claim]);
    expect(after?.['jti']).not.toBe(before?.['jti']);
  });

  it('RT-01: end the family when one is used twice, the newest included', async () => {
    const first = await begin();
    const second = (await refresh(first.refresh_token)).body as Tokens;
    expect(await refresh(first.refresh_token)).toEqual(INVALID_GRANT);
    expect(await refresh(second.refresh_token)).toEqual(INVALID_GRANT);
    const { grant } = claimsOf(first.access_token)['writ'] as { grant: string };
    expect(await db.database.prisma.revocation.count({ where: { target: `grant:${grant}` } })).toBe(1);
    expect(await db.database.prisma.engineRecord.count({ where: { grantId: grant } })).toBe(0);
  });

  it('§6: give a narrower scope and never a wider one', async () => {
    const first = await begin();
    const narrow = (await refresh(first.refresh_token, { scope: 'files:read' })).body as Tokens;
    expect(claimsOf(narrow.access_token)['scope']).toBe('files:read');
    expect(await refresh(narrow.refresh_token, { scope: 'files:read mail:read' })).toEqual({
      status: 400,
      body: { error: 'invalid_scope', error_description: 'refresh token missing requested scope', scope: 'mail:read' },
    });
    const again = (await refresh(narrow.refresh_token)).body as Tokens;
    expect(claimsOf(again.access_token)['scope']).toBe('files:read files:write');
  });

  it('never exceed what is registered now', async () => {
    const { refresh_token: token } = await begin();
    const [files] = agent.registered.allow;
    if (files === undefined) throw new Error('no ceiling');
    writ.registry.change([{ ...agent.registered, allow: [{ ...files, scopes: ['files:read'] }] }, other.registered]);
    const { body } = await refresh(token);
    expect(claimsOf((body as Tokens).access_token)['scope']).toBe('files:read');
    writ.registry.change([agent.registered, other.registered]);
  });

  it('RT-05: are of no use for another resource', async () => {
    const { refresh_token: token } = await begin();
    expect((await refresh(token, { resource: 'https://mcp.example/files' })).body).toMatchObject({
      error: 'invalid_target',
    });
  });

  it('RT-05, TX-29: are of no use to another agent, and dead for their own once another has tried', async () => {
    const { refresh_token: token } = await begin();
    expect(await refresh(token, {}, other)).toEqual(INVALID_GRANT);
    expect(await refresh(token)).toEqual(INVALID_GRANT);
  });

  it('do not outlive the consent by rotation', async () => {
    const first = await begin();
    const lifetimes = async (): Promise<number[]> => {
      const records = await db.database.prisma.engineRecord.findMany({
        where: { model: 'RefreshToken', grantId: (claimsOf(first.access_token)['writ'] as { grant: string }).grant },
      });
      return records.map(({ expiresAt }) => Number(expiresAt));
    };
    const [before] = await lifetimes();
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await refresh(first.refresh_token);
    const after = await lifetimes();
    expect(after).toHaveLength(2);
    expect(Math.max(...after) - (before ?? 0)).toBeLessThanOrEqual(1_000);
  });

  it('RFC 7009: are revoked with their whole family, and only by their own agent', async () => {
    const { access_token: accessToken, refresh_token: token } = await begin();
    const revoke = (by: TestAgent): ReturnType<typeof post> =>
      post(`${writ.issuer}/revoke`, { token, ...assertionForm(by, writ.issuer) });
    expect(await revoke(other)).toEqual({ status: 200, body: '' });
    const alive = (await refresh(token)).body as Tokens;
    expect(
      await post(`${writ.issuer}/revoke`, { token: alive.refresh_token, ...assertionForm(agent, writ.issuer) }),
    ).toEqual({ status: 200, body: '' });
    expect(await refresh(alive.refresh_token)).toEqual(INVALID_GRANT);
    const { grant } = claimsOf(accessToken)['writ'] as { grant: string };
    expect(await db.database.prisma.revocation.findMany({ where: { target: `grant:${grant}` } })).toMatchObject([
      { revokedBy: agent.id, reason: 'the client revoked its refresh token' },
    ]);
  });

  it('RFC 7009 §2.1: a token that nobody knows is no error', async () => {
    expect(await post(`${writ.issuer}/revoke`, { token: 'nobody', ...assertionForm(agent, writ.issuer) })).toEqual({
      status: 200,
      body: '',
    });
  });
});

describe('an outage of the database', () => {
  const unavailable = {
    status: 503,
    body: { error: 'temporarily_unavailable', error_description: 'the server could not answer; try again later' },
  };
  const failing = async (table: string, work: () => Promise<void>): Promise<void> => {
    const { prisma } = db.database;
    await prisma.$executeRawUnsafe(`CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53100'; END $$`);
    await prisma.$executeRawUnsafe(
      `CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION fail()`,
    );
    await work();
    await prisma.$executeRawUnsafe(`DROP TRIGGER fail ON ${table}`);
  };
  const issued = (): Promise<number> => db.database.prisma.logLeaf.count({ where: { kind: 'grant' } });

  it.each(['log_leaf', 'engine_record'])(
    'leaves a code and a refresh token as good as they were, whichever part of their redemption fails (%s)',
    async (table) => {
      const code = await obtainCode(writ, agent, { parameters: offline });
      const redeem = (): ReturnType<typeof post> => post(`${writ.issuer}/token`, codeForm(agent, writ.issuer, code));
      const before = await issued();
      await failing(table, async () => {
        expect(await redeem()).toEqual(unavailable);
      });
      const first = await redeem();
      expect([first.status, await issued()]).toEqual([200, before + 1]);
      const { refresh_token: token, access_token: accessToken } = first.body as Tokens;
      await failing(table, async () => {
        expect(await refresh(token)).toEqual(unavailable);
      });
      const second = await refresh(token);
      expect([second.status, await issued()]).toEqual([200, before + 2]);
      const { grant } = claimsOf(accessToken)['writ'] as { grant: string };
      const kept = await db.database.prisma.engineRecord.findMany({ where: { model: 'RefreshToken', grantId: grant } });
      expect(kept.map(({ consumedAt }) => consumedAt !== null).sort()).toEqual([false, true]);
      expect(writ.faults.splice(0)).toMatchObject([{ code: 'database_unavailable' }, { code: 'database_unavailable' }]);
    },
  );

  it('is a 5xx of its own, never invalid_grant, and what it was stays inside', async () => {
    const outage = new Fault('database_unavailable', 'connection to 10.1.2.3 refused');
    const store = { ...openEngineStore(db.database), find: () => Promise.reject(outage) };
    const broken = await startWrit(db.database, { agents: [agent.registered], engine: { store } });
    expect(await post(`${broken.issuer}/token`, refreshForm(agent, broken.issuer, 'x'))).toEqual({
      status: 503,
      body: { error: 'temporarily_unavailable', error_description: 'the server could not answer; try again later' },
    });
    expect(broken.faults).toEqual([outage]);
    await broken.stop();
  });
});
