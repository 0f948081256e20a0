import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { verifySecret } from '../../src/client/index.js';
import { TokenType } from '../../src/protocol/index.js';
import type { AgentInput, McpServerInput, TrustedIssuerInput } from '../../src/registry/index.js';
import { OWNER, SPONSOR } from '../support/accountable.js';
import {
  ADMIN,
  type AdminServer,
  type Answer,
  OUR_ISSUER,
  NO_EFFECT,
  problem,
  startAdmin,
  statusAndBody,
} from '../support/admin.js';

let admin: AdminServer;
beforeAll(async () => {
  admin = await startAdmin();
});
afterAll(() => admin.close());

const ec = (kid: string): Record<string, unknown> => ({
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' }),
  kid,
});

const FILES = 'https://mcp.example/files';
const server: McpServerInput = {
  resource: FILES,
  client_id: 'mcp_files',
  name: 'Files',
  owner: 'storage',
  authentication: { method: 'private_key_jwt', jwks_uri: 'https://mcp.example/files/jwks' },
  scopes: ['files:read', 'files:write'],
  tools: [
    { name: 'read_file', scopes: ['files:read'], tier: 'low', sensitive: [] },
    { name: 'write_file', scopes: ['files:write'], tier: 'medium', sensitive: [] },
  ],
};
const agent: AgentInput = {
  client_id: 'agt_planner',
  name: 'Planner',
  owner: OWNER,
  sponsor: SPONSOR,
  purpose: 'plans',
  authentication: { method: 'private_key_jwt', jwks_uri: 'https://agents.example/planner/jwks' },
  redirect_uris: ['https://agents.example/cb', 'http://127.0.0.1:8080/cb'],
  allow: [{ resource: FILES, scopes: ['files:read'], tools: ['read_file'] }],
  expires_at: '2027-01-01T00:00:00Z',
};
const issuer: TrustedIssuerInput = {
  issuer: 'https://login.example',
  name: 'Company',
  jwks_uri: 'https://login.example/jwks',
  accepts: [{ token_type: 'urn:ietf:params:oauth:token-type:id_token', typ: null, scopes: ['files:read'] }],
  agents: ['agt_planner'],
};

const agentView = {
  ...agent,
  status: 'active',
  hand_over_to: [],
  transaction_tokens: false,
  dpop_required: false,
  has_secret: false,
};
const serverView = {
  ...server,
  status: 'active',
  token_shape: 'txnat+jwt',
  dpop_required: false,
  allow: [],
  transaction_tokens: true,
  reports_outcomes: null,
  has_secret: false,
};
const without = (whole: object, field: string): object =>
  Object.fromEntries(Object.entries(whole).filter(([name]) => name !== field));
const at = (id: string): string => encodeURIComponent(id);

const records = async (): Promise<unknown[]> => {
  const { body } = await admin.ask('GET', '/log?kind=registry');
  return (body as { items: unknown[] }).items;
};

beforeEach(async () => {
  const { prisma } = admin.fresh.database;
  await prisma.$executeRawUnsafe('TRUNCATE agent, mcp_server, trusted_issuer, log_leaf');
  await prisma.$executeRawUnsafe('UPDATE registry_state SET version = version + 1');
  await admin.registry.refresh();
});

