import type { People } from '../exchange/index.js';
import type { PersonStore } from './person-store.js';

/** How many people are remembered by (issuer, subject); the longest unseen go first. */
const REMEMBERED = 50_000;

/**
 * People for the exchange. The id of a pair never changes, so it is asked once; whether the person may still be acted
 * for is asked by every commit.
 */
export function openPeople(persons: PersonStore): People {
  const ids = new Map<string, string>();
  const remember = (key: string, id: string): string => {
    ids.delete(key);
    const oldest = ids.size >= REMEMBERED ? ids.keys().next() : undefined;
    if (oldest?.done === false) ids.delete(oldest.value);
    ids.set(key, id);
    return id;
  };
  return {
    find: async (issuer, subject) => {
      const key = keyOf(issuer, subject);
      const id = ids.get(key) ?? (await persons.byIssuerSubject(issuer, subject))?.id;
      return id === undefined ? undefined : remember(key, id);
    },
  };
}

/** Unambiguous: neither part has a line break (protocol's Identifier has no control characters). */
const keyOf = (issuer: string, subject: string): string => `${issuer}\n${subject}`;
