import { describe, expect, it } from '@jest/globals';
import { SignJWT } from 'jose';
import type { Caller } from '../../src/client/index.js';
import { keySource } from '../../src/client/index.js';
import type { Subject } from '../../src/delegation/index.js';
import { rememberSignatures } from '../../src/exchange/index.js';
import { verifySubject } from '../../src/exchange/subject.js';
import { importKey, sha256, thumbprint, TokenType } from '../../src/protocol/index.js';
import { TrustedIssuer, type TrustedIssuerInput } from '../../src/registry/index.js';
import { registeredAgent, registeredServer, registryOf } from '../support/clients.js';
import { ISS, NOW, RS } from '../support/delegations.js';
import { makeKey } from '../support/writ.js';

const IDP = 'https://idp.example';
const DOMAIN = 'trust.example';
const own = makeKey('own-1');
const idp = makeKey('idp-1');
const other = makeKey('own-1');
const imported = importKey(own.jwk);
if (!imported.ok) throw new Error(imported.error);
const ownKey = imported.value;
const clientKeys = keySource({ keys: () => Promise.reject(new Error('nobody publishes any')) });

const callerOf = (party: Caller['party']): Caller => ({
  clientId: party.kind === 'agent' ? party.agent.client_id : party.server.client_id,
  party,
  method: 'client_secret_basic',
  keyId: undefined,
  spends: [],
});
const agent = (client_id = 'agt_a'): Caller => callerOf({ kind: 'agent', agent: registeredAgent({ client_id }) });
const server = (changes = {}): Caller => callerOf({ kind: 'server', server: registeredServer(changes) });
const trusted = (changes: Partial<TrustedIssuerInput> = {}): TrustedIssuer =>
  TrustedIssuer.parse({
    issuer: IDP,
    name: 'IdP',
    jwks: { keys: [idp.jwk] },
    accepts: [
      { token_type: TokenType.accessToken, typ: 'at+jwt' },
      { token_type: TokenType.idToken, typ: null, audiences: ['writ-at-idp'], scopes: ['openid', 'files:read'] },
    ],
    agents: ['agt_a', 'agt_b'],
    client_ids: { 'a-at-idp': 'agt_a', 'b-at-idp': 'agt_b' },
    claims: { email: 'email', name: 'name', scope: 'scope' },
    ...changes,
  });

type Token = Readonly<{
  payload: Record<string, unknown>;
  typ?: string | undefined;
  by?: typeof own;
  type?: TokenType;
  caller?: Caller;
  issuer?: TrustedIssuer;
}>;
async function read({
  payload,
  typ = 'at+jwt',
  by = own,
  type = TokenType.accessToken,
  caller = agent(),
  issuer = trusted(),
}: Token) {
  const kid = by.jwk.kid ?? '';
  const token = await new SignJWT(payload)
    .setProtectedHeader({ alg: 'ES256', kid, ...(typ === '' ? {} : { typ }) })
    .sign(by.privateKey);
  const facts = {
    issuer: ISS,
    trustDomain: DOMAIN,
    keys: [ownKey],
    now: NOW,
    skew: 30,
    remembered: rememberSignatures(),
  };
  const registry = registryOf({ issuers: [issuer] });
  const subject = await verifySubject({ token, type }, caller, { ...facts, registry, clientKeys });
  return { subject, input: token.slice(0, token.lastIndexOf('.')) };
}
const flaw = async (token: Token): Promise<unknown> => {
  const { subject } = await read(token);
  return subject.ok ? 'accepted' : 'cause' in subject.error ? subject.error.cause : subject.error.reason;
};
const accepted = async (token: Token): Promise<Subject> => {
  const { subject } = await read(token);
  if (!subject.ok) throw new Error(JSON.stringify(subject.error));
  return subject.value;
};

