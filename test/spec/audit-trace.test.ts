import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { run } from '../../src/cli/index.js';
import { ownWorld, RS1 } from '../support/world.js';
import { bearerAssertion, request, tokenOf } from '../support/writ.js';

const AUDIT_TOKEN = randomBytes(32).toString('hex');
const world = await ownWorld({ env: { WRIT_AUDIT_TOKEN: AUDIT_TOKEN } });

const ask = (path: string) =>
  request(`${world.issuer}/audit/v1${path}`, { headers: { authorization: `Bearer ${AUDIT_TOKEN}` } });

async function writ(...args: string[]): Promise<Readonly<{ code: number; out: string; err: string }>> {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await run([...args, '--url', world.issuer], {
    env: { WRIT_AUDIT_TOKEN: AUDIT_TOKEN },
    readFile: () => undefined,
    makePrivateFile: () => false,
    readStdin: () => Promise.resolve(''),
    out: (text) => out.push(text),
    err: (text) => err.push(text),
  });
  return { code, out: out.join('\n'), err: err.join('\n') };
}

describe('the trace of a transaction', () => {
  it('has person, agent, server, tool, decision and the use that was taken, at once', async () => {
    const token = tokenOf(await world.exchange());
    const { txn, sub } = decodeJwt(token) as { txn: string; sub: string };
    await world.post('/introspect', {
      ...(await bearerAssertion(world.issuer, world.rs1)),
      token,
      consume: 'read_file',
    });
    const { status, body } = await ask(`/transactions/${txn}`);
    const event = { at: expect.any(String), approval: null, leaf_hash: expect.stringMatching(/^[\w-]{43}$/) };
    expect([status, body]).toEqual([
      200,
      {
        txn,
        person: sub,
        sessions: [expect.stringMatching(/^ses_/)],
        chains: [
          {
            agents: [world.a1.id],
            target: RS1,
            calls: [
              {
                tool: 'read_file',
                outcome: 'none_expected',
                events: [
                  {
                    ...event,
                    what: 'decision',
                    decision: 'permit',
                    reason: 'permitted',
                    detail: expect.stringMatching(/^policies /),
                  },
                  { ...event, what: 'use', decision: 'done', reason: 'used', detail: null },
                ],
              },
            ],
          },
        ],
        records: 2,
        pruned_before: null,
        complete: true,
      },
    ]);
    const drawn = await writ('audit', 'trace', txn);
    expect([drawn.code, drawn.err]).toEqual([0, '']);
    expect(drawn.out).toContain(`person ${sub}\n└─ agent ${world.a1.id}\n   └─ at ${RS1}\n      └─ tool read_file\n`);
    expect(`${drawn.out}\n`).toBe((await ask(`/transactions/${txn}?format=text`)).text);
    const picture = await writ('audit', 'trace', txn, '--mermaid');
    expect(`${picture.out}\n`).toBe((await ask(`/transactions/${txn}?format=mermaid`)).text);
    expect(picture.out).toMatch(/^flowchart LR\n/);
  });

  it('is 404 where there is none, and says so on the command line', async () => {
    expect((await ask('/transactions/nothing')).status).toBe(404);
    expect(await writ('audit', 'trace', 'nothing')).toMatchObject({
      code: 1,
      err: expect.stringContaining('not_found'),
    });
  });
});

describe('events', () => {
  it.each([
    ['since=yesterday', 'since: must be a time such as 2026-11-22T09:00:00Z (RFC 3339)'],
    ['after=-1', 'after: must be the index of an entry'],
    ['limit=1000', 'limit: must be 1 to 200'],
    ['kind=token', 'kind: Invalid option: expected one of'],
    ['colour=red', 'colour: is not a field'],
    ['person=a&person=b', 'person: is given twice'],
    ['person=%00', 'person: '],
  ])('are refused for %s', async (query, detail) => {
    const { status, body } = await ask(`/events?${query}`);
    expect([status, body]).toEqual([
      400,
      expect.objectContaining({ code: 'invalid_field', detail: expect.stringContaining(detail) }),
    ]);
  });

  it('say how far the index is, and are printed by the command line', async () => {
    const { status, body } = await ask('/events?kind=exchange&limit=1');
    expect([status, Object.keys(body as object).sort()]).toEqual([
      200,
      ['indexed_to', 'items', 'next', 'pruned_before'],
    ]);
    expect(await writ('audit', 'events', '--kind', 'exchange')).toMatchObject({ code: 0, err: '' });
  });
});
