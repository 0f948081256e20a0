import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { CALLBACK, change, renewal, type SignInWorld, startSignInWorld } from '../abuse/sign-in.js';
import { Browser, type Seen } from '../support/browser.js';
import { ALICE } from '../support/company.js';
import { RS1, RS2, tool, tools } from '../support/world.js';
import { type Form, type Reply, tokensOf } from '../support/writ.js';

let world: SignInWorld;
beforeAll(async () => {
  world = await startSignInWorld();
  const budgets = [
    { unit: 'calls', per: 'session', limit: 100 },
    { unit: 'money', per: 'person', limit: '50.00', currency: 'EUR', window_seconds: 86_400 },
  ];
  await change(world, 'agt_a1', (agent) => ({ ...agent, budgets }));
}, 60_000);
afterAll(() => world.close());

type Asked = Readonly<{ page: Seen; browser: Browser; verifier: string }>;

/** Up to the consent page of an agent that wants to read and write, and to stay. */
async function asked(scope = 'openid offline_access repo:read repo:write'): Promise<Asked> {
  const [browser, verifier] = [new Browser(), randomBytes(32).toString('base64url')];
  const query = new URLSearchParams({
    client_id: 'agt_a1',
    redirect_uri: CALLBACK,
    response_type: 'code',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    prompt: 'consent',
    scope,
  });
  const signIn = await browser.get(`${world.issuer}/auth?${query.toString()}`, CALLBACK);
  const { email, password } = ALICE;
  return { page: await browser.submit(signIn, { email, password }, CALLBACK), browser, verifier };
}

type Choice = Readonly<Record<string, string | readonly string[]>>;
const decide = ({ page, browser }: Asked, choice: Choice): Promise<Seen> =>
  browser.submit(page, { decision: 'allow', ...choice }, CALLBACK);

async function tokenFor(choice: Choice, scope?: string): Promise<Reply> {
  const request = await asked(scope);
  const code = new URL((await decide(request, choice)).url).searchParams.get('code') ?? '';
  return world.post('/token', await world.codeForm({ code, verifier: request.verifier }, world.a1));
}

const exchange = (subject_token: string, more: Form): Promise<Reply> =>
  world.exchange({ subject_token, resource: RS1, authorization_details: undefined, ...more });
const calling = (name: string, resource = RS1): Form => ({
  resource,
  authorization_details: tools(tool(name, { arguments: {}, locations: [resource] })),
});
/** By their places in the page. */
const [READ, LIST] = ['0', '1'];
const held = (...names: string[]): object[] =>
  names.map((identifier) => ({
    ...{ type: 'mcp_tool_call', locations: [RS1], actions: ['tools/call'], identifier },
    max_uses: 1_000,
  }));

