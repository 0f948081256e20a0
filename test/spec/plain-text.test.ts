import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openSessions } from '../../src/storage/index.js';
import { ADMIN, type AdminServer, NOW, problem, startAdmin, statusAndBody } from '../support/admin.js';
import { Browser } from '../support/browser.js';
import { assertionForm, REDIRECT_URI, TestAgent } from '../support/engine.js';
import { ownEngine } from '../support/own-engine.js';

const NOT_PLAIN = 'must be well-formed text without control characters';

const agent = new TestAgent('agt_planner');
const { db, writ } = await ownEngine(agent);

describe('text that nobody can store or show', () => {
  const parameters = (): string =>
    new URLSearchParams({
      response_type: 'code',
      scope: 'openid',
      client_id: agent.id,
      redirect_uri: REDIRECT_URI,
      code_challenge: createHash('sha256').update('v'.repeat(43)).digest('base64url'),
      code_challenge_method: 'S256',
    }).toString();
  const stored = () => db.database.prisma.engineRecord.count();

  const NAMES = ['state', 'nonce', 'login_hint', 'ui_locales', 'acr_values'];
  const BAD = ['a%00b', '%1b%5b2J', '%7f', 'a%0d%0ab', '%ff', '%ed%a0%80'];
  const cases = [...NAMES.map((name) => [name, 'a%00b'] as const), ...BAD.map((text) => ['state', text] as const)];

  it.each(cases)('is refused at /auth in %s as %s, and nothing is kept', async (name, text) => {
    const before = await stored();
    const answer = await fetch(`${writ.issuer}/auth?${parameters()}&${name}=${text}`, { redirect: 'manual' });
    expect(answer.status).toBe(303);
    const address = new URL(answer.headers.get('location') ?? '');
    expect(`${address.origin}${address.pathname}`).toBe(REDIRECT_URI);
    expect(address.searchParams.get('error')).toBe('invalid_request');
    expect(address.searchParams.get('error_description')).toBe(`${name} must be text without control characters`);
    expect([await stored(), writ.faults]).toEqual([before, []]);
  });

  it.each(cases)('is refused at /request in %s as %s, and nothing is kept', async (name, text) => {
    const before = await stored();
    const body = `${parameters()}&${new URLSearchParams(assertionForm(agent, writ.issuer)).toString()}&${name}=${text}`;
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const answer = await fetch(`${writ.issuer}/request`, { method: 'POST', headers, body });
    expect([answer.status, await answer.json()]).toEqual([
      400,
      { error: 'invalid_request', error_description: `${name} must be text without control characters` },
    ]);
    expect([await stored(), writ.faults]).toEqual([before, []]);
  });

  it('is not what people of this world write', async () => {
    const page = await new Browser().get(`${writ.issuer}/auth?${parameters()}&state=${encodeURIComponent('Łódź 🧭')}`);
    expect([page.status, page.url.startsWith(writ.company.identityProvider.issuer)]).toEqual([200, true]);
  });
});

