import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import * as client from 'openid-client';
import { authorize, Browser } from '../support/browser.js';
import { ALICE } from '../support/company.js';
import { type AskingWorld, startAskingWorld } from '../support/asking-world.js';
import { ACCESS_TOKEN, EXCHANGE, RS1, tool, tools } from '../support/world.js';
import { CALLBACK } from '../abuse/sign-in.js';
import { webKey } from './house.js';

const DEFERRED = 'urn:ietf:params:oauth:grant-type:deferred';

let world: AskingWorld;
let agent: client.Configuration;
beforeAll(async () => {
  world = await startAskingWorld();
  agent = await client.discovery(
    new URL(world.issuer),
    world.a1.id,
    {},
    client.PrivateKeyJwt(await webKey(world.a1)),
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- marked so to stand out; tests speak http on loopback
    { algorithm: 'oauth2', execute: [client.allowInsecureRequests] },
  );
}, 60_000);
afterAll(() => world.close());

async function personsToken(): Promise<string> {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expectedState = client.randomState();
  const link = client.buildAuthorizationUrl(agent, {
    redirect_uri: CALLBACK,
    scope: 'repo:read repo:write',
    state: expectedState,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  });
  const returned = await authorize(new Browser(), link.href, { redirectUri: CALLBACK, employee: ALICE });
  return (await client.authorizationCodeGrant(agent, returned, { pkceCodeVerifier, expectedState })).access_token;
}

/** What the token endpoint refuses with, as openid-client throws it. */
const refusal = (grant: Promise<unknown>): Promise<Record<string, unknown>> =>
  grant.then(
    () => {
      throw new Error('it was not refused');
    },
    (thrown: unknown) => {
      if (thrown instanceof client.ResponseBodyError) return { ...thrown.cause };
      throw thrown;
    },
  );

describe('openid-client: an exchange that a person has to approve (STANDARDS 5.10)', () => {
  it('is deferred, polled and redeemed, by the generic grant alone', async () => {
    const wish = {
      ...{ subject_token: await personsToken(), subject_token_type: ACCESS_TOKEN, resource: RS1 },
      authorization_details: tools(tool('write_file', { arguments: { path: '/tmp/x' } })),
      completion_mode: 'deferred',
    };
    const deferred = await refusal(client.genericGrantRequest(agent, EXCHANGE, wish));
    expect(deferred).toMatchObject({ error: 'authorization_pending', interval: 5 });
    const poll = { deferral_code: String(deferred['deferral_code']) };
    expect(await refusal(client.genericGrantRequest(agent, DEFERRED, poll))).toMatchObject({
      error: 'authorization_pending',
    });
    const page = String(deferred['interaction_uri']);
    const alice = await world.signedIn();
    await alice.submit(await alice.get(page), { action: 'approve' });
    const issued = await client.genericGrantRequest(agent, DEFERRED, poll);
    expect({ ...issued }).toMatchObject({ token_type: 'bearer', scope: 'repo:write' });
    expect(decodeJwt(issued.access_token)).toMatchObject({ writ: { approval: page.split('/').at(-1) } });
  });

  it('is withdrawn by revoking the code (RFC 7009)', async () => {
    const wish = {
      ...{ subject_token: await personsToken(), subject_token_type: ACCESS_TOKEN, resource: RS1 },
      authorization_details: tools(tool('write_file', { arguments: { path: '/tmp/y' } })),
      completion_mode: 'deferred',
    };
    const deferred = await refusal(client.genericGrantRequest(agent, EXCHANGE, wish));
    const code = String(deferred['deferral_code']);
    await client.tokenRevocation(agent, code, {
      token_type_hint: 'urn:ietf:params:oauth:token-type:deferral-code',
    });
    expect(await refusal(client.genericGrantRequest(agent, DEFERRED, { deferral_code: code }))).toMatchObject({
      error: 'invalid_grant',
    });
  });
});
