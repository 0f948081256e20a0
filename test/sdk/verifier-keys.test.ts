import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createVerifier, type VerifierOptions } from '../../src/sdk/verifier/index.js';
import { newKey, TestIssuer } from '../support/issuer.js';

const RESOURCE = 'https://mcp1.example/files';
let issuer: TestIssuer;
/** Seconds that the verifier's clock is ahead. */
let ahead = 0;
beforeEach(async () => {
  ahead = 0;
  issuer = await TestIssuer.start();
});
afterEach(() => issuer.close());

const clock = { now: () => Math.floor(Date.now() / 1000) + ahead };
const make = (more: Partial<VerifierOptions> = {}) =>
  createVerifier({ issuer: issuer.url, resource: RESOURCE, clock, ...more });
/** A token that is young by the verifier's clock. */
function token(header: { kid?: string } = {}): Promise<string> {
  return issuer.sign(issuer.claims(RESOURCE, { iat: clock.now(), exp: clock.now() + 180 }), header);
}

describe('the keys of the issuer', () => {
  it('are fetched once for a thousand tokens, and for a hundred at once', async () => {
    const verifier = make();
    const same = await token();
    await Promise.all(Array.from({ length: 100 }, () => verifier.verifyAccessToken(same)));
    for (let i = 0; i < 900; i++) await verifier.verifyAccessToken(same);
    expect(issuer.counts).toMatchObject({ metadata: 1, jwks: 1 });
  });

  it('RL-07 are fetched at most once per cooldown for any number of unknown key ids', async () => {
    const verifier = make();
    await verifier.verifyAccessToken(await token());
    const storm = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) {
        await expect(verifier.verifyAccessToken(await token({ kid: `x${String(i)}` }))).rejects.toMatchObject({
          reason: 'unknown_key',
        });
      }
    };
    await storm();
    expect(issuer.counts.jwks).toBe(1);
    ahead += 31;
    await storm();
    expect(issuer.counts.jwks).toBe(2);
  });

  it('are fetched anew when the issuer signs with one that is not known yet', async () => {
    const verifier = make();
    const old = await token();
    await verifier.verifyAccessToken(old);
    await issuer.rotate('k2');
    ahead += 31;
    await expect(verifier.verifyAccessToken(await token())).resolves.toBeDefined();
    await expect(verifier.verifyAccessToken(old)).rejects.toMatchObject({ reason: 'unknown_key' });
    expect(issuer.counts.jwks).toBe(2);
  });

  it('serve on for an hour while the issuer is down, and not longer', async () => {
    const verifier = make();
    await verifier.verifyAccessToken(await token());
    issuer.down = true;
    ahead += 3_500;
    await expect(verifier.verifyAccessToken(await token())).resolves.toBeDefined();
    ahead += 200;
    await expect(verifier.verifyAccessToken(await token())).rejects.toMatchObject({
      code: 'server_error',
      reason: 'issuer_unavailable',
    });
    issuer.down = false;
    ahead += 2;
    await expect(verifier.verifyAccessToken(await token())).resolves.toBeDefined();
  });

  it('that cannot be had are an outage, not a bad token', async () => {
    issuer.down = true;
    const verifier = make();
    await expect(verifier.verifyAccessToken(await token())).rejects.toMatchObject({
      code: 'server_error',
      reason: 'issuer_unavailable',
    });
    issuer.down = false;
    ahead += 2;
    await expect(verifier.verifyAccessToken(await token())).resolves.toBeDefined();
  });

  it('that were withdrawn stop counting within ten minutes', async () => {
    const verifier = make();
    const kid = issuer.signingKey.kid;
    await verifier.verifyAccessToken(await token());
    const stolen = issuer.signingKey;
    await issuer.rotate('k2');
    ahead += 601;
    const { SignJWT } = await import('jose');
    const claims = issuer.claims(RESOURCE, { iat: clock.now(), exp: clock.now() + 180 });
    const forged = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', kid, typ: 'txnat+jwt' })
      .sign(stolen.privateKey);
    await expect(verifier.verifyAccessToken(forged)).rejects.toMatchObject({ reason: 'unknown_key' });
  });

  it('may be given, and then nothing is fetched', async () => {
    const jwks = issuer.jwks as NonNullable<VerifierOptions['jwks']>;
    await expect(make({ jwks }).verifyAccessToken(await token())).resolves.toBeDefined();
    expect(issuer.counts).toMatchObject({ metadata: 0, jwks: 0 });
  });
});

