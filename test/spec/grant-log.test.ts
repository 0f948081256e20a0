import { describe, expect, it } from '@jest/globals';
import { openLog } from '../../src/storage/index.js';
import { claimsOf, codeForm, obtainCode, post, TestAgent } from '../support/engine.js';
import { ownEngine } from '../support/own-engine.js';

const agent = new TestAgent('agt_planner');
const { db, writ } = await ownEngine(agent);

const records = async (): Promise<unknown[]> => {
  const { entries } = await openLog(db.database).read({}, { limit: 100 });
  return entries.map(({ kind, facts, outcome }) => ({
    kind,
    facts,
    decision: outcome.decision,
    reason: outcome.reason,
  }));
};

describe('what the engine mints and refuses', () => {
  it('is recorded: a person’s token before it is signed, with the consent that it came from', async () => {
    const code = await obtainCode(writ, agent);
    const answer = await post(`${writ.issuer}/token`, codeForm(agent, writ.issuer, code));
    const claims = claimsOf((answer.body as { access_token: string }).access_token);
    const grant = (claims['writ'] as { grant: string }).grant;
    expect(await records()).toEqual([
      {
        kind: 'authentication',
        facts: { what: 'met', person: claims['sub'], met: expect.stringMatching(/^[\w-]{43}$/) },
        decision: 'done',
        reason: 'met',
      },
      {
        kind: 'grant',
        facts: {
          what: 'person_token',
          client: agent.id,
          person: claims['sub'],
          scope: claims['scope'],
          grant,
          bound: null,
        },
        decision: 'done',
        reason: 'issued',
      },
    ]);
  });

  it('is recorded: a refusal of an authenticated agent by itself, with the agent', async () => {
    const before = await records();
    const answer = await post(
      `${writ.issuer}/token`,
      codeForm(agent, writ.issuer, { code: 'unknown', verifier: 'v'.repeat(43) }),
    );
    expect(answer.status).toBe(400);
    const [record, ...more] = await eventually(async () => (await records()).slice(before.length));
    expect([record, more]).toEqual([
      { kind: 'grant', facts: { client: agent.id, route: '/token' }, decision: 'refuse', reason: 'invalid_grant' },
      [],
    ]);
  });

  it('is recorded: failed authentication once a minute for each client and cause', async () => {
    const before = await records();
    const stranger = new TestAgent(agent.id);
    for (let turn = 0; turn < 3; turn++) {
      const answer = await post(
        `${writ.issuer}/token`,
        codeForm(stranger, writ.issuer, { code: 'unknown', verifier: 'v'.repeat(43) }),
      );
      expect(answer.status).toBe(401);
    }
    const made = await eventually(async () => (await records()).slice(before.length));
    expect(made).toEqual([
      {
        kind: 'authentication',
        facts: { client: agent.id, route: '/token', minute: expect.any(Number), earlier: 0 },
        decision: 'refuse',
        reason: 'invalid_client',
      },
    ]);
  });
});

/** The engine answers before its refusal is in the log; it is there a moment later. */
async function eventually(read: () => Promise<unknown[]>): Promise<unknown[]> {
  const end = Date.now() + 3_000;
  for (;;) {
    const found = await read();
    if (found.length > 0 || Date.now() > end) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
