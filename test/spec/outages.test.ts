import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { databaseKinds } from '../support/databases.js';
import { RS1, startWorld, type World } from '../support/world.js';
import { bearerAssertion, type Form, type Reply, request } from '../support/writ.js';

const REDIRECT_URI = 'http://127.0.0.1:7999/callback';
const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';
const AUTHORIZATION = {
  response_type: 'code',
  client_id: 'agt_a1',
  redirect_uri: REDIRECT_URI,
  code_challenge: CHALLENGE,
  code_challenge_method: 'S256',
};

describe.each(databaseKinds.filter((kind) => kind === 'server'))('an outage of the database (%s)', (kind) => {
  let world: World;
  let server: Record<string, unknown>;
  let signIn: Readonly<{ path: string; cookie: string }>;
  let client: pg.Client;
  beforeAll(async () => {
    world = await startWorld({ kind });
    const agent = (await world.admin('GET', '/agents/agt_a1')).body as Record<string, unknown>;
    await world.admin('PUT', '/agents/agt_a1', { ...agent, redirect_uris: [REDIRECT_URI] });
    server = (await world.admin('GET', `/servers/${encodeURIComponent(RS1)}`)).body as Record<string, unknown>;
    const { headers } = await page(LINK);
    const cookie = headers.getSetCookie().map((one) => one.split(';')[0]);
    signIn = { path: new URL(headers.get('location') ?? '', world.issuer).pathname, cookie: cookie.join('; ') };
    client = new pg.Client({ connectionString: world.config.databaseUrl });
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await world.close();
  });

  const as = async (form: Form): Promise<Form> => ({ ...form, ...(await bearerAssertion(world.issuer, world.a1)) });
  const ask = (path: string, form: Form) => async (): Promise<Reply> => world.post(path, await as(form));
  const LINK = `/auth?${new URLSearchParams(AUTHORIZATION).toString()}`;
  const page = (path: string, cookie = ''): Promise<Reply> =>
    request(`${world.issuer}${path}`, { headers: { accept: 'text/html', cookie } });
  const admin = (method: string, path: string, body?: unknown) => (): Promise<Reply> => world.admin(method, path, body);

  /** Every route that asks the database for something. */
  const writes: Readonly<Record<string, () => Promise<Reply>>> = {
    'an exchange': () => world.exchange(),
    'a code': ask('/token', {
      grant_type: 'authorization_code',
      code: 'x',
      redirect_uri: REDIRECT_URI,
      code_verifier: CHALLENGE,
    }),
    'a refresh token': ask('/token', { grant_type: 'refresh_token', refresh_token: 'x' }),
    'a pushed request': ask('/request', AUTHORIZATION),
    introspection: ask('/introspect', { token: 'a.b.c' }),
    'revocation of a token of ours': ask('/revoke', { token: 'a.b.c' }),
    'revocation of a refresh token': ask('/revoke', { token: 'x' }),
    'the link of an agent': () => page(LINK),
    'a change of the registry': () =>
      world.admin('POST', '/apply', { servers: [{ ...server, name: `name ${Math.random()}` }] }),
    'the end of a session': admin('POST', '/sessions/ses_x/end', { reason: 'test' }),
  };
  const reads: typeof writes = {
    'the log': admin('GET', '/log'),
    'the sessions': admin('GET', '/sessions'),
    'a page of the sign-in': () => page(signIn.path, signIn.cookie),
  };
  const outage = ({ status, headers, text }: Reply): unknown => [status, headers.get('retry-after'), text !== ''];

  it('that hangs is answered 503 with Retry-After on every route, whoever asks', async () => {
    await client.query('BEGIN');
    await client.query(`DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
      LOOP EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', t); END LOOP; END $$`);
    const all = Object.entries({ ...writes, ...reads });
    const answers = await Promise.all(all.map(async ([name, send]) => [name, outage(await send())]));
    await client.query('COMMIT');
    expect(answers).toEqual(all.map(([name]) => [name, [503, '1', true]]));
    expect((await world.exchange()).status).toBe(200);
  }, 30_000);

  it.each(['40001', '40P01', '53100', '57P01', '58030'])(
    'with SQLSTATE %s is answered 503 with Retry-After on every route that writes',
    async (state) => {
      const tables = ['replay', 'engine_record', 'log_leaf', 'agent_session', 'registry_state'];
      await client.query(`CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '${state}'; END $$`);
      for (const table of tables)
        await client.query(
          `CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION fail()`,
        );
      const answers = await Promise.all(
        Object.entries(writes).map(async ([name, send]) => [name, outage(await send())]),
      );
      for (const table of tables) await client.query(`DROP TRIGGER fail ON ${table}`);
      expect(answers).toEqual(Object.keys(writes).map((name) => [name, [503, '1', true]]));
      expect((await world.exchange()).status).toBe(200);
    },
    30_000,
  );

  it('is never reported as a bug', () => {
    const codes = new Set(world.faults.map((fault) => (fault as { code?: unknown }).code));
    expect([...codes]).toEqual(['database_unavailable']);
  });
});
