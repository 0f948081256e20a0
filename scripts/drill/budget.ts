import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { type Bounds, openRig, type Rig, withDatabase } from './rig.js';

export type BudgetResult = Readonly<{
  /** Exchanges that raced for the budgets. */
  debits: number;
  /** Units beyond a limit, or permitted without a debit. */
  overspent: number;
  /** Units debited without a permit, or left over though somebody was refused for want of them. */
  lost_units: number;
  permitted: number;
  refused: number;
  /** Neither of the two. */
  failed: number;
  /** Why, by status and sentence of the answer. */
  failures: Readonly<Record<string, number>>;
  seconds: number;
}>;

const LANES = 64;
const PEOPLE = 40;

/** Two processes, one database: more calls than the agent may make, and than each person may have made for them, all at once. */
export async function budget({ rounds, seconds, say }: Bounds): Promise<BudgetResult> {
  const rig = await openRig({ database: 'postgres', servers: 2 });
  try {
    const agents = await limit(rig, rounds);
    say(`the agent may make ${agents.all} calls, ${agents.each} for each of ${PEOPLE} people; ${rounds} are asked for`);
    const began = performance.now();
    const elapsed = (): number => (performance.now() - began) / 1_000;
    const tally = { debits: 0, permitted: 0, refused: 0, failed: 0 };
    const failures: Record<string, number> = {};
    const lane = async (): Promise<void> => {
      while (tally.debits < rounds && elapsed() < seconds) {
        const n = tally.debits++;
        const outcome = await attempt(rig, n);
        if (outcome === 'permitted' || outcome === 'refused') tally[outcome]++;
        else {
          tally.failed++;
          failures[outcome.because] = (failures[outcome.because] ?? 0) + 1;
        }
        if (n % 1_000 === 999) say(`${n + 1} in ${Math.round(elapsed())} s, ${tally.permitted} permitted`);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    return { ...tally, failures, ...(await balance(rig)), seconds: Math.round(elapsed()) };
  } finally {
    await rig.closing.close();
  }
}

async function limit(
  { cast, servers, adminToken }: Rig,
  rounds: number,
): Promise<Readonly<{ all: number; each: number }>> {
  const [all, each] = [Math.ceil(rounds * 0.6), Math.ceil((rounds * 0.8) / PEOPLE)];
  const budgets = [
    { unit: 'calls', per: 'agent', limit: all },
    { unit: 'writes', per: 'person', limit: each },
  ];
  const registry = cast.registry();
  const agents = registry.agents.map((agent) => ({ ...agent, budgets }));
  const applied = await servers[0].line.json('POST', '/admin/v1/apply', adminToken, { ...registry, agents });
  if (applied.status !== 200) throw new Error(`apply: ${JSON.stringify(applied.body)}`);
  await Promise.all(servers.map((_, n) => untilKnown({ cast, servers }, n)));
  return { all, each };
}

/** A server that has not read the registry yet refuses the agent as nobody, which says nothing of budgets. */
async function untilKnown({ cast, servers }: Pick<Rig, 'cast' | 'servers'>, n: number): Promise<void> {
  const server = servers[n] ?? servers[0];
  const until = performance.now() + KNOWN_MS;
  while (performance.now() < until) {
    const { status } = await server.line.post('/revoke', { token: 'unknown', ...cast.authentication('agt_planner') });
    if (status === 200) return;
    await pause(50);
  }
  throw new Error(`server ${n} does not know the agent`);
}

const KNOWN_MS = 10_000;

async function attempt(
  { cast, servers }: Rig,
  n: number,
): Promise<'permitted' | 'refused' | Readonly<{ because: string }>> {
  const server = servers[n % servers.length] ?? servers[0];
  const person = `person-${Math.floor(Math.random() * PEOPLE)}`;
  const form = { ...cast.exchange(person), ...cast.authentication('agt_planner') };
  const { status, body } = await server.line.post('/token', form);
  if (status === 200) return 'permitted';
  const { session_state: state, error_description: sentence } = body;
  return state === undefined ? { because: `${status} ${String(sentence)}` } : 'refused';
}

const Account = z.object({
  unit: z.string(),
  used: z.coerce.number(),
  ceiling: z.coerce.number(),
  held: z.coerce.number(),
});

/** The accounts beside the permits of the log and what every token still holds. */
async function balance({ postgres }: Rig): Promise<Pick<BudgetResult, 'overspent' | 'lost_units'>> {
  if (postgres === undefined) throw new Error('this drill is on PostgreSQL');
  return withDatabase(postgres, async (client) => {
    const accounts = z.array(Account).parse((await client.query(ACCOUNTS)).rows);
    const [{ permits }] = z.tuple([z.object({ permits: z.number() })]).parse((await client.query(PERMITS)).rows);
    let [overspent, lost] = [0, 0];
    for (const unit of ['calls', 'writes']) {
      const ours = accounts.filter((account) => account.unit === unit);
      const used = ours.reduce((sum, account) => sum + account.used, 0);
      overspent += Math.max(0, permits - used);
      lost += Math.max(0, used - permits);
    }
    for (const { unit, used, ceiling, held } of accounts) {
      overspent += Math.max(0, used - ceiling);
      lost += Math.abs(used - held);
      if (unit === 'calls') lost += Math.max(0, ceiling - used);
    }
    return { overspent, lost_units: lost };
  });
}

const ACCOUNTS = `
  SELECT a.unit, a.used::text, a.ceiling::text, coalesce(sum(h.per_use * h.uses), 0)::text AS held
  FROM budget_account a LEFT JOIN budget_hold h ON h.account = a.key GROUP BY a.key`;
const PERMITS = `SELECT count(*)::int AS permits FROM log_leaf WHERE kind = 'exchange' AND token_hash IS NOT NULL`;
