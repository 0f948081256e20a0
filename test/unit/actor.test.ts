import { describe, expect, it } from '@jest/globals';
import { SignJWT } from 'jose';
import { type Caller, keySource } from '../../src/client/index.js';
import { verifyActor } from '../../src/exchange/actor.js';
import { verifyRequestProof } from '../../src/exchange/proof.js';
import { dpopProof, importClientKey, PrivateJwk, sha256 } from '../../src/protocol/index.js';
import { formRequest, registeredAgent, registeredServer } from '../support/clients.js';
import { ISS, NOW, RS } from '../support/delegations.js';
import { makeKey } from '../support/writ.js';

const key = makeKey('k1');
const other = makeKey('k1');
const keys = keySource({ keys: () => Promise.reject(new Error('nobody publishes any')) });
const authentication = { method: 'private_key_jwt' as const, jwks: { keys: [key.jwk] } };
const callerOf = (party: Caller['party']): Caller => ({
  clientId: party.kind === 'agent' ? party.agent.client_id : party.server.client_id,
  party,
  method: 'private_key_jwt',
  keyId: 'k1',
  spends: [],
});
const AGENT = callerOf({ kind: 'agent', agent: registeredAgent({ authentication }) });
const SERVER = callerOf({ kind: 'server', server: registeredServer({ authentication }) });
const facts = { issuer: ISS, keys, now: NOW, skew: 30, jkt: 'the key' };