describe('text that an administrator sends', () => {
  let admin: AdminServer;
  beforeAll(async () => {
    admin = await startAdmin();
  });
  afterAll(() => admin.close());

  it.each([
    ['/sessions', 'person'],
    ['/sessions', 'agent'],
    ['/sessions', 'after'],
    ['/log', 'session'],
    ['/log', 'txn'],
    ['/agents', 'after'],
  ])('is refused in the query of %s in %s', async (path, name) => {
    for (const text of ['%00', 'a%1bb', '%7f']) {
      expect(statusAndBody(await admin.ask('GET', `${path}?${name}=${text}`))).toStrictEqual(
        problem('invalid_field', undefined, [name, NOT_PLAIN]),
      );
    }
  });

  it('is refused as the reason of an end', async () => {
    for (const reason of ['a\u0000b', '\ud800', '\u009b2J']) {
      expect(statusAndBody(await admin.ask('POST', '/sessions/ses_1/end', { reason }))).toStrictEqual(
        problem('invalid_field', undefined, ['reason', NOT_PLAIN]),
      );
    }
  });

  it('is escaped in what is read, when a record of old holds it', async () => {
    const reason = 'a\u001b[2J\u009b31m\u202eb';
    await openSessions(admin.fresh.database, { now: () => NOW }).end(await oldSession(), { by: 'admin-token', reason });
    const answer = await fetch(`${admin.url}/admin/v1/log?session=ses_old`, {
      headers: { authorization: `Bearer ${ADMIN}` },
    });
    const text = await answer.text();
    expect(text).toContain('"a\\u001b[2J\\u009b31m\\u202eb"');
    expect(JSON.parse(text)).toMatchObject({ items: [{ outcome: { reason } }] });
  });

  async function oldSession(): Promise<string> {
    await admin.fresh.database.prisma.$executeRawUnsafe(
      `INSERT INTO agent_session (id, run_key, person_id, agent_id, status, last_sequence, opened_at, last_used_at, expires_at)
       VALUES ('ses_old', 'old', 'prs_alice', 'agt_a', 'active', 2, '2026-11-22T10:00:00Z', '2026-11-22T11:00:00Z', '2026-11-22T18:00:00Z')`,
    );
    return 'ses_old';
  }

  it('is refused in a path', async () => {
    for (const path of ['/agents/%00', '/sessions/a%00', '/servers/%1b', '/issuers/%00'])
      expect((await admin.ask('GET', path)).status).toBe(400);
    expect(admin.thrown).toEqual([]);
  });

  const agent = {
    client_id: 'agt_a',
    name: 'A',
    owner: 'https://people.example#ada',
    sponsor: 'https://people.example#bob',
    purpose: 'tests',
    authentication: { method: 'client_secret_basic' },
    expires_at: '2027-01-01T00:00:00Z',
  };

  it.each(['name', 'owner', 'purpose'])('is refused in the %s of an agent', async (field) => {
    for (const text of ['a\u0000b', 'a\u001b[2Jb', '\udc00'])
      expect(statusAndBody(await admin.ask('PUT', '/agents/agt_a', { ...agent, [field]: text }))).toStrictEqual(
        problem('invalid_field', undefined, [field, NOT_PLAIN]),
      );
  });

  it('is refused in the kid of a key', async () => {
    const jwks = { keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43), kid: 'a\u0000b' }] };
    const body = { ...agent, authentication: { method: 'private_key_jwt', jwks } };
    expect(statusAndBody(await admin.ask('PUT', '/agents/agt_a', body))).toStrictEqual(
      problem('invalid_field', undefined, ['authentication.jwks.keys.0.kid', NOT_PLAIN]),
    );
  });

  it.each(['name', 'owner'])('is refused in the %s of an MCP server', async (field) => {
    const resource = 'https://mcp.example/files';
    const server = { resource, client_id: 'srv_a', name: 'S', owner: 'ops', scopes: ['a'], tools: [] };
    const body = { ...server, authentication: { method: 'client_secret_basic' }, [field]: 'a\u0000b' };
    expect(statusAndBody(await admin.ask('PUT', `/servers/${encodeURIComponent(resource)}`, body))).toStrictEqual(
      problem('invalid_field', undefined, [field, NOT_PLAIN]),
    );
  });

  it('is refused in every text of a trusted issuer', async () => {
    const issuer = {
      issuer: 'https://idp.example',
      name: 'a\u0000b',
      jwks_uri: 'https://idp.example/jwks\u0000',
      accepts: [{ token_type: 'urn:ietf:params:oauth:token-type:jwt', typ: '\u0000', audiences: ['\u0000'] }],
      agents: [],
      claims: { email: '\u0000', name: '\u0000', scope: '\u0000' },
    };
    const answer = await admin.ask('PUT', `/issuers/${encodeURIComponent(issuer.issuer)}`, issuer);
    expect([answer.status, answer.body]).toMatchObject([
      400,
      {
        errors: expect.arrayContaining(
          ['name', 'accepts.0.typ', 'accepts.0.audiences.0', 'claims.email', 'claims.name', 'claims.scope'].map(
            (param) => ({ param, detail: NOT_PLAIN }),
          ),
        ),
      },
    ]);
    expect(admin.thrown).toEqual([]);
  });
});