describe('consent is a delegation that the person can narrow', () => {
  it('names each tool that the agent could call, what it does to what, its limits and how long it lasts', async () => {
    const { body } = (await asked()).page;
    for (const shown of [
      'read_file',
      'list_files',
      'write_file',
      'delete_repo',
      'high risk',
      '100 calls for each session',
    ])
      expect(body).toContain(shown);
    expect(body).toContain('50.00 EUR for each person, anew every day');
    expect([...body.matchAll(/<option value="(\d+)"/g)].map(([, seconds]) => seconds)).toEqual([
      '3600',
      '86400',
      '604800',
      '2592000',
    ]);
    expect(body).not.toContain('wipe');
    expect([...body.matchAll(/name="tool" value="(\d)" checked/g)].map(([, place]) => place)).toEqual([
      '0',
      '1',
      '2',
      '3',
    ]);
  });

  it('shows only what the scopes that are asked for can reach', async () => {
    const { body } = (await asked('repo:read')).page;
    expect(body).toContain('list_files');
    expect(body).not.toContain('write_file');
    expect(body).not.toContain('reads_only');
    expect(body).not.toContain('<select');
  });

  it('left as it is, says nothing of tools in the token', async () => {
    const answer = await tokenFor({});
    expect(answer.body).not.toHaveProperty('authorization_details');
    const { access_token } = tokensOf(answer);
    expect(decodeJwt(access_token)).not.toHaveProperty('authorization_details');
    expect(decodeJwt(access_token)).toMatchObject({ scope: 'repo:read repo:write' });
    expect((await exchange(access_token, calling('write_file'))).status).toBe(200);
  });

  it('RFC 9396 §7: with fewer tools gives a token for exactly those, with the scopes that they need, and says so', async () => {
    const answer = await tokenFor({ tool: [READ] });
    expect(answer.body).toMatchObject({
      scope: 'repo:read',
      authorization_details: held('read_file'),
    });
    const { access_token } = tokensOf(answer);
    expect(decodeJwt(access_token)).toMatchObject({ authorization_details: held('read_file') });
    expect((await exchange(access_token, calling('read_file'))).status).toBe(200);
    for (const name of ['list_files', 'write_file'])
      expect((await exchange(access_token, calling(name))).body).toEqual({
        error: 'invalid_authorization_details',
        error_description: `the tool ${name} is not granted here`,
      });
    expect((await exchange(access_token, calling('read_file', RS2))).body).toMatchObject({ error: 'invalid_target' });
  });

  it('goes with every token that is made of it: by no transaction token or hand-over is more got', async () => {
    const all = ['read_file', 'list_files', 'write_file', 'delete_repo'];
    const before = (await world.admin('GET', '/agents/agt_a1')).body as { allow: object[] };
    await change(world, 'agt_a1', (agent) => ({
      ...agent,
      allow: [RS1, RS2].map((resource) => ({ resource, scopes: ['repo:read', 'repo:write'], tools: all })),
    }));
    const { access_token } = tokensOf(await tokenFor({ tool: [READ] }));
    const domain = { resource: undefined, audience: world.config.trustDomain, scope: 'repo:read' };
    const transaction = tokensOf(await exchange(access_token, domain)).access_token;
    const handed = tokensOf(await exchange(access_token, { ...domain, audience: 'agt_a2' })).access_token;
    const type = { subject_token_type: 'urn:ietf:params:oauth:token-type:txn_token' };
    const beyond = async (subject_token: string, more: Form, by = world.a1): Promise<unknown> => {
      const answer = await world.exchange(
        { subject_token, resource: RS1, authorization_details: undefined, ...more },
        by,
      );
      return answer.body;
    };
    const notGranted = (name: string): object => ({
      error: 'invalid_authorization_details',
      error_description: `the tool ${name} is not granted here`,
    });
    expect(await beyond(transaction, { ...type, ...calling('read_file', RS2) })).toEqual(notGranted('read_file'));
    expect(await beyond(transaction, { ...type, ...calling('list_files') })).toEqual(notGranted('list_files'));
    expect(await beyond(handed, calling('list_files'), world.a2)).toEqual(notGranted('list_files'));
    expect(await beyond(transaction, { ...type, ...calling('read_file') })).toHaveProperty('access_token');
    expect(await beyond(handed, calling('read_file'), world.a2)).toHaveProperty('access_token');
    await change(world, 'agt_a1', (agent) => ({ ...agent, allow: before.allow }));
  });

  it('gives an agent that names no tools those that were left of its scopes', async () => {
    const { access_token } = tokensOf(await tokenFor({ tool: [LIST] }));
    const answer = await exchange(access_token, { scope: 'repo:read' });
    expect(decodeJwt(tokensOf(answer).access_token)).toMatchObject({
      authorization_details: [expect.objectContaining({ identifier: 'list_files' })],
    });
  });

  it('that only reads is for the tools that only read', async () => {
    const answer = await tokenFor({ reads_only: 'yes' });
    expect(answer.body).toMatchObject({
      scope: 'repo:read',
      authorization_details: held('read_file', 'list_files'),
    });
  });

  it('stays as narrow through every renewal', async () => {
    const { refresh_token } = tokensOf(await tokenFor({ tool: [READ, LIST] }));
    const renewed = await world.post('/token', await renewal(world, refresh_token));
    expect(renewed.body).toMatchObject({
      scope: 'repo:read',
      authorization_details: held('read_file', 'list_files'),
    });
    const again = await world.post('/token', await renewal(world, tokensOf(renewed).refresh_token));
    expect(decodeJwt(tokensOf(again).access_token)).toMatchObject({
      authorization_details: held('read_file', 'list_files'),
    });
  });

  it('ends when the person said so', async () => {
    const { engineRecord } = world.writ.database.prisma;
    const begun = Date.now();
    const { refresh_token } = tokensOf(await tokenFor({ lasts: '3600' }));
    const within = { gt: new Date(begun + 3_500_000), lt: new Date(Date.now() + 3_700_000) };
    const shorter = { model: 'Grant', expiresAt: within };
    expect(await engineRecord.count({ where: shorter })).toBe(1);
    const renewed = tokensOf(await world.post('/token', await renewal(world, refresh_token)));
    await world.writ.database.prisma.$executeRawUnsafe(
      `UPDATE engine_record SET expires_at = now(), payload = jsonb_set(payload, '{exp}', to_jsonb(extract(epoch FROM now())::int - 1))
       WHERE model = 'Grant' AND expires_at < now() + interval '2 hours'`,
    );
    expect((await world.post('/token', await renewal(world, renewed.refresh_token))).body).toMatchObject({
      error: 'invalid_grant',
    });
  });

  it.each<[string, Choice, string]>([
    ['with nothing left', { tool: [] }, 'With this choice nothing is left'],
    ['that only reads and keeps a writing tool alone', { tool: ['2'], reads_only: 'yes' }, 'nothing is left'],
    ['with a tool that the page does not have', { tool: ['9'] }, 'nothing is left'],
    ['with something else than a place', { tool: ['read_file'] }, 'nothing is left'],
    ['that lasts longer than may be', { lasts: '99999999' }, 'choose again how long'],
    ['that lasts no number', { lasts: 'forever' }, 'choose again how long'],
    ['with no call at all', { calls: '0' }, 'has to be a whole number'],
    ['with more calls than may be said', { calls: '1000001' }, 'has to be a whole number'],
    ['with a limit that is no number', { calls: '-1' }, 'has to be a whole number'],
    ['with a limit in words', { calls: 'three' }, 'has to be a whole number'],
  ])('%s is asked for again, and grants nothing', async (_what, choice, said) => {
    const request = await asked();
    const before = await world.writ.database.prisma.engineRecord.count({ where: { model: 'Grant' } });
    const again = await decide(request, choice);
    expect(again.body).toContain(said);
    expect(again.body).toContain('role="alert"');
    expect(await world.writ.database.prisma.engineRecord.count({ where: { model: 'Grant' } })).toBe(before);
    expect((await decide({ ...request, page: again }, {})).url).toMatch(/[?&]code=/);
  });

  describe('with a limit of the person', () => {
    const [SPENT, STAYS] = [
      { error: 'transaction_denied', session_state: { status: 'budget_exhausted' } },
      'openid offline_access repo:read repo:write',
    ];
    const read = (token: string, more: Form = {}): Promise<Reply> =>
      exchange(token, { ...calling('read_file'), ...more });
    const claimsOf = (token: string) =>
      decodeJwt<{ writ: { grant?: string; session?: string; budget?: Record<string, unknown> } }>(token).writ;

    it('is held to so many calls in all, and says so to the agent, without a time at which it would begin anew', async () => {
      const { access_token } = tokensOf(await tokenFor({ calls: '2' }, STAYS));
      const { grant, budget } = claimsOf(access_token);
      expect(budget).toEqual({ consent: grant, calls: 2, until: expect.any(Number) });
      const made = [await read(access_token), await read(access_token)];
      expect(made.map(({ status }) => status)).toEqual([200, 200]);
      expect(claimsOf(tokensOf(made[0] ?? (await read(access_token))).access_token).budget).toEqual(budget);
      const refused = await read(access_token);
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([400, null]);
      expect(refused.body).toMatchObject(SPENT);
      expect(refused.body).toMatchObject({
        error_description: 'the budget of 2 calls per consent has not enough left: 2 are spent or reserved',
        session_state: { budget: { unit: 'calls', scope: 'consent', limit: '2', used: '2' } },
      });
      expect(refused.body).not.toHaveProperty('session_state.resets_at');
    });

    it('has nothing anew by a renewed token, another session or another consent’s limit', async () => {
      const tokens = tokensOf(await tokenFor({ calls: '2' }, STAYS));
      const first = tokensOf(await read(tokens.access_token)).access_token;
      const renewed = tokensOf(await world.post('/token', await renewal(world, tokens.refresh_token)));
      expect(claimsOf(renewed.access_token).budget).toEqual(claimsOf(tokens.access_token).budget);
      expect((await read(renewed.access_token)).status).toBe(200);
      expect((await read(renewed.access_token)).body).toMatchObject(SPENT);
      const other = tokensOf(await tokenFor({ calls: '1' }, STAYS));
      expect((await read(other.access_token)).status).toBe(200);
      expect((await read(other.access_token)).body).toMatchObject(SPENT);
      const free = tokensOf(await tokenFor({ calls: '' }, STAYS));
      expect(claimsOf(free.access_token)).not.toHaveProperty('budget');
      expect((await read(free.access_token)).status).toBe(200);
      expect(claimsOf(first).session).toMatch(/^ses_/);
    });

    it('holds for whoever the agent hands over to', async () => {
      const { access_token } = tokensOf(await tokenFor({ calls: '2' }, STAYS));
      const handed = await exchange(access_token, { audience: world.a2.id, resource: undefined });
      const below = tokensOf(handed).access_token;
      expect(claimsOf(below).budget).toEqual(claimsOf(access_token).budget);
      const byOther = (): Promise<Reply> => world.exchange({ subject_token: below, ...calling('read_file') }, world.a2);
      expect((await byOther()).status).toBe(200);
      expect((await read(access_token)).status).toBe(200);
      expect((await byOther()).body).toMatchObject(SPENT);
      expect((await read(access_token)).body).toMatchObject(SPENT);
    });

    it('is never overdrawn, however many ask at once', async () => {
      const { access_token } = tokensOf(await tokenFor({ calls: '3' }, STAYS));
      const answers = await Promise.all(Array.from({ length: 12 }, () => read(access_token)));
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(3);
      for (const { status, body } of answers) if (status !== 200) expect(body).toMatchObject(SPENT);
    });
  });

  it('is not widened by another authorization: each is consented to anew', async () => {
    const { access_token } = tokensOf(await tokenFor({ tool: [READ] }));
    const wide = await world.tokensFor(world.a1);
    expect(decodeJwt(wide.access_token)).not.toHaveProperty('authorization_details');
    expect((await exchange(access_token, calling('write_file'))).status).toBe(400);
  });
});
