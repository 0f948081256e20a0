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
      const known = new Set(migrations.map(({ name }) => name));
      found = {
        version: state?.version ?? '',
        missing: names === undefined ? undefined : missingOf(names, migrations),
        unknown: (names ?? []).map((row) => row.migration_name).filter((name) => !known.has(name)),
        clockDifference: (state?.ms ?? ours) / 1000 - ours / 1000,
      };
    }),
  );
  if (found === undefined) throw new Error('the database answered nothing');
  return found;
}

const State = z.object({ version: z.string(), ms: z.coerce.number(), migrated: z.boolean() });
const Name = z.looseObject({ migration_name: z.string() });

const STATE = `
  SELECT current_setting('server_version') AS version, extract(epoch FROM clock_timestamp()) * 1000 AS ms,
    to_regclass('_prisma_migrations') IS NOT NULL AS migrated`;
