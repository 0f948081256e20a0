import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import * as client from 'openid-client';
import { pinOf } from '../support/tools.js';
import { ACCESS_TOKEN, type Client, EXCHANGE, RS1, tool, tools } from '../support/world.js';
import { CALLBACK, type House, proofKeys, startHouse, webKey } from './house.js';

let house: House;
let agent: client.Configuration;
let server: client.Configuration;
beforeAll(async () => {
  house = await startHouse();
  [agent, server] = await Promise.all([discover(house.a1), discover(house.rs1)]);
});
afterAll(async () => {
  await house.close();
  expect(house.faults).toEqual([]);
});

const discover = async (who: Client, algorithm: 'oauth2' | 'oidc' = 'oauth2'): Promise<client.Configuration> =>
  client.discovery(new URL(house.issuer), who.id, {}, client.PrivateKeyJwt(await webKey(who)), {
    algorithm,
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- marked so to stand out; tests speak http on loopback
    execute: [client.allowInsecureRequests],
  });

async function personsToken(options: client.DPoPOptions = {}): Promise<string> {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expectedState = client.randomState();
  const parameters = {
    redirect_uri: CALLBACK,
    scope: 'repo:read repo:write',
    state: expectedState,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  };
  const link = await client.buildAuthorizationUrlWithPAR(agent, parameters, options);
  const returned = await house.signIn(link);
  const checks = { pkceCodeVerifier, expectedState };
  const tokens = await client.authorizationCodeGrant(agent, returned, checks, undefined, options);
  return tokens.access_token;
}

const wish = (subject_token: string): Record<string, string> => ({
  subject_token,
  subject_token_type: ACCESS_TOKEN,
  resource: RS1,
  authorization_details: tools(tool('read_file')),
});

describe('openid-client: a person’s token becomes a transactional access token', () => {
  it.each([false, true])('by PAR, code and exchange, then introspection and revocation (DPoP %p)', async (bound) => {
    const DPoP = bound ? client.getDPoPHandle(agent, await proofKeys()) : undefined;
    const options = DPoP === undefined ? {} : { DPoP };
    const persons = await personsToken(options);
    const issued = await client.genericGrantRequest(agent, EXCHANGE, wish(persons), options);
    expect({ ...issued }).toEqual({
      access_token: expect.any(String),
      issued_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token',
      token_type: bound ? 'dpop' : 'bearer',
      expires_in: 180,
      scope: 'repo:read',
      authorization_details: [tool('read_file', { definition_sha256: pinOf('read_file'), max_uses: 10 })],
    });
    const claims = decodeJwt(issued.access_token);
    expect(claims['cnf']).toEqual(bound ? { jkt: await DPoP?.calculateThumbprint() } : undefined);
    expect(await client.tokenIntrospection(server, issued.access_token)).toEqual({
      ...claims,
      active: true,
      token_type: bound ? 'DPoP' : 'Bearer',
    });
    await client.tokenRevocation(agent, issued.access_token);
    expect(await client.tokenIntrospection(server, issued.access_token)).toEqual({ active: false });
  });

  it('reads the transaction token of the server behind, whose token_type is N_A', async () => {
    const called = await client.genericGrantRequest(agent, EXCHANGE, wish(await personsToken()));
    const issued = await client.genericGrantRequest(server, EXCHANGE, {
      subject_token: called.access_token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token',
      audience: 'trust.example',
    });
    expect({ ...issued }).toMatchObject({ token_type: 'n_a', expires_in: 60 });
    expect(decodeJwt(issued.access_token)).toMatchObject({ aud: 'trust.example', req_wl: RS1 });
  });

  it('discovers by OpenID Connect as well, and reads the ID token of the same flow', async () => {
    const openid = await discover(house.a1, 'oidc');
    const pkceCodeVerifier = client.randomPKCECodeVerifier();
    const expectedNonce = client.randomNonce();
    const link = client.buildAuthorizationUrl(openid, {
      redirect_uri: CALLBACK,
      scope: 'openid repo:read',
      nonce: expectedNonce,
      code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
    });
    const checks = { pkceCodeVerifier, expectedNonce, idTokenExpected: true };
    const tokens = await client.authorizationCodeGrant(openid, await house.signIn(link), checks);
    expect(tokens.claims()).toMatchObject({
      iss: house.issuer,
      aud: house.a1.id,
      sub: decodeJwt(tokens.access_token).sub,
    });
  });

  it('reads a refusal as the OAuth error that it is', async () => {
    const persons = await personsToken();
    const wide = { ...wish(persons), scope: 'repo:admin' };
    await expect(client.genericGrantRequest(agent, EXCHANGE, wide)).rejects.toMatchObject({
      name: 'ResponseBodyError',
      status: 400,
      error: 'invalid_scope',
      error_description: 'scope is wider than what this agent may use here',
    });
  });
});