type Broken = Readonly<{ claims?: Record<string, unknown>; typ?: string; by?: typeof key; caller?: Caller }>;
async function judged({ claims, typ, by = key, caller = AGENT }: Broken = {}) {
  const token = await new SignJWT({
    iss: caller.clientId,
    sub: `${caller.clientId}/one`,
    aud: ISS,
    jti: 'j1',
    iat: NOW,
    exp: NOW + 60,
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', kid: 'k1', ...(typ === undefined ? {} : { typ }) })
    .sign(by.privateKey);
  return verifyActor(token, caller, facts);
}
const agentItself = {
  clientId: 'agt_a',
  kind: 'agent',
  actor: { sub: 'agt_a', iss: ISS, sub_profile: 'ai_agent' },
  workload: 'agt_a',
  jkt: 'the key',
  expiresAt: undefined,
};

describe('who acts (RFC 8693 section 2.1)', () => {
  it('is the client itself where it names nobody', async () => {
    expect(await verifyActor(undefined, AGENT, facts)).toEqual({
      ok: true,
      value: { presenter: agentItself, spends: [] },
    });
    expect(await verifyActor(undefined, SERVER, facts)).toEqual({
      ok: true,
      value: {
        presenter: {
          clientId: 'srv_files',
          kind: 'server',
          actor: { sub: 'srv_files', iss: ISS, sub_profile: 'service' },
          workload: RS,
          jkt: 'the key',
          expiresAt: undefined,
        },
        spends: [],
      },
    });
  });

  it('is an instance that the client vouches for, until its token ends', async () => {
    expect(await judged()).toEqual({
      ok: true,
      value: {
        presenter: { ...agentItself, actor: { ...agentItself.actor, sub: 'agt_a/one' }, expiresAt: NOW + 60 },
        spends: [{ what: 'actor', key: sha256('agt_a\nj1'), expiresAt: NOW + 60 + 30 }],
      },
    });
  });

  it.each<[string, Broken]>([
    ['the client by its own name', { claims: { sub: 'agt_a' } }],
    ['a server', { caller: SERVER }],
    ['a token of type JWT', { typ: 'JWT' }],
    ['an audience in a list of one', { claims: { aud: [ISS] } }],
    ['a name of 64 characters', { claims: { sub: `agt_a/${'x'.repeat(64)}` } }],
    ['five minutes', { claims: { exp: NOW + 300 } }],
    ['a clock that is a little ahead', { claims: { iat: NOW + 30 } }],
    ['the last second', { claims: { exp: NOW + 1 } }],
  ])('is taken with %s', async (_title, broken) => {
    expect((await judged(broken)).ok).toBe(true);
  });

  it.each<[string, Broken, string]>([
    ['an access token', { typ: 'at+jwt' }, 'wrong_type'],
    ['a client assertion', { typ: 'client-authentication+jwt' }, 'wrong_type'],
    ['signed by another', { by: other }, 'wrong_signature'],
    ['TX-26: of another client', { claims: { iss: 'agt_b' } }, 'not_of_the_caller'],
    ['TX-26: about another client', { claims: { sub: 'agt_b' } }, 'not_of_the_caller'],
    ['about a client whose name begins alike', { claims: { sub: 'agt_ab' } }, 'not_of_the_caller'],
    ['about an instance without a name', { claims: { sub: 'agt_a/' } }, 'not_of_the_caller'],
    ['about an instance of an instance', { claims: { sub: 'agt_a/x/y' } }, 'not_of_the_caller'],
    ['about an instance with a strange name', { claims: { sub: 'agt_a/é' } }, 'not_of_the_caller'],
    ['about an instance with a long name', { claims: { sub: `agt_a/${'x'.repeat(65)}` } }, 'not_of_the_caller'],
    ['for another audience', { claims: { aud: RS } }, 'wrong_audience'],
    ['for another audience, in a list', { claims: { aud: [RS] } }, 'wrong_audience'],
    ['for two audiences', { claims: { aud: [ISS, RS] } }, 'wrong_claims'],
    ['with actors of its own', { claims: { act: { sub: 'x' } } }, 'wrong_claims'],
    ['with a may_act', { claims: { may_act: { sub: 'x' } } }, 'wrong_claims'],
    ['without jti', { claims: { jti: undefined } }, 'wrong_claims'],
    ['with an empty jti', { claims: { jti: '' } }, 'wrong_claims'],
    ['with a long jti', { claims: { jti: 'x'.repeat(257) } }, 'wrong_claims'],
    ['without a beginning', { claims: { iat: undefined } }, 'wrong_claims'],
    ['with part of a second', { claims: { exp: NOW + 1.5 } }, 'wrong_claims'],
    ['that ended', { claims: { exp: NOW, iat: NOW - 60 } }, 'expired'],
    ['of the future', { claims: { iat: NOW + 31 } }, 'expired'],
    ['that lives too long', { claims: { exp: NOW + 301 } }, 'too_long_lived'],
    ['made long ago to be used now', { claims: { iat: NOW - 300 } }, 'too_long_lived'],
    ['of the future, for too long', { claims: { iat: NOW + 30, exp: NOW + 331 } }, 'too_long_lived'],
  ])('is not a token %s', async (_title, broken, cause) => {
    expect(await judged(broken)).toEqual({ ok: false, error: { reason: 'actor_invalid', cause } });
  });

  it('is not a token that is none', async () => {
    expect(await verifyActor('x', AGENT, facts)).toMatchObject({ ok: false, error: { reason: 'actor_invalid' } });
    expect(await verifyActor('', AGENT, facts)).toMatchObject({ ok: false, error: { reason: 'actor_invalid' } });
  });
});

describe('RFC 9449: the proof of a request', () => {
  const mine = importClientKey(PrivateJwk.parse({ ...key.privateKey.export({ format: 'jwk' }), kid: 'k1' }));
  if (!mine.ok) throw new Error(mine.error);
  const url = `${ISS}/token`;
  const proof = dpopProof(mine.value, { method: 'POST', url, now: NOW });
  const proven = (headers: Record<string, string | string[]>, uri = url) =>
    verifyRequestProof(formRequest({}, headers), { uri, now: NOW, clientId: 'agt_a' });

  it('may be absent', () => {
    expect(proven({})).toEqual({ ok: true, value: { jkt: undefined, spends: [] } });
  });

  it('names the key, and is to be spent for as long as it could be presented', () => {
    const { jti } = JSON.parse(Buffer.from(proof.split('.')[1] ?? '', 'base64url').toString()) as { jti: string };
    expect(proven({ dpop: proof })).toEqual({
      ok: true,
      value: {
        jkt: expect.stringMatching(/^[\w-]{43}$/),
        spends: [{ what: 'dpop', key: sha256(`agt_a\n${jti}`), expiresAt: NOW + 120 }],
      },
    });
  });

  it('§4.3 is one, and of this request', () => {
    const refused = (cause: unknown) => ({ ok: false, error: { reason: 'dpop_invalid', cause } });
    expect(proven({ dpop: [proof, proof] })).toEqual(refused('several_proofs'));
    expect(proven({ dpop: proof }, `${ISS}/introspect`)).toEqual(refused(expect.any(String)));
    const get = dpopProof(mine.value, { method: 'GET', url, now: NOW });
    expect(proven({ dpop: get })).toEqual(refused(expect.any(String)));
  });
});
