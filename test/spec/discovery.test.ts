import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client';
import { freshDatabase, type TestDatabase } from '../support/databases.js';
import { authorize, Browser } from '../support/browser.js';
import { ALICE } from '../support/company.js';
import {
  claimsOf,
  INSECURE,
  REDIRECT_URI,
  signingKey,
  startWrit,
  TestAgent,
  webKey,
  type Writ,
} from '../support/engine.js';
import { redeemIndependently } from '../support/own-engine.js';

const agent = new TestAgent('agt_planner');
let db: TestDatabase;
let writ: Writ;
let inPath: Writ;
beforeAll(async () => {
  db = await freshDatabase('embedded');
  writ = await startWrit(db.database, { agents: [agent.registered] });
  inPath = await startWrit(db.database, { agents: [agent.registered], path: '/tenant/one' });
});
afterAll(async () => {
  await Promise.all([writ.stop(), inPath.stop()]);
  await db.drop();
});

// eslint-disable-next-line @typescript-eslint/no-deprecated -- marked so to stand out; tests speak http on loopback
const OVER_HTTP = [client.allowInsecureRequests];

const read = async (url: string): Promise<Record<string, unknown>> =>
  (await (await fetch(url)).json()) as Record<string, unknown>;

/** A request whose headers claim to be for another host. */
function misled(
  url: string,
  headers: Record<string, string>,
): Promise<{ status: number; headers: string; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          headers: JSON.stringify(response.rawHeaders),
          body: Buffer.concat(chunks).toString(),
        });
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('metadata (RFC 8414, OpenID Connect Discovery 1.0)', () => {
  it('says what is on, and nothing else', async () => {
    const { issuer } = writ;
    const algorithms = ['ES256', 'EdDSA', 'RS256', 'PS256'];
    const methods = ['client_secret_basic', 'private_key_jwt'];
    expect(await read(`${issuer}/.well-known/oauth-authorization-server`)).toEqual({
      issuer,
      authorization_endpoint: `${issuer}/auth`,
      token_endpoint: `${issuer}/token`,
      jwks_uri: `${issuer}/jwks`,
      pushed_authorization_request_endpoint: `${issuer}/request`,
      introspection_endpoint: `${issuer}/introspect`,
      revocation_endpoint: `${issuer}/revoke`,
      scopes_supported: ['openid', 'offline_access', 'files:read', 'files:write', 'mail:read', 'mail:write'],
      response_types_supported: ['code'],
      response_modes_supported: ['query'],
      grant_types_supported: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:token-exchange'],
      code_challenge_methods_supported: ['S256'],
      authorization_response_iss_parameter_supported: true,
      request_parameter_supported: false,
      request_uri_parameter_supported: false,
      token_endpoint_auth_methods_supported: methods,
      token_endpoint_auth_signing_alg_values_supported: algorithms,
      introspection_endpoint_auth_methods_supported: methods,
      introspection_endpoint_auth_signing_alg_values_supported: algorithms,
      revocation_endpoint_auth_methods_supported: methods,
      revocation_endpoint_auth_signing_alg_values_supported: algorithms,
      dpop_signing_alg_values_supported: algorithms,
      authorization_details_types_supported: ['mcp_tool_call'],
      transactional_access_tokens_supported: true,
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
      claims_supported: ['sub', 'iss', 'aud', 'exp', 'iat', 'acr', 'amr', 'auth_time', 'nonce'],
    });
  });

  it('is the same at both places, and at all three for an issuer with a path', async () => {
    const { origin } = new URL(inPath.issuer);
    expect(await read(`${writ.issuer}/.well-known/openid-configuration`)).toEqual(
      await read(`${writ.issuer}/.well-known/oauth-authorization-server`),
    );
    const places = [
      '/.well-known/oauth-authorization-server/tenant/one',
      '/.well-known/openid-configuration/tenant/one',
      '/tenant/one/.well-known/openid-configuration',
    ];
    const bodies = await Promise.all(places.map((place) => read(`${origin}${place}`)));
    expect(bodies).toEqual([bodies[0], bodies[0], bodies[0]]);
    expect(bodies[0]?.['issuer']).toBe(`${origin}/tenant/one`);
    expect((await fetch(`${origin}/.well-known/oauth-authorization-server`)).status).toBe(404);
  });

  it('may be read by scripts of any origin, and cached', async () => {
    const { headers } = await fetch(`${writ.issuer}/.well-known/openid-configuration`);
    expect(headers.get('access-control-allow-origin')).toBe('*');
    expect(headers.get('cache-control')).toBe('public, max-age=300');
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
  });

  it('is understood by oauth4webapi and openid-client', async () => {
    expect((await writ.metadata()).issuer).toBe(writ.issuer);
    const configuration = await client.discovery(new URL(inPath.issuer), agent.id, undefined, client.None(), {
      execute: OVER_HTTP,
      algorithm: 'oauth2',
    });
    expect(configuration.serverMetadata().token_endpoint).toBe(`${inPath.issuer}/token`);
    expect(configuration.serverMetadata().supportsPKCE()).toBe(true);
  });
});

