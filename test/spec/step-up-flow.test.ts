import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { PrivateJwk } from '../../src/protocol/index.js';
import { createAgent, type StepUp } from '../../src/sdk/agent/index.js';
import { createVerifier } from '../../src/sdk/verifier/index.js';
import { type SignInWorld, startSignInWorld } from '../abuse/sign-in.js';
import { Browser } from '../support/browser.js';
import { ALICE, BOB, COMPANY_ACR } from '../support/company.js';
import { callText } from '../support/mcp.js';
import { activate } from '../support/policies.js';
import { RS1 } from '../support/world.js';
import { tokensOf } from '../support/writ.js';

const STRONG = 'urn:company:acr:two-factor';
const POLICIES = `@id("people") permit (principal is Person, action, resource);
@id("agents") permit (principal is Agent, action, resource);
@id("two-factor") @requires("reauthentication") @acr_values("${STRONG}") @max_age("300")
forbid (principal, action == Action::"${RS1}#read_file", resource)
unless { context.authn has acr && context.authn.acr == "${STRONG}" && context.authn has age && context.authn.age <= 300 };
`;

let world: SignInWorld;
beforeAll(async () => {
  world = await startSignInWorld({ strongAcr: STRONG });
  await activate(world, POLICIES);
}, 60_000);
afterAll(async () => {
  await world.close();
  expect(world.faults).toEqual([]);
});

/** The app's own sign-in: the code flow in the browser of the person, with what is needed beside. */
async function signIn(browser: Browser, employee = ALICE, parameters: Record<string, string> = {}): Promise<string> {
  const wish = { scope: 'openid repo:read', ...parameters };
  const code = await world.codeFor(world.a1, wish, employee, browser);
  return tokensOf(await world.post('/token', await world.codeForm(code, world.a1))).access_token;
}

/** One call by the agent, and for whom it ran. */
function call(
  subjectToken: string,
  signInAgain: (needed: StepUp) => Promise<string>,
): Readonly<{ work: Promise<Response>; ran: object[] }> {
  const ran: object[] = [];
  const { id, key } = world.a1;
  const guard = createVerifier({ issuer: world.issuer, resource: RS1, timeoutMs: 10_000 }).guard();
  const handle = guard.fetch((_request, { authInfo }) => {
    const { person, acr, amr, authTime } = authInfo.extra.writ;
    ran.push({ person, acr, amr, authTime });
    return Promise.resolve(new Response('done'));
  });
  const jwk = PrivateJwk.parse({ ...key.privateKey.export({ format: 'jwk' }), kid: `${id}-key`, alg: 'ES256' });
  const agent = createAgent({
    ...{ issuer: world.issuer, clientId: id, key: jwk, timeoutMs: 10_000 },
    fetch: (url, init) => (url.startsWith(RS1) ? handle(new Request(url, init)) : fetch(url, init)),
  });
  const headers = { 'content-type': 'application/json' };
  const send = agent.fetch({ resource: RS1, subjectToken, signInAgain });
  return { work: send(RS1, { method: 'POST', headers, body: callText('read_file', '{"path":"/a"}') }), ran };
}

describe('a step-up from the refusal to the call (RFC 9470)', () => {
  it('is a sign-in at the company with the parameters that the agent was told, and the call runs once', async () => {
    const browser = new Browser();
    const first = await signIn(browser);
    expect(decodeJwt(first)).toMatchObject({ acr: COMPANY_ACR, amr: ['pwd'] });
    const asked: StepUp[] = [];
    const { work, ran } = call(first, (needed) => {
      asked.push(needed);
      return signIn(browser, ALICE, needed.parameters);
    });
    const answer = await work;
    expect([answer.status, await answer.text()]).toEqual([200, 'done']);
    expect(asked).toEqual([
      {
        ...{ tool: 'read_file', acrValues: [STRONG], maxAge: 300, reasons: [] },
        authorizationEndpoint: `${world.issuer}/auth`,
        parameters: { acr_values: STRONG, max_age: '300' },
      },
    ]);
    const { sub, auth_time: before = 0 } = decodeJwt<{ auth_time?: number }>(first);
    expect(ran).toEqual([
      { person: sub, acr: STRONG, amr: ['pwd', 'otp', 'mfa'], authTime: expect.any(Number) as unknown },
    ]);
    expect((ran[0] as { authTime: number }).authTime).toBeGreaterThanOrEqual(before);
  });

  it('is not done by somebody else at the same browser', async () => {
    const first = await signIn(new Browser());
    const { work, ran } = call(first, ({ parameters }) => signIn(new Browser(), BOB, parameters));
    await expect(work).rejects.toMatchObject({ code: 'other_person' });
    expect(ran).toEqual([]);
  });
});
