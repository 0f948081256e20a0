import type { Clock, Seconds } from '../base/index.js';
import type { People } from '../exchange/index.js';
import type { PersonStore } from './person-store.js';

/** How many people are remembered; the longest unseen go first. */
const REMEMBERED = 50_000;
/** A policy may be this late in learning that a person has moved. */
const KNOWN_FOR: Seconds = 5;

type Known = Awaited<ReturnType<People['known']>> & Readonly<{ until: Seconds }>;

/**
 * People for the exchange. The id of a pair never changes, so it is asked once, and again when a commit knows it no more; whether the person may still be acted
 * for is asked by every commit.
 */
export function openPeople(persons: PersonStore, clock: Clock, read: People['known']): People {
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
    known: async (id, run) => {
      const now = clock.now();
      const key = run === undefined ? (id ?? '') : runKeyOf(run);
      const fresh = known.get(key);
      if (fresh !== undefined && now < fresh.until) return fresh;
      const found = { ...(await read(id, run)), until: now + KNOWN_FOR };
      return isUnopened(found) ? found : remember(known, key, found);
    },
    forget: (run) => {
      known.delete(runKeyOf(run));
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

const isUnopened = ({ session }: Known): boolean => session !== undefined && session.opened === undefined;

/** A run is one person's, so what is known with it is about that one. */
const runKeyOf = (run: Parameters<People['forget']>[0]): string =>
  'session' in run ? `session ${run.session}` : `run ${run.key}`;

/** Unambiguous: neither part has a line break (protocol's Identifier has no control characters). */
const keyOf = (issuer: string, subject: string): string => `${issuer}\n${subject}`;
