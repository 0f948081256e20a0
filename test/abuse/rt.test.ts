import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import pg from 'pg';
import { BOB } from '../support/company.js';
import { type Compiled, compileSource } from '../support/compiled.js';
import { expectNoSecret, expectRefused, recordsAfter, type Wanted } from '../support/invariants.js';
import { callText, post as call } from '../support/mcp.js';
import { spawnWrit, type WritProcess } from '../support/process.js';
import { RS1, RS2, tool, tools } from '../support/world.js';
import { ADMIN_TOKEN, answerOf, bearerAssertion, type Form, freePort, type Reply, sendForm } from '../support/writ.js';
import { startGuarded } from './guarded.js';
import {
  renewal,
  SHARED,
  startReplica,
  startSignInWorld,
  type SignInWorld,
  tokenOf,
  type Tokens,
  tokensOf,
} from './sign-in.js';

const offline = { scope: 'openid offline_access repo:read', prompt: 'consent' };
const INVALID_GRANT = [400, { error: 'invalid_grant', error_description: 'grant request is invalid' }];

let world: SignInWorld;
let replica: Awaited<ReturnType<typeof startReplica>>;
beforeAll(async () => {
  world = await startSignInWorld();
  replica = await startReplica(world);
}, 60_000);
afterAll(async () => {
  await replica.close();
  await world.close();
  expect(world.faults).toEqual([]);
});

const refused = (send: () => Promise<Reply>, wanted: Omit<Wanted, 'status'>): Promise<Reply> =>
  expectRefused(world, send, { status: 400, ...wanted });
const renew = async (token: string | undefined, by = world.a1): Promise<Reply> =>
  world.post('/token', await renewal(world, token, by));
const isActive = async (token: string, url = world.issuer): Promise<unknown> => {
  const form = { ...(await bearerAssertion(world.issuer, world.rs1)), token };
  return ((await sendForm(`${url}/introspect`, form)).body as { active: unknown }).active;
};
const begin = (parameters: Record<string, string> = offline): Promise<Tokens> => world.tokensFor(world.a1, parameters);
const sessionOf = (token: string): string => decodeJwt<{ writ: { session: string } }>(token).writ.session;
/** Statements past every server; the database is PostgreSQL wherever there is one. */
const inDatabase = async <T>(work: (client: pg.Client) => Promise<T>): Promise<T> => {
  const client = new pg.Client({ connectionString: world.config.databaseUrl });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
};
const badSubject = { error: 'invalid_request', description: 'subject_token is not acceptable' } as const;
const invalidGrant = {
  error: 'invalid_grant',
  description: 'grant request is invalid',
  reason: 'invalid_grant',
} as const;

/** Nothing that came of this consent is of use any more, at any node. */
async function expectFamilyDead({ access_token, refresh_token }: Tokens): Promise<void> {
  for (const url of [world.issuer, replica.url]) {
    expect(answerOf(await sendForm(`${url}/token`, await renewal(world, refresh_token)))).toEqual(INVALID_GRANT);
    const answer = await sendForm(`${url}/token`, await world.form({ subject_token: access_token }));
    expect(answerOf(answer)).toEqual([
      400,
      { error: 'invalid_request', error_description: 'subject_token is not acceptable' },
    ]);
  }
}

describe('RT-02 servers that die', () => {
  let compiled: Compiled;
  const started: WritProcess[] = [];
  beforeAll(() => {
    compiled = compileSource();
  });
  afterAll(() => {
    for (const { child } of started) child.kill('SIGKILL');
    compiled.remove();
  });
  const start = async (): Promise<string> => {
    const port = await freePort();
    const env = {
      ...SHARED,
      WRIT_ISSUER: world.issuer,
      WRIT_PORT: String(port),
      WRIT_ADMIN_TOKEN: ADMIN_TOKEN,
      WRIT_TRUST_DOMAIN: 'trust.example',
      WRIT_DATA_DIR: world.config.dataDir,
      DATABASE_URL: world.config.databaseUrl,
    };
    started.push(await spawnWrit(compiled, env));
    return `http://127.0.0.1:${port}`;
  };
  const killAll = async (): Promise<void> => {
    for (const process of started) {
      process.child.kill('SIGKILL');
      await process.exited();
    }
  };

  it('RT-02 know after they come back what was rotated, and end its family', async () => {
    const first = await begin();
    const [one] = [await start(), await start()];
    const second = tokensOf(await sendForm(`${one}/token`, await renewal(world, first.refresh_token)));
    await killAll();
    const again = await start();
    expect(answerOf(await sendForm(`${again}/token`, await renewal(world, first.refresh_token)))).toEqual(
      INVALID_GRANT,
    );
    expect(answerOf(await sendForm(`${again}/token`, await renewal(world, second.refresh_token)))).toEqual(
      INVALID_GRANT,
    );
    await expectFamilyDead(second);
    expectNoSecret(started.flatMap(({ out, err }) => [out(), err()]));
  }, 120_000);
});

