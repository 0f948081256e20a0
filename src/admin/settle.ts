import type { Seconds } from '../base/index.js';
import {
  type AccountablePeople,
  type Agent,
  type AgentDraft,
  personNameOf,
  type PersonName,
} from '../registry/index.js';
import type { Contents } from './contents.js';
import { at, type Flaw } from './flaw.js';
import type { Plan, Wanted, Wish } from './plan.js';
import type { Ourselves } from './rules.js';
import { instant } from './shapes.js';

/** An agent without an end gets one: that which it has already, or the latest that there may be. */
export function dated(wanted: Wanted, before: Contents, latest: Seconds): Wish {
  const endOf = ({ client_id: id, expires_at: end }: AgentDraft): string =>
    end ?? before.agent.get(id)?.expires_at ?? instant(latest);
  return { ...wanted, agent: wanted.agent.map((agent) => ({ ...agent, expires_at: endOf(agent) })) };
}

/** Puts the ids of people in the place of how others know them; those whom `idOf` has not stay as they were sent. */
export async function named(
  wish: Wish,
  idOf: (issuer: string, subject: string) => Promise<string | undefined>,
): Promise<Wish> {
  const sent = new Set(wish.agent.flatMap(({ owner, sponsor }) => [owner, sponsor ?? owner]));
  const ids = new Map<string, string>();
  for (const text of sent) {
    const name = personNameOf(text);
    const id = name?.by === 'subject' ? await idOf(name.issuer, name.subject) : undefined;
    if (id !== undefined) ids.set(text, id);
  }
  const idFor = (text: string): string => ids.get(text) ?? text;
  const withIds = (agent: Agent): Agent => ({
    ...agent,
    owner: idFor(agent.owner),
    ...(agent.sponsor === undefined ? {} : { sponsor: idFor(agent.sponsor) }),
  });
  return ids.size === 0 ? wish : { ...wish, agent: wish.agent.map(withIds) };
}

/**
 * OWASP NHI1: people answer for every active agent that is written, an owner and a sponsor. One that nobody touches stays
 * as it is until its end, whatever it says; switching one off needs nobody.
 */
export async function peopleFlaws(
  { after, changes }: Plan,
  people: AccountablePeople,
  us: Pick<Ourselves, 'issuer' | 'signIns'>,
): Promise<readonly Flaw[]> {
  const written = changes
    .filter(({ kind, change }) => kind === 'agent' && (change === 'created' || change === 'changed'))
    .flatMap(({ id }) => after.agent.get(id) ?? [])
    .filter(({ status }) => status === 'active');
  const names = written.flatMap(({ owner, sponsor }) => [owner, sponsor].flatMap((text) => nameIn(text) ?? []));
  const ids = new Set(names.flatMap((name) => (name.by === 'id' ? [name.id] : [])));
  const statuses = ids.size === 0 ? new Map<string, string>() : await people.statuses([...ids]);
  const strangers = await strangersAmong(names, [...after.issuer.keys(), ...us.signIns], { people, us });
  return written.flatMap((agent) =>
    (['owner', 'sponsor'] as const).flatMap((field) => {
      const message = flawOf(agent[field], statuses, strangers);
      return message === undefined ? [] : [at('agent', agent.client_id)(field, message)];
    }),
  );
}

const nameIn = (text: string | undefined): PersonName | undefined =>
  text === undefined ? undefined : personNameOf(text);

/** The issuers of these people whom nobody knows here. Before Writ trusts any issuer there is none to compare with. */
async function strangersAmong(
  names: readonly PersonName[],
  trusted: readonly string[],
  { people, us }: Readonly<{ people: AccountablePeople; us: Pick<Ourselves, 'issuer'> }>,
): Promise<ReadonlySet<string>> {
  const strangers = new Set<string>();
  if (trusted.length === 0) return strangers;
  for (const issuer of new Set(names.flatMap((name) => (name.by === 'subject' ? [name.issuer] : []))))
    if (issuer !== us.issuer && !trusted.includes(issuer) && !(await people.knows(issuer))) strangers.add(issuer);
  return strangers;
}

const HOW = 'by id (prs_…) or as <issuer>#<subject>';

function flawOf(
  text: string | undefined,
  statuses: ReadonlyMap<string, string>,
  strangers: ReadonlySet<string>,
): string | undefined {
  if (text === undefined) return `is missing: name a person ${HOW}`;
  const name: PersonName | undefined = personNameOf(text);
  if (name === undefined) return `must be a person ${HOW}, not a team or a mailbox`;
  if (name.by === 'subject')
    return strangers.has(name.issuer)
      ? `${name.issuer} is no trusted issuer and no identity provider of this Writ: register it first`
      : undefined;
  if (statuses.get(name.id) === 'active') return undefined;
  return statuses.has(name.id) ? `the person ${name.id} is disabled` : `there is no person ${name.id}`;
}
