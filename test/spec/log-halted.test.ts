import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { renewal, type SignInWorld, startSignInWorld } from '../abuse/sign-in.js';
import { aboutCall, ask } from '../support/authzen.js';
import { answersOf, outcomeOf, report } from '../support/outcomes.js';
import { RS1 } from '../support/world.js';
import { ADMIN_TOKEN, bearerAssertion, type Reply, request, tokenOf } from '../support/writ.js';

const OUTAGE = [503, { error: 'temporarily_unavailable', error_description: expect.any(String) }];
const answered = ({ status, body }: Reply): unknown => [status, body];

describe('a halted log', () => {
  let world: SignInWorld;
  const isReady = async (): Promise<boolean> => (await request(`${world.issuer}/readyz`, {})).status === 200;
  const run = (sql: string): Promise<number> => world.writ.database.prisma.$executeRawUnsafe(sql);
  const halt = async (): Promise<void> => {
    await run(`UPDATE log_tree SET halted = 'somebody halted it'`);
    while (await isReady()) await pause(50);
  };
  const goOn = async (): Promise<void> => {
    await run('UPDATE log_tree SET halted = NULL');
    while (!(await isReady())) await pause(50);
  };
  const leaves = (): Promise<number> => world.writ.database.prisma.logLeaf.count();
  const asRs1 = () => bearerAssertion(world.issuer, world.rs1);
  const introspect = async (token: string, more = {}): Promise<Reply> =>
    world.post('/introspect', { ...(await asRs1()), token, ...more });
  const nothingIsRecorded = async (by: () => Promise<Reply>): Promise<Reply> => {
    const before = await leaves();
    const answer = await by();
    expect([await leaves(), answer.headers.get('retry-after')]).toEqual([before, expect.stringMatching(/^[1-9]/)]);
    return answer;
  };

  beforeAll(async () => {
    world = await startSignInWorld();
  }, 120_000);
  afterAll(async () => {
    await world.close();
    for (const fault of world.faults) expect(fault).toMatchObject({ code: 'log_inconsistent' });
  });
  beforeEach(async () => {
    if (!(await isReady())) await goOn();
  });

  it('gives no token by exchange, and none to an agent for a person, whose code and refresh token stay good', async () => {
    const { refresh_token } = await world.tokensFor(world.a1, {
      scope: 'openid offline_access repo:read',
      prompt: 'consent',
    });
    const form = await world.codeForm(await world.codeFor(world.a1), world.a1);
    await halt();
    expect(answered(await nothingIsRecorded(() => world.exchange()))).toEqual(OUTAGE);
    expect(answered(await nothingIsRecorded(() => world.post('/token', form)))).toEqual(OUTAGE);
    const renew = async (): Promise<Reply> => world.post('/token', await renewal(world, refresh_token));
    expect(answered(await nothingIsRecorded(renew))).toEqual(OUTAGE);
    await goOn();
    const again = { ...form, ...(await bearerAssertion(world.issuer, world.a1)) };
    expect((await world.post('/token', again)).status).toBe(200);
    expect((await renew()).status).toBe(200);
  }, 60_000);

  it('tells whether a token is alive, and gives no use of it', async () => {
    const token = tokenOf(await world.exchange());
    await halt();
    expect((await introspect(token)).body).toMatchObject({ active: true });
    const consume = (): Promise<Reply> => introspect(token, { consume: 'read_file' });
    expect(answered(await nothingIsRecorded(consume))).toEqual(OUTAGE);
    await goOn();
    expect((await consume()).body).toMatchObject({ active: true });
  });

  it('answers no question of an enforcement point (AuthZEN)', async () => {
    const { sub = '' } = decodeJwt(tokenOf(await world.exchange()));
    const evaluate = (): Promise<Reply> => ask(world, 'evaluation', aboutCall(sub, 'read_file'), world.rs1);
    expect((await evaluate()).status).toBe(200);
    await halt();
    expect((await nothingIsRecorded(evaluate)).status).toBe(503);
  });

  it('still ends what has to end, at once, and says so of it: tokens, sessions, agents', async () => {
    const token = tokenOf(await world.exchange());
    const other = tokenOf(await world.exchange({ subject_token: await world.personToken('bob'), resource: RS1 }));
    await halt();
    const asA1 = await bearerAssertion(world.issuer, world.a1);
    expect((await world.post('/revoke', { ...asA1, token })).status).toBe(200);
    const { writ } = decodeJwt<{ writ: { session: string } }>(other);
    expect((await world.admin('POST', `/sessions/${writ.session}/end`, { reason: 'incident' })).status).toBeLessThan(
      300,
    );
    expect((await introspect(token)).body).toEqual({ active: false });
    expect((await introspect(other)).body).toEqual({ active: false });
    const path = `/agents/${world.a2.id}`;
    const { has_secret, ...agent } = (await world.admin('GET', path)).body as Record<string, unknown>;
    expect(has_secret).toBe(false);
    expect((await world.admin('PUT', path, { ...agent, status: 'disabled' })).status).toBe(200);
    // Each of the three is recorded, waits, and comes into the tree with what is minted afterwards behind it.
    const waiting = await world.writ.database.prisma.$queryRawUnsafe<{ kind: string }[]>(
      'SELECT kind FROM log_leaf JOIN log_pending ON leaf_id = id ORDER BY id',
    );
    expect(waiting.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['revocation', 'session', 'registry']));
    await goOn();
    while ((await world.writ.database.prisma.logPending.count()) > 0) await pause(50);
  });

  it('takes in what became of calls, and is read', async () => {
    const token = tokenOf(await world.exchange());
    await halt();
    const [answer] = answersOf(await report(world, [outcomeOf(token)], world.rs1));
    expect(answer).toMatchObject({ result: 'recorded' });
    const events = await request(`${world.issuer}/audit/v1/events`, {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    expect(events.status).toBe(200);
  });
});
