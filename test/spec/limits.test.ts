import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { hashSecret } from '../../src/client/index.js';
import { requestLimit } from '../../src/http/index.js';
import { freshDatabase, type TestDatabase } from '../support/databases.js';
import { assertionForm, refreshForm, startWrit, TestAgent, type Writ as EngineWrit } from '../support/engine.js';
import { startWorld, type World } from '../support/world.js';

const TOO_MANY = {
  error: 'temporarily_unavailable',
  error_description: 'too many requests; wait as long as Retry-After says',
};

describe('requests of one client', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ env: { WRIT_REQUESTS_PER_CLIENT: '5' } });
  });
  afterAll(() => world.close());

  it('are answered 429 with Retry-After past its rate, and spend and record nothing', async () => {
    const forms = await Promise.all(Array.from({ length: 60 }, () => world.form()));
    const answers = await Promise.all(forms.map((form) => world.post('/token', form)));
    const refused = answers.filter(({ status }) => status === 429);
    const served = answers.filter(({ status }) => status === 200);
    expect([served.length + refused.length, served.length >= 10, refused.length > 0]).toEqual([60, true, true]);
    for (const { body, headers } of refused) {
      expect(body).toEqual(TOO_MANY);
      expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect(headers.get('cache-control')).toBe('no-store');
    }
    const log = (await world.admin('GET', '/log?kind=exchange&limit=200')).body as { items: unknown[] };
    expect(log.items).toHaveLength(served.length);
    const late = forms[answers.findIndex(({ status }) => status === 429)] ?? {};
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect((await world.post('/token', late)).status).toBe(200);
  });

  it('leave those of another client alone', async () => {
    await Promise.all(Array.from({ length: 20 }, () => world.exchange()));
    const answer = await world.post('/introspect', { ...(await world.form({}, world.rs1)), token: 'x.y.z' });
    expect([answer.status, answer.body]).toEqual([200, { active: false }]);
  });
});

describe('requests of one client to the engine', () => {
  const secret = 'a secret of an agent that an administrator allowed';
  const agent = new TestAgent('agt_planner');
  const withSecret = new TestAgent('agt_secret', { authentication: { method: 'client_secret_post' } });
  let db: TestDatabase;
  let writ: EngineWrit;
  beforeAll(async () => {
    db = await freshDatabase('embedded');
    writ = await startWrit(db.database, { agents: [agent.registered], engine: { limits: requestLimit(5) } });
  });
  afterAll(async () => {
    await writ.stop();
    await db.drop();
  });

  const sent = async (form: () => Readonly<Record<string, string>>, path = '/token'): Promise<readonly number[]> => {
    const answers = await Promise.all(
      Array.from({ length: 60 }, () =>
        fetch(`${writ.issuer}${path}`, { method: 'POST', body: new URLSearchParams(form()) }),
      ),
    );
    const late = answers.filter(({ status }) => status === 429);
    for (const { headers } of late) expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    for (const answer of late) expect(await answer.json()).toEqual(TOO_MANY);
    return [answers.length - late.length, late.length];
  };
  const written = async (): Promise<readonly number[]> => {
    await new Promise((resolve) => setTimeout(resolve, 200));
    return [await db.database.prisma.replay.count(), await db.database.prisma.logLeaf.count()];
  };

  it('are answered 429 with Retry-After past its rate, and spend and record nothing', async () => {
    const refresh = (): Readonly<Record<string, string>> => refreshForm(agent, writ.issuer, 'unknown');
    const [served = 0, late] = await sent(refresh);
    expect([served >= 10, late]).toEqual([true, expect.any(Number)]);
    expect(late).toBeGreaterThan(0);
    expect(await written()).toEqual([served, served]);
    const [pushed = 0, tooMany] = await sent(() => assertionForm(agent, writ.issuer), '/request');
    expect(tooMany).toBeGreaterThan(0);
    expect(await written()).toEqual([served + pushed, served + pushed]);
  }, 20_000);

  it('are counted for each client alone, with a secret too', async () => {
    const secretIsSpent = { take: (client: string) => Promise.resolve(client === withSecret.id ? 7 : undefined) };
    const agents = [agent.registered, { ...withSecret.registered, secretHash: await hashSecret(secret) }];
    const limited = await startWrit(db.database, { agents, engine: { limits: secretIsSpent } });
    const send = (form: Record<string, string>): Promise<Response> =>
      fetch(`${limited.issuer}/token`, { method: 'POST', body: new URLSearchParams(form) });
    const form = { grant_type: 'refresh_token', refresh_token: 'x', client_id: withSecret.id, client_secret: secret };
    const late = await send(form);
    expect([late.status, late.headers.get('retry-after'), await late.json()]).toEqual([429, '7', TOO_MANY]);
    expect((await send({ ...form, client_secret: `${secret}!` })).status).toBe(401);
    expect((await send(refreshForm(agent, limited.issuer, 'x'))).status).toBe(400);
    await limited.stop();
  });
});

