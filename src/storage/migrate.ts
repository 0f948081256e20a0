import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { Fault } from '../base/index.js';

/** One connection, used by nobody else while migrations run. */
export type MigrationConnection = Readonly<{
  /** Runs a script of several statements. */
  run(script: string): Promise<void>;
  rows(sql: string, parameters?: readonly string[]): Promise<readonly unknown[]>;
}>;

export type Migration = Readonly<{ name: string; sql: string; checksum: string }>;

/**
 * Brings a database to this build's schema and answers the names of the migrations that it applied. Refuses a database
 * with a changed, a half applied or an unknown migration. Replicas that start at once take turns.
 */
export async function migrate(connection: MigrationConnection, migrations = readMigrations()): Promise<string[]> {
  await connection.rows('SELECT pg_advisory_lock($1::int)::text', [PRISMA_MIGRATE_LOCK]);
  try {
    const applied = await readApplied(connection);
    for (const one of applied) mustBeKnown(one, migrations);
    const names = new Set(applied.map((one) => one.migration_name));
    const missing = migrations.filter(({ name }) => !names.has(name));
    for (const migration of missing) await apply(connection, migration);
    return missing.map(({ name }) => name);
  } finally {
    await connection.rows('SELECT pg_advisory_unlock($1::int)::text', [PRISMA_MIGRATE_LOCK]);
  }
}

/** The migrations of this build, in order. */
export function readMigrations(directory = migrationsDirectory()): Migration[] {
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => ({ name, bytes: readFileSync(join(directory, name, 'migration.sql')) }))
    .map(({ name, bytes }) => ({ name, sql: bytes.toString('utf8'), checksum: sha256(bytes) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The migrations of this build that are not among the rows of {@link FINISHED}. */
export function missingOf(rows: readonly unknown[], migrations: readonly Migration[]): string[] {
  const applied = new Set(
    z
      .array(Applied)
      .parse(rows)
      .map((row) => row.migration_name),
  );
  return migrations.map(({ name }) => name).filter((name) => !applied.has(name));
}

/** The same number that `prisma migrate deploy` locks, so that neither runs beside the other. */
const PRISMA_MIGRATE_LOCK = '72707369';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Works from src/ and from dist/src/ alike. */
function migrationsDirectory(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'prisma', 'migrations'))) {
    if (folder === dirname(folder)) throw new Fault('schema_mismatch', 'This installation has no prisma/migrations.');
    folder = dirname(folder);
  }
  return join(folder, 'prisma', 'migrations');
}

const Applied = z.object({ migration_name: z.string(), checksum: z.string(), finished: z.boolean() });
type Applied = z.infer<typeof Applied>;

async function readApplied(connection: MigrationConnection): Promise<Applied[]> {
  const [table] = await connection.rows(`SELECT to_regclass('_prisma_migrations')::text AS name`);
  if (z.object({ name: z.string() }).safeParse(table).success) {
    return z.array(Applied).parse(await connection.rows(APPLIED));
  }
  await connection.run(MIGRATIONS_TABLE);
  return [];
}

function mustBeKnown(applied: Applied, migrations: readonly Migration[]): void {
  const name = applied.migration_name;
  const known = migrations.find((migration) => migration.name === name);
  if (known === undefined) {
    throw mismatch(
      `The database has the migration ${name}, which this build does not know: it is older than the database.`,
    );
  }
  if (!applied.finished) {
    throw mismatch(
      `The migration ${name} was begun and never finished. Repair the database, then use prisma migrate resolve.`,
    );
  }
  if (applied.checksum !== known.checksum) {
    throw mismatch(`The migration ${name} was changed after it had been applied to this database.`);
  }
}

const mismatch = (message: string): Fault => new Fault('schema_mismatch', message);

/** The migration and its record are one transaction: a crash leaves both or neither. */
async function apply(connection: MigrationConnection, { name, sql, checksum }: Migration): Promise<void> {
  await connection.run('BEGIN');
  try {
    await connection.run(sql);
    await connection.rows(RECORD, [randomUUID(), checksum, name]);
    await connection.run('COMMIT');
  } catch (cause) {
    await connection.run('ROLLBACK');
    throw new Fault('schema_mismatch', `The migration ${name} failed and was rolled back.`, { cause });
  }
}

const APPLIED = `
  SELECT migration_name, checksum, finished_at IS NOT NULL AS finished
  FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at, migration_name`;

/** The names of the migrations that a database has. */
export const FINISHED = `
  SELECT migration_name, checksum, true AS finished
  FROM _prisma_migrations WHERE rolled_back_at IS NULL AND finished_at IS NOT NULL`;

const RECORD = `
  INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, started_at, applied_steps_count)
  VALUES ($1, $2, clock_timestamp(), $3, now(), 1)`;

const MIGRATIONS_TABLE = `
  CREATE TABLE _prisma_migrations (
    id VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum VARCHAR(64) NOT NULL,
    finished_at TIMESTAMPTZ,
    migration_name VARCHAR(255) NOT NULL,
    logs TEXT,
    rolled_back_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
  )`;
