import { randomUUID } from 'node:crypto';
import { createServer, request as httpRequest, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { Fault } from '../../src/base/index.js';
import { close, listen } from '../support/company.js';
import { CANARY, expectNoSecret } from '../support/invariants.js';
import { COMPANY, startWorld, type World } from '../support/world.js';
import {
  answerOf,
  assertion,
  bearerAssertion,
  encodeForm,
  type Form,
  freePort,
  makeKey,
  type Reply,
  request,
} from '../support/writ.js';
import { change } from './sign-in.js';

const TOO_MANY = {
  error: 'temporarily_unavailable',
  error_description: 'too many requests; wait as long as Retry-After says',
};
const BROKEN: Form = { client_assertion: 'a.b.c' };

/** A world that a describe has for itself. */
function theWorld(env: Record<string, string>): () => World {
  let world: World | undefined;
  beforeAll(async () => {
    const port = await freePort();
    const here = { WRIT_ISSUER: `http://127.0.0.1:${port}`, WRIT_PORT: String(port) };
    world = await startWorld({ env: { ...here, ...env } });
  }, 60_000);
  afterAll(() => world?.close());
  return () => {
    if (world === undefined) throw new Error('it starts in beforeAll');
    return world;
  };
}

describe('RL-01 behind a proxy that is trusted', () => {
  const world = theWorld({ WRIT_TRUSTED_PROXIES: '127.0.0.1', WRIT_FAILURES_PER_NETWORK: '5' });
  const from = (address: string, form: Form = BROKEN): Promise<Reply> =>
    world().exchange(form, world().a1, { 'x-forwarded-for': address });

  it.each<[string, string[], string, string]>([
    [
      'an IPv6 /64 is one network, in whatever letters',
      ['2001:db8:1:2::1', '2001:DB8:1:2::2', '2001:db8:1:2:3:4:5:6', '2001:0db8:0001:0002::4', '2001:db8:1:2:ffff::'],
      '2001:db8:1:2:aaaa:bbbb:cccc:dddd',
      '2001:db8:1:3::1',
    ],
    [
      'an IPv4 address is the same as its mapped form',
      ['198.51.100.7', '::ffff:198.51.100.7', '::FFFF:198.51.100.7', '198.51.100.7', '::ffff:198.51.100.7'],
      '::ffff:198.51.100.7',
      '198.51.100.8',
    ],
  ])('RL-01 %s', async (_, failing, same, another) => {
    for (const address of failing) expect((await from(address)).status).toBe(401);
    const answer = await from(same, {});
    expect(answerOf(answer)).toEqual([429, TOO_MANY]);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect((await from(another, {})).status).toBe(200);
  });
});

describe('RL-02 a peer that is nobody’s proxy', () => {
  const world = theWorld({ WRIT_TRUSTED_PROXIES: '127.0.0.9', WRIT_FAILURES_PER_NETWORK: '5' });
  const VICTIM = '198.51.100.9';

  it('RL-02 is counted by itself, whatever it writes into X-Forwarded-For, and no harm to whom it names', async () => {
    const names = ['192.0.2.1', '192.0.2.2', VICTIM, `${VICTIM}, 127.0.0.9`, '::1'];
    for (const name of names) expect(await statusFrom('127.0.0.2', name, BROKEN)).toBe(401);
    for (const name of names) expect(await statusFrom('127.0.0.2', name, {})).toBe(429);
    expect(await statusFrom('127.0.0.9', VICTIM, {})).toBe(200);
    expect(await statusFrom('127.0.0.3', '127.0.0.2', {})).toBe(200);
  });

  async function statusFrom(localAddress: string, forwarded: string, changes: Form): Promise<number | undefined> {
    const body = encodeForm(await world().form(changes)).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded', 'x-forwarded-for': forwarded };
    return new Promise((resolve, reject) => {
      const options = { method: 'POST', localAddress, headers, agent: false };
      httpRequest(`${world().issuer}/token`, options, (answer) => {
        resolve(answer.resume().statusCode);
      })
        .on('error', reject)
        .end(body);
    });
  }
});

describe('a server under pressure', () => {
  const world = theWorld({});
  const PAST = 100_000;
  const inDatabase = async (sql: string): Promise<{ count: string }[]> => {
    const client = new pg.Client({ connectionString: world().config.databaseUrl });
    await client.connect();
    const { rows } = await client.query<{ count: string }>(sql);
    await client.end();
    return rows;
  };
  // A minute of 100,000 assertions, all of the past when it begins: the server's own purge has to find them.
  beforeAll(async () => {
    await inDatabase(
      `INSERT INTO replay (key, spender, expires_at)
       SELECT 'flood ' || n, 'a flood', clock_timestamp() - interval '10 minutes' FROM generate_series(1, ${PAST}) AS n`,
    );
  });

  it('RL-04 serves others while 500 senders are slow with headers or bodies, and ends those', async () => {
    const { hostname, port } = new URL(world().issuer);
    const head = `POST /token HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/x-www-form-urlencoded\r\n`;
    const ends: Promise<string>[] = [];
    const sockets: Socket[] = [];
    for (let at = 0; at < 500; at++) {
      const socket = connect(Number(port), hostname);
      sockets.push(socket);
      ends.push(whatItHears(socket));
      socket.write(at % 2 === 0 ? `${head}X-Slow: ` : `${head}Content-Length: 900\r\n\r\ngrant_type=`);
    }
    for (let turn = 0; turn < 20; turn++) expect((await world().exchange()).status).toBe(200);
    // One more byte now and then does not help.
    const drip = setInterval(() => {
      for (const socket of sockets) if (socket.writable) socket.write('x');
    }, 1_000);
    const heard = await Promise.all(ends);
    clearInterval(drip);
    expect(new Set(heard.map((text) => text.split('\r\n')[0]))).toEqual(new Set(['HTTP/1.1 408 Request Timeout']));
    expect((await world().exchange()).status).toBe(200);
  }, 60_000);

  const whatItHears = (socket: Socket): Promise<string> =>
    new Promise((resolve) => {
      let text = '';
      socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      socket
        .on('error', () => undefined)
        .on('close', () => {
          resolve(text);
        });
    });

  it.each(['/token', '/introspect', '/revoke', '/request', '/auth'])(
    'RL-04 a body that is cut off at %s is counted, and is no fault to tell an operator of',
    async (path) => {
      const { hostname, port } = new URL(world().issuer);
      const cut = async (): Promise<number> => {
        const { text } = await request(`${world().issuer}/metrics`, {});
        const line = `writ_request_duration_seconds_count{route="${path}",method="POST",status="cut"} `;
        return Number(text.split(line)[1]?.split(/\s/)[0] ?? 0);
      };
      const [before, told] = [await cut(), world().faults.length];
      const head = `POST ${path} HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/x-www-form-urlencoded\r\n`;
      for (let at = 0; at < 20; at++) {
        const socket = connect(Number(port), hostname).on('error', () => undefined);
        socket.write(`${head}Content-Length: 900\r\n\r\ngrant_type=`, () => {
          setTimeout(() => socket.resetAndDestroy(), at * 5);
        });
      }
      for (let waited = 0; (await cut()) < before + 20; waited += 50) {
        if (waited > 20_000) throw new Error(`of 20 cut off ${(await cut()) - before} were counted`);
        await pause(50);
      }
      expect((await world().exchange()).status).toBe(200);
      expect(world().faults.slice(told)).toEqual([]);
    },
    40_000,
  );

  it('RL-08 keeps serving while 200 secrets are tried at once, most of which are told to come back', async () => {
    const authorization = `Basic ${Buffer.from(`agt_a2:${CANARY}`).toString('base64')}`;
    const tries = Array.from({ length: 200 }, () => world().post('/introspect', { token: 'a.b.c' }, { authorization }));
    for (let turn = 0; turn < 10; turn++) expect((await world().exchange()).status).toBe(200);
    const answers = await Promise.all(tries);
    expectNoSecret(answers.map(({ text }) => text));
    const late = answers.filter(({ status }) => status === 503);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401, 503]));
    for (const { headers } of late) expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    const told = world().faults.filter((fault) => fault instanceof Fault && fault.code === 'overloaded');
    expect(told.length).toBeGreaterThan(0);
    expect(told.length).toBeLessThanOrEqual(late.length);
  }, 60_000);

  it('RL-05 forgets what can be shown no more, 100,000 rows of a minute included, and nothing else', async () => {
    const flooded = `SELECT count(*)::text AS count FROM replay WHERE spender = 'a flood'`;
    const alive = `SELECT count(*)::text AS count FROM replay WHERE expires_at > clock_timestamp()`;
    const client_assertion = await assertion(world().issuer, world().a2);
    const credentials = { ...(await bearerAssertion(world().issuer, world().a2)), client_assertion, token: 'a.b.c' };
    expect((await world().post('/introspect', credentials)).status).toBe(200);
    for (let waited = 0; (await inDatabase(flooded))[0]?.count !== '0'; waited += 500) {
      if (waited > 90_000) throw new Error('nothing was purged within 90 s');
      await pause(500);
    }
    expect(Number((await inDatabase(alive))[0]?.count)).toBeGreaterThan(0);
    expect((await world().post('/introspect', credentials)).status).toBe(401);
    // STANDARDS 10.8: an assertion lives for five minutes at most, so no row of it can stay for much longer.
    const [longest] = await inDatabase(
      `SELECT coalesce(max(extract(epoch FROM expires_at - clock_timestamp())), 0)::int::text AS count FROM replay`,
    );
    expect(Number(longest?.count)).toBeLessThanOrEqual(5 * 60 + 2 * 30);
  }, 120_000);
});