describe('failed authentications of one network', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ env: { WRIT_FAILURES_PER_NETWORK: '5' } });
  });
  afterAll(() => world.close());

  it('are answered 429 past the limit, on every route that takes credentials, and plain reading goes on', async () => {
    for (let failure = 0; failure < 5; failure++)
      expect((await world.exchange({ client_assertion: 'a.b.c' })).status).toBe(401);
    for (const path of ['/token', '/introspect', '/revoke', '/request']) {
      const answer = await world.post(path, await world.form());
      expect([path, answer.status, answer.body]).toEqual([path, 429, TOO_MANY]);
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    }
    expect((await world.admin('GET', '/agents')).status).toBe(429);
    expect((await fetch(`${world.issuer}/jwks`)).status).toBe(200);
  });

  it('keep their connection while their bodies are small, and lose it with a large one', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const sockets = new Set<unknown>();
    const send = (body: string, headers: Record<string, string> = {}): Promise<unknown[]> =>
      new Promise((resolve, reject) => {
        const type = { 'content-type': 'application/x-www-form-urlencoded', 'x-forwarded-for': '192.0.2.1' };
        const sent = request(`${world.issuer}/token`, { method: 'POST', agent, headers: { ...type, ...headers } });
        sent.on('error', reject).on('response', (answer) => {
          sockets.add(sent.socket);
          answer.resume().on('end', () => {
            resolve([answer.statusCode, answer.headers.connection]);
          });
        });
        sent.end(body);
      });
    for (let failure = 0; failure < 6; failure++) await world.exchange({ client_assertion: 'a.b.c' });
    for (let turn = 0; turn < 3; turn++) expect(await send('x='.padEnd(9_000, 'x'))).toEqual([429, 'keep-alive']);
    expect(sockets.size).toBe(1);
    expect(await send('x='.padEnd(65_537, 'x'))).toEqual([429, 'close']);
    expect(await send('x=1', { 'transfer-encoding': 'chunked' })).toEqual([429, 'close']);
    agent.destroy();
  });
});

describe('a connection that ends early', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
  });
  afterAll(() => world.close());

  const open = (bytes: string, then: (socket: Socket) => void = () => undefined): Promise<string> =>
    new Promise((resolve, reject) => {
      const { port } = new URL(world.issuer);
      const socket = connect({ host: '127.0.0.1', port: Number(port), allowHalfOpen: true });
      let heard = '';
      socket.on('data', (chunk) => (heard += chunk.toString('latin1')));
      socket.on('error', reject).on('end', () => {
        socket.destroy();
        resolve(heard);
      });
      socket.pause().write(bytes, 'latin1', () => {
        socket.resume();
        then(socket);
      });
    });
  const head = (path: string, length: number, type = 'application/x-www-form-urlencoded'): string =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`;

  it.each([
    ['/token', 413],
    ['/introspect', 413],
    ['/introspect?in=the-url', 400],
    ['/request', 413],
    ['/admin/v1/apply', 401],
    ['/nowhere', 404],
  ])('by our answer at %s (%i) lets a client that still sends see it', async (path, status) => {
    const length = 20_000_000;
    const answer = await open(head(path, length) + 'x'.repeat(length));
    expect(answer.split('\r\n')[0]).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer.toLowerCase()).toContain('connection: close');
  });

  it('by our answer ends although its client sends no more of what it announced', async () => {
    expect(await open(head('/token', 1_000_000))).toMatch(/^HTTP\/1.1 413 /);
  });

  it.each(['/token', '/introspect', '/request', '/auth', '/admin/v1/apply', '/nowhere'])(
    'by its client in the middle of a request to %s is no fault to tell of',
    async (path) => {
      await open(`${head(path, 100, path.startsWith('/admin') ? 'application/json' : undefined)}x=1`, (socket) => {
        socket.end();
      });
      expect(world.faults).toEqual([]);
    },
  );
});
