import { err, ok, type Result } from '../base/index.js';
import { type BundleAsked, type BundleSource, type Opened, spansOf } from './bundle.js';
import type { EventFinder } from './event-ports.js';
import type { Opening, PersonNames } from './ports.js';
import { type LogRecord, readRecord } from './record.js';

export type OpeningSources = BundleSource & Readonly<{ names: Pick<PersonNames, 'openings'>; events: EventFinder }>;

/** An opening names people, so it is of a part that somebody may read through. */
const MOST_ENTRIES = 20_000;
const MOST_PEOPLE = 500;
/** The commitment is in the first records of a person; of two that came at once either may be first. */
const FIRST = 20;

/**
 * Opens the people of these entries: those who are not erased, and whose commitment is still in the log. `too_many`: ask for
 * less.
 */
export async function openPeople(
  asked: Pick<BundleAsked, 'about'>,
  sources: OpeningSources,
): Promise<Result<Opened, 'too_many'>> {
  const people = await peopleIn(asked, sources);
  if (people === undefined) return err('too_many');
  const openings: Record<string, Opening> = {};
  const entries = new Set<number>();
  for (const [person, opening] of Object.entries(await sources.names.openings([...people]))) {
    const entry = await commitmentTo(person, sources.events);
    if (entry === undefined) continue;
    openings[person] = opening;
    entries.add(entry);
  }
  return ok({ openings, entries: [...entries] });
}

async function peopleIn(
  asked: Pick<BundleAsked, 'about'>,
  source: BundleSource,
): Promise<ReadonlySet<string> | undefined> {
  const people = new Set<string>();
  let seen = 0;
  for await (const [start, end] of await spansOf(asked.about, source)) {
    seen += end - start;
    if (seen > MOST_ENTRIES) return undefined;
    for (const { leaf } of await source.tree.entries({ start, end, limit: end - start })) {
      const person = personOf(leaf && readRecord(leaf));
      if (person !== undefined) people.add(person);
    }
    if (people.size > MOST_PEOPLE) return undefined;
  }
  return people;
}

function personOf(record: LogRecord | undefined): string | undefined {
  const person = record?.facts['person'];
  return typeof person === 'string' ? person : undefined;
}

async function commitmentTo(person: string, events: EventFinder): Promise<number | undefined> {
  const filter = { keys: [`person:${person}`], since: undefined, until: undefined };
  const { entries } = await events.find(filter, { after: -1, limit: FIRST });
  return entries.find(({ leaf }) => leaf !== undefined && typeof readRecord(leaf)?.facts['met'] === 'string')?.index;
}
