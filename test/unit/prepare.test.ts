import { createSign } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { Permit } from '../../src/policy/permit.js';
import type { Grant } from '../../src/policy/index.js';
import { importKey, parseJws, sha256, verifySignature } from '../../src/protocol/index.js';
import { type KeyRing, prepare, type PreparedToken, sign, type SigningKey } from '../../src/token/index.js';
import { Recorded } from '../../src/token/recorded.js';
import { delegation, ISS, NOW, presenter, RS, server, subject, wanted } from '../support/delegations.js';
import { makeKey } from '../support/writ.js';

const TYPE = 'urn:ietf:params:oauth:token-type:';
const DIGEST = 'a'.repeat(43);
const JKT = 'k'.repeat(43);
const LIVES = { transactionalAccessToken: 180, transactionToken: 60, handOver: 120 };
const MAKING = { issuer: ISS, personId: 'prs_1', kid: 'key-1', now: NOW, lifetimes: LIVES };

const call = (changes: object = {}) => ({
  type: 'mcp_tool_call' as const,
  locations: [RS] as [string],
  actions: ['tools/call'] as ['tools/call'],
  identifier: 'read',
  max_uses: 10,
  ...changes,
});
const grant = (changes: Partial<Grant> = {}): Grant => ({
  decision: 'dec_1',
  policy: 'rules/1',
  policies: ['any'],
  delegation: delegation({ wanted: wanted({ task: 'T-1', purpose: 'p' }) }),
  shape: 'txnat+jwt',
  audience: RS,
  scopes: ['files:write', 'files:read'],
  details: [call()],
  localUses: true,
  notAfter: NOW + 600,
  ...changes,
});
/** With its claims as they are written: JSON leaves out what is undefined. */
function prepared(changes: Partial<Grant> = {}): PreparedToken {
  const token = prepare(new Permit(grant(changes)), MAKING);
  return { ...token, claims: JSON.parse(JSON.stringify(token.claims)) as PreparedToken['claims'] };
}

const handOver = (parts: Parameters<typeof delegation>[0] = {}): Partial<Grant> => ({
  shape: 'hand-over',
  audience: ISS,
  details: undefined,
  delegation: delegation({ wanted: wanted({ target: { kind: 'agent', clientId: 'agt_b' } }), ...parts }),
});
const bound = { subject: subject({ jkt: JKT }), presenter: presenter('agt_a', { jkt: JKT }) };

