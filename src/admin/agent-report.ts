import { z } from 'zod';
import { type Clock, ok, type Seconds } from '../base/index.js';
import { thumbprint } from '../protocol/index.js';
import {
  type AccountablePeople,
  type Agent,
  type KeyLives,
  type NamedKey,
  personIdIn,
  type RegistryReader,
} from '../registry/index.js';
import type { SessionUse } from '../session/index.js';
import { type Operation, NoBody, operation } from './operation.js';
import { instant, pageOf, Paging } from './shapes.js';

const DAY: Seconds = 86_400;
const SOON = 14 * DAY;

const Concern = z.enum([
  'owner_is_no_person',
  'owner_left',
  'sponsor_missing',
  'sponsor_is_no_person',
  'sponsor_left',
  'ends_soon',
  'ended',
  'unused',
  'key_ends_soon',
  'key_too_old',
]);
type Concern = z.infer<typeof Concern>;

const Reported = z.strictObject({
  client_id: z.string(),
  owner: z.string(),
  sponsor: z.string().nullable(),
  expires_at: z.iso.datetime(),
  last_used_at: z.iso.datetime().nullable().describe('When a session of it was last used; null when none is known.'),
  key_ends_at: z.iso
    .datetime()
    .nullable()
    .describe('When its oldest key that was not rotated out becomes too old; null when no key of it is known.'),
  concerns: z.array(Concern),
});

const EXAMPLE: z.infer<typeof Reported> = {
  client_id: 'agt_planner',
  owner: 'prs_7HqXb2c4d6e8f0a1b2c3d4',
  sponsor: 'prs_k1L2m3N4o5P6q7R8s9T0uA',
  expires_at: '2026-11-30T09:00:00.000Z',
  last_used_at: '2026-09-01T09:00:00.000Z',
  key_ends_at: '2026-12-01T09:00:00.000Z',
  concerns: ['ends_soon', 'unused', 'key_ends_soon'],
};

export type AgentReportDeps = Readonly<{
  registry: RegistryReader;
  people: AccountablePeople;
  uses: SessionUse;
  agentKeys: Pick<KeyLives, 'all'>;
  /** How old a key may be. */
  agentKeyAge: Seconds;
  clock: Clock;
}>;

/** OWASP NHI1 and NHI5: the active agents that somebody should look at, and why. */
export const agentReportOperation = ({
  registry,
  people,
  uses,
  agentKeys,
  agentKeyAge,
  clock,
}: AgentReportDeps): Operation =>
  operation({
    id: 'reportAgents',
    method: 'GET',
    path: '/admin/v1/reports/agents',
    about:
      'Lists the active agents that somebody should look at: who answers for them, when they end, whether they are used.',
    query: Paging.extend({
      unused_days: z.coerce
        .number({ error: 'must be 1 to 365' })
        .int({ error: 'must be 1 to 365' })
        .min(1, { error: 'must be 1 to 365' })
        .max(365, { error: 'must be 1 to 365' })
        .default(30)
        .describe('An agent that was registered and not used for so many days is unused.'),
    }),
    body: NoBody,
    answers: [{ status: 200, about: 'A page.', schema: pageOf(Reported), example: { items: [EXAMPLE], next: null } }],
    run: async ({ query: { limit, after = '', unused_days: days } }) => {
      const now = clock.now();
      const active = [...(await registry.refresh()).agents]
        .filter(({ status, client_id: id }) => status === 'active' && id > after)
        .sort((one, other) => (one.client_id < other.client_id ? -1 : 1));
      const ids = active.map(({ client_id: id }) => id);
      const named = active.flatMap(({ owner, sponsor }) => [owner, sponsor].flatMap((text) => personIdIn(text) ?? []));
      const [statuses, used, keys] = await Promise.all([
        people.statuses([...new Set(named)]),
        uses.of(ids),
        agentKeys.all(ids),
      ]);
      const all = active.flatMap((agent) => {
        const use = used.get(agent.client_id);
        const keyEnds = keyEndOf(agent, keys, agentKeyAge);
        const concerns = [
          ...concernsOf(agent, statuses, now),
          ...unused(use, now - days * DAY),
          ...keyConcerns(keyEnds, now),
        ];
        const { client_id, owner, sponsor = null, expires_at } = agent;
        const last_used_at = use?.lastUsed === undefined ? null : instant(use.lastUsed);
        const key_ends_at = keyEnds === undefined ? null : instant(keyEnds);
        const shown = { client_id, owner, sponsor, expires_at, last_used_at, key_ends_at, concerns };
        return concerns.length === 0 ? [] : [shown];
      });
      const items = all.slice(0, limit);
      return ok({ status: 200, body: { items, next: all.length > limit ? (items.at(-1)?.client_id ?? null) : null } });
    },
  });

function concernsOf(
  { owner, sponsor, expires_at: end }: Agent,
  statuses: ReadonlyMap<string, string>,
  now: Seconds,
): readonly Concern[] {
  const left = Date.parse(end) / 1000 - now;
  return [
    ...standing(owner, statuses, { none: 'owner_is_no_person', left: 'owner_left' }),
    ...(sponsor === undefined
      ? (['sponsor_missing'] as const)
      : standing(sponsor, statuses, { none: 'sponsor_is_no_person', left: 'sponsor_left' })),
    ...(left <= 0 ? (['ended'] as const) : left <= SOON ? (['ends_soon'] as const) : []),
  ];
}

function standing(
  text: string,
  statuses: ReadonlyMap<string, string>,
  { none, left }: Readonly<{ none: Concern; left: Concern }>,
): readonly Concern[] {
  const id = personIdIn(text);
  if (id === undefined) return [none];
  return statuses.get(id) === 'active' ? [] : [left];
}

/** One that was registered a moment ago is not unused. */
const unused = (
  use: Readonly<{ since: Seconds; lastUsed: Seconds | undefined }> | undefined,
  before: Seconds,
): readonly Concern[] => (use !== undefined && (use.lastUsed ?? use.since) < before ? ['unused'] : []);

/** OWASP NHI7: when the first of the keys that it still has is too old. Of keys at a URL the last that was seen counts. */
function keyEndOf(
  { client_id: id, authentication }: Agent,
  known: readonly NamedKey[],
  maxAge: Seconds,
): Seconds | undefined {
  if (authentication.method !== 'private_key_jwt') return undefined;
  const registered = authentication.jwks && new Set(authentication.jwks.keys.map((key) => thumbprint(key)));
  const theirs = known.filter(
    ({ client, thumbprint: key, retiresAt }) =>
      client === id && retiresAt === undefined && registered?.has(key) !== false,
  );
  const since = theirs.map((key) => key.since);
  if (since.length === 0) return undefined;
  return (registered === undefined ? Math.max(...since) : Math.min(...since)) + maxAge;
}

function keyConcerns(end: Seconds | undefined, now: Seconds): readonly Concern[] {
  if (end === undefined || end > now + SOON) return [];
  return [end <= now ? 'key_too_old' : 'key_ends_soon'];
}