describe('a refresh token', () => {
  it('RT-04 has no grace: used again it ends the family, however long its rotation took', async () => {
    const first = await begin();
    const answers = await inDatabase(async (client) => {
      await client.query('BEGIN');
      await client.query(`SELECT 1 FROM engine_record WHERE model = 'RefreshToken' FOR UPDATE`);
      const uses = [world.issuer, replica.url].map(async (url) =>
        sendForm(`${url}/token`, await renewal(world, first.refresh_token)),
      );
      await pause(1_500);
      await client.query('COMMIT');
      return Promise.all(uses);
    });
    const winners = answers.filter(({ status }) => status === 200);
    expect(winners.length).toBeLessThanOrEqual(1);
    for (const answer of answers) if (answer.status !== 200) expect(answerOf(answer)).toEqual(INVALID_GRANT);
    await expectFamilyDead(first);
    for (const winner of winners) await expectFamilyDead(tokensOf(winner));
  });

  it.each<[string, Form]>([
    ['an MCP server that the agent may call', { resource: RS1 }],
    ['one that it may not', { resource: RS2 }],
    ['a name that nobody has', { resource: 'https://nobody.example' }],
    ['no URI', { resource: 'x' }],
  ])('RT-05 buys nothing for %s, and stays good for what it is for', async (_, changes) => {
    const { refresh_token } = await begin();
    await refused(async () => world.post('/token', { ...(await renewal(world, refresh_token)), ...changes }), {
      error: 'invalid_target',
      reason: 'invalid_target',
    });
    expect((await renew(refresh_token)).status).toBe(200);
  });

  it('RT-05 of one agent is of no use to another, whoever else they sign in as, and ends with the attempt', async () => {
    const tokens = await begin();
    const bobs = await world.codeFor(world.a2, { ...offline, prompt: 'login consent' }, BOB);
    const others = tokensOf(await world.post('/token', await world.codeForm(bobs, world.a2)));
    expect(answerOf(await renew(tokens.refresh_token, world.a2))).toEqual(INVALID_GRANT);
    await expectFamilyDead(tokens);
    // Bob's own goes on, as bob.
    const next = tokenOf(await renew(others.refresh_token, world.a2));
    expect(decodeJwt(next).sub).toBe(decodeJwt(others.access_token).sub);
    await world.codeFor(world.a1, { prompt: 'login' });
  });
});

