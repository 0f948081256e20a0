import { describe, expect, it } from '@jest/globals';
import { createPublicKey, type KeyObject } from 'node:crypto';
import * as oauth from 'oauth4webapi';
import { PublicJwk, thumbprint } from '../../src/protocol/index.js';
import {
  assertionForm,
  claimsOf,
  codeForm,
  newKey,
  obtainCode,
  post,
  REDIRECT_URI,
  refreshForm,
  TestAgent,
} from '../support/engine.js';
import { INVALID_GRANT, ownEngine, redeemIndependently } from '../support/own-engine.js';
import { dpopProof, proofKey } from '../support/jws.js';

const agent = new TestAgent('agt_planner');
const strict = new TestAgent('agt_strict', { dpop_required: true });
const key = newKey();
const { writ } = await ownEngine(agent, strict);

const jktOf = (proofKey: KeyObject): string =>
  thumbprint(PublicJwk.parse(createPublicKey(proofKey).export({ format: 'jwk' })));
const offline = { scope: 'offline_access files:read', prompt: 'consent' };

const redeem = async (
  proof: string | undefined,
  of = agent,
  parameters: Record<string, string> = {},
): ReturnType<typeof post> => {
  const code = await obtainCode(writ, of, { parameters });
  return post(`${writ.issuer}/token`, codeForm(of, writ.issuer, code), proof === undefined ? {} : { dpop: proof });
};

const badProof = {
  status: 400,
  body: { error: 'invalid_dpop_proof', error_description: 'the DPoP proof is not valid' },
};
describe('DPoP in the code flow (RFC 9449)', () => {
  it('§5: binds the token that an independent client gets', async () => {
    const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
    const handle = oauth.DPoP(agent.client, pair);
    const tokens = await redeemIndependently(writ, agent, { DPoP: handle });
    expect(tokens.token_type).toBe('dpop');
    expect(claimsOf(tokens.access_token)['cnf']).toEqual({ jkt: await handle.calculateThumbprint() });
  });

  it.each<[string, (uri: string) => string]>([
    ['that is no JWT', () => 'nonsense'],
    ['of another method', (uri) => dpopProof(key, uri, { claims: { htm: 'GET' } })],
    ['for another endpoint', (uri) => dpopProof(key, `${uri}/other`)],
    ['for the host that the request claims', () => dpopProof(key, 'http://evil.example/token')],
    ['two minutes old', (uri) => dpopProof(key, uri, { claims: { iat: Math.floor(Date.now() / 1000) - 120 } })],
    ['two minutes early', (uri) => dpopProof(key, uri, { claims: { iat: Math.floor(Date.now() / 1000) + 120 } })],
    ['without jti', (uri) => dpopProof(key, uri, { claims: { jti: undefined } })],
    [
      'with a private key in its header',
      (uri) => dpopProof(key, uri, { header: { jwk: key.export({ format: 'jwk' }) } }),
    ],
    ['of another typ', (uri) => dpopProof(key, uri, { header: { typ: 'jwt' } })],
    ['signed by another key', (uri) => dpopProof(newKey(), uri, { header: { jwk: proofKey(key) } })],
  ])('§4.3: refuses a proof %s', async (_name, proof) => {
    expect(
      await post(`${writ.issuer}/token`, codeForm(agent, writ.issuer, { code: 'x', verifier: 'v'.repeat(43) }), {
        dpop: proof(`${writ.issuer}/token`),
      }),
    ).toEqual(badProof);
  });

  it('§11.1: takes a proof once', async () => {
    const proof = dpopProof(key, `${writ.issuer}/token`);
    expect((await redeem(proof)).status).toBe(200);
    expect(await redeem(proof)).toEqual({
      status: 400,
      body: { error: 'invalid_dpop_proof', error_description: 'the DPoP proof was used before' },
    });
  });

  it('refuses an agent that must prove possession and does not', async () => {
    expect(await redeem(undefined, strict)).toEqual(INVALID_GRANT);
    expect((await redeem(dpopProof(key, `${writ.issuer}/token`), strict)).status).toBe(200);
  });

  it('§10: holds the agent to the key that it named at /auth', async () => {
    expect(await redeem(dpopProof(newKey(), `${writ.issuer}/token`), agent, { dpop_jkt: jktOf(key) })).toEqual(
      INVALID_GRANT,
    );
    expect(await redeem(undefined, agent, { dpop_jkt: jktOf(key) })).toEqual(INVALID_GRANT);
    expect((await redeem(dpopProof(key, `${writ.issuer}/token`), agent, { dpop_jkt: jktOf(key) })).status).toBe(200);
  });

  it('§10.1: takes the key of a proof at PAR', async () => {
    const form = {
      response_type: 'code',
      client_id: agent.id,
      redirect_uri: REDIRECT_URI,
      code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
      code_challenge_method: 'S256',
      ...assertionForm(agent, writ.issuer),
    };
    const uri = `${writ.issuer}/request`;
    expect((await post(uri, { ...form, dpop_jkt: jktOf(newKey()) }, { dpop: dpopProof(key, uri) })).status).toBe(400);
    expect(
      (await post(uri, { ...form, ...assertionForm(agent, writ.issuer) }, { dpop: dpopProof(key, uri) })).status,
    ).toBe(201);
  });

  it('keeps a family bound to the key that it began with, though the agent is confidential', async () => {
    const uri = `${writ.issuer}/token`;
    const { body } = await redeem(dpopProof(key, uri), agent, offline);
    const first = (body as { refresh_token: string }).refresh_token;
    expect(await post(uri, refreshForm(agent, writ.issuer, first))).toEqual(INVALID_GRANT);
    expect(await post(uri, refreshForm(agent, writ.issuer, first), { dpop: dpopProof(newKey(), uri) })).toEqual(
      INVALID_GRANT,
    );
    const second = await post(uri, refreshForm(agent, writ.issuer, first), { dpop: dpopProof(key, uri) });
    expect(second.body).toMatchObject({ token_type: 'DPoP' });
    const third = (second.body as { refresh_token: string }).refresh_token;
    expect(await post(uri, refreshForm(agent, writ.issuer, third))).toEqual(INVALID_GRANT);
  });
});
