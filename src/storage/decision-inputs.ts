import { hkdfSync } from 'node:crypto';
import { z } from 'zod';
import type { Clock, Seconds } from '../base/index.js';
import { type DecisionInputs, KeptInput, type KeptInputs, type Past, withoutArguments } from '../policy/index.js';
import { type EncryptionKeys, seal, unseal } from '../token/index.js';
import type { Database } from './database.js';
import { guarded } from './outage.js';
import { pruneAll, pruneSql } from './pruning.js';
import { append } from './records.js';

/** Told how many inputs were kept, or were dropped because the database was down or too slow for them. */
export type InputWatch = (count: number, outcome: 'kept' | 'dropped') => void;

export type InputOptions = Readonly<{
  clock: Clock;
  encryptionKeys: EncryptionKeys;
  /** 0: nothing is kept, and what was kept goes. */
  days: number;
  watch: InputWatch;
  report: (thrown: unknown) => void;
}>;

export type DecisionInputStore = DecisionInputs &
  KeptInputs &
  Readonly<{ flush(): Promise<void>; prune(): Promise<void> }>;

type Made = Parameters<DecisionInputs['keep']>[0];

/** Decisions that wait at most; more than these are dropped. One may hold the arguments of a whole request. */
const MOST = 1_024;
/** Decisions in one statement: sealing them takes about a millisecond. */
const BATCH = 32;
const PAUSE_MS = 250;
const DAY = 86_400;

/** What decisions looked at, sealed, written some time after their answers. */
export function openDecisionInputs(database: Database, options: InputOptions): DecisionInputStore {
  const { prisma } = database;
  const { clock, days } = options;
  const boxes = options.encryptionKeys.map(keyOf);
  const behind = new Behind((batch) => write(batch, database, { ...options, boxes }), options);
  return {
    keep: (made) => {
      if (days > 0) behind.add(made);
    },
    flush: () => behind.flush(),
    prune: async () => {
      await pruneAll(database, PRUNE.over, clock.now());
      await pruneAll(database, PRUNE.old, clock.now() - days * DAY);
    },
    page: async (since, { after, limit }) => {
      await behind.flush();
      const [until, at, id] = placeOf(after) ?? [clock.now(), since, 0];
      const rows = Rows.parse(await guarded(() => prisma.$queryRawUnsafe(PAGE, at, id, until, limit)));
      const last = rows.length === limit ? rows.at(-1) : undefined;
      const next = last && [until, last.at, last.id].join('.');
      return { past: rows.map((row) => pastOf(row, boxes)), next };
    },
    of: async (decisions, since, until) => {
      await behind.flush();
      const found = await guarded(() => prisma.$queryRawUnsafe(OF, [...decisions], since, until ?? null));
      return Rows.parse(found).map((row) => pastOf(row, boxes));
    },
    erase: async (person, by) => {
      await behind.flush();
      return guarded(() =>
        prisma.$transaction(async (transaction) => {
          const erased = await transaction.$executeRawUnsafe('DELETE FROM decision_input WHERE person = $1', person);
          const facts = { what: 'inputs_erased', person, inputs: erased, by };
          await append(transaction, { kind: 'policy', at: clock.now(), facts, decision: 'done', reason: 'erased' });
          return erased;
        }),
      );
    },
  };
}

/** A bounded queue, written in batches one after the other. Nothing of it is ever thrown. */
class Behind {
  readonly #waiting: Made[] = [];
  readonly #write: (batch: readonly Made[]) => Promise<number>;
  readonly #options: Pick<InputOptions, 'watch' | 'report'>;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;

  constructor(write: (batch: readonly Made[]) => Promise<number>, options: Pick<InputOptions, 'watch' | 'report'>) {
    this.#write = write;
    this.#options = options;
  }

  add(made: Made): void {
    if (this.#waiting.length >= MOST) {
      this.#options.watch(made.judged.length, 'dropped');
      return;
    }
    this.#waiting.push(made);
    if (this.#waiting.length >= BATCH) void this.flush();
    else this.#timer ??= setTimeout(() => void this.flush(), PAUSE_MS).unref();
  }

  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return (this.#writing ??= this.#empty().finally(() => (this.#writing = undefined)));
  }

  async #empty(): Promise<void> {
    while (this.#waiting.length > 0) await this.#next(this.#waiting.splice(0, BATCH));
  }

  async #next(batch: readonly Made[]): Promise<void> {
    const { watch, report } = this.#options;
    const wanted = batch.reduce((sum, { judged }) => sum + judged.length, 0);
    try {
      const kept = await this.#write(batch);
      watch(kept, 'kept');
      if (kept < wanted) watch(wanted - kept, 'dropped');
    } catch (error) {
      watch(wanted, 'dropped');
      report(error);
    }
  }
}