describe('metadata', () => {
  async function serve(
    answer: (url: string) => { status?: number; headers?: Record<string, string>; body: string },
  ): Promise<{ url: string; close(): void }> {
    const server = createServer((request, response) => {
      const { status = 200, headers = {}, body } = answer(request.url ?? '');
      response.writeHead(status, headers).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve).unref());
    return { url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`, close: () => server.close() };
  }

  const unfit: [string, (own: string) => { status?: number; headers?: Record<string, string>; body: string }][] = [
    [
      'names another issuer',
      () => ({
        body: JSON.stringify({
          issuer: issuer.url,
          jwks_uri: `${issuer.url}/jwks`,
          token_endpoint: `${issuer.url}/token`,
        }),
      }),
    ],
    [
      'has its keys on plain http elsewhere',
      (own) => ({
        body: JSON.stringify({ issuer: own, jwks_uri: 'http://keys.example/jwks', token_endpoint: `${own}/token` }),
      }),
    ],
    [
      'has a name twice',
      (own) => ({
        body: `{"issuer":"${own}","jwks_uri":"${issuer.url}/jwks","jwks_uri":"${issuer.url}/jwks","token_endpoint":"${own}/token"}`,
      }),
    ],
    ['is endless', () => ({ body: ' '.repeat(300_000) })],
    ['is no JSON', () => ({ body: '<html>' })],
  ];
  it.each(unfit)('that %s is not used', async (_, answer) => {
    const other = await serve(() => answer(other.url));
    try {
      const verifier = createVerifier({ issuer: other.url, resource: RESOURCE });
      const claims = issuer.claims(RESOURCE, { iss: other.url });
      await expect(verifier.verifyAccessToken(await issuer.sign(claims))).rejects.toMatchObject({
        reason: 'issuer_unavailable',
      });
    } finally {
      other.close();
    }
  });

  it('that redirects is not followed, not even to what would fit', async () => {
    const other = await serve((url) => {
      const fit = { issuer: other.url, jwks_uri: `${issuer.url}/jwks`, token_endpoint: `${other.url}/token` };
      return url === '/moved'
        ? { body: JSON.stringify(fit) }
        : { status: 302, headers: { location: '/moved' }, body: '' };
    });
    const verifier = createVerifier({ issuer: other.url, resource: RESOURCE });
    const signed = await issuer.sign(
      issuer.claims(RESOURCE, { iss: other.url, act: { sub: 'agt_planner', iss: other.url } }),
    );
    await expect(verifier.verifyAccessToken(signed)).rejects.toMatchObject({ reason: 'issuer_unavailable' });
    other.close();
  });

  it('that never comes is waited for in bounded time', async () => {
    const never = createServer(() => undefined);
    await new Promise<void>((resolve) => never.listen(0, '127.0.0.1', resolve).unref());
    const url = `http://127.0.0.1:${String((never.address() as AddressInfo).port)}`;
    const started = performance.now();
    const verifier = createVerifier({ issuer: url, resource: RESOURCE, timeoutMs: 200 });
    await expect(verifier.verifyAccessToken(await issuer.sign(issuer.claims(RESOURCE)))).rejects.toMatchObject({
      reason: 'issuer_unavailable',
    });
    expect(performance.now() - started).toBeLessThan(1_500);
    never.closeAllConnections();
    never.close();
  });

  it('is looked for at the RFC 8414 address of an issuer with a path', async () => {
    const asked: string[] = [];
    const other = await serve((url) => (asked.push(url), { status: 404, body: '' }));
    const verifier = createVerifier({ issuer: `${other.url}/tenant`, resource: RESOURCE });
    await verifier.verifyAccessToken(await issuer.sign(issuer.claims(RESOURCE))).catch(() => undefined);
    expect(asked).toEqual(['/.well-known/oauth-authorization-server/tenant']);
    other.close();
  });

  it('keys that are too weak or unknown are passed over', async () => {
    const good = await newKey('k9');
    const weak = { kty: 'RSA' as const, kid: 'weak', n: 'AQAB', e: 'AQAB' };
    const jwks = {
      keys: [weak, { kty: 'EC' as const, crv: 'P-521', kid: 'big', x: 'AA', y: 'AA' }, good.publicJwk],
    } as NonNullable<VerifierOptions['jwks']>;
    const { SignJWT } = await import('jose');
    const signed = await new SignJWT(issuer.claims(RESOURCE))
      .setProtectedHeader({ alg: 'ES256', kid: 'k9', typ: 'txnat+jwt' })
      .sign(good.privateKey);
    await expect(make({ jwks }).verifyAccessToken(signed)).resolves.toBeDefined();
  });
});