describe('issuer and links', () => {
  const lies = {
    host: 'evil.example',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-proto': 'https',
    forwarded: 'host=evil.example;proto=https',
  };

  it.each(['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration'])(
    'in %s never come from a header',
    async (path) => {
      const { status, headers, body } = await misled(`${writ.issuer}${path}`, lies);
      expect(status).toBe(200);
      expect(JSON.parse(body)).toEqual(await read(`${writ.issuer}${path}`));
      expect(headers).not.toContain('evil');
    },
  );

  it('in the flow never come from a header', async () => {
    const { searchParams } = new URL(
      'http://x/?client_id=agt_planner&response_type=code&state=s&code_challenge_method=S256',
    );
    searchParams.set('redirect_uri', REDIRECT_URI);
    searchParams.set('code_challenge', 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM');
    const { status, headers } = await misled(`${writ.issuer}/auth?${searchParams.toString()}`, lies);
    expect(status).toBe(303);
    expect(headers).not.toContain('evil');
    expect(headers).toContain(`${writ.issuer}/interaction/`);
    expect(headers.toLowerCase()).not.toContain('; secure');
    const { headers: refused } = await misled(
      `${writ.issuer}/auth?${searchParams.toString().replace('=S256', '=plain')}`,
      lies,
    );
    expect(refused).toContain(`iss=${encodeURIComponent(writ.issuer)}`);
  });
});

describe('an issuer with a path', () => {
  it('runs the whole flow below it, with cookies for it alone', async () => {
    const configuration = await client.discovery(
      new URL(inPath.issuer),
      agent.id,
      undefined,
      client.PrivateKeyJwt(await webKey(agent.key)),
      {
        execute: OVER_HTTP,
        algorithm: 'oauth2',
      },
    );
    const verifier = client.randomPKCECodeVerifier();
    const link = client.buildAuthorizationUrl(configuration, {
      redirect_uri: REDIRECT_URI,
      state: 's',
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    });
    const browser = new Browser();
    const redirected = await authorize(browser, link.href, { redirectUri: REDIRECT_URI, employee: ALICE });
    const tokens = await client.authorizationCodeGrant(configuration, redirected, {
      expectedState: 's',
      pkceCodeVerifier: verifier,
    });
    expect(claimsOf(tokens.access_token)['aud']).toBe(inPath.issuer);
    expect(redirected.searchParams.get('iss')).toBe(inPath.issuer);
  });
});

describe('signing keys', () => {
  it('may change while the engine runs: the next token is signed by the new one', async () => {
    const as = await writ.metadata();
    const newer = signingKey('k2');
    writ.setKeys([newer]);
    const { access_token: token } = await redeemIndependently(writ, agent, { as });
    const request = new Request('https://mcp.example/', { headers: { authorization: `Bearer ${token}` } });
    const claims = await oauth.validateJwtAccessToken(as, request, writ.issuer, INSECURE);
    expect(claims.client_id).toBe(agent.id);
  });
});

describe('what is off', () => {
  it.each([
    ['GET', '/reg'],
    ['POST', '/reg'],
    ['GET', '/me'],
    ['POST', '/introspect'],
    ['POST', '/token/introspection'],
    ['GET', '/session/end'],
    ['POST', '/session/end/confirm'],
    ['POST', '/device/auth'],
    ['POST', '/backchannel'],
  ])('%s %s is nothing of the engine', async (method, path) => {
    expect((await fetch(`${writ.issuer}${path}`, { method })).status).toBe(404);
  });
});
