import { createServer } from 'node:http';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import Koa from 'koa';
import { systemClock } from '../../src/base/index.js';
import { OwnSessions } from '../../src/human/index.js';
import { openEngineStore } from '../../src/storage/index.js';
import { close, listen } from '../support/company.js';
import { describeDatabases } from '../support/databases.js';
import { request } from '../support/writ.js';

describeDatabases('RFC 6265bis section 4.1.3.2: the cookie of /approvals behind a proxy that ends TLS', (database) => {
  const koa = new Koa();
  const server = createServer((incoming, outgoing) => void koa.callback()(incoming, outgoing));
  let url = '';
  beforeAll(async () => {
    const records = openEngineStore(database());
    const sessions = new OwnSessions({ issuer: 'https://writ.example', records, clock: systemClock });
    koa.use(async (ctx) => {
      if (ctx.path === '/open') {
        const how = { acr: undefined, amr: undefined, verifiedAt: systemClock.now(), seen: 0, sessions: [] };
        await sessions.begin(ctx, { person: 'prs_ada', issuer: 'https://idp.example', ...how });
      }
      if (ctx.path === '/clear') await sessions.clear(ctx);
      ctx.body = (await sessions.current(ctx))?.person ?? 'nobody';
    });
    url = await listen(server);
  });
  afterAll(() => close(server));

  it('is of this host alone, only for TLS, and taken away by the same name and attributes, with its record', async () => {
    const [opened = ''] = (await request(`${url}/open`, {})).headers.getSetCookie();
    expect(opened).toMatch(/^__Host-writ_approvals=[\w-]{43}; path=\/; samesite=lax; secure; httponly$/);
    const cookie = opened.split(';')[0] ?? '';
    expect((await request(url, { headers: { cookie } })).text).toBe('prs_ada');
    const cleared = await request(`${url}/clear`, { headers: { cookie } });
    expect(cleared.headers.getSetCookie()).toEqual([
      '__Host-writ_approvals=; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; samesite=lax; secure; httponly',
    ]);
    expect((await request(url, { headers: { cookie } })).text).toBe('nobody');
  });
});
