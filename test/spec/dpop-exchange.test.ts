import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { thumbprint } from '../../src/protocol/index.js';
import { RS1, tool, tools, ownWorld } from '../support/world.js';
import { type ClientKey, type Form, makeKey, type Reply, request, tokenOf, answerOf } from '../support/writ.js';
import { dpopProof, type ProofChanges } from '../support/jws.js';

const world = await ownWorld();
const key = makeKey();
const other = makeKey();

const proof = (by: ClientKey, changes?: ProofChanges): string =>
  dpopProof(by.privateKey, `${world.issuer}/token`, changes);

const withProof = async (changes: Form, by: ClientKey = key, broken: ProofChanges = {}): Promise<Reply> =>
  world.exchange(changes, world.a1, { dpop: proof(by, broken) });
const PROOF = [400, { error: 'invalid_dpop_proof', error_description: 'the DPoP proof is not acceptable' }];
const REQUIRED = [400, { error: 'invalid_dpop_proof', error_description: 'a DPoP proof is required' }];
const ANOTHER = [
  400,
  {
    error: 'invalid_dpop_proof',
    error_description: 'the DPoP proof is by another key than the one subject_token is bound to',
  },
];

describe('RFC 9449 at the exchange', () => {
  it('§5 binds the token to the key that was proven', async () => {
    const answer = await withProof({});
    expect(answer.body).toMatchObject({ token_type: 'DPoP' });
    expect(decodeJwt(tokenOf(answer))['cnf']).toEqual({ jkt: thumbprint(key.jwk) });
  });

  it.each<[string, () => ProofChanges]>([
    ['another typ', () => ({ header: { typ: 'JWT' } })],
    ['another method', () => ({ claims: { htm: 'GET' } })],
    ['a method in lower case', () => ({ claims: { htm: 'post' } })],
    ['another path', () => ({ claims: { htu: `${world.issuer}/introspect` } })],
    ['user information in htu', () => ({ claims: { htu: world.issuer.replace('//', '//me@') + '/token' } })],
    ['a number as htu', () => ({ claims: { htu: 7 } })],
    ['a time outside the window', () => ({ claims: { iat: Math.floor(Date.now() / 1000) - 61 } })],
    ['a time in the future', () => ({ claims: { iat: Math.floor(Date.now() / 1000) + 65 } })],
    ['no jti', () => ({ claims: { jti: undefined } })],
    ['a private member in its key', () => ({ header: { jwk: { ...key.jwk, d: 'AAAA' } } })],
    ['no key', () => ({ header: { jwk: undefined } })],
    ['the key of another', () => ({ header: { jwk: other.jwk } })],
  ])('§4.3 refuses a proof with %s', async (_, broken) => {
    expect(answerOf(await withProof({}, key, broken()))).toEqual(PROOF);
  });

  it('§4.3 takes htu without regard to query, fragment and default spelling', async () => {
    const htu = `${world.issuer.replace('http', 'HTTP')}/token?x=1#y`;
    expect((await withProof({}, key, { claims: { htu } })).status).toBe(200);
  });

  it('§4.3 refuses two proofs in one request', async () => {
    const form = await world.form();
    const headers = new Headers();
    headers.append('dpop', proof(key));
    headers.append('dpop', proof(key));
    const body = new URLSearchParams(form as Record<string, string>);
    expect(answerOf(await request(`${world.issuer}/token`, { method: 'POST', headers, body }))).toEqual(PROOF);
  });

  it('§11.1 refuses a proof that was used before, whatever the request is', async () => {
    const headers = { dpop: proof(key) };
    expect((await world.exchange({}, world.a1, headers)).status).toBe(200);
    expect(answerOf(await world.exchange({}, world.a1, headers))).toEqual(PROOF);
  });

  it('keeps a binding: a bound subject token needs a proof, and by the same key', async () => {
    const cnf = { jkt: thumbprint(key.jwk) };
    expect(answerOf(await world.exchange({ subject_token: await world.personToken('alice', { cnf }) }))).toEqual(
      REQUIRED,
    );
    expect(answerOf(await withProof({ subject_token: await world.personToken('alice', { cnf }) }, other))).toEqual(
      ANOTHER,
    );
    const kept = await withProof({ subject_token: await world.personToken('alice', { cnf }) });
    expect(decodeJwt(tokenOf(kept))['cnf']).toEqual(cnf);
  });

  it('keeps a binding over a hand-over: what the sub-agent gets is bound to the sub-agent’s key', async () => {
    const cnf = { jkt: thumbprint(key.jwk) };
    const handed = await withProof({
      subject_token: await world.personToken('alice', { cnf }),
      resource: undefined,
      audience: 'agt_a2',
      authorization_details: undefined,
      scope: 'repo:read',
    });
    const subject_token = tokenOf(handed);
    expect(decodeJwt(subject_token)).not.toHaveProperty('cnf');
    expect(answerOf(await world.exchange({ subject_token }, world.a2))).toEqual(REQUIRED);
    const answer = await world.exchange({ subject_token }, world.a2, { dpop: proof(other) });
    expect(decodeJwt(tokenOf(answer))['cnf']).toEqual({ jkt: thumbprint(other.jwk) });
  });

  it('raises a binding for the MCP server that goes on with a bound token: it proves a key of its own', async () => {
    const received = tokenOf(await withProof({ authorization_details: tools(tool('read_file')) }));
    const forward: Form = {
      subject_token: received,
      subject_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token',
      resource: undefined,
      audience: 'trust.example',
      authorization_details: undefined,
    };
    expect(answerOf(await world.exchange(forward, world.rs1))).toEqual(REQUIRED);
    const answer = await world.exchange(forward, world.rs1, { dpop: proof(other) });
    expect(decodeJwt(tokenOf(answer))).toMatchObject({
      aud: 'trust.example',
      req_wl: RS1,
      cnf: { jkt: thumbprint(other.jwk) },
    });
  });

  it('refuses an agent or a server that must be bound and is not', async () => {
    const agent = (await world.admin('GET', '/agents/agt_a1')).body as Record<string, unknown>;
    await world.admin('PUT', '/agents/agt_a1', { ...agent, dpop_required: true });
    expect(answerOf(await world.exchange())).toEqual(REQUIRED);
    expect((await withProof({})).status).toBe(200);
  });
});
