import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { authorize, Browser } from '../support/browser.js';
import { ALICE } from '../support/company.js';
import { databaseKinds } from '../support/databases.js';
import { answerOf, bearerAssertion, type Form, sendForm, tokensOf } from '../support/writ.js';
import { CALLBACK, type Code, renewal, type SignInWorld, startReplica, startSignInWorld } from './sign-in.js';

let world: SignInWorld;
const browser = new Browser();
beforeAll(async () => {
  world = await startSignInWorld();
}, 60_000);
afterAll(async () => {
  await world.close();
  expect(world.faults).toEqual([]);
});

const VERIFIER = 'v'.repeat(43);
const request = (more: Record<string, string> = {}): Record<string, string> => ({
  ...{ client_id: world.a1.id, redirect_uri: CALLBACK, response_type: 'code', state: 'the state', scope: 'repo:read' },
  ...{ code_challenge: createHash('sha256').update(VERIFIER).digest('base64url'), code_challenge_method: 'S256' },
  ...more,
});
const link = (query: Record<string, string>): string => `${world.issuer}/auth?${new URLSearchParams(query).toString()}`;
/** What the agent is told where a browser that is signed in is sent back to it at once. */
async function told(more: Record<string, string>): Promise<Record<string, string>> {
  const response = await fetch(link(request(more)), { redirect: 'manual' });
  const to = response.headers.get('location') ?? '';
  expect(to.startsWith(`${CALLBACK}?`)).toBe(true);
  return Object.fromEntries(new URL(to).searchParams);
}
const codeOf = (more: Record<string, string> = {}): Promise<Code> => world.codeFor(world.a1, more, ALICE, browser);
const swap = async (code: Code, change: (form: Form) => Form = (form) => form, by = world.a1) =>
  world.post('/token', change(await world.codeForm(code, by)));
const INVALID_GRANT = [400, { error: 'invalid_grant', error_description: 'grant request is invalid' }];

describe('a code', () => {
  it.each<[string, (form: Form) => Form]>([
    ['no verifier', (form) => ({ ...form, code_verifier: undefined })],
    ['another verifier', (form) => ({ ...form, code_verifier: 'x'.repeat(43) })],
    ['the challenge for a verifier', (form) => ({ ...form, code_verifier: request()['code_challenge'] ?? '' })],
  ])('AZ-05 is worth nothing with %s', async (_what, change) => {
    expect(answerOf(await swap(await codeOf(), change))).toEqual(INVALID_GRANT);
  });

  it.each<[string, (code: Code) => Code]>([
    ['a character more', ({ code, verifier }) => ({ code: `${code}A`, verifier })],
    ['its halves swapped', ({ code, verifier }) => ({ code: code.slice(20) + code.slice(0, 20), verifier })],
    ['another one’s verifier', ({ code }) => ({ code, verifier: VERIFIER })],
  ])('AZ-08 is worth nothing with %s', async (_what, change) => {
    expect(answerOf(await swap(change(await codeOf())))).toEqual(INVALID_GRANT);
  });

  it('AZ-08 is of the client that it was made for, and of its redirect', async () => {
    expect(answerOf(await swap(await codeOf(), undefined, world.a2))).toEqual(INVALID_GRANT);
    const elsewhere = (form: Form): Form => ({ ...form, redirect_uri: `${CALLBACK}/` });
    expect(answerOf(await swap(await codeOf(), elsewhere))).toEqual(INVALID_GRANT);
  });

  it('AZ-09 is one token set of two that are asked for at once, at two nodes where there can be two', async () => {
    const replica = databaseKinds.includes('server') ? await startReplica(world) : undefined;
    const at = [world.issuer, replica?.url ?? world.issuer];
    for (let round = 0; round < 10; round++) {
      const code = await codeOf();
      const forms = await Promise.all(at.map(() => world.codeForm(code, world.a1)));
      const replies = await Promise.all(at.map((base, n) => sendForm(`${base}/token`, forms[n] ?? {})));
      expect(replies.map(({ status }) => status).sort()).toEqual([200, 400]);
    }
    await replica?.close();
  });

  it('AZ-10 that is used again ends the tokens that it gave', async () => {
    const code = await codeOf({ scope: 'repo:read offline_access', prompt: 'consent' });
    const tokens = tokensOf(await swap(code));
    expect(answerOf(await swap(code))).toEqual(INVALID_GRANT);
    expect((await world.post('/token', await renewal(world, tokens.refresh_token))).status).toBe(400);
    expect((await world.exchange({ subject_token: tokens.access_token })).status).toBe(400);
  });
});

describe('an authorization', () => {
  it.each(['plain', 'none', 's256', ''])('AZ-07 takes no code_challenge_method %j', async (code_challenge_method) => {
    const answer = await told({ code_challenge_method });
    expect(answer).toMatchObject({ error: 'invalid_request', state: 'the state', iss: world.issuer });
    expect(answer).not.toHaveProperty('code');
  });

  it.each(['token', 'id_token', 'code token', 'code id_token', 'none'])(
    'AZ-13 gives nothing for response_type %j',
    async (response_type) => {
      expect(await told({ response_type, nonce: 'n' })).toMatchObject({ error: 'unsupported_response_type' });
    },
  );

  it('AZ-11 says which server answers, in what succeeds and in what fails, and publishes that it does', async () => {
    const good = await authorize(browser, link(request()), { redirectUri: CALLBACK, employee: ALICE });
    const bad = await told({ prompt: 'none' });
    expect([good.searchParams.get('iss'), bad['iss']]).toEqual([world.issuer, world.issuer]);
    const metadata = await fetch(`${world.issuer}/.well-known/oauth-authorization-server`);
    expect(await metadata.json()).toMatchObject({ authorization_response_iss_parameter_supported: true });
  });

  it('AZ-19 that was pushed is good once, for its client, by POST, and holds no other one', async () => {
    const push = async (more: Form = {}) =>
      world.post('/request', { ...request(), ...(await bearerAssertion(world.issuer, world.a1)), ...more });
    const uri = ((await push()).body as { request_uri: string }).request_uri;
    const pushed = (client_id: string): string => link({ client_id, request_uri: uri });
    expect((await new Browser().get(pushed(world.a2.id))).status).toBe(400);
    const mine = ((await push()).body as { request_uri: string }).request_uri;
    const again = link({ client_id: world.a1.id, request_uri: mine });
    await authorize(new Browser(), again, { redirectUri: CALLBACK, employee: ALICE });
    expect((await new Browser().get(again)).status).toBe(400);
    expect((await push({ request_uri: mine })).body).toEqual({ error: 'request_uri_not_supported' });
    expect((await fetch(`${world.issuer}/request`)).status).toBe(404);
  });
});
