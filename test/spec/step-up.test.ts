import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Browser } from '../support/browser.js';
import { COMPANY_ACR } from '../support/company.js';
import { freshDatabase, type TestDatabase } from '../support/databases.js';
import { claimsOf, codeForm, obtainCode, post, startWrit, TestAgent, type Writ } from '../support/engine.js';

const STRONG = 'urn:company:acr:two-factor';
const agent = new TestAgent('agt_planner');
let [db, writ]: [TestDatabase | undefined, Writ | undefined] = [undefined, undefined];
beforeAll(async () => {
  db = await freshDatabase('embedded');
  writ = await startWrit(db.database, { agents: [agent.registered], company: { strongAcr: STRONG } });
});
afterAll(async () => {
  await writ?.stop();
  await db?.drop();
  expect(writ?.faults).toEqual([]);
});

const running = (): Writ => {
  if (writ === undefined) throw new Error('nothing runs');
  return writ;
};

type Got = Readonly<{ claims: Record<string, unknown>; redirected: URL; atCompany: Record<string, string>[] }>;

/** What an authorization with these parameters ends in, and what the company was asked for on the way. */
async function authorized(browser: Browser, parameters: Record<string, string>): Promise<Got> {
  const seen = browser.history.length;
  const code = await obtainCode(running(), agent, {
    browser,
    parameters: { scope: 'openid files:read', ...parameters },
  });
  const asked = browser.history
    .slice(0, browser.history.length - seen)
    .filter((url) => url.startsWith(`${running().company.issuer}/auth?`));
  const atCompany = asked.map((url) => Object.fromEntries(new URL(url).searchParams));
  if (code.code === '') return { claims: {}, redirected: code.redirected, atCompany };
  const { body } = await post(`${running().issuer}/token`, codeForm(agent, running().issuer, code));
  return { claims: claimsOf((body as { access_token: string }).access_token), redirected: code.redirected, atCompany };
}

const refusedWith = ({ redirected }: Got): Record<string, string> => Object.fromEntries(redirected.searchParams);

describe('step-up at the authorization endpoint (RFC 9470 section 5)', () => {
  it('asks the company for the class that was asked for, and the token says what the company said', async () => {
    const { claims, atCompany } = await authorized(new Browser(), { acr_values: `${STRONG} urn:other` });
    expect(atCompany).toMatchObject([{ acr_values: `${STRONG} urn:other` }]);
    expect([claims['acr'], claims['amr']]).toEqual([STRONG, ['pwd', 'otp', 'mfa']]);
  });

  it('RFC 9470 §7: publishes the classes that there are', async () => {
    expect(await running().metadata()).toMatchObject({ acr_values_supported: [COMPANY_ACR, STRONG] });
  });

  it('has whoever is signed in by a weaker class sign in again, and not whoever has that class', async () => {
    const browser = new Browser();
    const weak = await authorized(browser, {});
    expect([weak.claims['acr'], weak.claims['amr'], weak.atCompany.length]).toEqual([COMPANY_ACR, ['pwd'], 1]);
    const stronger = await authorized(browser, { acr_values: STRONG });
    expect(stronger.atCompany).toMatchObject([{ acr_values: STRONG, prompt: 'login' }]);
    expect([stronger.claims['acr'], stronger.claims['sub']]).toEqual([STRONG, weak.claims['sub']]);
    const again = await authorized(browser, { acr_values: STRONG });
    expect([again.claims['acr'], again.claims['auth_time'], again.atCompany]).toEqual([
      STRONG,
      stronger.claims['auth_time'],
      [],
    ]);
  });

  it('answers unmet_authentication_requirements where the company gives none of the classes, and no code', async () => {
    const got = await authorized(new Browser(), { acr_values: 'urn:nobody:has:this' });
    expect(refusedWith(got)).toEqual({
      error: 'unmet_authentication_requirements',
      error_description: 'the sign-in is of none of the classes asked for',
      state: 'the state',
      iss: running().issuer,
    });
  });

  it('answers login_required to prompt=none where the sign-in is of a weaker class', async () => {
    const browser = new Browser();
    await authorized(browser, {});
    expect(refusedWith(await authorized(browser, { acr_values: STRONG, prompt: 'none' }))).toMatchObject({
      error: 'login_required',
    });
  });

  it('reads acr_values and max_age with the scope openid only', async () => {
    for (const name of ['acr_values', 'max_age'])
      expect(refusedWith(await authorized(new Browser(), { scope: 'files:read', [name]: '300' }))).toEqual({
        error: 'invalid_request',
        error_description: `openid scope must be requested when using the ${name} parameter`,
        state: 'the state',
        iss: running().issuer,
      });
  });

  it('carries max_age to the company, and auth_time is that of the new sign-in', async () => {
    const browser = new Browser();
    const before = await authorized(browser, {});
    await db?.database.prisma.$executeRawUnsafe(`
      UPDATE engine_record SET payload = jsonb_set(payload, '{loginTs}', to_jsonb((payload ->> 'loginTs')::int - 400))
      WHERE model = 'Session' AND payload ? 'loginTs'`);
    const old = await authorized(browser, {});
    expect([old.claims['auth_time'], old.atCompany]).toEqual([Number(before.claims['auth_time']) - 400, []]);
    const fresh = await authorized(browser, { max_age: '300' });
    expect(fresh.atCompany).toMatchObject([{ max_age: '300', prompt: 'login' }]);
    expect(Number(fresh.claims['auth_time'])).toBeGreaterThanOrEqual(Number(before.claims['auth_time']));
  });
});
