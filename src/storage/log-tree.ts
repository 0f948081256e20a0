import { z } from 'zod';
import type { Append, TreeState, TreeWriter } from '../audit/index.js';
import { type Clock, Fault } from '../base/index.js';
import type { Database } from './database.js';
import { APPEND, HALT, KEEP_VERIFIER_KEY, LAST_VERIFIER_KEY, LOOK, RELEASE, TAIL, WAITING } from './log-tree-sql.js';
import { guarded } from './outage.js';
import { appendHashed } from './records.js';

/** What the sequencer does to the tree: each a statement of its own, none of which waits for anything but the database. */
export function openTree(database: Database, clock: Clock): TreeWriter {
  const rows = (sql: string, ...values: readonly unknown[]): Promise<readonly unknown[]> =>
    guarded(() => database.rows(sql, values));
  return {
    look: async (holder, leaseMs) => {
      const [state] = States.parse(await rows(LOOK, holder, leaseMs));
      if (state === undefined) throw new Fault('internal', 'the database has no tree');
      return state;
    },
    waiting: async (most) => {
      const [found] = z.array(Found).parse(await rows(WAITING, most));
      return found ?? { ids: [], hashes: Buffer.alloc(0), broken: [] };
    },
    append: async (step) => {
      const [row] = z.array(Appended).parse(await rows(APPEND, ...parameters(step)));
      return row?.appended === 1 ? 'appended' : 'lost';
    },
    tail: async (size, most, recovered = 0) => {
      const [row] = z.array(Tails).parse(await rows(TAIL, size, most, recovered));
      if (row === undefined) throw new Fault('internal', 'the database has no tail');
      const isWhole = row.is_whole && row.found === Math.min(size, most);
      return { entries: row.entries, hashes: isWhole ? row.hashes : undefined };
    },
    halt: async (reason, { size, recovery }) => (await rows(HALT, reason, size, recovery ?? null)).length > 0,
    release: async (holder) => {
      await rows(RELEASE, holder);
    },
    announceKey: async ({ vkey, previous, fromSize }) => {
      const [known] = Announced.parse(await rows(LAST_VERIFIER_KEY));
      if (known?.vkey === vkey) return;
      await guarded(() =>
        database.prisma.$transaction(async (transaction) => {
          const [last] = Announced.parse(await transaction.$queryRawUnsafe(LAST_VERIFIER_KEY));
          if (last?.vkey === vkey) return;
          const facts = { what: 'log_key', vkey, previous: previous ?? null };
          const record = { kind: 'key', at: clock.now(), facts, decision: 'done', reason: 'configured' } as const;
          const leafHash = previous === undefined ? null : await appendHashed(transaction, record);
          await transaction.$executeRawUnsafe(KEEP_VERIFIER_KEY, vkey, fromSize, leafHash);
        }),
      );
    },
  };
}

function parameters({ holder, from, waiting, tiles, note }: Append): readonly unknown[] {
  const lengths = tiles.map(({ hashes }) => hashes.length);
  let end = 0;
  const starts = lengths.map((length) => (end += length) - length);
  return [
    holder,
    from,
    waiting.ids.join(' '),
    waiting.hashes,
    waiting.ids.length,
    tiles.map(({ level }) => level),
    tiles.map(({ index }) => index),
    Buffer.concat(tiles.map(({ hashes }) => hashes)),
    starts,
    lengths,
    note,
  ];
}

const Bytes = z.instanceof(Uint8Array).transform((bytes) => Buffer.from(bytes));
const Count = z.string().transform(Number);
const Ids = z.string().transform((text) => (text === '' ? [] : text.split(' ')));
const Text = z
  .string()
  .nullable()
  .transform((text) => text ?? undefined);

const States = z.array(
  z
    .object({ size: Count, note: Text, halted: Text, recovery: Text, is_held: z.boolean(), lag: z.number().nullable() })
    .transform(({ is_held: isHeld, lag, ...rest }): TreeState => ({ ...rest, isHeld, lag: lag ?? undefined })),
);
const Found = z.object({ ids: Ids, hashes: Bytes, broken: Ids });
const Announced = z.array(z.object({ vkey: z.string().nullable() }));
const Appended = z.object({ appended: z.number() });
const Tails = z.object({ entries: Count, found: z.number(), hashes: Bytes, is_whole: z.boolean() });