describe('the admin token', () => {
  const bare = (headers: Record<string, string>, path = '/agents'): ReturnType<AdminServer['ask']> =>
    admin.ask('GET', path, undefined, headers);

  it.each([
    ['is absent', { Authorization: '' }],
    ['is wrong', { Authorization: `Bearer ${ADMIN.replace('0', '1')}` }],
    ['is a prefix of the right one', { Authorization: `Bearer ${ADMIN.slice(0, -1)}` }],
    ['is longer than the right one', { Authorization: `Bearer ${ADMIN}x` }],
    ['comes as Basic', { Authorization: `Basic ${Buffer.from(`admin:${ADMIN}`).toString('base64')}` }],
    ['comes twice', { Authorization: `Bearer ${ADMIN}, Bearer ${ADMIN}` }],
    ['comes as a cookie', { Authorization: '', Cookie: `token=${ADMIN}` }],
  ])('is asked for when it %s, in one uniform answer', async (_, headers) => {
    const answer = await bare(headers);
    expect(statusAndBody(answer)).toStrictEqual(problem('unauthorized'));
    expect(answer.headers.get('WWW-Authenticate')).toBe('Bearer realm="writ-admin"');
    expect(answer.headers.get('Cache-Control')).toBe('no-store');
  });

  it('is never read from the URL', async () => {
    expect((await bare({ Authorization: '' }, `/agents?access_token=${ADMIN}`)).status).toBe(401);
  });

  it('opens the door by any spelling of the scheme', async () => {
    expect((await bare({ Authorization: `bearer ${ADMIN}` })).status).toBe(200);
  });

  it('is asked for before anything is said about a path or a body', async () => {
    const answer = await admin.ask('PUT', '/agents/agt_planner', '{', { Authorization: 'Bearer no' });
    expect(statusAndBody(answer)).toStrictEqual(problem('unauthorized'));
  });
});

