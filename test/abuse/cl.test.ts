import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { Writ } from '../../src/server.js';
import { expectRefused, type Wanted } from '../support/invariants.js';
import { type Client, startWorld, tool, tools, type World } from '../support/world.js';
import {
  assertion,
  bearerAssertion,
  type Form,
  freePort,
  type Reply,
  request,
  sendForm,
  tokenOf,
} from '../support/writ.js';
import { assertionClaims, seconds } from './forge.js';
import { SHARED, startNode } from './sign-in.js';

const TYPE = 'urn:ietf:params:oauth:token-type:';
const BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const HOUR = 3_600;
const OUTAGE = {
  error: 'temporarily_unavailable',
  error_description: 'something that Writ depends on is down; try again',
};

let world: World;
const nodes: Writ[] = [];
beforeAll(async () => {
  world = await startWorld({ env: SHARED });
}, 60_000);
afterAll(async () => {
  for (const node of nodes) await node.close();
  await world.close();
});

/** Another process on the same database, whose clock is wrong by this many seconds; `set` turns it. */
async function nodeAt(ahead: number): Promise<Readonly<{ url: string; set(ahead: number): void }>> {
  const port = await freePort();
  let wrongBy = ahead;
  nodes.push(await startNode(world, { port, clock: { now: () => seconds() + wrongBy } }));
  return {
    url: `http://127.0.0.1:${port}`,
    set: (next) => {
      wrongBy = next;
    },
  };
}

const by = async (client: Client, claims: Record<string, unknown> = {}): Promise<Form> => ({
  client_assertion_type: BEARER,
  client_assertion: await assertion(world.issuer, client, { claims }),
});
const ask = async (url: string, token: string, claims?: Record<string, unknown>, more: Form = {}): Promise<Reply> =>
  sendForm(`${url}/introspect`, { ...(await by(world.rs1, claims)), token, ...more });
const refused = (send: () => Promise<Reply>, wanted: Omit<Wanted, 'status'>): Promise<Reply> =>
  expectRefused(world, send, { status: wanted.error === 'invalid_client' ? 401 : 400, ...wanted });
const actor = async (claims: Record<string, unknown>): Promise<Form> => ({
  actor_token_type: `${TYPE}jwt`,
  actor_token: await assertion(world.issuer, world.a1, { claims, header: { typ: undefined } }),
});
const isSoundOutage = ({ status, body, headers }: Reply): unknown[] => [status, body, headers.get('retry-after')];

describe('CL-01 clocks that differ a little', () => {
  const early = (by: number): Record<string, unknown> => ({ iat: seconds() + by, exp: seconds() + by + 60 });

  it.each([8, 25])('CL-01 by %i s change nothing, at every door', async (ahead) => {
    const doors = [
      world.exchange(await by(world.a1, { ...early(ahead), nbf: seconds() + ahead })),
      world.exchange({ subject_token: await world.personToken('alice', { ...early(ahead), nbf: seconds() + ahead }) }),
      world.exchange(await actor(early(ahead))),
      ask(world.issuer, 'a.b.c', { ...early(ahead), nbf: seconds() + ahead }),
    ];
    for (const answer of await Promise.all(doors))
      expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
  });

  it.each(['iat', 'nbf'])('CL-01 by 61 s in %s refuse an assertion', async (claim) => {
    const claims = { exp: seconds() + 120, [claim]: seconds() + 61 };
    await refused(async () => world.exchange(await by(world.a1, claims)), {
      error: 'invalid_client',
      description: 'client authentication failed',
      reason: 'assertion_expired',
      unauthenticated: true,
    });
  });

  it.each(['iat', 'nbf'])('CL-01 by 61 s in %s refuse a subject token', async (claim) => {
    const subject_token = await world.personToken('alice', { [claim]: seconds() + 61 });
    await refused(() => world.exchange({ subject_token }), { error: 'invalid_request', reason: 'subject_invalid' });
  });

  it('CL-01 by 61 s in iat refuse an actor token', async () => {
    const claims = { iat: seconds() + 61, exp: seconds() + 121 };
    await refused(async () => world.exchange(await actor(claims)), {
      error: 'invalid_request',
      reason: 'actor_invalid',
    });
  });
});