const JKT = 'k'.repeat(43);
const receipt = (changes = {}) => ({
  decision: 'dec_1',
  policy: 'p/1',
  session: 'ses_1',
  seen: 1,
  leaf: 'l'.repeat(43),
  ...changes,
});
const persons = (changes = {}): Record<string, unknown> => ({
  iss: ISS,
  aud: ISS,
  sub: 'prs_1',
  client_id: 'agt_a',
  iat: NOW,
  exp: NOW + 600,
  jti: 'j1',
  scope: 'files:read files:write',
  acr: 'phr',
  amr: ['swk', 'user', 'mfa'],
  auth_time: NOW - 60,
  cnf: { jkt: JKT },
  writ: { grant: 'g1' },
  ...changes,
});
const act = { sub: 'agt_c', iss: ISS, sub_profile: 'ai_agent', act: { sub: 'agt_d', iss: ISS } };
const tctx = { task: 'T-1', purpose: 'p', call_chain: [{ wl: 'agt_c' }] };
const details = [{ type: 'mcp_tool_call', locations: [RS], actions: ['tools/call'], identifier: 'read', max_uses: 1 }];
const transactional = (changes = {}): Record<string, unknown> => ({
  ...persons(),
  aud: RS,
  client_id: 'agt_c',
  txn: 't1',
  tctx,
  rctx: {},
  act,
  authorization_details: details,
  writ: receipt(),
  ...changes,
});
const transactionToken = (changes = {}): Record<string, unknown> => ({
  ...transactional({ client_id: undefined }),
  aud: DOMAIN,
  req_wl: 'agt_c',
  ...changes,
});
const handOver = (changes = {}): Record<string, unknown> => ({
  ...persons({ cnf: undefined }),
  client_id: 'agt_c',
  may_act: { sub: 'agt_a', iss: ISS },
  act: { sub: 'agt_c', iss: ISS },
  txn: 't1',
  tctx,
  writ: receipt(),
  ...changes,
});

const common: Partial<Subject> = {
  person: { id: 'prs_1', issuer: undefined, subject: undefined, attributes: {} },
  scopes: ['files:read', 'files:write'],
  expiresAt: NOW + 600,
  issuedSince: NOW,
  acr: 'phr',
  amr: ['swk', 'user', 'mfa'],
  authTime: NOW - 60,
  jkt: JKT,
};

