import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { harmless } from '../../src/audit/index.js';
import { ownWorld } from '../support/world.js';
import { ADMIN_TOKEN, type Reply, request, tokenOf } from '../support/writ.js';

const AUDIT_TOKEN = randomBytes(32).toString('hex');
const IN_ANY_ANSWER = { request_id: expect.stringMatching(/^req_/) };

const world = await ownWorld({ env: { WRIT_AUDIT_TOKEN: AUDIT_TOKEN } });
const other = await ownWorld();
const txn = String(decodeJwt(tokenOf(await world.exchange()))['txn']);

const ask = (path: string, token: string | undefined, method = 'GET'): Promise<Reply> =>
  request(`${world.issuer}${path}`, {
    method,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });

async function accesses(): Promise<readonly unknown[]> {
  const { body } = await world.admin('GET', '/log?kind=access&limit=200');
  const { items } = body as { items: { facts: { what: string }; outcome: unknown }[] };
  // Looking at them is one, too.
  return items.filter(({ facts }) => facts.what === 'transaction').map(({ facts, outcome }) => [facts, outcome]);
}

const OUTCOME = { decision: 'done', reason: 'asked', session: null, sequence: null, seen: 0 };

describe('what only auditors may read', () => {
  it('is answered to the audit token and to the admin token, and the log then has who asked for what', async () => {
    const before = (await accesses()).length;
    const path = `/audit/v1/transactions/${txn}`;
    const answers = [await ask(path, AUDIT_TOKEN), await ask(path, ADMIN_TOKEN)];
    expect(answers.map(({ status, body }) => [status, (body as { txn: string }).txn])).toEqual([
      [200, txn],
      [200, txn],
    ]);
    expect(answers.map(({ headers }) => headers.get('cache-control'))).toEqual(['no-store', 'no-store']);
    const access = (who: string) => [
      { who, what: 'transaction', filter: { txn }, request: expect.stringMatching(/^req_/) },
      OUTCOME,
    ];
    expect((await accesses()).slice(before)).toEqual([access('auditor'), access('administrator')]);
  });

  it('is refused to anybody else, of whom the log has a count and no access', async () => {
    const before = await accesses();
    const unauthorized = {
      ...IN_ANY_ANSWER,
      type: `${world.issuer}/admin/v1/problems/unauthorized`,
      title: 'A valid bearer token is needed',
      status: 401,
      detail: 'A valid bearer token is needed',
      code: 'unauthorized',
    };
    for (const token of [undefined, `${AUDIT_TOKEN.slice(0, -1)}x`, `${AUDIT_TOKEN}0`, 'a'.repeat(513)]) {
      const answer = await ask(`/audit/v1/transactions/${txn}`, token);
      expect([answer.status, answer.body]).toEqual([401, unauthorized]);
      expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="writ-audit"');
    }
    expect(await accesses()).toEqual(before);
    expect((await ask('/admin/v1/agents', 'b'.repeat(40))).status).toBe(401);
    await world.writ.flush();
    const { items } = (await world.admin('GET', '/log?kind=authentication&limit=200')).body as {
      items: { facts: Record<string, unknown>; outcome: { decision: string; reason: string } }[];
    };
    const refused = items.flatMap(({ facts, outcome: { decision, reason } }) =>
      decision === 'refuse' ? [[decision, reason, facts['client'], facts['route']]] : [],
    );
    const route = '/audit/v1/transactions/:txn';
    expect(refused).toEqual(
      expect.arrayContaining([
        ['refuse', 'no_token', null, route],
        ['refuse', 'wrong_token', null, route],
        ['refuse', 'wrong_token', null, '/admin/v1/agents'],
      ]),
    );
    expect(JSON.stringify(items)).not.toContain(AUDIT_TOKEN.slice(0, -1));
  });

  it('does not open the admin API', async () => {
    expect((await ask('/admin/v1/agents', AUDIT_TOKEN)).status).toBe(401);
    expect((await ask('/admin/v1/log', AUDIT_TOKEN)).status).toBe(401);
  });

  it('takes no parameter that it does not know, and only GET', async () => {
    const answer = await ask(`/audit/v1/transactions/${txn}?all=1`, AUDIT_TOKEN);
    expect([answer.status, answer.body]).toEqual([
      400,
      expect.objectContaining({ code: 'invalid_field', detail: 'all: is not a field' }),
    ]);
    expect((await ask(`/audit/v1/transactions/${txn}`, AUDIT_TOKEN, 'DELETE')).status).toBe(405);
    expect((await ask('/audit/v1/elsewhere', AUDIT_TOKEN)).status).toBe(404);
  });
});

describe('what was asked for, as the log has it', () => {
  const DIGEST = /^[\w-]{43}$/;

  it('is the digest of what looks like a token or a secret, whatever it was asked as (LG-01)', () => {
    const jws = `eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.${'A'.repeat(86)}`;
    const code = randomBytes(32).toString('base64url');
    const secret = randomBytes(32).toString('hex');
    const written = harmless({ txn: jws, agent: code, session: secret, person: code, after: secret });
    expect(written).toEqual({
      txn: expect.stringMatching(DIGEST),
      agent: expect.stringMatching(DIGEST),
      session: expect.stringMatching(DIGEST),
      person: expect.stringMatching(DIGEST),
      after: expect.stringMatching(DIGEST),
    });
    expect(Object.values(written).filter((value) => [jws, code, secret].includes(value))).toEqual([]);
  });

  it('is withheld where it may be the name of a person, of which a digest would tell (AU-13)', () => {
    const names = {
      person: 'alice@company.example',
      subject: '8c1f0c6e',
      agent: 'bob@company.example',
      session: 'alice',
    };
    expect(harmless({ ...names, txn: 'Alice Smith', long: 'x'.repeat(257) })).toEqual({
      ...{ person: 'withheld', subject: 'withheld', agent: 'withheld', session: 'withheld' },
      ...{ txn: 'withheld', long: expect.stringMatching(DIGEST) },
    });
  });

  it('is what it is where that is an id, a name of the registry, a time or a number', () => {
    const id = randomBytes(16).toString('base64url');
    const plain = {
      ...{ txn: id, session: `ses_${id}`, person: `prs_${id}`, decision: 'permit', kind: 'exchange' },
      ...{
        server: 'https://files.engineering-tools.example/mcp',
        agent: 'agt_planner',
        tool: 'read_many_files_of_repository',
      },
      ...{ since: '2026-11-22T09:00:00+01:00', sizes: '12,4711,9000000000', after: '123', limit: '200' },
    };
    expect(harmless(plain)).toEqual(plain);
  });
});

describe('without a token for auditors', () => {
  it('only the admin token reads', async () => {
    const answer = await request(`${other.issuer}/audit/v1/transactions/x`, {
      headers: { authorization: `Bearer ${AUDIT_TOKEN}` },
    });
    expect(answer.status).toBe(401);
    expect(
      (
        await request(`${other.issuer}/audit/v1/transactions/x`, {
          headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
        })
      ).status,
    ).toBe(404);
  });
});
