import { personIdIn } from '../registry/index.js';
import type { Person, PersonDirectory } from './people.js';

/** A person by what others know them by: who was never here has no name yet but the one that their issuer has for them. */
export const nameOf = ({ issuer, subject, attributes: { name, email } }: Omit<Person, 'status' | 'groups'>): string =>
  name ?? email ?? `${subject} (${new URL(issuer).host})`;

/** Who answers for an agent, by the name that people know: an id tells them nothing. */
export async function responsible(owner: string, people: Pick<PersonDirectory, 'byId'>): Promise<string> {
  const id = personIdIn(owner);
  const person = id === undefined ? undefined : await people.byId(id);
  return person === undefined ? owner : nameOf(person);
}