describe('a token of ours becomes a subject', () => {
  it('of a person, with the consent that it came from as its run', async () => {
    expect(await accepted({ payload: persons() })).toEqual({
      ...common,
      kind: 'person',
      exchangeableBy: 'agt_a',
      rootAgent: 'agt_a',
      actors: [],
      callChain: [],
      details: undefined,
      context: { task: undefined, purpose: undefined },
      transaction: undefined,
      run: { key: sha256('grant g1') },
      mustBind: false,
      mayAct: undefined,
      lineage: [`token:${sha256('j1')}`, 'grant:g1', 'key:own-1'],
      recordedAs: undefined,
    });
  });

  it('of a hand-over, for its one redeemer', async () => {
    const subject = await accepted({ payload: handOver() });
    expect(subject).toEqual({
      ...common,
      kind: 'hand-over',
      exchangeableBy: 'agt_a',
      rootAgent: 'agt_c',
      actors: [{ sub: 'agt_c', iss: ISS }],
      callChain: [{ wl: 'agt_c' }],
      details: undefined,
      context: { task: 'T-1', purpose: 'p' },
      transaction: 't1',
      jkt: undefined,
      run: { key: sha256('below ses_1 agt_a'), above: 'ses_1' },
      mustBind: false,
      mayAct: { sub: 'agt_a', iss: ISS },
      lineage: [`token:${sha256('j1')}`, 'session:ses_1', 'txn:t1', 'key:own-1'],
      recordedAs: sha256('j1'),
    });
    expect((await accepted({ payload: handOver({ writ: receipt({ bind: true }) }) })).mustBind).toBe(true);
  });

  const transaction = {
    ...common,
    kind: 'transaction',
    actors: [
      { sub: 'agt_c', iss: ISS, sub_profile: 'ai_agent' },
      { sub: 'agt_d', iss: ISS },
    ],
    callChain: [{ wl: 'agt_c' }],
    details,
    context: { task: 'T-1', purpose: 'p' },
    transaction: 't1',
    run: { session: 'ses_1' },
    mustBind: false,
    mayAct: undefined,
    lineage: [`token:${sha256('j1')}`, 'session:ses_1', 'txn:t1', 'key:own-1'],
    recordedAs: sha256('j1'),
  };
  it.each([
    ['txnat+jwt', TokenType.txnAccessToken],
    ['at+jwt', TokenType.accessToken],
  ])('of a transaction at its server: %s', async (typ, type) => {
    const at = { payload: transactional(), typ, type };
    expect(await accepted({ ...at, caller: server() })).toEqual({
      ...transaction,
      exchangeableBy: 'srv_files',
      rootAgent: 'agt_c',
    });
    // DESIGN 2: nobody but that server, not even the agent that it was issued to.
    expect((await accepted({ ...at, caller: agent('agt_c') })).exchangeableBy).toBe(RS);
    expect((await accepted({ ...at, caller: server({ resource: 'https://mcp2.example' }) })).exchangeableBy).toBe(RS);
  });

  it.each<[string, Caller, Record<string, unknown>, string]>([
    ['a server inside', server(), transactionToken(), 'srv_files'],
    ['a server outside', server({ transaction_tokens: false }), transactionToken(), 'agt_c'],
    [
      'a server outside that asked for it',
      server({ transaction_tokens: false }),
      transactionToken({ req_wl: RS }),
      'srv_files',
    ],
    ['the agent that asked for it', agent('agt_c'), transactionToken(), 'agt_c'],
    ['another agent', agent('agt_a'), transactionToken(), 'agt_c'],
  ])('of a transaction token in the hands of %s', async (_title, caller, payload, exchangeableBy) => {
    const subject = await accepted({ payload, typ: 'txntoken+jwt', type: TokenType.txnToken, caller });
    expect(subject).toEqual({ ...transaction, exchangeableBy, rootAgent: 'agt_c' });
  });

  it('with optional members left out', async () => {
    const payload = transactional({
      authorization_details: undefined,
      cnf: undefined,
      acr: undefined,
      amr: undefined,
      auth_time: undefined,
      tctx: { call_chain: [] },
    });
    const subject = await accepted({ payload, typ: 'txnat+jwt', type: TokenType.txnAccessToken });
    expect([subject.details, subject.jkt, subject.acr, subject.amr, subject.authTime, subject.context]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      { task: undefined, purpose: undefined },
    ]);
  });
});