describe('RL-08 secrets of a client', () => {
  const world = theWorld({ WRIT_TRUSTED_PROXIES: '127.0.0.1', WRIT_REQUESTS_PER_CLIENT: '1' });
  let secret = '';
  beforeAll(async () => {
    await change(world(), 'agt_a2', (agent) => ({ ...agent, authentication: { method: 'client_secret_post' } }));
    const made = await world().admin('POST', '/agents/agt_a2/secret');
    ({ client_secret: secret } = made.body as { client_secret: string });
  });
  const claim = (path: string, from: string, client_secret: string, client_id = 'agt_a2'): Promise<Reply> =>
    world().post(
      path,
      { client_id, client_secret, token: 'x', grant_type: 'refresh_token', refresh_token: 'x', response_type: 'code' },
      { 'x-forwarded-for': from },
    );

  it.each(
    ['/introspect', '/token', '/revoke', '/request'].flatMap((path) => [
      [path, 'agt_a2'],
      [path, 'nobody'],
    ]),
  )('RL-08 at %s are checked no oftener than %s may ask from one network', async (path, client) => {
    const from = `192.0.2.${path.length}`;
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => claim(path, `${from}${client === 'nobody' ? '1' : ''}`, CANARY, client)),
    );
    const late = answers.filter(({ status }) => status === 429);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401, 429]));
    for (const { body, headers } of late) {
      expect(body).toEqual(TOO_MANY);
      expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    }
    expectNoSecret(answers.map(({ text }) => text));
  });

  it('RL-08 guessed at from elsewhere leave the client that knows it what it may ask', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => claim('/introspect', '192.0.2.99', CANARY)));
    expect(answers.map(({ status }) => status)).toContain(429);
    expect(answerOf(await claim('/introspect', '198.51.100.77', secret))).toEqual([200, { active: false }]);
  });
});

