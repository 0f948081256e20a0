import { setImmediate as turn } from 'node:timers/promises';
import { z } from 'zod';
import { type Clock, Fault } from '../base/index.js';
import { clientOf, feedTarget } from '../protocol/index.js';
import {
  compilePolicySet,
  type Ended,
  ENDED_BECAUSE,
  foresee,
  type Foreseen,
  type KeptInputs,
  type LivePermits,
  Outcome,
  type Outlook,
  policyTools,
  type PublishedKeysOf,
  type RulesOfNow,
} from '../policy/index.js';
import { cutOffs, isNarrowed, makeSnapshot, type PolicyFiles } from '../registry/index.js';
import type { InTurn } from './in-turn.js';
import type { Contents } from './contents.js';
import type { Plan } from './plan.js';

/** The longest life of a token, and its decision a little earlier. */
const DECIDED_WITHIN = 600;
/** Records of tokens, whether they still live or not. */
const MOST_TOKENS = 20_000;
/** Whoever asks is answered before the route gives up; what was not looked at by then is said to be missing. */
const BUDGET_MS = 3_000;
const MOST_LOSSES = 100;

/** What a change of the registry, or another policy set, would end of the tokens and sessions that live. */
export const ChangeEffect = z
  .strictObject({
    considered: z
      .number()
      .int()
      .describe('Live tokens that were looked at; none where nothing is taken that a token may have.'),
    complete: z.boolean().describe('Whether there are no more of them.'),
    tokens: z.number().int().describe('How many of them end.'),
    undecided: z
      .number()
      .int()
      .describe(
        'How many of those end ten seconds after the change, since their decision was not kept so that it could be made again.',
      ),
    sessions_ended: z.number().int(),
    sessions_narrowed: z.number().int().describe('Sessions that lose tokens and go on.'),
    losses: z
      .array(
        z.strictObject({
          session: z.string().nullable(),
          agent: z.string(),
          person: z.string().nullable(),
          tool: z.string(),
          to: Outcome.describe('What would come of it now.'),
          because: z
            .enum(ENDED_BECAUSE)
            .describe(
              'cut_off: what it is for, or who acts, is disabled, removed or another; ceiling: the registry allows it no more; policy: the active set does not; derived: it was made from a token that ends.',
            ),
          tokens: z.number().int().describe('How many tokens end.'),
        }),
      )
      .max(MOST_LOSSES)
      .describe('By session, agent, tool and reason; those with the most tokens first.'),
    more: z.number().int().describe('How many losses are not listed.'),
  })
  .describe('What the change would end, of what lives when it is asked; of a change only in the answer of a dry run.');
export type ChangeEffect = z.infer<typeof ChangeEffect>;

const LOSS: ChangeEffect['losses'][number] = {
  session: 'ses_3q2-7w8xYzAbCdEfGhIjKl',
  agent: 'agt_planner',
  person: 'prs_7HqXb2c4d6e8f0a1b2c3d4',
  tool: 'https://mcp.example.com/files#delete_file',
  to: 'deny',
  because: 'ceiling',
  tokens: 2,
};
export const EXAMPLE_EFFECT: ChangeEffect = {
  ...{ considered: 12, complete: true, tokens: 2, undecided: 0, sessions_ended: 0, sessions_narrowed: 1 },
  ...{ losses: [LOSS], more: 0 },
};

/** A change that was checked and is not made. */
export type Foreseeable = Readonly<{
  before: Contents;
  plan: Plan;
  version: number;
  policies: PolicyFiles | undefined;
  /** People who may do nothing more together with it. */
  leaving?: readonly string[];
}>;

export type Foresight = (change: Foreseeable) => Promise<ChangeEffect>;

export type ForesightDeps = Readonly<{
  live: LivePermits;
  inputs: KeptInputs;
  issuer: string;
  clock: Clock;
  /** Nobody is asked for keys because somebody looks at what would be. */
  publishedKeys: PublishedKeysOf;
  inTurn: InTurn;
}>;

/** Holds what a change would do against every token that lives, one change after the other; see registry-writes.ts for the change itself. */
export const makeForesight =
  (deps: ForesightDeps): Foresight =>
  (change) => {
    const taking = takenBy(change);
    const takesNothing = taking.cutOff.length === 0 && !taking.isNarrowing && taking.removed.agents.length === 0;
    if (takesNothing) return Promise.resolve(viewOf(NOTHING_ENDS, taking.removed, 0));
    const hasTime = deadline();
    return deps.inTurn(() => effectOf(change, { ...taking, hasTime }, deps));
  };

/** What these rules would end, with all else as it is, from a place on. */
export async function foreseeRules(
  rules: RulesOfNow,
  from: string,
  deps: ForesightDeps,
): Promise<ChangeEffect & Readonly<{ next: string | null }>> {
  const hasTime = deadline();
  const foreseen = await deps.inTurn(() => foresee({ cutOff: [], rules }, outlookOf(deps, hasTime), from));
  return { ...viewOf(foreseen, { agents: [], persons: [] }, 0), next: foreseen.next ?? null };
}

