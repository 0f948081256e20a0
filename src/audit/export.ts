import { Readable } from 'node:stream';
import { z } from 'zod';
import type { Route } from '../http/index.js';
import type { EventFilter, EventFinder, FoundEntry } from './event-ports.js';
import { eventOf, EventQuery, filterOf, isInTime } from './events.js';
import { ocsfOf } from './ocsf.js';
import { auditRoute, type ReadingDeps } from './reading.js';

/** Entries that are read at once. */
const PAGE = 200;

const Format = z.enum(['jsonl', 'ocsf']).default('jsonl');
export type ExportFormat = z.infer<typeof Format>;

/**
 * `GET /audit/v1/export`: everything that fits, a line each, up to where the index is. Whoever reads slowly is waited for:
 * no more than a page is ever held. `after` is the index of the last line that was read before.
 */
export const exportRoute = (events: EventFinder, deps: ReadingDeps): Route =>
  auditRoute(
    {
      path: '/audit/v1/export',
      what: 'export',
      query: EventQuery.omit({ limit: true }).extend({ format: Format }),
      answer: (ctx, { query: { format, ...query } }) => {
        const lines = linesOf(events, filterOf({ ...query, limit: PAGE }), { after: query.after ?? -1, format });
        ctx.type = 'application/jsonl; charset=utf-8';
        ctx.body = Readable.from(lines, { objectMode: false, highWaterMark: 65_536 });
        return Promise.resolve();
      },
    },
    deps,
  );

async function* linesOf(
  events: EventFinder,
  filter: EventFilter,
  { after, format }: Readonly<{ after: number; format: ExportFormat }>,
): AsyncGenerator<string> {
  for (let place: number | undefined = after; place !== undefined;) {
    const page = await events.find(filter, { after: place, limit: PAGE });
    const fitting = page.entries.filter((entry) => isInTime(entry, filter));
    const text = fitting.map((entry) => lineOf(entry, format)).join('');
    if (text !== '') yield text;
    place = page.next;
  }
}

/** One line; nothing for a record that is lost, where the format has no word for it. */
export function lineOf(entry: FoundEntry, format: ExportFormat): string {
  const shown = format === 'jsonl' ? eventOf(entry) : ocsfOf(entry);
  // JSON of one line whatever stands in it: also the separators that some readers split lines at (AU-01, AU-02).
  return shown === undefined ? '' : `${JSON.stringify(shown).replace(SEPARATORS, escaped)}\n`;
}

const SEPARATORS = /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
