import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import type { AdminApi } from './api.js';
import type { Io } from './io.js';

export type LogOptions = Readonly<{ session?: string; txn?: string; kind?: string; follow?: boolean; json?: boolean }>;

/** `writ log`: prints the records there are, and with `follow` those that come, until it is interrupted. */
export async function followLog({ follow, json, ...filter }: LogOptions, api: AdminApi, io: Io): Promise<void> {
  const { session, txn, kind } = filter;
  let after: string | undefined;
  do {
    for await (const item of api.all('/log', { session, txn, kind, after })) {
      const entry = Entry.parse(item);
      after = entry.id;
      // Each look is in the log: whoever follows it would see nothing else.
      if (follow === true && kind !== 'access' && entry.facts['what'] === 'readLog') continue;
      io.out(json === true ? JSON.stringify(item) : describeEntry(entry));
    }
    if (follow === true) await pause(1_000);
  } while (follow === true);
}

const Entry = z.object({
  id: z.string(),
  at: z.string(),
  kind: z.string(),
  txn: z.string().nullable(),
  outcome: z.object({
    decision: z.string(),
    reason: z.string(),
    session: z.string().nullable(),
    sequence: z.number().nullable(),
  }),
  facts: z.record(z.string(), z.unknown()),
});

/** One line: when, what, how it came out, in which session and transaction, and the facts that are plain words. */
function describeEntry({ id, at, kind, txn, outcome, facts }: z.infer<typeof Entry>): string {
  const { decision, reason, session, sequence } = outcome;
  const words = Object.entries(facts).filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value));
  return [
    `#${id}`,
    at,
    kind,
    `${decision}/${reason}`,
    ...(session === null ? [] : [`${session}.${String(sequence ?? '-')}`]),
    ...(txn === null ? [] : [`txn=${txn}`]),
    ...words.map(([name, value]) => `${name}=${JSON.stringify(value)}`),
  ].join('  ');
}
