import { personIdIn } from '../registry/index.js';
import type { Person, PersonDirectory } from './people.js';

/** A person by what others know them by. */
export const nameOf = ({ id, attributes: { name, email } }: Pick<Person, 'id' | 'attributes'>): string =>
  name ?? email ?? id;

/** Who answers for an agent, by the name that people know: an id tells them nothing. */
export async function responsible(owner: string, people: Pick<PersonDirectory, 'byId'>): Promise<string> {
  const id = personIdIn(owner);
  const person = id === undefined ? undefined : await people.byId(id);
  return person === undefined ? owner : nameOf(person);
}
