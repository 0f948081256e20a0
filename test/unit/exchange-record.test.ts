import { describe, expect, it } from '@jest/globals';
import { exchangeRecord, type Known } from '../../src/exchange/record.js';
import { Permit } from '../../src/policy/permit.js';
import { sha256, TokenType, untraced } from '../../src/protocol/index.js';
import { prepare } from '../../src/token/index.js';
import { registeredAgent } from '../support/clients.js';
import { delegation, ISS, NOW, presenter, RS, subject, wanted } from '../support/delegations.js';

const DIGEST = 'a'.repeat(43);
const JKT = 'k'.repeat(43);
const caller: Known['caller'] = {
  clientId: 'agt_a',
  party: { kind: 'agent', agent: registeredAgent() },
  method: 'private_key_jwt',
  keyId: 'k1',
  spends: [],
};
const known = (changes: Partial<Known> = {}): Known => ({
  http: { requestId: 'req_1', traceId: undefined, traceparent: undefined, trace: untraced, isOver: () => false },
  now: NOW,
  registryVersion: 7,
  policy: 'rules/1',
  caller,
  ...changes,
});
const tool = (name: string, argumentsSha256?: string) => ({
  name,
  arguments: undefined,
  argumentsSha256,
  definitionSha256: undefined,
  maxUses: undefined,
});
const requestOf = (changes: Parameters<typeof wanted>[0] = {}, ignored: readonly string[] = []) => ({
  subjectToken: 'a.b.c',
  subjectTokenType: TokenType.accessToken,
  actor: undefined,
  requestedType: undefined,
  handle: undefined,
  wanted: wanted(changes),
  ignored,
});
const factsOf = (of: Known): unknown => (JSON.parse(`${exchangeRecord(of)}}`) as { facts: unknown }).facts;
const NOTHING = {
  request: 'req_1',
  trace: null,
  traceparent: null,
  client: { id: 'agt_a', kind: 'agent', method: 'private_key_jwt', key: 'k1' },
  person: null,
  actors: null,
  target: null,
  tools: null,
  scope: null,
  task: null,
  purpose: null,
  authn: null,
  decision: null,
  approval: null,
  policy: 'rules/1',
  registry: 7,
  txn: null,
  token: null,
};

describe('the record of an exchange says what was known when it ended', () => {
  it('before anything was read: who asked', () => {
    expect(factsOf(known())).toEqual(NOTHING);
    const secret = { ...caller, keyId: undefined };
    expect(factsOf(known({ caller: secret }))).toMatchObject({ client: { key: null } });
    const traced = { ...known().http, traceId: 'trace' };
    expect(factsOf(known({ http: traced, decision: 'dec_0' }))).toEqual({
      ...NOTHING,
      trace: 'trace',
      decision: 'dec_0',
    });
  });

  it('after the request was read: what was wanted, bounded', () => {
    const scopes = Array.from({ length: 65 }, (_, n) => `s${n}`);
    const tools = [tool('read', DIGEST), ...Array.from({ length: 40 }, (_, n) => tool(`t${n}`))];
    const facts = factsOf(known({ request: requestOf({ scopes, tools }) }));
    expect(facts).toEqual({
      ...NOTHING,
      target: { kind: 'server', resource: RS },
      scope: scopes.slice(0, 64).join(' '),
      tools: tools
        .slice(0, 32)
        .map(({ name, argumentsSha256 = null }) => ({ name, arguments_sha256: argumentsSha256 })),
    });
  });

  it('what was sent and ignored, and the evidence, where there is any', () => {
    const request = requestOf({}, ['request_details.txn']);
    expect(factsOf(known({ request, evidence: { depth: 6 } }))).toMatchObject({
      ignored: ['request_details.txn'],
      evidence: { depth: 6 },
    });
    const none = factsOf(known({ request: requestOf(), evidence: {} }));
    expect(none).not.toHaveProperty('ignored');
    expect(none).not.toHaveProperty('evidence');
  });

  const PASTED = 'eyJ a token pasted by mistake';
  it.each<[string, Parameters<typeof wanted>[0], unknown]>([
    ['a sub-agent by its name', { target: { kind: 'agent', clientId: 'agt_b' } }, { kind: 'agent', clientId: 'agt_b' }],
    ['the trust domain by its name', { target: { kind: 'domain', name: 'a b' } }, { kind: 'domain', name: 'a b' }],
    [
      'what is no client id by its digest',
      { target: { kind: 'agent', clientId: PASTED } },
      { kind: 'agent', sha256: sha256(PASTED) },
    ],
    [
      'what is no resource by its digest',
      { target: { kind: 'server', resource: 'x:?' } },
      { kind: 'server', sha256: sha256('x:?') },
    ],
  ])('the target: %s', (_, changes, target) => {
    expect(factsOf(known({ request: requestOf(changes) }))).toMatchObject({ target });
  });

  const made = (jkt?: string) =>
    delegation({
      subject: subject({ acr: 'phr', transaction: 'txn-1', jkt }),
      presenter: presenter('agt_a', { jkt }),
      wanted: wanted({ task: 'T-1', purpose: 'p' }),
    });

  it('after it was delegated: the person, the chain and what for', () => {
    expect(factsOf(known({ delegation: made() }))).toEqual({
      ...NOTHING,
      person: 'prs_1',
      actors: [{ sub: 'agt_a', iss: ISS }],
      task: 'T-1',
      purpose: 'p',
      authn: 'phr',
      txn: 'txn-1',
    });
    expect(factsOf(known({ delegation: made(), personId: 'prs_2' }))).toMatchObject({ person: 'prs_2' });
  });

  it('after it was permitted: the token, by its hash, and what was granted rather than wanted', () => {
    const call = {
      type: 'mcp_tool_call' as const,
      locations: [RS] as [string],
      actions: ['tools/call'] as ['tools/call'],
    };
    const of = made(JKT);
    const grant = {
      decision: 'dec_1',
      policy: 'rules/1',
      policies: [],
      delegation: of,
      shape: 'txnat+jwt' as const,
      audience: RS,
      scopes: ['files:read'],
      details: [
        { ...call, identifier: 'read', max_uses: 10 },
        { ...call, identifier: 'wipe', max_uses: 1, arguments_sha256: DIGEST },
      ],
      localUses: true,
      notAfter: NOW + 600,
    };
    const lifetimes = { transactionalAccessToken: 180, transactionToken: 60, handOver: 120 };
    const token = prepare(new Permit(grant), { issuer: ISS, personId: 'prs_1', kid: 'key-1', now: NOW, lifetimes });
    const request = requestOf({ scopes: ['more'], tools: [tool('other')] });
    expect(factsOf(known({ delegation: of, token, request }))).toMatchObject({
      tools: [
        { name: 'read', arguments_sha256: null, max_uses: 10 },
        { name: 'wipe', arguments_sha256: DIGEST, max_uses: 1 },
      ],
      scope: 'files:read',
      decision: 'dec_1',
      txn: 'txn-1',
      token: { hash: token.tokenHash, typ: 'txnat+jwt', key: 'key-1', exp: NOW + 180, bound: JKT },
    });
    const first = { ...token, transaction: 'txn-2' };
    expect(factsOf(known({ delegation: { ...of, jkt: undefined }, token: first }))).toMatchObject({
      txn: 'txn-2',
      token: { bound: null },
    });
  });
});