describe('a token of ours is refused', () => {
  const TXNAT = { typ: 'txnat+jwt', type: TokenType.txnAccessToken };
  const TXN = { typ: 'txntoken+jwt', type: TokenType.txnToken };
  it.each<[string, Token, string]>([
    ['signed by another key', { payload: persons(), by: other }, 'wrong_signature'],
    ['TX-07: of one type under the name of another', { payload: persons(), type: TokenType.txnToken }, 'wrong_type'],
    ['TX-07: under the name of any JWT', { payload: persons(), type: TokenType.jwt }, 'wrong_type'],
    ['TX-07: a transactional one as an access token', { payload: transactional(), typ: 'txnat+jwt' }, 'wrong_type'],
    [
      'TX-07: an access token as a transactional one',
      { payload: transactional(), type: TokenType.txnAccessToken },
      'wrong_type',
    ],
    [
      'TX-07: a transaction token as an access token',
      { payload: transactionToken(), typ: 'txntoken+jwt' },
      'wrong_type',
    ],
    [
      'TX-07: a transactional one as a transaction token',
      { payload: transactional(), typ: 'txnat+jwt', type: TokenType.txnToken },
      'wrong_type',
    ],
    ['of a type that is none', { payload: persons(), typ: 'logout+jwt' }, 'wrong_type'],
    ['for another audience', { payload: persons({ aud: RS }) }, 'wrong_audience'],
    ['for another trust domain', { payload: transactionToken({ aud: 'other.example' }), ...TXN }, 'wrong_audience'],
    ['without a receipt', { payload: persons({ writ: undefined }) }, 'wrong_claims'],
    ['with a receipt and no redeemer', { payload: persons({ writ: receipt() }) }, 'wrong_claims'],
    ['with a redeemer and no receipt', { payload: handOver({ writ: { grant: 'g1' } }) }, 'wrong_claims'],
    ['with an actor of no form', { payload: transactional({ act: {} }), ...TXNAT }, 'wrong_claims'],
    ['with a member that nobody knows', { payload: transactionToken({ x: 1 }), ...TXN }, 'wrong_claims'],
    ['a person’s, that ended', { payload: persons({ exp: NOW }) }, 'expired'],
    ['a transactional one, that ended', { payload: transactional({ exp: NOW }), ...TXNAT }, 'expired'],
    ['a transaction token, that ended', { payload: transactionToken({ exp: NOW }), ...TXN }, 'expired'],
    ['of the future', { payload: persons({ iat: NOW + 31 }) }, 'not_yet_valid'],
  ])('%s', async (_title, token, cause) => {
    expect(await flaw(token)).toBe(cause);
  });

  it('not yet at its last second, nor for a clock that is a little slow', async () => {
    expect(await flaw({ payload: persons({ exp: NOW + 1, iat: NOW + 30 }) })).toBe('accepted');
  });
});

const foreign = (changes = {}): Record<string, unknown> => ({
  iss: IDP,
  sub: 'alice',
  aud: ISS,
  scope: 'files:read files:write',
  iat: NOW,
  exp: NOW + 600,
  jti: 'f1',
  ...changes,
});
const idToken = (changes = {}): Token => ({
  payload: foreign({ scope: undefined, ...changes }),
  typ: '',
  type: TokenType.idToken,
  by: idp,
});

const runKey = (sid: string | null): string => sha256(JSON.stringify(['foreign', IDP, 'alice', sid, 'agt_a']));

