import { describe, expect, it } from '@jest/globals';
import { Authenticator, type Misdeed, passkeyOptions } from '../support/authenticator.js';
import { Browser, type Seen } from '../support/browser.js';
import { authorizationOf, startLocalWorld } from '../support/local-world.js';

const world = await startLocalWorld();
const place = `${world.issuer}/approvals`;
const titleOf = ({ body }: Seen): string | undefined => /<h1>([^<]*)<\/h1>/.exec(body)?.[1];
const alertOf = ({ body }: Seen): string | undefined => /role="alert"[^>]*>\s*([^<]*?)\s*</.exec(body)?.[1];

const STALE = 'That took too long, or belongs to another browser. Please try again.';
const NOT_GOOD = 'This passkey is not good here. Use another one, or ask your administrator for a new link.';

async function enrolled(): Promise<Readonly<{ passkey: Authenticator; person: string }>> {
  const { body } = await world.admin('POST', '/persons', { name: 'Ada Lovelace', email: 'ada@example.com' });
  const { link, id } = body as { link: string; id: string };
  const [browser, passkey] = [new Browser(), new Authenticator()];
  const page = await browser.get(link);
  await browser.submit(page, { answer: passkey.create(world.issuer, passkeyOptions(page.body)) });
  return { passkey, person: id };
}

const answer = (passkey: Authenticator, page: Seen, misdeed?: Misdeed): Readonly<{ answer: string }> => ({
  answer: passkey.get(world.issuer, passkeyOptions(page.body), misdeed),
});

describe('signing in at /approvals by passkey', () => {
  it('leads to the place of whoever opens it, within the policy that allows one script', async () => {
    const { passkey } = await enrolled();
    const browser = new Browser();
    const shown = await browser.get(place);
    expect(shown.headers.get('content-security-policy')).toMatch(
      /frame-ancestors 'none'; script-src 'sha256-[^']+'; require-trusted-types-for 'script'$/,
    );
    const done = await browser.submit(shown, answer(passkey, shown));
    expect([done.url, done.status, titleOf(done)]).toEqual([place, 200, 'Approvals']);
    expect(done.body).toContain('Ada Lovelace');
    expect(done.body).toContain('No agent has anything under way in your name.');
    expect(done.body).not.toContain('data-passkey');
  });

  it('keeps what the passkey proved: its class, its methods (RFC 8176) and when', async () => {
    const { passkey, person } = await enrolled();
    const browser = new Browser();
    const shown = await browser.get(place);
    const before = Math.floor(Date.now() / 1000);
    await browser.submit(shown, answer(passkey, shown));
    const [kept] = await world.writ.database.prisma.$queryRawUnsafe<{ payload: Record<string, unknown> }[]>(
      `SELECT payload FROM engine_record WHERE payload ->> 'accountId' = '${person}' AND payload ? 'verifiedAt'`,
    );
    expect(kept?.payload).toMatchObject({ acr: 'phr', amr: ['pop', 'user', 'mfa'] });
    expect(Number(kept?.payload['verifiedAt'])).toBeGreaterThanOrEqual(before);
  });

  it('takes no challenge that was made for another browser, nor one twice (AZ-16)', async () => {
    const { passkey } = await enrolled();
    const [mine, victim] = [new Browser(), new Browser()];
    const [shown, theirs] = [await mine.get(place), await victim.get(place)];
    const proof = answer(passkey, shown);
    const foreign = await victim.submit(theirs, proof);
    expect([foreign.status, titleOf(foreign)]).toEqual([400, 'Sign in to Writ']);
    expect(alertOf(foreign)).toBe(STALE);
    expect((await mine.submit(shown, proof)).status).toBe(400);
    expect(titleOf(await victim.get(place))).toBe('Sign in to Writ');
  });

  it.each<[string, Misdeed, string]>([
    ['without user verification', { isVerified: false }, NOT_GOOD],
    ['at another origin', { origin: 'https://evil.example' }, NOT_GOOD],
    ['from within a frame of somebody else', { crossOrigin: true }, STALE],
  ])('is refused %s', async (_what, misdeed, said) => {
    const { passkey } = await enrolled();
    const browser = new Browser();
    const shown = await browser.get(place);
    const refused = await browser.submit(shown, answer(passkey, shown, misdeed));
    expect([refused.status, titleOf(refused)]).toEqual([400, 'Sign in to Writ']);
    expect(alertOf(refused)).toBe(said);
    expect(titleOf(await browser.get(place))).toBe('Sign in to Writ');
  });

  it('is refused by the passkey of somebody for whom a company vouches: it alone says who is still there', async () => {
    const { passkey, person } = await enrolled();
    await world.rows(`UPDATE person SET issuer = 'https://company.example' WHERE id = '${person}' RETURNING id`);
    const browser = new Browser();
    const shown = await browser.get(place);
    const refused = await browser.submit(shown, answer(passkey, shown));
    expect([refused.status, titleOf(refused), alertOf(refused)]).toEqual([400, 'Sign in to Writ', NOT_GOOD]);
    const link = (await authorizationOf(world)).link;
    const interaction = await browser.get(link);
    const again = await browser.submit(interaction, answer(passkey, interaction));
    expect([again.status, titleOf(again)]).toEqual([400, 'Sign in']);
  });

  it('is refused to a person who was erased, whose session ends too', async () => {
    const { passkey, person } = await enrolled();
    const browser = new Browser();
    const shown = await browser.get(place);
    await browser.submit(shown, answer(passkey, shown));
    expect(titleOf(await browser.get(place))).toBe('Approvals');
    expect((await world.admin('DELETE', `/persons/${person}`)).status).toBeLessThan(300);
    const after = await browser.get(place);
    expect(titleOf(after)).toBe('Sign in to Writ');
    expect((await browser.submit(after, answer(passkey, after))).status).toBe(400);
  });
});
