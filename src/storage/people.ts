import type { Clock, Seconds } from '../base/index.js';
import type { People } from '../exchange/index.js';
import type { PersonStore } from './person-store.js';

/** How many people are remembered; the longest unseen go first. */
const REMEMBERED = 50_000;
/** A policy may be this late in learning that a person has moved. */
const ATTRIBUTES_FOR: Seconds = 5;

type Known = Readonly<{ attributes: Readonly<Record<string, string>>; until: Seconds }>;

/**
 * People for the exchange. The id of a pair never changes, so it is asked once, and again when a commit knows it no more; whether the person may still be acted
 * for is asked by every commit.
 */
export function openPeople(persons: PersonStore, clock: Clock): People {
  const ids = new Map<string, string>();
  const known = new Map<string, Known>();
  const find: People['find'] = async (issuer, subject) => {
    const key = keyOf(issuer, subject);
    const id = ids.get(key) ?? (await persons.byIssuerSubject(issuer, subject))?.id;
    return id === undefined ? undefined : remember(ids, key, id);
  };
  return {
    find,
    findAnew: (issuer, subject) => {
      ids.delete(keyOf(issuer, subject));
      return find(issuer, subject);
    },
    attributes: async (id) => {
      const now = clock.now();
      const fresh = known.get(id);
      if (fresh !== undefined && now < fresh.until) return fresh.attributes;
      const attributes = { ...(await persons.byId(id))?.attributes };
      return remember(known, id, { attributes, until: now + ATTRIBUTES_FOR }).attributes;
    },
  };
}

function remember<T>(memory: Map<string, T>, key: string, value: T): T {
  memory.delete(key);
  const oldest = memory.size >= REMEMBERED ? memory.keys().next() : undefined;
  if (oldest?.done === false) memory.delete(oldest.value);
  memory.set(key, value);
  return value;
}

/** Unambiguous: neither part has a line break (protocol's Identifier has no control characters). */
const keyOf = (issuer: string, subject: string): string => `${issuer}\n${subject}`;
