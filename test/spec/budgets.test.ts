import { describe, expect, it } from '@jest/globals';
import { ownWorld, tool, tools, type World } from '../support/world.js';

const world = await ownWorld();

describe('a budget of an agent', () => {
  it('is drawn on by every use that a token reserves; the agent is told what is used up, and when it begins anew', async () => {
    const { prisma } = world.writ.database;
    const budgets = [{ unit: 'calls', per: 'agent', limit: 3, window_seconds: 31_622_400, on_breach: 'refuse' }];
    await prisma.$executeRawUnsafe(
      `UPDATE agent SET document = jsonb_set(document, '{budgets}', $1::jsonb) WHERE client_id = 'agt_a1'`,
      JSON.stringify(budgets),
    );
    await prisma.$executeRawUnsafe('UPDATE registry_state SET version = version + 1');
    const ask = (uses: number): ReturnType<World['exchange']> =>
      world.exchange({ scope: undefined, authorization_details: tools(tool('read_file', { max_uses: uses })) });
    expect((await ask(2)).status).toBe(200);
    const refused = await ask(2);
    const resetsAt = Math.floor(Date.now() / 1_000 / 31_622_400) * 31_622_400 + 31_622_400;
    const budget = { unit: 'calls', scope: 'agent', limit: '3', used: '2' };
    expect([refused.status, refused.body]).toEqual([
      400,
      {
        error: 'transaction_denied',
        error_description: 'the budget of 3 calls per agent has not enough left: 2 are spent or reserved',
        session_state: { status: 'budget_exhausted', reason: 'budget_exhausted', resets_at: resetsAt, budget },
      },
    ]);
    expect((await ask(1)).status).toBe(200);
  });
});
