import { z } from 'zod';
import { type Clock, ok, type Seconds } from '../base/index.js';
import {
  type AccountablePeople,
  type Agent,
  type KeyLives,
  type NamedKey,
  personIdIn,
  type RegistryReader,
  type RightsUse,
  unusedBeside,
  unusedOf,
} from '../registry/index.js';
import type { SessionUse } from '../session/index.js';
import { type Operation, NoBody, operation } from './operation.js';
import { contentsOf } from './contents.js';
import { instant, pageOf, Paging } from './shapes.js';
import { keysInUse, sharedKeys } from './shared-keys.js';
import { DaysUnused, TakenRights } from './shrink.js';

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
  'rights_unused',
  'key_ends_soon',
  'key_too_old',
  'key_shared',
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
  unused_rights: z
    .array(TakenRights)
    .describe('What of its ceilings was granted so long ago and not used since, by MCP server.'),
  unused_hand_over_to: z.array(z.string()).describe('The agents to which it has not handed over for so long.'),
  unused_transaction_tokens: z
    .boolean()
    .describe('Whether it may ask for tokens for the trust domain, and has not for so long.'),
  key_shared_with: z
    .array(z.string())
    .describe('Who has one of its keys too, by kind and id: everyone needs a key of their own.'),
  concerns: z.array(Concern),
});

const EXAMPLE: z.infer<typeof Reported> = {
  client_id: 'agt_planner',
  owner: 'prs_7HqXb2c4d6e8f0a1b2c3d4',
  sponsor: 'prs_k1L2m3N4o5P6q7R8s9T0uA',
  expires_at: '2026-11-30T09:00:00.000Z',
  last_used_at: '2026-09-01T09:00:00.000Z',
  key_ends_at: '2026-12-01T09:00:00.000Z',
  unused_rights: [{ resource: 'https://mcp.example.com/files', server: false, tools: ['delete_file'], scopes: [] }],
  unused_hand_over_to: ['agt_writer'],
  unused_transaction_tokens: false,
  key_shared_with: [],
  concerns: ['ends_soon', 'unused', 'rights_unused', 'key_ends_soon'],
};

export type AgentReportDeps = Readonly<{
  registry: RegistryReader;
  people: AccountablePeople;
  uses: SessionUse;
  rights: Pick<RightsUse, 'unused'>;
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
  rights,
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
      rights_unused_days: DaysUnused,
    }),
    body: NoBody,
    answers: [{ status: 200, about: 'A page.', schema: pageOf(Reported), example: { items: [EXAMPLE], next: null } }],
    run: async ({ query: { limit, after: start = '', unused_days: days, rights_unused_days: rightsDays } }) => {
      const now = clock.now();
      const snapshot = await registry.refresh();
      const contents = contentsOf(snapshot);
      const active = [...snapshot.agents]
        .filter(({ status }) => status === 'active')
        .sort((one, other) => (one.client_id < other.client_id ? -1 : 1));
      const ids = active.map(({ client_id: id }) => id);
      const named = active.flatMap(({ owner, sponsor }) => [owner, sponsor].flatMap((text) => personIdIn(text) ?? []));
      const [statuses, used, keys, idle] = await Promise.all([
        people.statuses([...new Set(named)]),
        uses.of(ids),
        agentKeys.all(ids),
        rights.unused(ids, now - rightsDays * DAY),
      ]);
      const known = byClient(keys);
      const keysOf = (client: string): readonly NamedKey[] => known.get(client) ?? [];
      const shared = sharedKeys(active, contents, keysOf, now - agentKeyAge);
      const after = active.filter(({ client_id: id }) => id > start);
      const all = after.flatMap((agent) => {
        const use = used.get(agent.client_id);
        const keyEnds = keyEndOf(agent, keysOf(agent.client_id), agentKeyAge);
        const old = idle.get(agent.client_id) ?? [];
        const unused_rights = unusedOf(agent, old, contents.server);
        const { handOverTo: unused_hand_over_to, transactionTokens: unused_transaction_tokens } = unusedBeside(
          agent,
          old,
        );
        const isAllUsed = unused_rights.length === 0 && unused_hand_over_to.length === 0 && !unused_transaction_tokens;
        const key_shared_with = [...(shared.get(agent.client_id) ?? [])];
        const concerns = [
          ...concernsOf(agent, statuses, now),
          ...unused(use, now - days * DAY),
          ...(isAllUsed ? [] : (['rights_unused'] as const)),
          ...keyConcerns(keyEnds, now),
          ...(key_shared_with.length === 0 ? [] : (['key_shared'] as const)),
        ];
        const { client_id, owner, sponsor = null, expires_at } = agent;
        const last_used_at = use?.lastUsed === undefined ? null : instant(use.lastUsed);
        const key_ends_at = keyEnds === undefined ? null : instant(keyEnds);
        const dates = { expires_at, last_used_at, key_ends_at };
        const idleRights = { unused_rights, unused_hand_over_to, unused_transaction_tokens };
        const shown = { client_id, owner, sponsor, ...dates, ...idleRights, key_shared_with, concerns };
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
  agent: Pick<Agent, 'authentication'>,
  known: readonly NamedKey[],
  maxAge: Seconds,
): Seconds | undefined {
  const since = keysInUse(agent, known).map((key) => key.since);
  if (since.length === 0) return undefined;
  const { authentication: auth } = agent;
  const isInline = auth.method === 'private_key_jwt' && auth.jwks !== undefined;
  return (isInline ? Math.min(...since) : Math.max(...since)) + maxAge;
}

function keyConcerns(end: Seconds | undefined, now: Seconds): readonly Concern[] {
  if (end === undefined || end > now + SOON) return [];
  return [end <= now ? 'key_too_old' : 'key_ends_soon'];
}

function byClient(keys: readonly NamedKey[]): ReadonlyMap<string, readonly NamedKey[]> {
  const theirs = new Map<string, NamedKey[]>();
  for (const key of keys) {
    const known = theirs.get(key.client);
    if (known === undefined) theirs.set(key.client, [key]);
    else known.push(key);
  }
  return theirs;
}
