import { setImmediate as turn } from 'node:timers/promises';
import { compilePolicySet, type LiveToken, policyTools, reexamine, type RulesOfNow } from './policy/index.js';
import { Fault } from './base/index.js';
import { every } from './every.js';
import type { House } from './house.js';
import { LIVE_SECONDS, openLivePermits, openReevaluations, type Held, type Reevaluations } from './storage/index.js';

const ROUND_MS = 500;
const PAGE = 200;

/**
 * Ends what a newly activated policy set, or a registry that was changed, no longer allows: tokens, so that a session goes
 * on with what is left of it. One replica at a time does it, page by page, and another goes on where one stopped. What
 * cannot be decided again ends by the second pass, when what was kept of every decision is written.
 */
export function keepReevaluating(house: House): () => Promise<void> {
  const work = openReevaluations(house.database, house.clock);
  return every(ROUND_MS, () => round(house, work), house.report);
}

async function round(house: House, work: Reevaluations): Promise<void> {
  const held = await work.take();
  if (held === undefined) return;
  const registry = await house.registry.refresh();
  const { policies, servers } = registry;
  // Another set is active by now, and its own re-evaluation looks at the same tokens.
  if (policies?.hash !== held.policy) return;
  const set = compilePolicySet(policies.files, policyTools(servers));
  if (!set.ok) throw new Fault('internal', `the active policy set ${held.policy} does not fit the registry`);
  const publishedKeys = (uri: string): ReturnType<typeof house.remoteKeys.known> => house.remoteKeys.known(uri);
  const rules = { set: set.value, registry, issuer: house.config.issuer, now: house.clock.now(), publishedKeys };
  for (
    let place: string | undefined = held.place;
    place !== undefined;
    place = await stepFrom(place, held, { house, work, rules })
  )
    await turn();
}

type At = Readonly<{ house: House; work: Reevaluations; rules: RulesOfNow }>;

/** Answers where to go on. */
async function stepFrom(place: string, held: Held, { house, work, rules }: At): Promise<string | undefined> {
  const { tokens, next } = await openLivePermits(house.database).page(held.version, { after: place, limit: PAGE });
  const since = house.clock.now() - 2 * LIVE_SECONDS;
  const past =
    tokens.length === 0
      ? []
      : await house.inputs.of(
          tokens.map(({ decision }) => decision),
          since,
        );
  await freshenKeys(tokens, { house, rules });
  const { lost, undecided } = await reexamine(rules, tokens, past, () => turn());
  const unsure = held.isLast ? undecided : [];
  const ended = [...lost.map(({ token }) => token), ...unsure].map(({ tokenHash }) => tokenHash);
  const step = { lost: ended, undecided: unsure.length, place: next };
  return (await work.step(held, step)) ? next : undefined;
}

/** Of each issuer once in a while, however many tokens come of it; one that does not answer keeps the others from nothing. */
async function freshenKeys(tokens: readonly LiveToken[], { house, rules }: Pick<At, 'house' | 'rules'>): Promise<void> {
  const issuers = new Set(tokens.flatMap(({ brought }) => brought?.issuer ?? []));
  const uris = [...issuers].flatMap((issuer) => rules.registry.issuer(issuer)?.jwks_uri ?? []);
  await Promise.all([...new Set(uris)].map((uri) => house.remoteKeys.freshen(uri)));
}
