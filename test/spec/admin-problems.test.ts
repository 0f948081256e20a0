import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PROBLEMS } from '../../src/http/index.js';
import { type AdminServer, problem, startAdmin, statusAndBody } from '../support/admin.js';
import { freePort, request, startTestWrit } from '../support/writ.js';

let admin: AdminServer;
beforeAll(async () => {
  admin = await startAdmin();
});
afterAll(() => admin.close());

const CODES = Object.entries(PROBLEMS);

/** Everything under src that may answer a problem, without the list of them. */
const source = (): string =>
  readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.includes('generated') && name !== join('http', 'problem.ts'))
    .map((name) => readFileSync(join('src', name), 'utf8'))
    .join('\n');

describe('RFC 9457 a problem', () => {
  it.each(CODES)('§3.1.1 %s has a type that leads to its explanation, without a token', async (code, known) => {
    const { pathname } = new URL((problem(code).body as { type: string }).type);
    const response = await fetch(`${admin.url}${pathname}`);
    expect([response.status, await response.json()]).toStrictEqual([200, { code, ...known }]);
    expect(known.when).toMatch(/^[A-Z].*\.$/);
    expect(known.do).toMatch(/^[A-Z].*\.$/);
  });

  it('is explained only where some line of ours answers it', () => {
    const text = `${source()}${readFileSync('src/http/problem.ts', 'utf8').split('/** A field that is wrong')[1] ?? ''}`;
    expect(CODES.map(([code]) => code).filter((code) => !text.includes(`'${code}'`))).toStrictEqual([]);
  });

  it('is listed with all others, and an unknown one is 404', async () => {
    const { body } = await admin.ask('GET', '/problems', undefined, { Authorization: '' });
    expect(body).toStrictEqual({ items: CODES.map(([code, known]) => ({ code, ...known })), next: null });
    expect(statusAndBody(await admin.ask('GET', '/problems/tenant_mismatch'))).toStrictEqual(
      problem('not_found', 'There is no problem tenant_mismatch'),
    );
  });

  it('is explained below the path of an issuer that has one', async () => {
    const { issuer } = await startPrefixed();
    const { body } = await request(`${issuer}/admin/v1/agents`, {});
    const { type } = body as { type: string };
    expect(type).toBe(`${issuer}/admin/v1/problems/unauthorized`);
    expect((await request(type, {})).body).toMatchObject({ code: 'unauthorized', status: 401 });
  });
});

const closes: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closes) await close();
});

async function startPrefixed(): Promise<{ issuer: string }> {
  const port = await freePort();
  const writ = await startTestWrit({ kind: 'embedded', env: { WRIT_ISSUER: `http://127.0.0.1:${port}/tenant/a` } });
  closes.push(writ.close);
  return writ;
}