describe('a token is prepared from a permit', () => {
  it('whole: a transactional access token', () => {
    const token = prepared();
    const { jti, txn } = token.claims;
    if (typeof jti !== 'string') throw new Error('no jti');
    expect(jti).toMatch(/^[\w-]{22}$/);
    expect(txn).toEqual(expect.stringMatching(/^[\w-]{22}$/));
    expect(txn).not.toBe(jti);
    expect(token).toEqual({
      typ: 'txnat+jwt',
      kid: 'key-1',
      personId: 'prs_1',
      issuedTokenType: `${TYPE}txn_access_token`,
      tokenType: 'Bearer',
      claims: {
        iss: ISS,
        aud: RS,
        sub: 'prs_1',
        client_id: 'agt_a',
        iat: NOW,
        exp: NOW + 180,
        jti,
        txn,
        scope: 'files:read files:write',
        authorization_details: [call()],
        tctx: { task: 'T-1', purpose: 'p', call_chain: [{ wl: 'agt_a' }, { wl: RS }] },
        rctx: {},
        act: { sub: 'agt_a', iss: ISS, sub_profile: 'ai_agent' },
      },
      receipt: { decision: 'dec_1', policy: 'rules/1' },
      grant: grant(),
      scope: 'files:read files:write',
      transaction: txn,
      tokenHash: sha256(jti),
      issuedAt: NOW,
      expiresAt: NOW + 180,
    });
  });

  it('once: a permit is spent', () => {
    const permit = new Permit(grant());
    prepare(permit, MAKING);
    expect(() => prepare(permit, MAKING)).toThrow('a Permit is spent once');
  });

  it('with what the subject token said of the person’s sign-in', () => {
    const { claims } = prepared({
      delegation: delegation({ subject: subject({ acr: 'phr', amr: ['pwd', 'mfa'], authTime: NOW - 60 }) }),
    });
    expect([claims['acr'], claims['amr'], claims['auth_time'], claims['rctx']]).toEqual([
      'phr',
      ['pwd', 'mfa'],
      NOW - 60,
      { authn: 'phr' },
    ]);
  });

  it('in the same transaction as the token that it is made from, with a name of its own', () => {
    const parts = { subject: subject({ transaction: 'txn-1' }) };
    const [one, two] = [prepared({ delegation: delegation(parts) }), prepared({ delegation: delegation(parts) })];
    expect([one.transaction, one.claims['txn'], two.transaction]).toEqual(['txn-1', 'txn-1', 'txn-1']);
    expect(one.tokenHash).not.toBe(two.tokenHash);
  });

  it('RFC 8693 §4.1: with the whole chain of actors, the current one outermost', () => {
    const actors = [
      { sub: 'agt_c', iss: ISS },
      { sub: 'agt_d', iss: 'https://other.example' },
    ];
    const parts = { subject: subject({ actors, kind: 'hand-over' }), wanted: wanted({ tools: [] }) };
    expect(prepared({ delegation: delegation(parts) }).claims['act']).toEqual({
      sub: 'agt_a',
      iss: ISS,
      sub_profile: 'ai_agent',
      act: { sub: 'agt_c', iss: ISS, act: { sub: 'agt_d', iss: 'https://other.example' } },
    });
  });

  it('without an actor where the chain has none', () => {
    expect(prepared({ delegation: { ...delegation({}), actors: [] } }).claims).not.toHaveProperty('act');
  });
});

describe('each shape has names and a life of its own', () => {
  it.each<[Grant['shape'], object, number]>([
    ['txnat+jwt', { typ: 'txnat+jwt', issuedTokenType: `${TYPE}txn_access_token`, tokenType: 'Bearer' }, 180],
    ['at+jwt', { typ: 'at+jwt', issuedTokenType: `${TYPE}access_token`, tokenType: 'Bearer' }, 180],
    ['txntoken+jwt', { typ: 'txntoken+jwt', issuedTokenType: `${TYPE}txn_token`, tokenType: 'N_A' }, 60],
    ['hand-over', { typ: 'at+jwt', issuedTokenType: `${TYPE}access_token`, tokenType: 'N_A' }, 120],
  ])('%s', (shape, names, life) => {
    const { typ, issuedTokenType, tokenType, expiresAt, claims } = prepared({ shape });
    expect({ typ, issuedTokenType, tokenType }).toEqual(names);
    expect([expiresAt, claims['exp']]).toEqual([NOW + life, NOW + life]);
  });

  it.each<[string, number, number]>([
    ['the grant, where that is sooner', NOW + 60, NOW + 60],
    ['whole seconds', NOW + 60.9, NOW + 60],
    ['the shape, where that is sooner', NOW + 181, NOW + 180],
  ])('its end is that of %s', (_, notAfter, end) => {
    expect(prepared({ notAfter }).expiresAt).toBe(end);
  });

  it('RFC 9449 §5: a bound access token is of type DPoP and names its key; a transaction token names it too', () => {
    const on = delegation(bound);
    expect(prepared({ delegation: on })).toMatchObject({ tokenType: 'DPoP', claims: { cnf: { jkt: JKT } } });
    expect(prepared({ delegation: on, shape: 'at+jwt' }).tokenType).toBe('DPoP');
    const inside = prepared({ delegation: on, shape: 'txntoken+jwt' });
    expect(inside).toMatchObject({ tokenType: 'N_A', claims: { cnf: { jkt: JKT } } });
    expect(prepared().claims).not.toHaveProperty('cnf');
  });

  it('a transaction token names the workload that asked, every other shape its client', () => {
    const on = delegation({
      subject: subject({ kind: 'transaction', exchangeableBy: 'srv_files' }),
      presenter: server(),
      wanted: wanted({ target: { kind: 'domain', name: 'trust.example' } }),
    });
    const inside = prepared({ delegation: on, shape: 'txntoken+jwt', audience: 'trust.example' }).claims;
    expect([inside['req_wl'], inside['client_id'], inside['aud']]).toEqual([RS, undefined, 'trust.example']);
    const outside = prepared({ delegation: on }).claims;
    expect([outside['req_wl'], outside['client_id']]).toEqual([undefined, 'srv_files']);
  });
});

