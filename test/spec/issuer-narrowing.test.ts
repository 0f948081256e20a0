import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt, SignJWT } from 'jose';
import { sha256 } from '../../src/protocol/index.js';
import { close, listen } from '../support/company.js';
import { reevaluated } from '../support/invariants.js';
import { type Client, COMPANY, ownWorld, RS1, RS2, tool, tools } from '../support/world.js';
import { bearerAssertion, type Form, makeKey, tokenOf } from '../support/writ.js';

const world = await ownWorld();
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const RECEIVED = 'urn:ietf:params:oauth:token-type:txn_access_token';
const otherKey = makeKey('company-2');

const ISSUER = {
  issuer: COMPANY,
  name: 'Company',
  status: 'active',
  jwks: { keys: [world.companyKey.jwk, otherKey.jwk] },
  accepts: [
    { token_type: ACCESS_TOKEN, typ: 'at+jwt', audiences: ['writ-at-company'] },
    { token_type: JWT, typ: 'note+jwt', audiences: [] },
  ],
  agents: ['agt_a1', 'agt_a2'],
  client_ids: {},
  claims: { scope: 'scope' },
};
const [ACCESS] = ISSUER.accepts;
const path = `/issuers/${encodeURIComponent(COMPANY)}`;

const put = async (issuer: object): Promise<void> => {
  const { status, text } = await world.admin('PUT', path, issuer);
  if (status !== 200) throw new Error(text);
  await reevaluated(world);
};
const isActive = async (token: string): Promise<boolean> => {
  const by = decodeJwt(token).aud === RS2 ? world.rs2 : world.rs1;
  const form = { ...(await bearerAssertion(world.issuer, by)), token };
  return ((await world.post('/introspect', form)).body as { active: boolean }).active;
};
const tokenFor = async (changes: Form, by: Client = world.a1): Promise<string> =>
  tokenOf(await world.exchange(changes, by));
const brought = async (claims: Record<string, unknown>, header: Record<string, unknown> = {}): Promise<Form> => ({
  subject_token: await world.personToken('alice', claims, header),
});
const byTheOtherKey = async (): Promise<Form> => ({
  subject_token: await new SignJWT({ ...decodeJwt(await world.personToken('alice')) })
    .setProtectedHeader({ alg: 'ES256', kid: 'company-2', typ: 'at+jwt' })
    .sign(otherKey.privateKey),
});

beforeAll(async () => {
  await put(ISSUER);
  const server = (await world.admin('GET', `/servers/${encodeURIComponent(RS1)}`)).body as object;
  const allow = [{ resource: RS2, scopes: ['repo:read'], tools: ['read_file'] }];
  const { status } = await world.admin('PUT', `/servers/${encodeURIComponent(RS1)}`, { ...server, allow });
  expect(status).toBe(200);
});