describe('an object of the registry', () => {
  it('is registered, read, replaced and removed', async () => {
    const created = await admin.ask('PUT', `/servers/${at(FILES)}`, server);
    expect(statusAndBody(created)).toStrictEqual({ status: 201, body: serverView });
    expect(statusAndBody(await admin.ask('PUT', '/agents/agt_planner', agent))).toStrictEqual({
      status: 201,
      body: agentView,
    });
    expect(statusAndBody(await admin.ask('GET', '/agents/agt_planner'))).toStrictEqual({
      status: 200,
      body: agentView,
    });
    const renamed = await admin.ask('PUT', '/agents/agt_planner', { ...agent, name: 'Chief' });
    expect(statusAndBody(renamed)).toStrictEqual({ status: 200, body: { ...agentView, name: 'Chief' } });
    expect(await admin.ask('DELETE', '/agents/agt_planner')).toMatchObject({ status: 204, body: '' });
    expect(statusAndBody(await admin.ask('GET', '/agents/agt_planner'))).toStrictEqual(
      problem('not_found', 'There is no agent agt_planner'),
    );
  });

  it('is known to the registry at once, and every change to the log', async () => {
    await admin.ask('PUT', `/servers/${at(FILES)}`, server);
    expect(admin.registry.current().serverByResource(FILES)).toMatchObject({ name: 'Files' });
    expect(await records()).toStrictEqual([
      {
        id: expect.stringMatching(/^\d+$/),
        at: '2026-11-22T12:00:00.000Z',
        kind: 'registry',
        txn: null,
        leaf_hash: expect.stringMatching(/^[\w-]{43}$/),
        facts: {
          what: 'server',
          id: FILES,
          by: 'admin-token',
          registry: admin.registry.current().version,
          secret_set: false,
          new: true,
        },
        outcome: { decision: 'done', reason: 'changed', session: null, sequence: null, seen: 0 },
      },
    ]);
  });

  it('may be sent back as it was shown, which changes and records nothing', async () => {
    await admin.ask('PUT', `/servers/${at(FILES)}`, server);
    const { version } = admin.registry.current();
    expect(statusAndBody(await admin.ask('PUT', `/servers/${at(FILES)}`, serverView))).toStrictEqual({
      status: 200,
      body: serverView,
    });
    expect(admin.registry.current().version).toBe(version);
    expect(await records()).toHaveLength(1);
  });

  it('is replaced or removed only as it was seen when If-Match says so', async () => {
    const { headers } = await admin.ask('PUT', `/servers/${at(FILES)}`, server);
    const tag = { 'If-Match': headers.get('ETag') ?? '' };
    const renamed = await admin.ask('PUT', `/servers/${at(FILES)}`, { ...server, name: 'A' }, tag);
    expect(renamed.status).toBe(200);
    expect(renamed.headers.get('ETag')).not.toBe(tag['If-Match']);
    for (const late of [
      await admin.ask('PUT', `/servers/${at(FILES)}`, { ...server, name: 'B' }, tag),
      await admin.ask('DELETE', `/servers/${at(FILES)}`, undefined, tag),
      await admin.ask('PUT', '/agents/agt_planner', agent, { 'If-Match': '*' }),
    ]) {
      expect(statusAndBody(late)).toStrictEqual(problem('precondition_failed'));
    }
    expect(admin.registry.current().serverByResource(FILES)?.name).toBe('A');
  });

  it('is made only where nothing is yet when If-None-Match says so (RFC 9110 §13.1.2)', async () => {
    const make = (name: string): Promise<Answer> =>
      admin.ask('PUT', `/servers/${at(FILES)}`, { ...server, name }, { 'If-None-Match': '*' });
    expect((await make('A')).status).toBe(201);
    expect(statusAndBody(await make('B'))).toStrictEqual(problem('precondition_failed', 'It is there already'));
    expect(admin.registry.current().serverByResource(FILES)?.name).toBe('A');
  });

  it('is only tried by a dry run, which answers as the change would', async () => {
    const secret = { ...server, authentication: { method: 'client_secret_basic' } };
    const { version } = admin.registry.current();
    const tried = await admin.ask('PUT', `/servers/${at(FILES)}?dry_run=true`, secret);
    expect(statusAndBody(tried)).toStrictEqual({
      status: 201,
      body: { ...serverView, ...secret, has_secret: false, effect: NO_EFFECT },
    });
    expect(tried.headers.get('ETag')).toBeNull();
    expect(admin.registry.current().version).toBe(version);
    await admin.ask('PUT', `/servers/${at(FILES)}`, secret);
    await admin.ask('POST', `/servers/${at(FILES)}/secret`);
    const tries: [object, boolean][] = [
      [secret, true],
      [server, false],
    ];
    for (const [body, has_secret] of tries) {
      const answer = await admin.ask('PUT', `/servers/${at(FILES)}?dry_run=true`, body);
      expect(statusAndBody(answer)).toStrictEqual({
        status: 200,
        body: { ...serverView, ...body, has_secret, effect: NO_EFFECT },
      });
    }
    const refused = await admin.ask('PUT', `/servers/${at(FILES)}?dry_run=true`, { ...server, tools: [], scopes: [] });
    expect(refused.status).toBe(400);
    await admin.ask('PUT', '/agents/agt_planner', agent);
    expect((await admin.ask('DELETE', `/servers/${at(FILES)}?dry_run=true`)).body).toMatchObject({ code: 'in_use' });
    expect(statusAndBody(await admin.ask('DELETE', '/agents/agt_planner?dry_run=true'))).toStrictEqual({
      status: 200,
      body: { effect: NO_EFFECT },
    });
    expect(admin.registry.current().agent('agt_planner')).toBeDefined();
  });

  it('is listed in pages', async () => {
    for (const id of ['agt_c', 'agt_a', 'agt_b']) {
      const keys = { method: 'private_key_jwt', jwks_uri: `https://agents.example/${id}` } as const;
      await admin.ask('PUT', `/agents/${id}`, { ...agent, client_id: id, allow: [], authentication: keys });
    }
    const first = await admin.ask('GET', '/agents?limit=2');
    expect(first.body).toMatchObject({ items: [{ client_id: 'agt_a' }, { client_id: 'agt_b' }], next: 'agt_b' });
    const second = await admin.ask('GET', '/agents?limit=2&after=agt_b');
    expect(second.body).toMatchObject({ items: [{ client_id: 'agt_c' }], next: null });
    expect((await admin.ask('GET', '/issuers')).body).toStrictEqual({ items: [], next: null });
  });

  it.each<[string, string, [string, string]]>([
    ['limit=0', '/agents?limit=0', ['limit', 'must be 1 to 200']],
    ['limit as text', '/agents?limit=many', ['limit', 'must be 1 to 200']],
    ['an unknown parameter', '/agents?filter=a', ['filter', 'is not a field']],
    ['a parameter twice', '/agents?limit=1&limit=2', ['limit', 'is given twice']],
    ['an operator', '/sessions?agent[not]=a', ['agent[not]', 'is not a field']],
    ['a log entry that is no number', '/log?after=1%20OR%201', ['after', 'must be the id of an entry']],
  ])('is not listed for %s', async (_, path, field) => {
    expect(statusAndBody(await admin.ask('GET', path))).toStrictEqual(problem('invalid_field', undefined, field));
  });

  it('is kept while another names it', async () => {
    await admin.ask('POST', '/apply', { servers: [server], agents: [agent], issuers: [issuer] });
    expect(statusAndBody(await admin.ask('DELETE', `/servers/${at(FILES)}`))).toStrictEqual(
      problem('in_use', undefined, ['agent agt_planner: allow.0.resource', `there is no MCP server ${FILES}`]),
    );
    expect(statusAndBody(await admin.ask('DELETE', '/agents/agt_planner'))).toStrictEqual(
      problem('in_use', undefined, ['issuer https://login.example: agents.0', 'there is no agent agt_planner']),
    );
    expect(statusAndBody(await admin.ask('DELETE', '/agents/nobody'))).toStrictEqual(
      problem('not_found', 'There is no agent nobody'),
    );
  });
});