describe('RL-10 authorizations that strangers begin', () => {
  const world = theWorld({
    WRIT_TRUSTED_PROXIES: '127.0.0.1',
    WRIT_SIGN_INS_PER_NETWORK: '6',
    WRIT_SIGN_INS_PER_CLIENT: '15',
  });
  beforeAll(async () => {
    await change(world(), 'agt_a1', (agent) => ({ ...agent, redirect_uris: ['https://agent.example/callback'] }));
    await change(world(), 'agt_a2', (agent) => ({ ...agent, redirect_uris: ['https://agent.example/callback'] }));
  });
  const asked = (client_id: string): Record<string, string> => ({
    client_id,
    response_type: 'code',
    redirect_uri: 'https://agent.example/callback',
    code_challenge: 'x'.repeat(43),
    code_challenge_method: 'S256',
  });
  const begin = (from: string, client = 'agt_a1'): Promise<Reply> =>
    request(`${world().issuer}/auth?${new URLSearchParams(asked(client)).toString()}`, {
      headers: { 'x-forwarded-for': from },
      redirect: 'manual',
    });
  const kept = async (): Promise<number> => world().writ.database.prisma.engineRecord.count();
  const expectPage = ({ status, headers, text }: Reply, wanted: number, words: string): void => {
    expect([status, headers.get('content-type')]).toEqual([wanted, 'text/html; charset=utf-8']);
    expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(text).toContain(words);
  };

  it('RL-10 are bounded for a network, its pages too, and keep nothing past the bound', async () => {
    const answers: Reply[] = [];
    for (let at = 0; at < 12; at++) answers.push(await begin(`2001:db8::${at}`));
    expect(answers.slice(0, 6).map(({ status }) => status)).toEqual([303, 303, 303, 303, 303, 303]);
    const before = await kept();
    for (const answer of answers.slice(6)) expectPage(answer, 429, 'Too many sign-ins from your network');
    const uid = answers[0]?.headers.get('location')?.split('/').at(-1) ?? '';
    const page = await request(`${world().issuer}/interaction/${uid}`, {
      headers: { 'x-forwarded-for': '2001:db8::1' },
    });
    expectPage(page, 429, 'Too many sign-ins from your network');
    expect(await kept()).toBe(before);
    expect((await begin('2001:db8:0:1::1')).status).toBe(303);
  });

  it('RL-10 are bounded for a client, from however many networks, and those of another go on', async () => {
    const answers: Reply[] = [];
    for (let at = 0; at < 20; at++) answers.push(await begin(`203.0.113.${at}`));
    const late = answers.filter(({ status }) => status !== 303);
    expect(late.length).toBeGreaterThanOrEqual(5);
    for (const answer of late) expectPage(answer, 503, 'Too many people are signing in to this agent');
    expect(await kept()).toBeLessThanOrEqual(15);
    expect((await begin('203.0.113.99', 'agt_a2')).status).toBe(303);
  });
});

