import { describe, expect, it } from '@jest/globals';
import { err, type Result } from '../../src/base/index.js';
import type { Caller } from '../../src/client/index.js';
import type { Person, Target } from '../../src/delegation/index.js';
import { identify, isSomebodyElseNow } from '../../src/exchange/person.js';
import type { Refusal } from '../../src/exchange/refusal.js';
import { checkRequestedType } from '../../src/exchange/requested-type.js';
import { sessionOf, wishOf } from '../../src/exchange/session-wish.js';
import { sightingOf } from '../../src/exchange/sighting.js';
import { personCommitment, TokenType } from '../../src/protocol/index.js';
import { registeredAgent, registeredServer, registryOf } from '../support/clients.js';
import { delegation, NOW, presenter, RS, subject, wanted } from '../support/delegations.js';

const DIGEST = 'a'.repeat(43);
const JKT = 'k'.repeat(43);
const PLAIN = 'https://plain.example/mcp';

const requestOf = (target: Target, requestedType?: TokenType, definitionSha256?: string) => ({
  subjectToken: 'a.b.c',
  subjectTokenType: TokenType.accessToken,
  actor: undefined,
  requestedType,
  handle: undefined,
  wanted: wanted({
    target,
    tools: ['read', 'write'].map((name) => ({
      name,
      arguments: undefined,
      argumentsSha256: undefined,
      definitionSha256: name === 'write' ? definitionSha256 : undefined,
      maxUses: undefined,
    })),
  }),
  ignored: [],
});

describe('RFC 8693 §2.1 requested_token_type', () => {
  const registry = registryOf({
    servers: [registeredServer(), registeredServer({ resource: PLAIN, client_id: 'srv_plain', token_shape: 'at+jwt' })],
  });
  const files: Target = { kind: 'server', resource: RS };
  const plain: Target = { kind: 'server', resource: PLAIN };
  const domain: Target = { kind: 'domain', name: 'trust.example' };
  const agent: Target = { kind: 'agent', clientId: 'agt_b' };
  const check = (target: Target, type?: TokenType): Result<null, Refusal> =>
    checkRequestedType(requestOf(target, type), registry);

  it.each<[string, Target, TokenType, TokenType]>([
    ['a server of transactional access tokens', files, TokenType.txnAccessToken, TokenType.accessToken],
    ['a server of plain access tokens', plain, TokenType.accessToken, TokenType.txnAccessToken],
    ['the trust domain', domain, TokenType.txnToken, TokenType.txnAccessToken],
    ['another agent', agent, TokenType.accessToken, TokenType.txnToken],
  ])('of %s is the one that it gets, or left out', (_what, target, fits, other) => {
    expect(check(target)).toEqual({ ok: true, value: null });
    expect(check(target, fits)).toEqual({ ok: true, value: null });
    expect(check(target, other)).toEqual(err({ reason: 'requested_type_does_not_fit', fits }));
  });

  it('of a server that nobody registered is no question: the target is refused, not the type', () => {
    const unknown: Target = { kind: 'server', resource: 'https://unknown.example' };
    expect(check(unknown, TokenType.txnToken)).toEqual({ ok: true, value: null });
  });
});

describe('the session that an exchange wishes for', () => {
  const joined = {
    ...{ id: 'txn_1', session: 'ses_1', person: 'prs_1', client: 'agt_a' },
    ...{ jkt: undefined, beganAt: NOW },
  };
  const wishing = { personId: 'prs_1', joined: undefined, expiresAt: NOW + 3_600 };
  const run = { key: 'run 1', signedInSince: NOW - 60, above: 'ses_0' };
  const opened = (changes = {}): object => ({
    open: {
      runKey: 'run 1',
      signedInSince: NOW - 60,
      above: 'ses_0',
      personId: 'prs_1',
      expiresAt: NOW + 3_600,
      newId: expect.stringMatching(/^ses_[\w-]{22}$/) as unknown,
      agentId: 'agt_a',
      jkt: undefined,
      purpose: undefined,
      ...changes,
    },
  });
  const wish = (changes: Parameters<typeof subject>[0], by = presenter(), asked = wanted()) =>
    wishOf(delegation({ subject: subject(changes), presenter: by, wanted: asked }), wishing);

  it('is the one that the token names', () => {
    expect(wish({ run: { session: 'ses_9' } })).toEqual({ continue: 'ses_9' });
  });

  it('is the one of the transaction that goes on, if it is of this run', () => {
    expect(wishOf(delegation({ subject: subject({ run }) }), { ...wishing, joined })).toEqual({
      continue: 'ses_1',
      of: 'run 1',
    });
  });

  it('is the one of the run, which may open with the purpose of this exchange', () => {
    expect(wish({ run })).toEqual(opened());
    expect(wish({ run }, presenter(), wanted({ purpose: 'tidy up' }))).toEqual(opened({ purpose: 'tidy up' }));
  });

  it.each([
    ['a token that is bound', { jkt: JKT }, JKT],
    ['a token that descends from a bound one', { mustBind: true }, JKT],
    ['a bearer token, whatever the request was proved with', {}, undefined],
  ])('RFC 9449: is bound to the key of %s', (_what, changes, jkt) => {
    expect(wish({ run, ...changes }, presenter('agt_a', { jkt: JKT }))).toEqual(opened({ jkt }));
  });

  it('is for a refusal the one that there is: it opens none', () => {
    expect(sessionOf(delegation({ subject: subject({ run: { session: 'ses_9' } }) }))).toEqual({ continue: 'ses_9' });
    expect(sessionOf(delegation({ subject: subject({ run }) }))).toEqual({ join: 'run 1' });
    expect(sessionOf(undefined)).toBeUndefined();
  });
});

