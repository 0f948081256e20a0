import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import * as oauth from 'oauth4webapi';
import { pinOf } from '../support/tools.js';
import { ACCESS_TOKEN, type Client, EXCHANGE, RS1, tool, tools } from '../support/world.js';
import { CALLBACK, type House, proofKeys, startHouse, webKey } from './house.js';

// eslint-disable-next-line @typescript-eslint/no-deprecated -- marked so to stand out; tests speak http on loopback
const INSECURE = { [oauth.allowInsecureRequests]: true } as const;

let house: House;
let as: oauth.AuthorizationServer;
beforeAll(async () => {
  house = await startHouse();
  const url = new URL(house.issuer);
  as = await oauth.processDiscoveryResponse(
    url,
    await oauth.discoveryRequest(url, { algorithm: 'oauth2', ...INSECURE }),
  );
});
afterAll(async () => {
  await house.close();
  expect(house.faults).toEqual([]);
});

const client = ({ id }: Client): oauth.Client => ({ client_id: id });
const authentication = async (of: Client): Promise<oauth.ClientAuth> => oauth.PrivateKeyJwt(await webKey(of));

/** PAR, sign-in, consent, code: what the library does with a person's agent. */
async function personsToken(options: oauth.DPoPRequestOptions = {}): Promise<oauth.TokenEndpointResponse> {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const parameters = {
    redirect_uri: CALLBACK,
    response_type: 'code',
    scope: 'repo:read repo:write',
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  };
  const agent = client(house.a1);
  const authenticated = await authentication(house.a1);
  const sent = { ...options, ...INSECURE };
  const pushed = await oauth.processPushedAuthorizationResponse(
    as,
    agent,
    await oauth.pushedAuthorizationRequest(as, agent, authenticated, parameters, sent),
  );
  const link = new URL(as.authorization_endpoint ?? '');
  link.search = new URLSearchParams({ client_id: house.a1.id, request_uri: pushed.request_uri }).toString();
  const answer = oauth.validateAuthResponse(as, agent, await house.signIn(link), state);
  return oauth.processAuthorizationCodeResponse(
    as,
    agent,
    await oauth.authorizationCodeGrantRequest(as, agent, authenticated, answer, CALLBACK, verifier, sent),
  );
}

async function exchange(
  by: Client,
  parameters: Record<string, string>,
  options: oauth.DPoPRequestOptions & oauth.ProcessTokenResponseOptions = {},
): Promise<oauth.TokenEndpointResponse> {
  const sent = { ...options, ...INSECURE };
  return oauth.processGenericTokenEndpointResponse(
    as,
    client(by),
    await oauth.genericTokenEndpointRequest(as, client(by), await authentication(by), EXCHANGE, parameters, sent),
    options,
  );
}

const wish = (subject_token: string): Record<string, string> => ({
  subject_token,
  subject_token_type: ACCESS_TOKEN,
  resource: RS1,
  authorization_details: tools(tool('read_file')),
});

const introspect = async (token: string, by = house.rs1): Promise<oauth.IntrospectionResponse> =>
  oauth.processIntrospectionResponse(
    as,
    client(by),
    await oauth.introspectionRequest(as, client(by), await authentication(by), token, INSECURE),
  );

describe('oauth4webapi: a person’s token becomes a transactional access token', () => {
  it.each([false, true])('by PAR, code and exchange, then introspection and revocation (DPoP %p)', async (bound) => {
    const DPoP = bound ? oauth.DPoP(client(house.a1), await proofKeys()) : undefined;
    const options = DPoP === undefined ? {} : { DPoP };
    const persons = await personsToken(options);
    expect(persons.token_type).toBe(bound ? 'dpop' : 'bearer');

    const issued = await exchange(house.a1, wish(persons.access_token), options);
    expect(issued).toEqual({
      access_token: expect.any(String),
      issued_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token',
      token_type: bound ? 'dpop' : 'bearer',
      expires_in: 180,
      scope: 'repo:read',
      authorization_details: [tool('read_file', { definition_sha256: pinOf('read_file'), max_uses: 10 })],
    });
    const claims = decodeJwt(issued.access_token);
    const jkt = await DPoP?.calculateThumbprint();
    expect(decodeProtectedHeader(issued.access_token).typ).toBe('txnat+jwt');
    expect(claims['cnf']).toEqual(bound ? { jkt } : undefined);
    expect(claims.sub).toBe(decodeJwt(persons.access_token).sub);

    expect(await introspect(issued.access_token)).toEqual({
      ...claims,
      active: true,
      token_type: bound ? 'DPoP' : 'Bearer',
    });
    expect(await introspect(issued.access_token, house.rs2)).toEqual({ active: false });

    const revoked = await oauth.revocationRequest(
      as,
      client(house.a1),
      await authentication(house.a1),
      issued.access_token,
      INSECURE,
    );
    await oauth.processRevocationResponse(revoked);
    expect(await introspect(issued.access_token)).toEqual({ active: false });
  });

  it('reads the transaction token of the server behind, whose token_type is N_A', async () => {
    const { access_token } = await personsToken();
    const called = await exchange(house.a1, wish(access_token));
    const recognizedTokenTypes = { n_a: () => undefined };
    const issued = await exchange(
      house.rs1,
      {
        subject_token: called.access_token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:txn_access_token',
        audience: 'trust.example',
      },
      { recognizedTokenTypes },
    );
    expect(issued).toMatchObject({
      issued_token_type: 'urn:ietf:params:oauth:token-type:txn_token',
      token_type: 'n_a',
      expires_in: 60,
    });
    expect(decodeJwt(issued.access_token)['txn']).toBe(decodeJwt(called.access_token)['txn']);
  });

  it('reads a refusal as the OAuth error that it is', async () => {
    const { access_token } = await personsToken();
    await expect(
      exchange(house.a1, { ...wish(access_token), resource: 'https://mcp.nobody.example' }),
    ).rejects.toMatchObject({
      name: 'ResponseBodyError',
      status: 400,
      error: 'invalid_authorization_details',
    });
    await expect(exchange(house.a2, wish(access_token))).rejects.toMatchObject({
      status: 400,
      error: 'invalid_request',
      error_description: 'subject_token is not acceptable',
    });
  });
});