describe('a registration is refused by field', () => {
  beforeEach(async () => {
    await admin.ask('PUT', `/servers/${at(FILES)}`, server);
  });
  const key = ec('k1');
  const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' });
  const jwks = (...keys: unknown[]): object => ({ method: 'private_key_jwt', jwks: { keys } });

  it.each<[string, object, ...[string, string][]]>([
    [
      'a server nobody registered',
      { allow: [{ resource: 'https://other.example', scopes: [], tools: '*' }] },
      ['allow.0.resource', 'there is no MCP server https://other.example'],
    ],
    [
      'a scope that the server has not',
      { allow: [{ resource: FILES, scopes: ['files:read', 'files:own'], tools: '*' }] },
      ['allow.0.scopes.1', `${FILES} has no scope files:own`],
    ],
    [
      'a tool that the server has not',
      { allow: [{ resource: FILES, scopes: [], tools: ['wipe'] }] },
      ['allow.0.tools.0', `${FILES} has no tool wipe`],
    ],
    [
      'a server twice',
      { allow: [...(agent.allow ?? []), ...(agent.allow ?? [])] },
      ['allow.1.resource', 'is named twice'],
    ],
    ['a hand-over to nobody', { hand_over_to: ['agt_writer'] }, ['hand_over_to.0', 'there is no agent agt_writer']],
    ['a hand-over to itself', { hand_over_to: ['agt_planner'] }, ['hand_over_to.0', 'is this agent itself']],
    [
      'a redirect in the clear',
      { redirect_uris: ['http://agents.example/cb'] },
      ['redirect_uris.0', 'must be https (http on loopback only) without user information or fragment'],
    ],
    [
      'a redirect with a fragment',
      { redirect_uris: ['https://agents.example/cb#x'] },
      ['redirect_uris.0', 'must have no fragment'],
    ],
    [
      'a redirect with a user',
      { redirect_uris: ['https://agents.example@evil.example/cb'] },
      ['redirect_uris.0', 'must be https (http on loopback only) without user information or fragment'],
    ],
    ['a redirect that is a script', { redirect_uris: ['javascript:alert(1)'] }, ['redirect_uris.0', 'Invalid URL']],
    ['a redirect that is data', { redirect_uris: ['data:text/html,x'] }, ['redirect_uris.0', 'Invalid URL']],
    [
      'keys in the clear',
      { authentication: { method: 'private_key_jwt', jwks_uri: 'http://agents.example/jwks' } },
      ['authentication.jwks_uri', 'must be https (http on loopback only) without user information or fragment'],
    ],
    ['no keys', { authentication: jwks() }, ['authentication.jwks.keys', 'must hold at least one key']],
    [
      'keys in two places',
      { authentication: { ...jwks(key), jwks_uri: 'https://a.example' } },
      ['authentication', 'give exactly one of jwks and jwks_uri'],
    ],
    [
      'a private key',
      { authentication: jwks({ ...key, d: 'AAAA' }) },
      ['authentication.jwks.keys.0', 'carries private key material; register the public key only'],
    ],
    [
      'a shared secret as key',
      { authentication: jwks({ kty: 'oct', k: 'AAAA' }) },
      ['authentication.jwks.keys.0', 'carries private key material; register the public key only'],
    ],
    [
      'a key off its curve',
      { authentication: jwks({ ...key, y: key['x'] }) },
      ['authentication.jwks.keys.0', 'is not a valid public key'],
    ],
    [
      'a key in another spelling, which would pass for another key',
      { authentication: jwks({ ...key, x: `${String(key['x'])}=` }) },
      [
        'authentication.jwks.keys.0',
        'must have its numbers in base64url without padding, in exactly as many bytes as RFC 7518 section 6 says',
      ],
    ],
    [
      'a weak key',
      { authentication: jwks(rsa) },
      ['authentication.jwks.keys.0', 'is an RSA key of less than 2048 bits'],
    ],
    [
      'a curve that Writ does not use',
      {
        authentication: jwks({
          ...generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' }),
        }),
      },
      ['authentication.jwks.keys.0', 'must be a key for ES256 (P-256), EdDSA (Ed25519), RS256 or PS256'],
    ],
    [
      'one kid for two keys',
      { authentication: jwks(key, ec('k1')) },
      ['authentication.jwks.keys.1.kid', 'is the kid of another key too'],
    ],
    [
      'the keys of another client',
      { authentication: server.authentication },
      ['authentication.jwks_uri', `is used by server ${FILES} too; everyone needs a key of their own`],
    ],
    ['an end in the past', { expires_at: '2026-11-22T11:59:59Z' }, ['expires_at', 'must be in the future']],
    [
      'an end that is too far away',
      { expires_at: '2027-11-22T12:00:01Z' },
      ['expires_at', 'must be at most 365 days from now'],
    ],
    [
      'a team for an owner and a mailbox for a sponsor',
      { owner: 'platform team', sponsor: 'platform@example.com' },
      ['owner', 'must be a person by id (prs_…) or as <issuer>#<subject>, not a team or a mailbox'],
      ['sponsor', 'must be a person by id (prs_…) or as <issuer>#<subject>, not a team or a mailbox'],
    ],
    [
      'no sponsor',
      { sponsor: undefined },
      ['sponsor', 'is missing: name a person by id (prs_…) or as <issuer>#<subject>'],
    ],
    [
      'an owner whom nobody knows',
      { owner: 'prs_nobody7890123456789012' },
      ['owner', 'there is no person prs_nobody7890123456789012'],
    ],
    ['an end that is no instant', { expires_at: 'tomorrow' }, ['expires_at', 'Invalid ISO datetime']],
    ['an unknown field', { tenant_id: 't2' }, ['tenant_id', 'is not a field']],
    ['an operator for text', { name: { not: '' } }, ['name', 'Invalid input: expected string, received object']],
    [
      'two faults',
      { owner: undefined, dpop_required: 'yes' },
      ['owner', 'is missing'],
      ['dpop_required', 'Invalid input: expected boolean, received string'],
    ],
    ['a hash of a secret', { secretHash: 'scrypt$…' }, ['secretHash', 'is not a field']],
  ])('when an agent has %s', async (_, change, ...fields) => {
    const answer = await admin.ask('PUT', '/agents/agt_planner', { ...agent, ...change });
    expect(statusAndBody(answer)).toStrictEqual(problem('invalid_field', undefined, ...fields));
    expect(admin.registry.current().agent('agt_planner')).toBeUndefined();
  });

  it('when the path says another id', async () => {
    expect(statusAndBody(await admin.ask('PUT', '/agents/agt_other', agent))).toStrictEqual(
      problem('invalid_field', undefined, ['client_id', 'differs from the id in the path']),
    );
  });

  it('when an agent has the name of the trust domain, a server ours, or an issuer ours', async () => {
    expect(
      statusAndBody(await admin.ask('PUT', '/agents/trust.example', { ...agent, client_id: 'trust.example' })),
    ).toStrictEqual(problem('invalid_field', undefined, ['client_id', 'is the name of our trust domain']));
    const ours = {
      ...server,
      resource: OUR_ISSUER,
      client_id: 'ours',
      authentication: { method: 'client_secret_basic' },
    };
    expect(statusAndBody(await admin.ask('PUT', `/servers/${at(OUR_ISSUER)}`, ours))).toStrictEqual(
      problem('invalid_field', undefined, ['resource', 'is our own issuer']),
    );
    await admin.ask('PUT', '/agents/agt_planner', agent);
    for (const url of [OUR_ISSUER, `${OUR_ISSUER}/`]) {
      expect(statusAndBody(await admin.ask('PUT', `/issuers/${at(url)}`, { ...issuer, issuer: url }))).toStrictEqual(
        problem('invalid_field', undefined, ['issuer', 'is our own issuer']),
      );
    }
  });

  it('when one client id would name an agent and a server, or two servers', async () => {
    const authentication = { method: 'client_secret_basic' };
    const twin = { ...agent, client_id: 'mcp_files', authentication };
    expect(statusAndBody(await admin.ask('PUT', '/agents/mcp_files', twin))).toStrictEqual(
      problem('invalid_field', undefined, [`server ${FILES}: client_id`, 'is the client id of an agent']),
    );
    const second = { ...server, resource: 'https://mcp.example/two', authentication };
    expect(await admin.ask('PUT', `/servers/${at('https://mcp.example/two')}`, second)).toMatchObject({ status: 400 });
  });

  it('when an issuer has the key of a client', async () => {
    await admin.ask('PUT', '/agents/agt_planner', { ...agent, authentication: jwks(key) });
    const rest = { ...issuer };
    delete rest.jwks_uri;
    const answer = await admin.ask('PUT', `/issuers/${at(issuer.issuer)}`, {
      ...rest,
      jwks: { keys: [{ ...key, kid: 'other' }] },
    });
    expect(statusAndBody(answer)).toStrictEqual(
      problem('invalid_field', undefined, [
        'jwks.keys.0',
        'is used by agent agt_planner too; everyone needs a key of their own',
      ]),
    );
  });

  it('when a server takes away what an agent is allowed', async () => {
    await admin.ask('PUT', '/agents/agt_planner', agent);
    const without = { ...server, tools: server.tools.slice(1) };
    expect(statusAndBody(await admin.ask('PUT', `/servers/${at(FILES)}`, without))).toStrictEqual(
      problem('invalid_field', undefined, ['agent agt_planner: allow.0.tools.0', `${FILES} has no tool read_file`]),
    );
  });

  it('when an agent has an owner who is disabled', async () => {
    const { prisma } = admin.fresh.database;
    const left = 'prs_left567890123456789012';
    await prisma.$executeRawUnsafe(
      `INSERT INTO person (id, issuer, subject, status) VALUES ('${left}', 'https://people.example', 'left', 'disabled')`,
    );
    expect(statusAndBody(await admin.ask('PUT', '/agents/agt_planner', { ...agent, owner: left }))).toStrictEqual(
      problem('invalid_field', undefined, ['owner', `the person ${left} is disabled`]),
    );
  });

  it('but an agent from before people were asked for stays as it is, and may be disabled', async () => {
    await admin.ask('PUT', '/agents/agt_planner', agent);
    const { prisma } = admin.fresh.database;
    await prisma.$executeRawUnsafe(
      `UPDATE agent SET document = (document - 'sponsor') || '{"owner": "platform team"}'`,
    );
    await prisma.$executeRawUnsafe('UPDATE registry_state SET version = version + 1');
    const { body } = await admin.ask('GET', '/agents/agt_planner');
    const old = body as object;
    expect(body).toStrictEqual({ ...without(agentView, 'sponsor'), owner: 'platform team' });
    expect((await admin.ask('PUT', '/agents/agt_planner', old)).status).toBe(200);
    expect((await admin.ask('PUT', '/agents/agt_planner', { ...old, name: 'New' })).body).toMatchObject({
      code: 'invalid_field',
      errors: [{ param: 'owner' }, { param: 'sponsor' }],
    });
    expect((await admin.ask('PUT', '/agents/agt_planner', { ...old, status: 'disabled' })).status).toBe(200);
  });

  it('but an agent that has expired may still be disabled', async () => {
    await admin.ask('PUT', '/agents/agt_planner', agent);
    await admin.fresh.database.prisma.$executeRawUnsafe(
      `UPDATE agent SET document = jsonb_set(document, '{expires_at}', '"2026-01-01T00:00:00Z"')`,
    );
    await admin.fresh.database.prisma.$executeRawUnsafe('UPDATE registry_state SET version = version + 1');
    const disabled = { ...agent, expires_at: '2026-01-01T00:00:00Z', status: 'disabled' };
    expect((await admin.ask('PUT', '/agents/agt_planner', disabled)).status).toBe(200);
  });

  it('and never by a 5xx, whatever the body is', async () => {
    for (const body of ['[]', 'null', '1', '"x"', '{}', '{"client_id":[]}', '{"allow":{"0":1}}']) {
      expect((await admin.ask('PUT', '/agents/agt_planner', body)).status).toBe(400);
    }
    expect(statusAndBody(await admin.ask('PUT', '/agents/agt_planner', { name: 'x'.repeat(70_000) }))).toStrictEqual(
      problem('too_large', 'The body may have at most 65536 bytes'),
    );
    expect(admin.thrown).toStrictEqual([]);
  });
});