describe('a hand-over', () => {
  it('names the one that may redeem it, and no tool', () => {
    const { claims, receipt } = prepared(handOver());
    expect(claims['may_act']).toEqual({ sub: 'agt_b', iss: ISS });
    expect(claims).not.toHaveProperty('authorization_details');
    expect(receipt).toEqual({ decision: 'dec_1', policy: 'rules/1' });
    expect(prepared().claims).not.toHaveProperty('may_act');
  });

  it('RFC 9449: of a bound delegation asks for a key, without naming that of its maker', () => {
    const { claims, receipt } = prepared(handOver(bound));
    expect(receipt).toEqual({ decision: 'dec_1', policy: 'rules/1', bind: true });
    expect(claims).not.toHaveProperty('cnf');
    expect(prepared({ delegation: delegation(bound) }).receipt).toEqual({ decision: 'dec_1', policy: 'rules/1' });
  });
});

describe('the receipt says where uses are counted', () => {
  const exact = call({ arguments_sha256: DIGEST });
  it.each<[string, Partial<Grant>, object]>([
    ['at the server, for an exact call of its low tools', { details: [exact] }, { uses: 'local' }],
    ['at the server, where one of several calls is exact', { details: [call(), exact] }, { uses: 'local' }],
    ['at Writ, where a tool is high', { details: [exact], localUses: false }, {}],
    ['as the tier says, where no call is exact', { details: [call()] }, {}],
    ['nowhere, without a tool', { details: undefined }, {}],
  ])('%s', (_, changes, more) => {
    expect(prepared(changes).receipt).toEqual({ decision: 'dec_1', policy: 'rules/1', ...more });
  });
});

describe('what is recorded is signed', () => {
  const COMMITMENT = { session: 'ses_1', seen: 7, leaf: 'b'.repeat(43) };
  const key = makeKey('key-1');
  const signer = (kid: string): SigningKey => ({
    kid,
    alg: 'ES256',
    publicJwk: key.jwk,
    sign: (data) => createSign('sha256').update(data).sign({ key: key.privateKey, dsaEncoding: 'ieee-p1363' }),
  });
  const ring: Pick<KeyRing, 'signer'> = { signer };
  const issue = (changes: Partial<Grant> = {}) => {
    const token = prepared(changes);
    return { token, issued: sign(new Recorded(token, COMMITMENT), ring as KeyRing) };
  };

  it('by the key that the record names, with the receipt closed', () => {
    const { token, issued } = issue({ details: [call({ arguments_sha256: DIGEST })] });
    const jws = parseJws(issued.token);
    const published = importKey(key.jwk);
    if (!jws.ok || !published.ok) throw new Error(issued.token);
    expect(verifySignature(jws.value, published.value)).toBe(true);
    expect(jws.value.payload).toEqual({
      ...token.claims,
      writ: { decision: 'dec_1', policy: 'rules/1', uses: 'local', ...COMMITMENT },
    });
    const [header = ''] = issued.token.split('.');
    expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual({
      alg: 'ES256',
      kid: 'key-1',
      typ: 'txnat+jwt',
    });
  });

  it('RFC 8693 §2.2.1: and the answer says what it is', () => {
    const { issued } = issue({ delegation: delegation(bound) });
    expect(issued).toEqual({
      token: issued.token,
      issuedTokenType: `${TYPE}txn_access_token`,
      tokenType: 'DPoP',
      expiresIn: 180,
      scope: 'files:read files:write',
      details: [call()],
    });
    expect(issue(handOver()).issued.details).toBeUndefined();
  });
});