describe('a process whose clock jumps', () => {
  it('CL-02 two hours back answers nothing until it is right, and takes no credential a second time', async () => {
    const node = await nodeAt(-2 * HOUR);
    const past = {
      ...assertionClaims(world.issuer, world.rs1),
      iat: seconds() - 2 * HOUR,
      exp: seconds() - 2 * HOUR + 60,
    };
    const used = await world.form();
    expect((await world.post('/token', used)).status).toBe(200);
    for (const again of [used, await world.form()]) {
      const answer = await sendForm(`${node.url}/token`, again);
      // Made in its future, or no longer believed: never a token.
      expect([401, 503]).toContain(answer.status);
    }
    for (let n = 0; n < 2; n++) {
      const answer = await ask(node.url, 'a.b.c', past);
      expect(isSoundOutage(answer)).toEqual([503, OUTAGE, '1']);
    }
    node.set(0);
    expect(await sendForm(`${node.url}/token`, used)).toMatchObject({ status: 401, body: { error: 'invalid_client' } });
    expect((await ask(node.url, 'a.b.c')).status).toBe(200);
  });

  it('CL-02 one that starts with the clock of two hours ago takes no token for alive that is over', async () => {
    const over = tokenOf(
      await world.exchange({ subject_token: await world.personToken('alice', { exp: seconds() + 2 }) }),
    );
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    const node = await nodeAt(-2 * HOUR);
    const then = { iat: seconds() - 2 * HOUR, exp: seconds() - 2 * HOUR + 60 };
    for (const more of [{}, { consume: 'read_file' }])
      expect(isSoundOutage(await ask(node.url, over, then, more))).toEqual([503, OUTAGE, '1']);
    expect((await ask(world.issuer, over)).body).toEqual({ active: false });
  });

  it('CL-04 a day ahead refuses or is out of order, ends nothing for others, and is well again', async () => {
    const node = await nodeAt(0);
    const token = tokenOf(await world.exchange());
    expect((await ask(node.url, token)).body).toMatchObject({ active: true });
    node.set(24 * HOUR);
    const later = { iat: seconds() + 24 * HOUR, exp: seconds() + 24 * HOUR + 60 };
    expect(isSoundOutage(await ask(node.url, token, later))).toEqual([503, OUTAGE, '1']);
    expect((await sendForm(`${node.url}/token`, await world.form())).status).toBe(401);
    const form = {
      ...(await world.form(await by(world.a1, later))),
      subject_token: await world.personToken('alice', later),
    };
    expect(isSoundOutage(await sendForm(`${node.url}/token`, form))).toEqual([503, OUTAGE, '1']);
    expect((await request(`${node.url}/livez`, {})).status).toBe(200);
    expect((await ask(world.issuer, token)).body).toMatchObject({ active: true });
    node.set(0);
    expect((await sendForm(`${node.url}/token`, await world.form())).status).toBe(200);
  });

  it('CL-08 that stood still while others went on decides nothing by its own time', async () => {
    const node = await nodeAt(0);
    const form = await world.form();
    // What is left to a process that slept for five minutes before it looks at the clock again.
    node.set(-300);
    expect([401, 503]).toContain((await sendForm(`${node.url}/token`, form)).status);
    const then = { iat: seconds() - 300, exp: seconds() - 240 };
    expect(isSoundOutage(await ask(node.url, 'a.b.c', then))).toEqual([503, OUTAGE, '1']);
  });
});

describe('CL-05 processes that disagree by as much as they may', () => {
  it('CL-05 let a credential be used once by all of them together', async () => {
    const [behind, ahead] = [await nodeAt(-25), await nodeAt(25)];
    for (let round = 0; round < 10; round++) {
      const form = { ...(await bearerAssertion(world.issuer, world.rs1)), token: 'a.b.c' };
      const answers = await Promise.all([behind, ahead].map(({ url }) => sendForm(`${url}/introspect`, form)));
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 401]);
    }
  });

  it('CL-05 let one token have its one use, and one end', async () => {
    const [behind, ahead] = [await nodeAt(-25), await nodeAt(25)];
    const token = tokenOf(await world.exchange({ authorization_details: tools(tool('write_file')) }));
    const answers = await Promise.all([behind, ahead].map(({ url }) => ask(url, token, {}, { consume: 'write_file' })));
    expect(answers.map(({ body }) => (body as { active: boolean }).active).sort()).toEqual([false, true]);
  });

  it('CL-05 forget nothing that another may still be shown', async () => {
    const { databaseUrl } = world.config;
    if (databaseUrl === undefined) return;
    const { openEngineStore, openDatabase } = await import('../../src/storage/index.js');
    const database = await openDatabase({ url: databaseUrl, dataDir: '' });
    const store = openEngineStore(database);
    const key = randomUUID();
    await store.spend(key, seconds() + 90);
    await store.prune(seconds() + HOUR);
    expect(await store.spend(key, seconds() + 90)).toBe(false);
    await database.close();
  });
});

describe('CL-07 numbers of seconds', () => {
  it.each<[string, number]>([
    ['after January 2038', 2_147_483_648 + 86_400],
    ['after February 2106', 4_294_967_296 + 86_400],
    ['at the end of the year 9999', 253_402_300_799],
  ])('CL-07 an end %s is an end like any other', async (_, exp) => {
    const answer = await world.exchange({ subject_token: await world.personToken('alice', { exp }) });
    expect([answer.status, answer.body]).toMatchObject([200, { expires_in: 180 }]);
  });

  it.each<[string, Record<string, unknown>]>([
    ['milliseconds as exp', { exp: (seconds() + 600) * 1_000 }],
    ['milliseconds as iat', { iat: seconds() * 1_000 }],
    ['a fraction as exp', { exp: seconds() + 600.5 }],
    ['a fraction as nbf', { nbf: seconds() - 0.5 }],
    ['a text as exp', { exp: String(seconds() + 600) }],
    ['a negative exp', { exp: -1 }],
    ['a date as exp', { exp: '2099-01-01T00:00:00Z' }],
  ])('CL-07 %s is refused', async (_, claims) => {
    const subject_token = await world.personToken('alice', claims);
    await refused(() => world.exchange({ subject_token }), { error: 'invalid_request', reason: 'subject_invalid' });
  });

  it('CL-07 are whole in everything that Writ signs and says', async () => {
    const reply = await world.exchange();
    const numbers = JSON.stringify([
      reply.body,
      JSON.parse(Buffer.from(tokenOf(reply).split('.')[1] ?? '', 'base64url').toString()),
    ]);
    expect(numbers).not.toMatch(/:\d+\.\d/);
  });
});

it('CL-04 a session ends by the clock of the database, whatever ours says', async () => {
  const { databaseUrl } = world.config;
  const subject_token = await world.personToken('alice');
  const token = tokenOf(await world.exchange({ subject_token }));
  expect((await ask(world.issuer, token)).body).toMatchObject({ active: true });
  if (databaseUrl === undefined) return;
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query(`UPDATE agent_session SET expires_at = clock_timestamp() - interval '1 second'`);
  await client.end();
  expect((await ask(world.issuer, token)).body).toEqual({ active: false });
});
