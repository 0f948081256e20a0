import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { sha256, thumbprint } from '../../src/protocol/index.js';
import { TestIssuer } from '../support/issuer.js';
import { callText, post, type RunningServer, startMcp } from '../support/mcp.js';
import { dpopProof, type ProofChanges } from '../support/jws.js';
import { makeKey } from '../support/writ.js';

const ARGS = '{"path":"/a"}';
let issuer: TestIssuer;
let server: RunningServer;
const own = makeKey();
let token: string;

beforeAll(async () => {
  issuer = await TestIssuer.start();
  server = await startMcp('v2 fetch', { issuer: issuer.url });
});
afterAll(async () => {
  await server.close();
  await issuer.close();
});
beforeEach(async () => {
  token = await issuer.token(server.resource, 'write_file', { max_uses: 5 }, { cnf: { jkt: thumbprint(own.jwk) } });
  server.ran.length = 0;
});

/** The one valid proof; a case breaks one thing of it. */
const proof = ({ claims, header }: ProofChanges = {}, key = own): string =>
  dpopProof(key.privateKey, server.url, { claims: { ath: sha256(token), ...claims }, ...(header && { header }) });
const send = (dpop: string, scheme = 'DPoP') =>
  post(server.url, callText('write_file', ARGS), { authorization: `${scheme} ${token}`, dpop });

async function expectRefusal(response: Response, error: 'invalid_token' | 'invalid_dpop_proof'): Promise<void> {
  expect(response.status).toBe(401);
  const description =
    error === 'invalid_token'
      ? 'The access token is missing, invalid, expired or not for this server.'
      : 'The DPoP proof is invalid.';
  expect(await response.json()).toEqual({ error, error_description: description });
  expect(response.headers.get('www-authenticate')).toContain(`error="${error}"`);
  expect(server.ran).toEqual([]);
}

describe('a token that is bound to a key (RFC 9449 section 7)', () => {
  it('passes with a proof of that key', async () => {
    expect((await send(proof())).status).toBe(200);
    expect(server.ran).toMatchObject([{ call: { delegation: { dpopBound: true } } }]);
  });

  it('passes with query, fragment, default port and upper-case host in htu left aside', async () => {
    const { port } = new URL(server.url);
    expect((await send(proof({ claims: { htu: `HTTP://127.0.0.1:${port}/mcp?x=1#y` } }))).status).toBe(200);
  });

  it('is refused as a bearer token, with or without the proof', async () => {
    const response = await send(proof(), 'Bearer');
    expect(response.headers.get('www-authenticate')).toMatch(/^Bearer /);
    await expectRefusal(response, 'invalid_token');
    await expectRefusal(
      await post(server.url, callText('write_file', ARGS), { authorization: `Bearer ${token}` }),
      'invalid_token',
    );
  });

  it('is refused without a proof, and told which algorithms it may use', async () => {
    const response = await post(server.url, callText('write_file', ARGS), { authorization: `DPoP ${token}` });
    expect(response.headers.get('www-authenticate')).toMatch(/^DPoP error="invalid_dpop_proof".*algs="ES256 EdDSA"$/);
    await expectRefusal(response, 'invalid_dpop_proof');
  });

  it('DP-01 is refused when the proof comes again', async () => {
    const once = proof();
    expect((await send(once)).status).toBe(200);
    server.ran.length = 0;
    await expectRefusal(await send(once), 'invalid_dpop_proof');
  });

  it('DP-01 passes once when the same proof comes ten times at once', async () => {
    const once = proof();
    const answers = await Promise.all(Array.from({ length: 10 }, () => send(once)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 9 }, () => 401)]);
  });

  it.each([`?x=1`, '#y'])('DP-02 is refused when the jti comes again with htu changed by %s', async (suffix) => {
    const jti = crypto.randomUUID();
    expect((await send(proof({ claims: { jti } }))).status).toBe(200);
    server.ran.length = 0;
    await expectRefusal(await send(proof({ claims: { jti, htu: server.url + suffix } })), 'invalid_dpop_proof');
  });

  it('is refused with a proof of another key', async () => {
    await expectRefusal(await send(proof({}, makeKey())), 'invalid_token');
  });

  it.each([
    ['for another method', { htm: 'GET' }],
    ['for a method in lower case', { htm: 'post' }],
    ['for another path', { htu: 'http://127.0.0.1/other' }],
    ['DP-04 with a number as htu', { htu: 7 }],
    ['DP-04 with a list as htu', { htu: ['http://127.0.0.1/mcp'] }],
    ['DP-04 with a relative htu', { htu: '/mcp' }],
    ['of two minutes ago', { iat: Math.floor(Date.now() / 1000) - 120 }],
    ['of two minutes from now', { iat: Math.floor(Date.now() / 1000) + 120 }],
    ['for another token', { ath: sha256('another') }],
    ['for no token', { ath: undefined }],
    ['without jti', { jti: undefined }],
  ])('is refused with a proof %s', async (_, claims) => {
    await expectRefusal(await send(proof({ claims })), 'invalid_dpop_proof');
  });

  it('DP-04 is refused with user information in htu', async () => {
    await expectRefusal(await send(proof({ claims: { htu: server.url.replace('//', '//a@') } })), 'invalid_dpop_proof');
  });

  it('DP-05 is refused with a proof of the wrong type or with a key that it must not show', async () => {
    await expectRefusal(await send(proof({ header: { typ: 'jwt' } })), 'invalid_dpop_proof');
    await expectRefusal(
      await send(proof({ header: { jwk: own.privateKey.export({ format: 'jwk' }) } })),
      'invalid_dpop_proof',
    );
    await expectRefusal(await send(proof({ header: { jwk: undefined, kid: 'k1' } })), 'invalid_dpop_proof');
  });

  it('DP-10 is refused with two proofs in one header', async () => {
    await expectRefusal(await send(`${proof()}, ${proof()}`), 'invalid_dpop_proof');
  });

  it('DP-10 is refused with two proof headers, on Node', async () => {
    const node = await startMcp('v1 node', { issuer: issuer.url });
    token = await issuer.token(node.resource, 'write_file', {}, { cnf: { jkt: thumbprint(own.jwk) } });
    const proofs = [proof({ claims: { htu: node.url } }), proof({ claims: { htu: node.url } })];
    const { request } = await import('node:http');
    const status = await new Promise((resolve, reject) => {
      const headers = {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        authorization: `DPoP ${token}`,
        dpop: proofs,
      };
      const sent = request(node.url, { method: 'POST', headers }, (response) => {
        resolve(response.resume().statusCode);
      });
      sent.on('error', reject).end(callText('write_file', ARGS));
    });
    expect(status).toBe(401);
    await node.close();
  });
});

describe('a token that is not bound', () => {
  it('is refused when it pretends to be', async () => {
    token = await issuer.token(server.resource, 'write_file');
    await expectRefusal(await send(proof()), 'invalid_token');
  });

  it('DP-07 is refused where the server wants bound ones', async () => {
    const strict = await startMcp('v2 fetch', { issuer: issuer.url, dpopRequired: true });
    const bearer = await issuer.token(strict.resource, 'write_file');
    const response = await post(strict.url, callText('write_file', ARGS), { authorization: `Bearer ${bearer}` });
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toMatch(/^DPoP error="invalid_token"/);
    await strict.close();
  });
});