describe('the people who answer for an agent', () => {
  const alone = { ...agent, allow: [] };
  it.each(['owner', 'sponsor'])('are of an issuer that is known here (%s), once any is', async (field) => {
    const named = { ...alone, client_id: `agt_${field}`, [field]: 'https://logn.example#ada' };
    const path = `/agents/agt_${field}`;
    const issuer = { issuer: 'https://login.example', name: 'L', jwks_uri: 'https://login.example/jwks', agents: [] };
    const trusted = { ...issuer, accepts: [{ token_type: TokenType.idToken, typ: null, scopes: ['a'] }] };
    expect((await admin.ask('PUT', `/issuers/${at(issuer.issuer)}`, trusted)).status).toBeLessThan(300);
    expect(statusAndBody(await admin.ask('PUT', path, named))).toStrictEqual(
      problem('invalid_field', undefined, [
        field,
        'https://logn.example is no trusted issuer and no identity provider of this Writ: register it first',
      ]),
    );
    const dry = `${path}?dry_run=true`;
    for (const known of ['https://login.example', 'https://people.example', OUR_ISSUER])
      expect((await admin.ask('PUT', dry, { ...named, [field]: `${known}#ada` })).status).toBe(201);
    const both = {
      agents: [named],
      issuers: [{ ...trusted, issuer: 'https://logn.example', jwks_uri: 'https://logn.example/jwks' }],
    };
    expect((await admin.ask('POST', '/apply?dry_run=true', both)).status).toBe(200);
    expect((await admin.ask('DELETE', `/issuers/${at(issuer.issuer)}`)).status).toBe(204);
    expect((await admin.ask('PUT', dry, named)).status).toBe(201);
  });

  it('may be named as an issuer knows them, before they were ever here, and are shown by id', async () => {
    const named = { ...alone, owner: 'https://people.example#ada#1', sponsor: 'https://people.example#sponsor' };
    const tried = await admin.ask('PUT', '/agents/agt_planner?dry_run=true', named);
    expect(tried.body).toMatchObject({ owner: named.owner, sponsor: SPONSOR });
    const find = () => admin.ask('GET', `/persons?issuer=${at('https://people.example')}&subject=${at('ada#1')}`);
    expect((await find()).body).toStrictEqual({ items: [] });
    const made = await admin.ask('PUT', '/agents/agt_planner', named);
    const { items } = (await find()).body as { items: { id: string }[] };
    expect(statusAndBody(made)).toStrictEqual({
      status: 201,
      body: { ...agentView, allow: [], owner: items[0]?.id, sponsor: SPONSOR },
    });
    expect(await admin.ask('POST', '/apply', { agents: [named] })).toMatchObject({
      body: { changes: [{ change: 'unchanged' }] },
    });
  });
});