describe('a token of a trusted issuer becomes a subject', () => {
  it('of a person whom nobody has met, for the agent that brings it', async () => {
    const payload = foreign({
      acr: 'phr',
      amr: ['swk', 'user', 'mfa'],
      auth_time: NOW - 60,
      cnf: { jkt: JKT },
      email: 'a@example',
      name: 'A\u0000\u007f\ud800',
      family: 'x',
    });
    const { subject, input } = await read({ payload, by: idp });
    expect(subject).toEqual({
      ok: true,
      value: {
        ...common,
        kind: 'foreign',
        person: { id: undefined, issuer: IDP, subject: 'alice', attributes: { email: 'a@example', name: 'A  \ufffd' } },
        exchangeableBy: 'agt_a',
        rootAgent: 'agt_a',
        actors: [],
        callChain: [],
        details: undefined,
        context: { task: undefined, purpose: undefined },
        transaction: undefined,
        issuedSince: NOW - 30,
        run: { key: runKey(null), signedInSince: NOW - 90 },
        mustBind: false,
        mayAct: undefined,
        lineage: [`foreign:${sha256(input)}`],
        recordedAs: undefined,
        brought: {
          ...{ issuer: IDP, tokenType: TokenType.accessToken, typ: 'at+jwt', audience: ISS, parties: [] },
          ...{ scopeClaim: 'scope', isScoped: true, key: thumbprint(idp.jwk) },
        },
      },
    });
  });

  it('with a run by its sign-in where the issuer tells them apart, and with attributes of bounded length and text alone', async () => {
    const { subject } = await read({
      payload: foreign({ jti: undefined, sid: 's1', email: 7, name: 'n'.repeat(300) }),
      by: idp,
    });
    if (!subject.ok) throw new Error(subject.error.reason);
    expect(subject.value.run).toEqual({ key: runKey('s1'), signedInSince: undefined });
    const signedIn = await accepted({ payload: foreign({ sid: 's1', auth_time: NOW - 5 }), by: idp });
    expect([signedIn.run, signedIn.authTime]).toEqual([{ key: runKey('s1'), signedInSince: NOW - 35 }, NOW - 5]);
    const ahead = await accepted({ payload: foreign({ sid: 's1', auth_time: NOW + 5 }), by: idp });
    expect([ahead.run, ahead.authTime]).toEqual([{ key: runKey('s1'), signedInSince: NOW - 30 }, NOW]);
    expect(subject.value.person.attributes).toEqual({ name: 'n'.repeat(256) });
    const nameless = await accepted({
      payload: foreign({ email: 'a@example' }),
      by: idp,
      issuer: trusted({ claims: { scope: 'scope' } }),
    });
    expect(nameless.person.attributes).toEqual({});
  });

  it.each<[string, Token]>([
    ['with the agent as its audience', { payload: foreign({ aud: ['agt_a'] }), by: idp }],
    [
      'with the agent’s name at that issuer as its audience',
      { payload: foreign({ aud: 'a-at-idp', azp: 'a-at-idp', client_id: 'agt_a' }), by: idp },
    ],
    ['with our name at that issuer as its audience', idToken({ aud: 'writ-at-idp' })],
    ['issued to a client that is nobody’s here', { payload: foreign({ azp: 'web', client_id: 'web' }), by: idp }],
    ['of type JWT where none is wanted', { ...idToken(), typ: 'JWT' }],
    ['that ended within the skew', { payload: foreign({ exp: NOW - 29 }), by: idp }],
    ['that begins within the skew', { payload: foreign({ iat: NOW + 30, nbf: NOW + 30 }), by: idp }],
  ])('%s', async (_title, token) => {
    expect(await flaw(token)).toBe('accepted');
  });

  it.each<[string, Token, readonly string[]]>([
    ['of its own', { payload: foreign(), by: idp }, ['files:read', 'files:write']],
    ['in a list', { payload: foreign({ scope: ['files:read'] }), by: idp }, ['files:read']],
    ['of its kind, where it names none', idToken(), ['openid', 'files:read']],
    [
      'of its own that its kind may have',
      { ...idToken(), payload: foreign({ scope: 'files:read mail' }) },
      ['files:read'],
    ],
    [
      'of another claim',
      { payload: foreign({ scp: 'mail' }), by: idp, issuer: trusted({ claims: { scope: 'scp' } }) },
      ['mail'],
    ],
  ])('with the scope %s', async (_title, token, scopes) => {
    expect((await accepted(token)).scopes).toEqual(scopes);
  });
});