describe('who a person is', () => {
  const named = (changes: Partial<Person>) =>
    delegation({
      subject: subject({
        person: {
          id: undefined,
          issuer: 'https://idp.example',
          subject: 's1',
          attributes: { name: 'Ann' },
          ...changes,
        },
      }),
    });

  it.each<[string, Partial<Person>]>([
    ['is known by an id', { id: 'prs_1' }],
    ['has an id and no issuer', { id: 'prs_1', issuer: undefined }],
    ['has an id and no subject', { id: 'prs_1', subject: undefined }],
  ])('is nobody new who %s', (_what, changes) => {
    expect(identify(named(changes))).toEqual({ personId: 'prs_1', newcomer: undefined, met: undefined });
  });

  it.each<[string, Partial<Person>]>([
    ['issuer', { issuer: undefined }],
    ['subject', { subject: undefined }],
  ])('is nobody at all without an id and without a(n) %s', (_what, changes) => {
    expect(identify(named(changes))).toEqual({ personId: '', newcomer: undefined, met: undefined });
  });

  it('is met for the first time by issuer and subject, with a commitment that a salt of 128 bits opens', () => {
    const { personId, newcomer, met } = identify(named({}));
    expect(personId).toMatch(/^prs_[\w-]{22}$/);
    expect(newcomer).toEqual({
      issuer: 'https://idp.example',
      subject: 's1',
      attributes: { name: 'Ann' },
      salt: expect.stringMatching(/^[\w-]{22}$/) as unknown,
    });
    expect(met).toBe(personCommitment(newcomer?.salt ?? '', { issuer: 'https://idp.example', subject: 's1' }));
    expect(identify(named({})).personId).not.toBe(personId);
  });

  type Verdict = Parameters<typeof isSomebodyElseNow>[1];
  const asked = async (
    verdict: Verdict,
    person: Partial<Person> = {},
    now: string | undefined = 'prs_2',
  ): Promise<readonly [boolean, readonly string[]]> => {
    const questions: string[] = [];
    const findAnew = (issuer: string, of: string): Promise<string | undefined> => {
      questions.push(`${issuer} ${of}`);
      return Promise.resolve(now === 'nobody' ? undefined : now);
    };
    const answer = await isSomebodyElseNow(named({ id: 'prs_1', ...person }), verdict, { findAnew });
    return [answer, questions];
  };

  it.each(['revoked', 'person_disabled'] as const)(
    'is somebody else now, when the commit says %s and the pair has another id or none',
    async (reason) => {
      const questions = ['https://idp.example s1'];
      expect(await asked({ reason })).toEqual([true, questions]);
      expect(await asked({ reason }, {}, 'nobody')).toEqual([true, questions]);
      expect(await asked({ reason }, {}, 'prs_1')).toEqual([false, questions]);
    },
  );

  it.each<[string, Parameters<typeof asked>]>([
    ['for another refusal', [{ reason: 'replayed', what: 'assertion' }]],
    ['for a registry that moved', [{ reason: 'stale' }]],
    ['of somebody without an id', [{ reason: 'revoked' }, { id: undefined }]],
    ['of a person whom our own token names', [{ reason: 'revoked' }, { issuer: undefined }]],
    ['of a person without a subject', [{ reason: 'revoked' }, { subject: undefined }]],
  ])('is not asked %s', async (_what, question) => {
    expect(await asked(...question)).toEqual([false, []]);
  });
});

describe('TL-01 the sighting of a changed tool', () => {
  const party = { kind: 'agent', agent: registeredAgent() } as const;
  const caller: Caller = { clientId: 'agt_a', party, method: 'private_key_jwt', keyId: undefined, spends: [] };
  const files: Target = { kind: 'server', resource: RS };
  const refusal: Refusal = { reason: 'tool_changed', term: 'tool', tool: 'write', seen: DIGEST };
  const request = requestOf(files, undefined, DIGEST);
  const ask: Refusal = {
    ...{ ask: 'approval', decision: 'dec_1', tool: 'write', policies: [], messages: [], approvers: [] },
    ...{ demands: [], acrValues: [], maxAge: undefined },
  };

  it('tells what the agent itself was shown', () => {
    expect(sightingOf(refusal, { caller, request })).toEqual({
      resource: RS,
      tool: 'write',
      sha256: DIGEST,
      by: 'agt_a',
    });
  });

  const asServer: Caller = { ...caller, party: { kind: 'server', server: registeredServer() } };
  it.each<[string, Refusal, Parameters<typeof sightingOf>[1]]>([
    ['another refusal', { reason: 'proof_required' }, { caller, request }],
    ['an ask', ask, { caller, request }],
    ['what a server was shown', refusal, { caller: asServer, request }],
    ['a request that could not be read', refusal, { caller, request: undefined }],
    ['a hand-over', refusal, { caller, request: requestOf({ kind: 'agent', clientId: 'agt_b' }, undefined, DIGEST) }],
    ['a pin that its token has from earlier', refusal, { caller, request: requestOf(files) }],
    ['another tool of the request', { ...refusal, tool: 'read' }, { caller, request }],
    ['a request without tools', refusal, { caller, request: { ...request, wanted: wanted() } }],
  ])('says nothing of %s', (_what, refused, known) => {
    expect(sightingOf(refused, known)).toBeUndefined();
  });
});
