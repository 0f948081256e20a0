import type { Seconds } from '../base/index.js';
import {
  type AccountablePeople,
  type Agent,
  type AgentDraft,
  personIdIn,
  personNameOf,
  type PersonName,
} from '../registry/index.js';
import type { Contents } from './contents.js';
import { at, type Flaw } from './flaw.js';
import type { Plan, Wanted, Wish } from './plan.js';
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
export async function peopleFlaws({ after, changes }: Plan, people: AccountablePeople): Promise<readonly Flaw[]> {
  const written = changes
    .filter(({ kind, change }) => kind === 'agent' && (change === 'created' || change === 'changed'))
    .flatMap(({ id }) => after.agent.get(id) ?? [])
    .filter(({ status }) => status === 'active');
  const ids = new Set(
    written.flatMap(({ owner, sponsor }) => [owner, sponsor].flatMap((text) => personIdIn(text) ?? [])),
  );
  const statuses = ids.size === 0 ? new Map<string, string>() : await people.statuses([...ids]);
  return written.flatMap((agent) =>
    (['owner', 'sponsor'] as const).flatMap((field) => {
      const message = flawOf(agent[field], statuses);
      return message === undefined ? [] : [at('agent', agent.client_id)(field, message)];
    }),
  );
}

const HOW = 'by id (prs_…) or as <issuer>#<subject>';

function flawOf(text: string | undefined, statuses: ReadonlyMap<string, string>): string | undefined {
  if (text === undefined) return `is missing: name a person ${HOW}`;
  const name: PersonName | undefined = personNameOf(text);
  if (name === undefined) return `must be a person ${HOW}, not a team or a mailbox`;
  if (name.by === 'subject' || statuses.get(name.id) === 'active') return undefined;
  return statuses.has(name.id) ? `the person ${name.id} is disabled` : `there is no person ${name.id}`;
}