type Row = Readonly<{ made: Made; kept: KeptInput; policy: string; sealed: string }>;
type Sealing = Readonly<{ days: number; boxes: readonly Uint8Array[] }>;

async function write(batch: readonly Made[], { rows }: Database, { days, boxes }: Sealing): Promise<number> {
  const all = batch.flatMap((made) => rowsOf(made, boxes));
  const column = <T>(of: (row: Row) => T): T[] => all.map(of);
  const values = [
    column(({ made }) => made.decision),
    column(({ made }) => made.at),
    column(({ kept }) => kept.agent.id),
    column(({ made }) => made.person),
    column(({ kept }) => kept.tool.server),
    column(({ kept }) => kept.tool.name),
    column(({ kept }) => kept.outcome),
    column(({ policy }) => policy),
    column(({ sealed }) => sealed),
    days * DAY,
  ];
  if (all.length > 0) await guarded(() => rows(INSERT, values));
  return all.length;
}

/** A larger one is kept without its arguments. */
const MAX_INPUT = 16_384;

function rowsOf(made: Made, [box]: readonly Uint8Array[]): readonly Row[] {
  return made.judged.flatMap(({ set, input, verdict }) => {
    const whole = set.keep(input, verdict);
    if (whole === undefined || box === undefined) return [];
    const text = JSON.stringify(whole);
    const kept = text.length > MAX_INPUT ? withoutArguments(whole) : whole;
    const plain = kept === whole ? text : JSON.stringify(kept);
    const sealed = seal(Buffer.from(plain), { key: box, context: contextOf(made) });
    return [{ made, kept, policy: set.hash, sealed: Buffer.from(sealed).toString('base64') }];
  });
}

/** Made of the encryption key, which the database has not. */
const keyOf = (encryptionKey: Uint8Array): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', encryptionKey, '', 'writ decision input', 32));

/** One input cannot stand in for that of another decision or person. */
const contextOf = ({ decision, person }: Readonly<{ decision: string; person: string }>): string =>
  `decision input ${decision} ${person}`;

function pastOf(row: z.infer<typeof Rows>[number], boxes: readonly Uint8Array[]): Past {
  const { decision, person, sealed } = row;
  for (const key of boxes) {
    const plain = unseal(sealed, { key, context: contextOf(row) });
    const kept = plain && KeptInput.safeParse(JSON.parse(plain.toString('utf8')));
    if (kept !== undefined) return { decision, person, kept: kept.success ? kept.data : undefined };
  }
  return { decision, person, kept: undefined };
}

/** Until when, and the time and id of the last one that was read. */
function placeOf(after: string | undefined): readonly [until: Seconds, at: Seconds, id: number] | undefined {
  const [, until, at, id] = /^(\d{1,12})\.(\d{1,12})\.(\d{1,15})$/.exec(after ?? '') ?? [];
  return until === undefined ? undefined : [Number(until), Number(at), Number(id)];
}

// What is kept may be lost, so its commit does not wait for the disk, nor make those of exchanges wait for it.
const INSERT = `
  WITH asynchronous AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
  INSERT INTO decision_input (decision, at, agent, person, server, tool, outcome, policy, sealed, expires_at)
  SELECT decision, to_timestamp(at), agent, person, server, tool, outcome, policy, decode(sealed, 'base64'),
    to_timestamp(at + $10::bigint)
  FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
    AS i(decision, at, agent, person, server, tool, outcome, policy, sealed), asynchronous`;

export const PRUNE = {
  over: pruneSql('decision_input', 'id', { where: 'expires_at <= to_timestamp($1::bigint)', oldest: 'expires_at' }),
  old: pruneSql('decision_input', 'id', { where: 'at <= to_timestamp($1::bigint)', oldest: 'at' }),
} as const;

const PAGE = `
  SELECT id::text AS id, decision, person, extract(epoch FROM at)::bigint::text AS at, sealed FROM decision_input
  WHERE (at, id) > (to_timestamp($1::bigint), $2::bigint) AND at <= to_timestamp($3::bigint)
    AND expires_at > clock_timestamp()
  ORDER BY decision_input.at, decision_input.id LIMIT $4::int`;

export const OF = `
  SELECT id::text AS id, decision, person, extract(epoch FROM at)::bigint::text AS at, sealed FROM decision_input
  WHERE at >= to_timestamp($2::bigint) AND at <= coalesce(to_timestamp($3::bigint), 'infinity')
    AND decision = ANY($1::text[]) AND expires_at > clock_timestamp()`;

const Rows = z.array(
  z.object({
    id: z.string(),
    decision: z.string(),
    person: z.string(),
    at: z.string(),
    sealed: z.instanceof(Uint8Array),
  }),
);