describe('a person who is gone', () => {
  it.each([
    ['disabled', `UPDATE person SET status = 'disabled' WHERE id = $1`],
    ['deleted', `DELETE FROM person WHERE id = $1`],
  ])('RT-07 and %s is acted for by nobody from then on, by whatever was issued before', async (how, statement) => {
    // Each time a person whom nobody else in this file needs.
    const subject_token = await world.personToken(`gone ${how}`);
    const handOver: Form = {
      subject_token,
      resource: undefined,
      audience: 'agt_a2',
      authorization_details: undefined,
      scope: 'repo:read',
    };
    const handed = tokenOf(await world.exchange(handOver));
    const minted = tokenOf(await world.exchange({ subject_token }));
    expect([await isActive(minted), await isActive(minted, replica.url)]).toEqual([true, true]);
    await inDatabase((client) => client.query(statement, [decodeJwt(minted).sub]));
    expect([await isActive(minted), await isActive(minted, replica.url)]).toEqual([false, false]);
    await refused(() => world.exchange({ subject_token: handed }, world.a2), {
      ...badSubject,
      reason: 'person_disabled',
    });
    const elsewhere = await sendForm(`${replica.url}/token`, await world.form({ subject_token: handed }, world.a2));
    expect(elsewhere.status).toBe(400);
  });

  it('RT-07 is renewed by no refresh token, redeems no code, and is not known to the browser any more', async () => {
    const code = await world.codeFor(world.a1, { ...offline, prompt: 'login consent' }, BOB);
    const tokens = tokensOf(await world.post('/token', await world.codeForm(code, world.a1)));
    const pending = await world.codeFor(world.a1, offline);
    const { sub } = decodeJwt(tokens.access_token);
    await inDatabase((client) => client.query(`UPDATE person SET status = 'disabled' WHERE id = $1`, [sub]));
    await refused(() => renew(tokens.refresh_token), invalidGrant);
    expect(answerOf(await world.post('/token', await world.codeForm(pending, world.a1)))).toEqual(INVALID_GRANT);
    await refused(() => world.exchange({ subject_token: tokens.access_token }), {
      ...badSubject,
      reason: 'person_disabled',
    });
    await expect(world.codeFor(world.a1)).rejects.toThrow('error=access_denied');
    await inDatabase((client) => client.query(`UPDATE person SET status = 'active' WHERE id = $1`, [sub]));
    await world.codeFor(world.a1, { prompt: 'login' });
  });
});

describe('a session', () => {
  it('RT-08 goes on when its token is renewed: at Writ, and in the middle of what an MCP server serves', async () => {
    const mcp = await startGuarded(world);
    const first = await begin();
    const authorization_details = tools(tool('read_file', {}, mcp.resource));
    const mint = async (subject_token: string): Promise<string> =>
      tokenOf(await world.exchange({ subject_token, resource: mcp.resource, authorization_details }));
    const before = await mint(first.access_token);
    const second = tokensOf(await renew(first.refresh_token));
    const after = await mint(second.access_token);
    expect(sessionOf(after)).toBe(sessionOf(before));
    for (const token of [before, after, before]) {
      const answer = await call(mcp.url, callText('read_file', '{"path":"/a"}'), { authorization: `Bearer ${token}` });
      expect(answer.status).toBe(200);
    }
    const sessions = mcp.ran.map(({ call: { delegation } }) => delegation.session);
    expect(new Set(sessions)).toEqual(new Set([sessionOf(before)]));
    await mcp.close();
  });

  it('RT-08 that an administrator ended does not come back by renewing', async () => {
    const first = await begin();
    const minted = tokenOf(await world.exchange({ subject_token: first.access_token }));
    expect((await world.admin('POST', `/sessions/${sessionOf(minted)}/end`, { reason: 'test' })).status).toBe(200);
    expect(await isActive(minted)).toBe(false);
    const second = tokensOf(await renew(first.refresh_token));
    await refused(() => world.exchange({ subject_token: second.access_token }), {
      error: 'transaction_denied',
      description: 'the agent session has ended; the person has to authorise again',
      reason: 'session_ended',
      sessionState: { status: 'ended', session: sessionOf(minted), reason: 'ended' },
    });
  });

  it('RT-10 what was revoked stays so, and a sign-in of the same second is as good as any', async () => {
    const old = await begin();
    const minted = tokenOf(await world.exchange({ subject_token: old.access_token }));
    const form = { ...(await bearerAssertion(world.issuer, world.a1)), token: old.refresh_token };
    expect((await world.post('/revoke', form)).status).toBe(200);
    const fresh = await begin();
    await expectFamilyDead(old);
    expect(await isActive(minted)).toBe(false);
    const renewed = tokenOf(await world.exchange({ subject_token: fresh.access_token }));
    expect(await isActive(renewed)).toBe(true);
    expect(sessionOf(renewed)).not.toBe(sessionOf(minted));
    expect(decodeJwt(renewed).sub).toBe(decodeJwt(minted).sub);
    expect((await renew(fresh.refresh_token)).status).toBe(200);
    expect((await recordsAfter(world, '0')).length).toBeGreaterThan(0);
  });
});
