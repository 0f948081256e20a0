import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { keepSessionLife, sessionClosesAfter } from '../../src/audit/index.js';
import { systemClock } from '../../src/base/index.js';
import { createAgent } from '../../src/sdk/agent/index.js';
import { PrivateJwk } from '../../src/protocol/index.js';
import { openSessionLife } from '../../src/storage/index.js';
import { ownWorld, RS1 } from '../support/world.js';
import { bearerAssertion, tokenOf } from '../support/writ.js';

const world = await ownWorld();
const { prisma } = world.writ.database;

const sessionOf = (token: string): string => decodeJwt<{ writ: { session: string } }>(token).writ.session;
const act = (session: string, what: string, body?: object): ReturnType<typeof world.admin> =>
  world.admin('POST', `/sessions/${session}/${what}`, body);
const shown = async (session: string): Promise<unknown> => (await world.admin('GET', `/sessions/${session}`)).body;
const isActive = async (token: string): Promise<unknown> => {
  const form = { ...(await bearerAssertion(world.issuer, world.rs1)), token };
  return ((await world.post('/introspect', form)).body as { active: unknown }).active;
};

describe('a paused session', () => {
  it('mints nothing and its tokens are dead; resumed it mints again, and what is older stays dead', async () => {
    const subject_token = await world.personToken('alice');
    const token = tokenOf(await world.exchange({ subject_token }));
    const session = sessionOf(token);
    expect((await act(session, 'pause', { reason: 'INC-4711', seconds: 600 })).status).toBe(200);
    const refused = await world.exchange({ subject_token });
    const { resets_at } = (refused.body as { session_state: { resets_at: number } }).session_state;
    expect([refused.status, refused.body]).toEqual([
      400,
      {
        error: 'transaction_denied',
        error_description: 'the agent session is paused; try again when it is resumed',
        session_state: { status: 'paused', session, reason: 'INC-4711', resets_at },
      },
    ]);
    expect(resets_at - systemClock.now()).toBeGreaterThan(500);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(500);
    expect(await isActive(token)).toBe(false);
    await act(session, 'resume');
    const again = tokenOf(await world.exchange({ subject_token }));
    expect([sessionOf(again), await isActive(again), await isActive(token)]).toEqual([session, true, false]);
  });

  it('is told to the agent’s program as what it is, never as a crash', async () => {
    const subjectToken = await world.personToken('bob');
    const jwk = PrivateJwk.parse({
      ...world.a1.key.privateKey.export({ format: 'jwk' }),
      kid: world.a1.key.jwk.kid,
      alg: 'ES256',
    });
    const agent = createAgent({ issuer: world.issuer, clientId: world.a1.id, key: jwk });
    const wish = { resource: RS1, subjectToken, tools: [{ name: 'read_file', arguments: { path: '/a' } }] };
    const session = sessionOf((await agent.exchange(wish)).accessToken);
    await act(session, 'pause', { reason: 'lunch' });
    await expect(agent.exchange(wish)).rejects.toMatchObject({
      name: 'AgentError',
      code: 'transaction_denied',
      session: { status: 'paused', session, reason: 'lunch' },
    });
    await act(session, 'end', { reason: 'over' });
    await expect(agent.exchange(wish)).rejects.toMatchObject({
      code: 'transaction_denied',
      session: { status: 'ended', session, reason: 'ended' },
    });
  });

  it('is resumed by itself when its time is over, also when nobody asks', async () => {
    const subject_token = await world.personToken('carol');
    const session = sessionOf(tokenOf(await world.exchange({ subject_token })));
    await act(session, 'pause', { reason: 'rest', seconds: 60 });
    await prisma.agentSession.update({ where: { id: session }, data: { resumesAt: new Date(Date.now() - 1_000) } });
    await keepSessionLife(openSessionLife(world.writ.database, sessionClosesAfter(world.config)), systemClock);
    expect(await shown(session)).toMatchObject({ status: 'active', paused_at: null, last_sequence: 3 });
    const { items } = (await world.admin('GET', `/log?session=${session}`)).body as { items: object[] };
    expect(items.at(-1)).toMatchObject({
      facts: { what: 'resumed', by: 'writ' },
      outcome: { decision: 'done', reason: 'time', session, sequence: 3 },
    });
  });
});

describe('a session', () => {
  it('that is unused for too long ends by itself, and the next exchange of the run opens another', async () => {
    const subject_token = await world.personToken('dave');
    const session = sessionOf(tokenOf(await world.exchange({ subject_token })));
    await prisma.agentSession.update({ where: { id: session }, data: { idleUntil: new Date(Date.now() - 1_000) } });
    await keepSessionLife(openSessionLife(world.writ.database, sessionClosesAfter(world.config)), systemClock);
    expect(await shown(session)).toMatchObject({ status: 'ended', ended_by: 'writ', ended_reason: 'idle' });
    expect(sessionOf(tokenOf(await world.exchange({ subject_token })))).not.toBe(session);
  });

  it('keeps what it was opened for, and what it is below', async () => {
    const subject_token = await world.personToken('erin');
    const request_details = JSON.stringify({ task: 'T-1', purpose: 'publish-report' });
    const wide = { resource: undefined, audience: 'agt_a2', authorization_details: undefined, scope: 'repo:read' };
    const handed = tokenOf(await world.exchange({ subject_token, ...wide, request_details }));
    const below = tokenOf(await world.exchange({ subject_token: handed }, world.a2));
    expect(await shown(sessionOf(handed))).toMatchObject({ agent: 'agt_a1', parent: null, purpose: 'publish-report' });
    expect(await shown(sessionOf(below))).toMatchObject({ agent: 'agt_a2', parent: sessionOf(handed) });
    await act(sessionOf(handed), 'pause', { reason: 'INC' });
    expect(await isActive(below)).toBe(false);
    expect((await world.exchange({ subject_token: handed }, world.a2)).body).toMatchObject({
      session_state: { status: 'paused', session: sessionOf(below), reason: 'INC' },
    });
  });
});
