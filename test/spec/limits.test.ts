import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
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
    const forms = await Promise.all(Array.from({ length: 30 }, () => world.form()));
    const answers = await Promise.all(forms.map((form) => world.post('/token', form)));
    const refused = answers.filter(({ status }) => status === 429);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(10);
    expect(refused).toHaveLength(20);
    for (const { body, headers } of refused) {
      expect(body).toEqual(TOO_MANY);
      expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect(headers.get('cache-control')).toBe('no-store');
    }
    const log = (await world.admin('GET', '/log?kind=exchange&limit=200')).body as { items: unknown[] };
    expect(log.items).toHaveLength(10);
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
});
