import { z } from 'zod';
import { FINISHED, missingOf, readMigrations } from './migrate.js';
import { guarded } from './outage.js';

/** What a look at a PostgreSQL server found, without changing anything there. */
export type Examined = Readonly<{
  version: string;
  /** Migrations of this build that the database does not have; `undefined`: it has none at all yet. */
  missing: readonly string[] | undefined;
  /** Migrations that this build does not know. */
  unknown: readonly string[];
  /** The database's clock less ours, in seconds. */
  clockDifference: number;
  /** `undefined` where the database has no log yet. */
  log: ExaminedLog | undefined;
}>;

/** `lag`: seconds that the oldest record waits. `cosigned`: the largest tree that each witness has cosigned. */
export type ExaminedLog = Readonly<{
  size: number;
  halted: string | undefined;
  lag: number;
  cosigned: readonly Readonly<{ name: string; size: number; ageSeconds: number }>[];
}>;

/** Throws a Fault when the server does not answer. `nowMs` is our clock, in milliseconds since 1970. */
export async function examineDatabase(url: string, nowMs: () => number): Promise<Examined> {
  let found: Examined | undefined;
  const { withMigrationConnection } = await import('./server.js');
  await guarded(() =>
    withMigrationConnection(url, async ({ rows }) => {
      const [state] = z.array(State).parse(await rows(STATE));
      const ours = nowMs();
      const names = state?.migrated === true ? z.array(Name).parse(await rows(FINISHED)) : undefined;
      const migrations = readMigrations();
      const log = state?.has_log === true ? z.array(Log).parse(await rows(LOG))[0] : undefined;
      const known = new Set(migrations.map(({ name }) => name));
      found = {
        version: state?.version ?? '',
        missing: names === undefined ? undefined : missingOf(names, migrations),
        unknown: (names ?? []).map((row) => row.migration_name).filter((name) => !known.has(name)),
        log,
        clockDifference: (state?.ms ?? ours) / 1000 - ours / 1000,
      };
    }),
  );
  if (found === undefined) throw new Error('the database answered nothing');
  return found;
}

const State = z.object({ version: z.string(), ms: z.coerce.number(), migrated: z.boolean(), has_log: z.boolean() });
const Name = z.looseObject({ migration_name: z.string() });

const STATE = `
  SELECT current_setting('server_version') AS version, extract(epoch FROM clock_timestamp()) * 1000 AS ms,
    to_regclass('_prisma_migrations') IS NOT NULL AS migrated, to_regclass('log_cosignature') IS NOT NULL AS has_log`;

const LOG = `
  SELECT size::float8 AS size, halted,
    coalesce((SELECT extract(epoch FROM clock_timestamp() - since) FROM log_pending ORDER BY leaf_id LIMIT 1), 0)::float8 AS lag,
    (SELECT coalesce(json_agg(json_build_object('name', name, 'size', size, 'ageSeconds', age)), '[]') FROM (
      SELECT name, max(size) AS size, extract(epoch FROM clock_timestamp() - max(at)) AS age FROM log_cosignature GROUP BY name
    ) AS c) AS cosigned
  FROM log_tree WHERE id = 1`;

const Log = z.object({
  size: z.number(),
  halted: z
    .string()
    .nullable()
    .transform((text) => text ?? undefined),
  lag: z.number(),
  cosigned: z.array(z.object({ name: z.string(), size: z.number(), ageSeconds: z.number() })),
});
