import { beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { ACCESS_TOKEN, COMPANY, ownWorld } from '../support/world.js';
import { answerOf, type Reply, tokenOf } from '../support/writ.js';

const world = await ownWorld();
const { agentSession } = world.writ.database.prisma;
beforeAll(async () => {
  const company = {
    issuer: COMPANY,
    name: 'Company',
    jwks: { keys: [world.companyKey.jwk] },
    accepts: [{ token_type: ACCESS_TOKEN, typ: 'at+jwt' }],
    agents: [world.a1.id, world.a2.id, world.ax.id],
  };
  expect((await world.admin('POST', '/apply', { issuers: [company] })).status).toBe(200);
});

const now = (): number => Math.floor(Date.now() / 1000);
const exchange = async (person: string, claims: Record<string, unknown>, by = world.a1): Promise<Reply> =>
  world.exchange({ subject_token: await world.personToken(person, { client_id: by.id, ...claims }) }, by);
const claimsOf = (answer: Reply) => decodeJwt<{ sub: string; writ: { session: string } }>(tokenOf(answer));
const sessionOf = (answer: Reply): string => claimsOf(answer).writ.session;
const end = async (session: string): Promise<void> => {
  expect((await world.admin('POST', `/sessions/${session}/end`, { reason: 'INC-1' })).status).toBe(200);
};
const ended = (session: string): unknown => [
  400,
  {
    error: 'transaction_denied',
    error_description: 'the agent session has ended; the person has to authorise again',
    session_state: { status: 'ended', session, reason: 'ended' },
  },
];

describe('RT-08 the session of a person of a trusted issuer', () => {
  it('goes on with every new token of the same sign-in, and belongs to one agent', async () => {
    const first = await exchange('alice', { sid: 'one' });
    const [renewed, other, byAnother] = [
      await exchange('alice', { sid: 'one', jti: undefined }),
      await exchange('alice', { sid: 'two' }),
      await exchange('alice', { sid: 'one' }, world.a2),
    ];
    expect(sessionOf(renewed)).toBe(sessionOf(first));
    expect(new Set([first, other, byAnother].map(sessionOf)).size).toBe(3);
  });

  it('is one for all sign-ins where the issuer does not tell them apart', async () => {
    const answers = [await exchange('bob', { sid: undefined }), await exchange('bob', { sid: undefined })];
    expect(new Set(answers.map(sessionOf)).size).toBe(1);
    expect(sessionOf(await exchange('carol', { sid: undefined }))).not.toBe(answers.map(sessionOf)[0]);
  });

  it('that was ended is followed by another only for whoever signed in afterwards', async () => {
    const sid = 'dave-1';
    const signedInAt = now() - 60;
    const session = sessionOf(await exchange('dave', { sid, auth_time: signedInAt }));
    await end(session);
    await world.minutePasses();
    expect(answerOf(await exchange('dave', { sid }))).toEqual(ended(session));
    expect(answerOf(await exchange('dave', { sid, auth_time: signedInAt - 60 }))).toEqual(ended(session));
    const next = sessionOf(await exchange('dave', { sid, auth_time: now() }));
    expect(next).not.toBe(session);
    expect(sessionOf(await exchange('dave', { sid, auth_time: signedInAt }))).toBe(next);
    const { items } = (await world.admin('GET', `/log?session=${session}`)).body as { items: object[] };
    expect(items.length).toBeGreaterThanOrEqual(2);
    await end(next);
    await world.minutePasses();
    expect((await exchange('dave', { sid, auth_time: now() })).status).toBe(200);
  });

  it('that was ended is followed by another for a younger token where nothing else tells sign-ins apart', async () => {
    const session = sessionOf(await exchange('gina', { sid: undefined, iat: now() - 1 }));
    await end(session);
    await world.minutePasses();
    expect(answerOf(await exchange('gina', { sid: undefined, iat: now() - 61 }))).toEqual(ended(session));
    expect(sessionOf(await exchange('gina', { sid: undefined }))).not.toBe(session);
  });

  it.each([
    ['a token', 'helen', (at: number) => ({ sid: undefined, iat: at, nbf: now() })],
    ['a sign-in', 'henry', (at: number) => ({ sid: 'henry-1', iat: at, nbf: now(), auth_time: at })],
  ])(
    'that was ended is not opened again by %s of before, though its issuer is ahead of our clock',
    async (_, person, from) => {
      const brought = { ...from(now() + 28), jti: 'brought' };
      const session = sessionOf(await exchange(person, brought));
      await end(session);
      expect(answerOf(await exchange(person, brought))).toEqual(ended(session));
      expect(answerOf(await exchange(person, from(now() + 28)))).toEqual(ended(session));
    },
  );

  it('that was ended is not opened again by a sign-in that its own token puts after itself', async () => {
    const sid = 'ivan-1';
    const session = sessionOf(await exchange('ivan', { sid }));
    await end(session);
    expect(answerOf(await exchange('ivan', { sid, auth_time: now() + 86_400 }))).toEqual(ended(session));
  });

  it('that ended by its time is followed by another at once', async () => {
    const session = sessionOf(await exchange('erin', { sid: 'erin-1' }));
    await agentSession.update({ where: { id: session }, data: { idleUntil: new Date(Date.now() - 1_000) } });
    expect(sessionOf(await exchange('erin', { sid: 'erin-1' }))).not.toBe(session);
  });

  it('is no obstacle to somebody who was erased and comes again', async () => {
    const first = claimsOf(await exchange('fred', { sid: undefined }));
    expect((await world.admin('DELETE', `/persons/${first.sub}`)).status).toBe(200);
    await world.minutePasses();
    const again = claimsOf(await exchange('fred', { sid: undefined }));
    expect(again.sub).not.toBe(first.sub);
    expect(again.writ.session).not.toBe(first.writ.session);
  });
});