describe('an agent without an end', () => {
  it('gets one when it is new, and keeps the one that it has', async () => {
    const dated = { ...agent, allow: [] };
    const draft = without(dated, 'expires_at');
    const end = async (body: object) =>
      ((await admin.ask('PUT', '/agents/agt_planner', body)).body as { expires_at: string }).expires_at;
    expect(await end(draft)).toBe('2027-11-22T12:00:00.000Z');
    expect(await end(dated)).toBe('2027-01-01T00:00:00Z');
    expect(await end({ ...draft, name: 'Later' })).toBe('2027-01-01T00:00:00Z');
  });
});

describe('a client secret', () => {
  it('is made for a client that is registered for one, shown once and kept as a hash', async () => {
    await admin.ask('PUT', `/servers/${at(FILES)}`, { ...server, authentication: { method: 'client_secret_basic' } });
    const { status, body } = await admin.ask('POST', `/servers/${at(FILES)}/secret`);
    expect({ status, body }).toStrictEqual({
      status: 201,
      body: { client_id: 'mcp_files', client_secret: expect.stringMatching(/^wcs_[\w-]{43}$/) },
    });
    const { client_secret } = body as { client_secret: string };
    const { secretHash } = admin.registry.current().serverByResource(FILES) ?? {};
    expect(await verifySecret(client_secret, secretHash)).toBe(true);
    const shown = JSON.stringify([(await admin.ask('GET', `/servers/${at(FILES)}`)).body, await records()]);
    expect(shown).toContain('"has_secret":true');
    expect(shown).not.toContain(client_secret);
    expect(shown).not.toContain('scrypt');
  });

  it('ends with the next one', async () => {
    await admin.ask('PUT', '/agents/agt_a', {
      ...agent,
      client_id: 'agt_a',
      allow: [],
      authentication: { method: 'client_secret_post' },
    });
    const first = (await admin.ask('POST', '/agents/agt_a/secret')).body as { client_secret: string };
    await admin.ask('POST', '/agents/agt_a/secret');
    expect(await verifySecret(first.client_secret, admin.registry.current().agent('agt_a')?.secretHash)).toBe(false);
  });

  it('is refused to a client that has keys, and to nobody', async () => {
    await admin.ask('PUT', `/servers/${at(FILES)}`, server);
    expect(statusAndBody(await admin.ask('POST', `/servers/${at(FILES)}/secret`))).toStrictEqual(
      problem('conflict', `The MCP server ${FILES} is registered for private_key_jwt and has no secret`),
    );
    expect(statusAndBody(await admin.ask('POST', '/agents/nobody/secret'))).toStrictEqual(
      problem('not_found', 'There is no agent nobody'),
    );
  });
});
