import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { databaseKinds } from '../support/databases.js';
import { freePort, type Reply, request, startTestWrit, type TestWrit } from '../support/writ.js';

/** No secret of anybody: 43 letters, as links and sign-ins have them. */
const UNKNOWN = 'A'.repeat(43);

describe.each(databaseKinds.filter((kind) => kind === 'server'))('a page of ours (%s)', (kind) => {
  let writ: TestWrit;
  let client: pg.Client;
  beforeAll(async () => {
    const issuer = `http://localhost:${String(await freePort())}`;
    writ = await startTestWrit({ kind, env: { WRIT_ISSUER: issuer, WRIT_LOCAL_ACCOUNTS: 'true' } });
    client = new pg.Client({ connectionString: writ.config.databaseUrl });
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await writ.close();
  });

  const enrol = (): Promise<Reply> => request(`${writ.issuer}/enrol/${UNKNOWN}`, {});
  const approvals = (): Promise<Reply> =>
    request(`${writ.issuer}/approvals`, { headers: { cookie: `writ_approvals=${UNKNOWN}` } });
  const shown = ({ status, headers, text }: Reply): unknown[] => [
    status,
    headers.get('content-type'),
    headers.get('cache-control'),
    headers.get('retry-after'),
    /<h1>([^<]*)<\/h1>/.exec(text)?.[1],
  ];
  const HTML = 'text/html; charset=utf-8';

  it.each([
    ['/enrol', 'enrolment', enrol],
    ['/approvals', 'engine_record', approvals],
  ])(
    'of %s says that something is down while its table does not answer, as HTML, and is itself again',
    async (_, table, open) => {
      const before = shown(await open());
      expect(before[1]).toBe(HTML);
      await client.query('BEGIN');
      await client.query(`LOCK TABLE ${table}`);
      expect(shown(await open())).toEqual([503, HTML, 'no-store', '1', 'This page cannot be shown right now']);
      await client.query('ROLLBACK');
      expect(writ.faults.splice(0)).toEqual([expect.objectContaining({ code: 'database_unavailable' })]);
      expect(shown(await open())).toEqual(before);
    },
  );

  it('says that something went wrong at a fault that is for a human to mend, and nothing of it', async () => {
    await client.query('ALTER TABLE enrolment RENAME TO enrolment_away');
    const answer = await enrol();
    await client.query('ALTER TABLE enrolment_away RENAME TO enrolment');
    expect(shown(answer)).toEqual([500, HTML, 'no-store', null, 'Something went wrong']);
    expect(answer.text).not.toContain('enrolment');
    expect(writ.faults.splice(0)).toHaveLength(1);
  });
});