function deadline(): () => boolean {
  const until = performance.now() + BUDGET_MS;
  return () => performance.now() < until;
}

const outlookOf = ({ live, inputs, clock }: ForesightDeps, hasTime: () => boolean): Outlook => {
  const since = clock.now() - DECIDED_WITHIN;
  return { live, inputs, since, most: MOST_TOKENS, hasTime, turn: () => turn() };
};

async function effectOf(
  change: Foreseeable,
  { cutOff, isNarrowing, removed, hasTime }: Taking & Readonly<{ hasTime: () => boolean }>,
  deps: ForesightDeps,
): Promise<ChangeEffect> {
  const { live, issuer, clock, publishedKeys } = deps;
  const rules = isNarrowing ? rulesAfter(change, { issuer, now: clock.now(), publishedKeys }) : undefined;
  const outlook = outlookOf(deps, hasTime);
  const isAnybody = removed.agents.length + removed.persons.length > 0;
  const sessions = isAnybody ? await live.sessionsOf(removed) : 0;
  // What was disabled before has no tokens, and sessions none the less.
  const foreseen = cutOff.length === 0 && !isNarrowing ? NOTHING_ENDS : await foresee({ cutOff, rules }, outlook);
  return viewOf(foreseen, removed, sessions);
}

const NOTHING_ENDS: Foreseen = { considered: 0, isWhole: true, ended: [], next: undefined };

/** Whose sessions end. */
type Removed = Parameters<LivePermits['sessionsOf']>[0];
type Taking = Readonly<{ cutOff: readonly string[]; isNarrowing: boolean; removed: Removed }>;

function takenBy({ before, plan, leaving = [] }: Foreseeable): Taking {
  const pairs = plan.changes
    .filter(({ change }) => change !== 'unchanged')
    .map(({ kind, id }) => ({ was: before[kind].get(id), is: plan.after[kind].get(id) }));
  return {
    cutOff: [...leaving.map(feedTarget.person), ...pairs.flatMap(({ was, is }) => cutOffs(was, is))],
    isNarrowing: pairs.some(({ was, is }) => isNarrowed(was, is)),
    removed: {
      agents: plan.changes.filter(({ kind, change }) => kind === 'agent' && change === 'removed').map(({ id }) => id),
      persons: leaving,
    },
  };
}

/** Without an active policy set nothing is decided again. */
function rulesAfter(
  { plan: { after }, version, policies }: Foreseeable,
  of: Pick<RulesOfNow, 'issuer' | 'now' | 'publishedKeys'>,
): RulesOfNow | undefined {
  if (policies === undefined) return undefined;
  const registry = makeSnapshot(version + 1, {
    agents: [...after.agent.values()].map(withoutSecret),
    servers: [...after.server.values()].map(withoutSecret),
    issuers: [...after.issuer.values()],
    policies,
  });
  const set = compilePolicySet(policies.files, policyTools(registry.servers));
  // A change that the active set does not survive is refused before anybody asks what it would end.
  if (!set.ok) throw new Fault('internal', 'the active policy set does not fit the registry as it would be');
  return { ...of, registry, set: set.value };
}

const withoutSecret = <T extends object>(client: T): T & { secretHash: undefined } => ({
  ...client,
  secretHash: undefined,
});

function viewOf({ considered, isWhole, ended }: Foreseen, removed: Removed, sessions: number): ChangeEffect {
  const losses = [...bySession(ended)].sort((one, other) => other.tokens - one.tokens);
  const goOn = ended.filter(({ token }) => !isOfRemoved(token, removed));
  return {
    considered,
    complete: isWhole,
    tokens: ended.length,
    undecided: ended.filter(({ because }) => because === 'undecided').length,
    sessions_ended: sessions,
    sessions_narrowed: new Set(goOn.flatMap(({ token }) => token.session ?? [])).size,
    losses: losses.slice(0, MOST_LOSSES),
    more: Math.max(0, losses.length - MOST_LOSSES),
  };
}

/** Sessions of a removed agent end, those of a person who leaves too, and all below them. */
const isOfRemoved = ({ agent, actors, person }: Ended['token'], { agents, persons }: Removed): boolean =>
  (person !== undefined && persons.includes(person)) ||
  [agent, ...actors.map(({ sub }) => clientOf(sub))].some((id) => agents.includes(id));

function bySession(ended: readonly Ended[]): Iterable<ChangeEffect['losses'][number]> {
  const rows = new Map<string, ChangeEffect['losses'][number]>();
  for (const { token, tool, to, because } of ended) {
    const { session = null, agent, person = null } = token;
    const key = JSON.stringify([session, agent, tool, to, because]);
    rows.set(key, { session, agent, person, tool, to, because, tokens: (rows.get(key)?.tokens ?? 0) + 1 });
  }
  return rows.values();
}