describe('a token of another issuer is refused', () => {
  const by = idp;
  it.each<[string, Token, string]>([
    ['of nobody that we trust', { payload: foreign({ iss: 'https://evil.example' }), by }, 'untrusted_issuer'],
    ['of no issuer', { payload: foreign({ iss: undefined }), by }, 'untrusted_issuer'],
    [
      'of an issuer that is disabled',
      { payload: foreign(), by, issuer: trusted({ status: 'disabled' }) },
      'untrusted_issuer',
    ],
    [
      'TX-11: by an agent that may not',
      { payload: foreign({ aud: ISS }), by, caller: agent('agt_x') },
      'issuer_not_allowed',
    ],
    ['signed by another', { payload: foreign(), by: other }, 'wrong_signature'],
    ['of a type that it does not name', { payload: foreign(), by, type: TokenType.jwt }, 'wrong_type'],
    ['with a typ that its kind has not', { payload: foreign(), by, typ: 'JWT' }, 'wrong_type'],
    ['with a typ where there is none', { ...idToken(), typ: 'at+jwt' }, 'wrong_type'],
    ['TX-07: a logout token', { payload: foreign({ events: {} }), by }, 'wrong_type'],
    ['without a subject', { payload: foreign({ sub: undefined }), by }, 'wrong_claims'],
    ['for two audiences', { payload: foreign({ aud: [ISS, RS] }), by }, 'wrong_claims'],
    ['without an end', { payload: foreign({ exp: undefined }), by }, 'wrong_claims'],
    ['without a beginning', { payload: foreign({ iat: undefined }), by }, 'wrong_claims'],
    ['with a nonce of a kilobyte', { payload: foreign({ nonce: 'n'.repeat(1_024) }), by }, 'wrong_claims'],
    ['with a method of a kilobyte', { payload: foreign({ amr: ['n'.repeat(1_024)] }), by }, 'wrong_claims'],
    [
      'with seventeen methods',
      { payload: foreign({ amr: Array.from({ length: 17 }, () => 'pwd') }), by },
      'wrong_claims',
    ],
    ['with an acr of a kilobyte', { payload: foreign({ acr: 'n'.repeat(1_024) }), by }, 'wrong_claims'],
    ['with an acr that cannot be stored', { payload: foreign({ acr: 'phr\u0000' }), by }, 'wrong_claims'],
    ['with an acr that cannot be read', { payload: foreign({ acr: 'phr\ud800' }), by }, 'wrong_claims'],
    ['with a key of no form', { payload: foreign({ cnf: {} }), by }, 'wrong_claims'],
    ['that ended', { payload: foreign({ exp: NOW - 30 }), by }, 'expired'],
    ['of the future', { payload: foreign({ iat: NOW + 31 }), by }, 'not_yet_valid'],
    ['not valid yet', { payload: foreign({ nbf: NOW + 31 }), by }, 'not_yet_valid'],
    ['TX-02: with actors', { payload: foreign({ act: { sub: 'x' } }), by }, 'foreign_actors'],
    ['TX-02: with a may_act', { payload: foreign({ may_act: { sub: 'agt_a' } }), by }, 'foreign_actors'],
    ['TE-13: for somebody else', { payload: foreign({ aud: RS }), by }, 'wrong_audience'],
    ['TE-13: for another agent', { payload: foreign({ aud: 'agt_b' }), by }, 'wrong_audience'],
    ['TE-13: for another agent’s name there', { payload: foreign({ aud: 'b-at-idp' }), by }, 'wrong_audience'],
    ['TX-05: issued to another agent', { payload: foreign({ azp: 'agt_b' }), by }, 'wrong_audience'],
    [
      'TX-05: issued to another agent’s name there',
      { payload: foreign({ client_id: 'b-at-idp' }), by },
      'wrong_audience',
    ],
    ['TT-04: without a scope', { payload: foreign({ scope: undefined }), by }, 'unknown_scope'],
    ['TT-04: with a scope of no form', { payload: foreign({ scope: 'a  b' }), by }, 'unknown_scope'],
    ['TT-04: with a list that holds no text', { payload: foreign({ scope: [1] }), by }, 'unknown_scope'],
    ['TT-04: with a list that holds no scope', { payload: foreign({ scope: ['a\u0000'] }), by }, 'unknown_scope'],
    ['TT-04: with too long a list', { payload: foreign({ scope: Array(257).fill('a') }), by }, 'unknown_scope'],
    [
      'TT-04: with too long a scope in its list',
      { payload: foreign({ scope: ['a'.repeat(129)] }), by },
      'unknown_scope',
    ],
  ])('%s', async (_title, token, cause) => {
    expect(await flaw(token)).toBe(cause);
  });

  it('that is no token at all', async () => {
    const facts = {
      issuer: ISS,
      trustDomain: DOMAIN,
      keys: [ownKey],
      now: NOW,
      skew: 30,
      remembered: rememberSignatures(),
      registry: registryOf({}),
      clientKeys,
    };
    expect(await verifySubject({ token: 'x', type: TokenType.jwt }, agent(), facts)).toEqual({
      ok: false,
      error: { reason: 'subject_invalid', cause: 'malformed' },
    });
  });
});