describe('a trusted issuer that is narrowed', () => {
  const CASES: readonly [string, object, () => Promise<string>][] = [
    [
      'an agent that may bring its tokens no more',
      { agents: ['agt_a1'] },
      async () => tokenFor(await brought({ client_id: 'agt_a2' }), world.a2),
    ],
    [
      'a kind of token',
      { accepts: [ACCESS] },
      async () => tokenFor({ ...(await brought({}, { typ: 'note+jwt' })), subject_token_type: JWT }),
    ],
    [
      'a name by which it means Writ',
      { accepts: [{ ...ACCESS, audiences: [] }, ISSUER.accepts[1]] },
      async () => tokenFor(await brought({ aud: 'writ-at-company' })),
    ],
    [
      'a scope',
      { accepts: [{ ...ACCESS, scopes: ['repo:read'] }, ISSUER.accepts[1]] },
      () => tokenFor({ authorization_details: tools(tool('write_file')) }),
    ],
    ['a key', { jwks: { keys: [world.companyKey.jwk] } }, async () => tokenFor(await byTheOtherKey())],
    [
      'a client id that turns out to be another agent’s',
      { client_ids: { web: 'agt_a2' } },
      async () => tokenFor(await brought({ azp: 'web' })),
    ],
    [
      'an agent that is new, and turns out to be whom it was issued to',
      { agents: ['agt_a1', 'agt_a2', 'agt_ax'] },
      async () => tokenFor(await brought({ azp: 'agt_ax' })),
    ],
  ];

  it.each(CASES)('ends what came by %s, as its dry run says, and nothing else', async (_, change, make) => {
    const kept = await tokenFor({});
    const lost = await make();
    await world.writ.flush();
    const tried = await world.admin('PUT', `${path}?dry_run=true`, { ...ISSUER, ...change });
    const { effect } = tried.body as { effect: { tokens: number; losses: readonly object[] } };
    const { writ } = decodeJwt(lost) as { writ: { session: string } };
    expect([effect.tokens, effect.losses]).toEqual([
      1,
      [expect.objectContaining({ session: writ.session, because: 'ceiling', to: 'deny', tokens: 1 })],
    ]);
    await put({ ...ISSUER, ...change });
    expect([await isActive(lost), await isActive(kept)]).toEqual([false, true]);
    await put(ISSUER);
    expect(await isActive(lost)).toBe(false);
  });

  it('ends what came of such a token elsewhere, though that token itself is over', async () => {
    const parent = await tokenFor(await byTheOtherKey());
    const onward = { subject_token: parent, subject_token_type: RECEIVED, resource: RS2 };
    const child = await tokenFor({ ...onward, authorization_details: tools(tool('read_file', {}, RS2)) }, world.rs1);
    await world.writ.flush();
    const older = await world.writ.database.prisma.$executeRawUnsafe(
      `UPDATE log_leaf SET at = at - interval '301 seconds' WHERE token_hash = $1`,
      sha256(String(decodeJwt(parent).jti)),
    );
    expect(older).toBe(1);
    await put({ ...ISSUER, jwks: { keys: [world.companyKey.jwk] } });
    expect(await isActive(child)).toBe(false);
    await put(ISSUER);
  });

  describe('whose keys are at a URL', () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url ?? '');
      const keys: Record<string, readonly object[]> = {
        '/both': [world.companyKey.jwk, otherKey.jwk],
        '/one': [world.companyKey.jwk],
      };
      const found = keys[request.url ?? ''];
      if (found === undefined) response.writeHead(500).end();
      else response.end(JSON.stringify({ keys: found }));
    });
    let base = '';
    beforeAll(async () => {
      base = await listen(server);
    });
    afterAll(() => close(server));
    const at = (uri: string): object => ({ ...ISSUER, jwks: undefined, jwks_uri: `${base}${uri}` });

    it('ends what came by a key that is not there, and asks for the keys once for all of its tokens', async () => {
      const kept = await Promise.all(Array.from({ length: 10 }, () => tokenFor({})));
      const lost = await tokenFor(await byTheOtherKey());
      await world.writ.flush();
      await put(at('/both'));
      expect([await isActive(lost), asked.splice(0)]).toEqual([true, ['/both']]);
      await put(at('/one'));
      expect([await isActive(lost), asked.splice(0)]).toEqual([false, ['/one']]);
      expect(await Promise.all(kept.map(isActive))).toEqual(kept.map(() => true));
      await put(ISSUER);
    });

    it('ends what nobody can decide, by the second pass, where it does not answer, and its dry run says so', async () => {
      const lost = await tokenFor({});
      await world.writ.flush();
      const tried = await world.admin('PUT', `${path}?dry_run=true`, at('/down'));
      const { effect } = tried.body as { effect: { tokens: number; undecided: number } };
      expect(effect.undecided).toBeGreaterThan(0);
      expect([effect.undecided, asked.splice(0)]).toEqual([effect.tokens, []]);
      await put(at('/down'));
      expect([await isActive(lost), asked.splice(0)]).toEqual([false, ['/down']]);
      await put(ISSUER);
      expect((await world.exchange()).status).toBe(200);
    });
  });

  it('takes nothing from anybody where it is widened, or its claims fill attributes otherwise', async () => {
    const before = await world.writ.database.prisma.policyReevaluation.count();
    await put({ ...ISSUER, claims: { scope: 'scope', email: 'mail' } });
    await put({
      ...ISSUER,
      accepts: [{ ...ACCESS, audiences: ['writ-at-company', 'writ'] }, ISSUER.accepts[1]],
    });
    expect(await world.writ.database.prisma.policyReevaluation.count()).toBe(before);
  });
});