describe('RL-11 clients beside one another', () => {
  const world = theWorld({ WRIT_REQUESTS_PER_CLIENT: '5' });

  it('RL-11 answers one client while another asks for forty times its share', async () => {
    const flood = await Promise.all(Array.from({ length: 200 }, () => world().form()));
    const calm = await Promise.all(Array.from({ length: 8 }, () => bearerAssertion(world().issuer, world().rs1)));
    const flooding = flood.map((form) => world().post('/token', form));
    for (const credentials of calm) {
      const answer = await world().post('/introspect', { ...credentials, token: 'a.b.c' });
      expect(answerOf(answer)).toEqual([200, { active: false }]);
    }
    const answers = await Promise.all(flooding);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 429]));
    for (const { status, body } of answers) if (status === 429) expect(body).toEqual(TOO_MANY);
  }, 60_000);
});

describe('RL-07 keys by URL', () => {
  const world = theWorld({});
  let publisher: Server;
  let asked = 0;
  const keys = { '/agent': makeKey('agent'), '/company': makeKey('company') };
  beforeAll(async () => {
    publisher = createServer(({ url }, response) => {
      asked++;
      const { jwk } = url === '/agent' ? keys['/agent'] : keys['/company'];
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [jwk] }));
    });
    const base = await listen(publisher);
    const authentication = { method: 'private_key_jwt', jwks_uri: `${base}/agent` };
    await change(world(), 'agt_a2', (agent) => ({ ...agent, authentication }));
    const jwks_uri = `${base}/company`;
    await change(world(), COMPANY, (issuer) => ({ ...issuer, jwks: undefined, jwks_uri }), 'issuers');
  });
  afterAll(() => close(publisher));

  it('RL-07 are fetched once by each door in its cooldown, however many unknown keys are named', async () => {
    const unknown = (): Promise<string> =>
      assertion(world().issuer, { id: 'agt_a2', key: keys['/agent'] }, { header: { kid: randomUUID() } });
    const doors: [string, Form][] = [
      ['/token', {}],
      ['/introspect', { token: 'a.b.c' }],
      ['/token', { grant_type: 'refresh_token', refresh_token: 'x' }],
      ['/request', { response_type: 'code', client_id: 'agt_a2' }],
    ];
    for (let turn = 0; turn < 10; turn++) {
      for (const [path, more] of doors) {
        const answer = await world().post(path, {
          ...(await world().form({}, world().a2)),
          ...more,
          client_assertion: await unknown(),
        });
        expect([path, answer.status]).toEqual([path, 401]);
      }
    }
    // Our own routes remember keys together, and so do the engine's.
    expect(asked).toBeLessThanOrEqual(2);
    const before = asked;
    for (let turn = 0; turn < 20; turn++) {
      const subject_token = await world().personToken('alice', {}, { kid: randomUUID() });
      expect((await world().exchange({ subject_token })).status).toBe(400);
    }
    expect(asked - before).toBeLessThanOrEqual(1);
  });
});
